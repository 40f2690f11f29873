"""What an approver wants changed, as the content of an edit; and the change as it is shown before it is signed."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.editing import Wanted, content_of, preview, wanted_basics
from services.desk.entering import either_kind, entered, kinds_of, names_entered
from services.desk.exits import DeskError, Exit
from shared.client.case import ShownCase, read_case
from shared.contracts import commands, replies
from shared.contracts.content import EditedContent
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import payload_of
from shared.evidence.steps import Edit
from shared.vocabulary.differences import difference
from shared.vocabulary.model import digest_of
from shared.vocabulary.states import State
from tests import world
from tests.fakes.client_session import FakeBroker
from tests.world import NOW, Approved

NAMES = {"names": {"dns": ["www.example.com", "shop.example.com"]}}


def case_of(chain: Approved, **changes: Any) -> replies.CaseResult:
    """The case as approval shows it, or as a dishonest one does."""
    revisions = chain.evidence.revisions
    edits = [each.edit for each in reversed(revisions) if each.edit is not None]
    case = replies.CaseResult(
        request_id=chain.revision.request_id,
        state=State.PENDING,
        revision=revisions[-1],
        former=revisions[-2] if len(revisions) > 1 else None,
        edit=edits[0] if edits else None,
        decisions=(),
        quorum=2,
    )
    return case.model_copy(update=changes)


def shown(chain: Approved | None = None, anchor: Anchor | None = None) -> ShownCase:
    return read_case(case_of(chain or world.accepted()), anchor, now=NOW)


def edited() -> Approved:
    return world.edited(world.accepted(), name="another", entered=NAMES)


def content(wanted: Wanted, chain: Approved | None = None) -> EditedContent:
    return content_of(shown(chain), wanted)


def test_what_is_not_asked_for_stays_as_it_is() -> None:
    for chain in (world.accepted(), edited()):
        assert content(Wanted(), chain) == shown(chain).editable
        assert preview(shown(chain), content(Wanted(), chain)) == []
    assert Wanted().is_nothing


def test_an_edit_goes_on_from_the_one_before_it() -> None:
    found = content(Wanted(entered=entered(subject=["CN=shop.example.com"])), edited())
    assert found.name == "another"
    assert found.entered.names.dns == ("www.example.com", "shop.example.com")
    assert [str(each) for each in found.entered.subject] == ["CN=shop.example.com"]


def test_names_are_added_and_dropped_beside_those_that_there_are() -> None:
    wanted = Wanted(
        added=names_entered(["dns:mail.example.com"], "--add-san"),
        dropped=names_entered(["dns:WWW.example.com"], "--drop-san"),
    )
    assert content(wanted).entered.names.dns == ("mail.example.com",)
    assert content(wanted, edited()).entered.names.dns == ("shop.example.com", "mail.example.com")
    with pytest.raises(DeskError, match="leaves no name"):
        content(Wanted(dropped=names_entered(["dns:www.example.com"], "--drop-san")))


def test_what_was_entered_can_be_left_out_entered_again_and_taken_back() -> None:
    subject = [{"type": "CN", "value": "shop.example.com"}]
    chain = world.edited(world.accepted(), entered={**NAMES, "subject": subject})
    out = content(Wanted(left_out=kinds_of(attributes=["cn"], extensions=["subjectAltName"])), chain).entered
    assert (out.subject, out.names.as_set()) == ((), frozenset())
    assert (out.without_attributes, out.without_extensions) == (("CN",), ("subjectAltName",))
    gone = world.edited(world.accepted(), entered=out)
    again = content(Wanted(entered=entered(subject=["CN=x.example.com"], names=["dns:x.example.com"])), gone).entered
    assert (again.without_attributes, again.without_extensions) == ((), ())
    back = content(Wanted(as_asked=either_kind(["cn", "2.5.29.17"])), chain).entered
    assert back == content(Wanted()).entered


def test_basic_information_is_changed_field_by_field() -> None:
    basics = wanted_basics(
        name="x", expires_on="latest", notes="", emails=["a@example.com"], no_emails=False, extension_profile=None
    )
    found = content(Wanted(basics=basics))
    assert (found.name, found.expires_on, found.notes, found.emails) == ("x", None, "", ("a@example.com",))
    assert preview(shown(), found) == [
        ("name", "the shop's front door", "x"),
        ("e-mail addresses", "", "a@example.com"),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"emails": ["a@b.example"], "no_emails": True}, "contradict"),
        ({"expires_on": "tomorrow"}, "2027-01-31"),
        ({"name": "x" * 101}, "can't be edited"),
    ],
)
def test_what_can_be_no_edit_is_told_before_anything_is_sent(given: dict[str, Any], told: str) -> None:
    nothing = {"name": None, "expires_on": None, "notes": None, "emails": None, "extension_profile": None}
    with pytest.raises(DeskError, match=told):
        content(Wanted(basics=wanted_basics(**({"no_emails": False} | nothing | given))))
    with pytest.raises(DeskError):
        either_kind(["no such thing"])


def test_the_change_is_shown_by_what_is_and_what_shall_be() -> None:
    values = entered(
        subject=["CN=shop.example.com"], names=["dns:shop.example.com"], extensions=["keyUsage=keyAgreement"]
    )
    wanted = Wanted(
        entered=values,
        left_out=kinds_of(attributes=["O"], extensions=["basicConstraints"]),
    )
    assert preview(shown(), content(wanted)) == [
        ("subject CN", "www.example.com", "shop.example.com"),
        ("subject O", "Example Ltd", "left out"),
        ("alternative names", "dns www.example.com", "dns shop.example.com"),
        ("extension basicConstraints", "basicConstraints (critical): CA:FALSE", "left out"),
        ("extension keyUsage", "keyUsage (critical): digitalSignature", "keyUsage: keyAgreement"),
    ]


def test_a_case_shows_who_edited_it_and_what_changed_by_the_very_bytes_that_are_signed() -> None:
    chain, anchor = edited(), world.in_force().anchor
    case = shown(chain, anchor)
    assert case.edit is not None
    assert (case.edit.edit.editor, case.edit.signed_at) == ("carol", NOW)
    assert ("name", "the shop's front door", "another") in case.changes
    assert shown(chain).edit is not None
    assert shown(chain).edit.signed_at is None  # type: ignore[union-attr]  # as the line before says


def test_an_edit_whose_signature_does_not_hold_is_shown_as_that() -> None:
    begun = world.accepted()
    forged = world.edited(begun, statement=world.edit(begun, name="another", signer="mallory"))
    case = shown(forged, world.in_force().anchor)
    assert case.edit is not None
    assert case.edit.signed_at is None


LIES: dict[str, Any] = {
    "no revision before": (lambda _: {"former": None}, "case.former-differs"),
    "another revision before": (
        lambda _: {"former": world.accepted().evidence.revisions[0]},
        "case.former-differs",
    ),
    "no edit": (lambda _: {"edit": None}, "case.edit-differs"),
    "another edit": (lambda _: {"edit": world.edit(world.accepted(), name="x")}, "case.edit-differs"),
    "the edit held back beside it": (
        lambda c: {"revision": c.evidence.revisions[-1].model_copy(update={"edit": None})},
        "evidence.renewal-differs",
    ),
}


@pytest.mark.parametrize(("change", "code"), LIES.values(), ids=LIES)
def test_no_other_difference_can_be_shown_than_the_signed_bytes_give(change: Any, code: str) -> None:
    chain = edited()
    with pytest.raises(RefusedError) as refused:
        read_case(case_of(chain, **change(chain)), None, now=NOW)
    assert code in {found.code for found in refused.value.findings}


# --- `ra desk edit` -----------------------------------------------------------------------------------------------


class Ra:
    """`ra` as Carol has it, before a broker that shows her one case."""

    def __init__(self, folder: Path, chain: Approved) -> None:
        self.broker = FakeBroker()
        self.broker.answers = {
            commands.ShowCase: lambda _: case_of(chain),
            commands.EditRequest: lambda _: replies.EditResult(
                request_id=chain.revision.request_id,
                state=State.PENDING,
                number=2,
                revision=digest_of(b"x"),
                differences=(difference("notes", "", "\x1b[31mevil"),),
                findings=(),
            ),
        }
        self.request, self.profile = chain.revision.request_id, folder / "carol.toml"
        (folder / "password").write_text("p")
        (folder / "carol.pem").write_bytes(
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "carol.pem").chmod(0o600)
        text = 'identity = "carol"\n[broker]\nhost = "h"\nport = 1\nvirtual_host = "v"\npassword_file = "password"\n'
        self.profile.write_text(text + '[signing]\nkey_file = "carol.pem"\n')

    def edit(self, *options: str, typed: str | None = None) -> Result:
        arguments = ["desk", "edit", self.request, *options, "--profile", str(self.profile), "--timeout", "0.2"]
        return CliRunner().invoke(app, arguments, input=typed)

    def sent(self) -> list[Edit]:
        sent = [each for each in self.broker.commands() if isinstance(each, commands.EditRequest)]
        return [Edit.read(payload_of(each.edit.jws), code="a.b") for each in sent]


@pytest.fixture
def ra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ra:
    found = Ra(tmp_path, world.accepted())
    monkeypatch.setattr("services.desk.frame.connect", found.broker.connect)
    return found


def test_an_edit_is_shown_confirmed_and_signed_for_the_revision_that_was_shown(ra: Ra) -> None:
    done = ra.edit("--notes", "as agreed", "--add-san", "dns:shop.example.com", typed="y\n")
    assert done.exit_code == Exit.OK, done.output
    (said,) = ra.sent()
    assert (said.editor, said.notes) == ("carol", "as agreed")
    assert said.entered.names.dns == ("www.example.com", "shop.example.com")
    assert "dns www.example.com, dns shop.example.com" in done.output
    assert "is revision 2 now" in done.output
    assert "\x1b" not in done.output


def test_nothing_is_sent_without_a_change_a_confirmation_or_the_revision_that_was_wanted(ra: Ra) -> None:
    assert ra.edit().exit_code == Exit.USAGE
    assert ra.edit("--name", "x", typed="n\n").exit_code == Exit.OK
    assert ra.edit("--name", "x", "--yes", "--revision", digest_of(b"another")).exit_code == Exit.REFUSED
    assert ra.sent() == []


def test_a_program_gets_what_the_edit_made_of_the_request(ra: Ra) -> None:
    done = ra.edit("--name", "x", "--yes", "--json")
    assert json.loads(done.stdout)["number"] == 2
