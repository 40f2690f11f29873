"""What intake makes of a submission: one accepted request, or every reason why not."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.intake.model import RequestRecord
from shared.contracts import commands
from shared.contracts.content import RequestContent
from shared.contracts.events import Evidence
from shared.contracts.replies import EvidenceResult, OptionsResult, RequestsResult, StatusResult
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.evidence.file import read_evidence, verify_evidence
from shared.evidence.jws import Typ
from shared.evidence.verification import verify_revision
from shared.identifiers import new_message_id, new_request_id
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Intake, command, data_of, lifecycle, notices, replies
from tests.world import NOW, content, make_csr, signing_key, submission

VECTORS = Path(__file__).parent.parent / "vectors" / "x509"


def vector(name: str) -> str:
    """A CSR of the collection, PEM."""
    return (VECTORS / f"{name}.csr").read_text()


def signed(asked: RequestContent, *, by: str = "shop") -> commands.SubmitRequest:
    return commands.SubmitRequest(submission=submission(asked, by=by))


def unsigned(asked: RequestContent) -> commands.SubmitRequest:
    return commands.SubmitRequest(submission=UnsignedSubmission(content=asked))


async def known(duty: Intake, request_id: str) -> RequestRecord | None:
    return await duty.requests.load(request_id)


async def test_a_good_submission_is_accepted_with_evidence_and_answered() -> None:
    duty, asked = Intake(), content()
    published = await duty.send(signed(asked), by="shop")
    assert [message.key for message in published if message not in notices(published)] == [
        "intake.request.accepted.web",
        "shop.intake.reply",
    ]
    (told,) = lifecycle(published)
    assert (told.type, told.key) == ("ra.request.accepted.v1", "intake.request.accepted.web")
    assert '"sequence":"1"' in told.body
    evidence = Evidence.model_validate(data_of(told)["evidence"])
    _, revision = verify_revision(evidence, duty.in_force.anchor, now=NOW)
    assert revision.revision.request_id == asked.request_id
    assert data_of(replies(published)[0])["result"] == {"request_id": asked.request_id, "state": "pending"}


BAD: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no CSR": ({"csr": "hello"}, {"csr.unreadable"}),
    "half a CSR": ({"csr": vector("truncated")}, {"csr.unreadable"}),
    "bytes behind it": ({"csr": vector("trailing-bytes")}, {"csr.unreadable"}),
    "a CSR that its key did not sign": ({"csr": vector("signature-of-another-key")}, {"csr.signature-invalid"}),
    "a CSR signed over other names": ({"csr": vector("signature-over-other-names")}, {"csr.signature-invalid"}),
    "a weak key": ({"csr": vector("rsa-1024")}, {"key"}),
    "a foreign domain": ({"csr": make_csr("www.example.net")}, {"name.dns-outside"}),
    "a wildcard of everything": ({"csr": make_csr("*.com", common_name="www.example.com")}, {"name"}),
    "a subject of another organisation": ({"csr": make_csr(O="Evil Ltd")}, {"dn.value-fixed"}),
    "a subject with more than the profile": ({"csr": make_csr(L="Town")}, {"dn.attribute-not-allowed"}),
    "unknown signing certificate": ({"signing_certificate": "none"}, {"request.unknown-signing-certificate"}),
    "unknown extension profile": ({"extension_profile": "none"}, {"request.unknown-extension-profile"}),
    "unknown DN profile": ({"dn_profile": "none"}, {"request.unknown-dn-profile"}),
    "yesterday": ({"expires_on": (NOW - timedelta(days=1)).date()}, {"validity.past"}),
    "far too long": ({"expires_on": (NOW + timedelta(days=999)).date()}, {"validity.too-long"}),
    "everything at once": (
        {"csr": make_csr("a.example.net", O="Evil Ltd"), "expires_on": NOW.date()},
        {"name.dns-outside", "dn.value-fixed", "validity.past"},
    ),
    "profiles and a CSR at once": (
        {"csr": "hello", "dn_profile": "none"},
        {"csr.unreadable", "request.unknown-dn-profile"},
    ),
}


@pytest.mark.parametrize(("changes", "codes"), BAD.values(), ids=BAD)
async def test_a_request_that_does_not_fit_is_refused_with_every_reason_and_kept_as_refused(
    changes: dict[str, Any], codes: set[str]
) -> None:
    duty, asked = Intake(), content(**changes)
    found = await duty.refused(signed(asked), by="shop")
    for code in codes:
        assert any(each == code or each.startswith(f"{code}.") for each in found), found
    record = await known(duty, asked.request_id)
    assert record is not None
    assert (record.state, record.evidence) == (State.REFUSED, None)
    assert [each.code for each in record.findings] == found
    assert await duty.refused(signed(asked), by="shop") == found


async def test_a_request_that_approval_could_not_read_any_more_is_refused_and_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    duty, asked = Intake(), content()
    monkeypatch.setattr("shared.contracts.events.MOST_CHAIN_BYTES", 4_000)
    assert await duty.refused(signed(asked), by="shop") == ["request.too-large"]
    record = await known(duty, asked.request_id)
    assert record is not None
    assert (record.state, record.evidence) == (State.REFUSED, None)
    assert lifecycle(duty.publisher.published) == []


STRANGERS: dict[str, tuple[Any, str, set[str]]] = {
    "who may not submit": (lambda a: signed(a, by="alice"), "alice", {"identity.not-permitted"}),
    "who submits unsigned and must sign": (unsigned, "shop", {"submission.unsigned"}),
    "with a forged signature": (lambda a: signed(a, by="mallory"), "shop", {"evidence.unknown-key"}),
    "with another's signature": (lambda a: signed(a, by="ben"), "shop", {"evidence.unknown-key"}),
    "with what another has signed": (signed, "ben", {"evidence.unknown-key"}),
    "who has no key": (signed, "portal", {"evidence.unknown-key"}),
    "with a signature for something else": (
        lambda a: commands.SubmitRequest(
            submission=JwsStatement(jws=signing_key("shop").sign(a.canonical(), Typ.DECISION, NOW))
        ),
        "shop",
        {"evidence.wrong-typ"},
    ),
    "from the future": (
        lambda a: commands.SubmitRequest(submission=submission(a, at=NOW + timedelta(hours=1))),
        "shop",
        {"evidence.from-the-future"},
    ),
}


@pytest.mark.parametrize(("make", "by", "codes"), STRANGERS.values(), ids=STRANGERS)
async def test_whoever_may_not_submit_this_is_refused_and_nothing_is_kept(make: Any, by: str, codes: set[str]) -> None:
    duty = Intake()
    assert set(await duty.refused(make(content()), by=by)) == codes
    assert duty.requests.documents == {}


@pytest.mark.parametrize(
    ("changes", "by", "codes"),
    [
        ({"approval_group": "mail"}, "portal", {"identity.not-permitted"}),
        ({"on_behalf_of": "nobody"}, "portal", {"identity.unknown"}),
        ({"on_behalf_of": "alice"}, "ben", {"identity.not-permitted"}),
        ({"on_behalf_of": "nobody"}, "ben", {"identity.not-permitted", "identity.unknown"}),
    ],
)
async def test_groups_and_others_are_submitted_for_with_permission_only(
    changes: dict[str, Any], by: str, codes: set[str]
) -> None:
    duty, asked = Intake(), content(**changes)
    said = unsigned(asked) if by == "portal" else signed(asked, by=by)
    assert set(await duty.refused(said, by=by)) == codes
    assert duty.requests.documents == {}


async def test_whoever_is_submitted_for_is_a_requester_too() -> None:
    duty, asked = Intake(), content(on_behalf_of="alice")
    assert (await duty.ask(unsigned(asked), by="portal")).code == "ok"
    for who in ("portal", "alice"):
        listed = RequestsResult.model_validate((await duty.ask(commands.ListRequests(), by=who)).result)
        assert [each.request_id for each in listed.requests] == [asked.request_id]


async def test_a_submission_under_another_subject_than_its_request_is_refused() -> None:
    duty = Intake()
    delivery = command(signed(content()), by="shop", subject=new_request_id())
    (answer,) = await duty.handle(delivery)
    assert [each["code"] for each in data_of(answer)["findings"]] == ["message.subject-differs"]
    assert duty.requests.documents == {}


async def test_signed_content_with_an_unknown_field_is_refused() -> None:
    asked = content()
    token = signing_key("shop").sign(b'{"x":1,' + asked.canonical()[1:], Typ.SUBMISSION, NOW)
    duty = Intake()
    assert await duty.refused(commands.SubmitRequest(submission=JwsStatement(jws=token)), by="shop") == [
        "submission.invalid"
    ]


async def test_the_same_content_again_is_answered_again_and_brings_up_the_same_event_while_it_is_pending() -> None:
    duty, asked = Intake(), content()
    first = await duty.send(signed(asked), by="shop")
    published = await duty.send(signed(asked), by="shop")
    assert lifecycle(published) == lifecycle(first)
    assert data_of(replies(published)[0])["code"] == "ok"
    assert duty.requests.writes == 1


@pytest.mark.parametrize("kind", ["other content", "another identity", "both"])
async def test_a_request_id_used_for_something_else_is_refused_and_nothing_is_told_of_it(kind: str) -> None:
    duty, asked = Intake(), content(name="a secret project")
    await duty.send(signed(asked), by="shop")
    before = await known(duty, asked.request_id)
    other = asked if kind == "another identity" else content(asked.request_id)
    by = "shop" if kind == "other content" else "ben"
    published = await duty.send(signed(other, by=by), by=by)
    assert [each["code"] for each in data_of(published[0])["findings"]] == ["request.id-reused"]
    assert "secret" not in published[0].body
    assert "shop" not in published[0].body.replace("shop.intake", "") or by == "shop"
    assert await known(duty, asked.request_id) == before


async def test_a_redelivered_submission_is_answered_with_the_same_messages() -> None:
    duty, message_id, said = Intake(), new_message_id(), signed(content())
    first = await duty.send(said, by="shop", message_id=message_id)
    assert await duty.send(said, by="shop", message_id=message_id) == first
    assert [len(lifecycle(first)), len(replies(first)), len(notices(first))] == [1, 1, 3]
    assert duty.requests.writes == 1


@pytest.mark.parametrize("changed", ["permission", "key", "profile", "name"])
async def test_a_submission_redelivered_under_another_policy_stays_accepted(changed: str) -> None:
    """It was accepted and stored; a crash kept it from being published, and then the policy changed."""
    duty, message_id, said = Intake(), new_message_id(), signed(content())
    first = await duty.send(said, by="shop", message_id=message_id)
    text = world.policy_text()
    duty.adopt(
        {
            "permission": text.replace('permissions.web = ["submit"]', 'permissions.web = ["view"]'),
            "key": text.replace(signing_key("shop").public.x, signing_key("shop's new key").public.x),
            "profile": text.replace('dns_suffixes = ["example.com", "example.org"]', 'dns_suffixes = ["example.org"]'),
            "name": text.replace("tls-server", "tls"),
        }[changed]
    )
    assert await duty.send(said, by="shop", message_id=message_id) == first


async def test_a_stranger_does_not_get_at_an_answer_by_its_message_id() -> None:
    duty, message_id, said = Intake(), new_message_id(), signed(content())
    await duty.send(said, by="shop", message_id=message_id)
    assert await duty.refused(said, by="alice", message_id=message_id) == ["evidence.unknown-key"]


async def test_what_others_asked_for_does_not_exist_for_whom_it_does_not_concern() -> None:
    duty, asked = Intake(), content()
    await duty.send(signed(asked), by="shop")
    for who in ("shop", "alice", "olga", "portal"):
        result = (await duty.ask(commands.ShowStatus(request_id=asked.request_id), by=who)).result
        assert StatusResult.model_validate(result).request.request_id == asked.request_id
    text = world.policy_text().replace('"submit_on_behalf", "view"', '"submit_on_behalf"')
    duty.adopt(text)
    for request_id in (asked.request_id, new_request_id()):
        assert await duty.refused(commands.ShowStatus(request_id=request_id), by="portal") == ["request.unknown"]


async def test_evidence_is_exported_to_auditors_and_requesters_only() -> None:
    duty, asked = Intake(), content()
    await duty.send(signed(asked), by="shop")
    export = commands.ExportEvidence(request_id=asked.request_id)
    for who in ("shop", "olga"):
        result = (await duty.ask(export, by=who)).result
        file = read_evidence(EvidenceResult.model_validate(result).evidence.encode())
        assert not verify_evidence(file, duty.in_force.anchor, now=NOW).issued
    for who in ("alice", "portal"):
        assert await duty.refused(export, by=who) == ["request.unknown"]


async def test_a_refused_request_has_no_evidence_to_export() -> None:
    duty, asked = Intake(), content(csr="hello")
    await duty.send(signed(asked), by="shop")
    export = commands.ExportEvidence(request_id=asked.request_id)
    assert await duty.refused(export, by="shop") == ["evidence.none"]


async def test_pages_of_requests_follow_one_another_without_gap_or_repetition() -> None:
    duty = Intake()
    asked = [content() for _ in range(5)]
    for each in asked:
        await duty.send(signed(each), by="shop")
    seen: list[str] = []
    ask = commands.ListRequests(limit=2)
    for more in (True, True, False):
        page = RequestsResult.model_validate((await duty.ask(ask, by="shop")).result)
        seen += [each.request_id for each in page.requests]
        assert page.more is more
        ask = commands.ListRequests(limit=2, before=page.requests[-1].request_id)
    assert seen == sorted((each.request_id for each in asked), reverse=True)


async def test_options_are_what_one_may_really_pick() -> None:
    duty = Intake()
    shown = OptionsResult.model_validate((await duty.ask(commands.ShowOptions(), by="shop")).result)
    (certificate,) = shown.signing_certificates
    assert (certificate.name, certificate.approval_groups) == ("public-tls", ("web",))
    nothing = OptionsResult.model_validate((await duty.ask(commands.ShowOptions(), by="alice")).result)
    assert (nothing.signing_certificates, nothing.approval_groups, nothing.dn_profiles) == ((), (), ())
