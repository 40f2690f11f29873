"""The full-screen desk, driven by keys alone over the real client and the duties' real handlers."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from textual.widgets import DataTable

from services.desk.keys import new_key_pem
from services.desk.tui.dialogs import SignDialog
from services.desk.tui.key import HeldKey
from services.desk.tui.panes import TABS, TITLES
from services.desk.wrapping import CONTINUED
from shared.client.errors import CommandRefusedError, CredentialsError
from shared.contracts import commands
from shared.evidence.anchor import Anchor
from shared.evidence.jws import payload_of
from shared.evidence.steps import Decision, DecisionKind
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.names import RequestId
from tests import world
from tests.fakes.office import MemoryOffice
from tests.fakes.terminal import OpenKey, Terminal, terminal

SIZES = [(80, 24), (120, 40)]
TRICKS = " \t\xa0\u2003\u3000\u200b\u2028\u2029\x0b\x0c\x85\u2060\ufeff\u3164\u2800\u115f\ufe0f"
HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J \u202eexe.cod [bold]x[/bold] [@click=app.quit]y[/]"


@pytest.fixture
def office() -> MemoryOffice:
    return MemoryOffice()


def _at(office: MemoryOffice, *, by: str = "alice", **how: object) -> AbstractAsyncContextManager[Terminal]:
    key = OpenKey(world.signing_key(by))
    return terminal(office.client(by, key), key, **how)  # type: ignore[arg-type]  # as `terminal` takes them


def _decisions(office: MemoryOffice) -> list[Decision]:
    kinds = (commands.ApproveRequest, commands.DenyRequest)
    sent = [command for command in office.commands if isinstance(command, kinds)]
    return [Decision.read(payload_of(each.decision.jws), code="a.b") for each in sent]


async def _edited(office: MemoryOffice, request_id: RequestId, *, by: str, **changes: object) -> None:
    client = office.client(by)
    case = await client.show_case(request_id)
    await client.edit(case, client.read(case).editable.model_copy(update=changes))


async def _digest(office: MemoryOffice, request_id: RequestId) -> str:
    client = office.client("alice")
    return client.read(await client.show_case(request_id)).digest


# --- looking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_the_desk_opens_with_what_waits_and_names_its_keys(office: MemoryOffice, size: tuple[int, int]) -> None:
    for name in ("front door", "mail relay"):
        await office.submit(world.content(name=name))
    async with _at(office, size=size) as desk:
        await desk.shows("alice | 2 waiting", "open 0 of 2 web front door", "mail relay", "connected")
        await desk.shows("a Approve d Deny e Edit r Refresh / Filter o Open l Lock ? Help q Quit")
        assert desk.text.index("front door") < desk.text.index("mail relay")
        assert all(len(line) == size[0] for line in desk.lines)


@pytest.mark.parametrize("size", SIZES)
async def test_the_seven_tabs_show_all_parts_of_the_case(office: MemoryOffice, size: tuple[int, int]) -> None:
    asked = world.content(notes="renewal\nof last year", emails=["ops@example.com"], expires_on="2027-01-31")
    await office.submit(asked)
    async with _at(office, size=size) as desk:
        await desk.press("enter")
        parts = {
            "1": ("ecdsa-p256", "2027-01-31", "| of last year", "ops@example.com", "Requesters shop"),
            "2": ("Signing certificate public-tls", "ssl_basic", "Approval group web"),
            "3": ("dns www.example.com", "extendedKeyUsage: serverAuth", "Extension profile tls-server"),
            "4": ("CN=www.example.com", "O=Example Ltd", "DN profile server"),
            "5": ("State pending", "Quorum 2", "Decisions none"),
            "6": ("Format pem-x509", "State pending", "waits for the approvers"),
            "7": ("Reason", "State pending", "Revoke the certificate"),
        }
        assert len(parts) == len(TABS)
        await desk.shows(*TITLES)
        for key, pieces in parts.items():
            await desk.press(key)
            await desk.shows(*pieces)


async def test_a_value_that_is_longer_than_the_screen_is_wrapped_and_scrolled_and_never_cut_off(
    office: MemoryOffice,
) -> None:
    notes = " ".join(f"note-{number:03d}" for number in range(300))
    request_id = await office.submit(world.content(notes=notes))
    digest = await _digest(office, request_id)
    async with _at(office) as desk:
        await desk.press("enter")
        await desk.shows("note-000")
        await desk.press("1")
        whole = await desk.whole_sheet()
    assert digest in whole
    assert re.findall(r"note-\d{3}", whole) == notes.split()


async def test_nothing_that_others_wrote_acts_on_the_terminal_or_is_taken_for_markup(office: MemoryOffice) -> None:
    request_id = await office.submit(world.content(name="[red]x[/] \u202eexe.cod", notes=HOSTILE))
    case = await office.client("ben").show_case(request_id)
    await office.client("ben").approve(case, HOSTILE)
    async with _at(office) as desk:
        await desk.shows("[red]x[/] \\u202eexe.cod")
        await desk.press("enter")
        await desk.shows("| a\\x1b[31mred", "[@click=app.quit]y[/]")
        await desk.press("5")
        await desk.shows("approve by ben", "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J")
        await desk.press("a")
        await desk.shows("Approve? Request")
        screens = [desk.text]
        office.cut_off(CommandRefusedError(HOSTILE, [finding("a.b", HOSTILE, value=HOSTILE)]))
        await desk.press("escape", "r")
        await desk.shows("error: a\\x1b[31mred")
        screens.append(desk.text)
    for text in screens:
        assert all(character.isprintable() or character == "\n" for character in text)


async def test_with_no_color_no_colour_is_sent_and_the_cursor_is_still_seen(
    office: MemoryOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await office.submit(world.content(name="first"))
    await office.submit(world.content(name="second"))
    async with _at(office) as desk:
        await desk.shows("second")
        await desk.press("down", "enter")
        await desk.shows("Name second")
        segments = [segment for strip in desk.app.screen._compositor.render_strips() for segment in strip]
    filtered = [
        style
        for segment in segments
        if (style := segment.style) is not None and style.reverse and "second" in segment.text
    ]
    assert filtered
    assert desk.app.no_color


async def test_a_list_longer_than_a_page_goes_on_where_the_cursor_reaches_its_end(office: MemoryOffice) -> None:
    for number in range(53):
        await office.submit(world.content(name=f"request {number:02d}"))
    async with _at(office) as desk:
        await desk.shows("50 and more waiting")
        table = desk.app.screen.query_one(DataTable)
        await desk.press("ctrl+end")
        await desk.shows("53 waiting")
        await desk.press("ctrl+end")
        await desk.shows("request 52")
        assert table.row_count == 53


async def test_however_long_a_name_is_at_80_by_24_what_else_helps_to_choose_stays_in_sight(
    office: MemoryOffice,
) -> None:
    asked = world.content(name="n" * 100)
    await office.submit(asked)
    async with _at(office) as desk:
        await desk.shows(f"open 0 of 2 web {'n' * 25}… CN=www.example.com")
        await desk.press("enter", "1")
        await desk.shows("Key")
        assert "n" * 100 in await desk.whole_sheet()


async def test_no_text_of_a_requester_makes_a_line_that_looks_like_one_of_the_desks_own(office: MemoryOffice) -> None:
    """Blanks up to the end of a line, and what looks like one, after which a forged line would begin."""
    forged = "approve by carol (verified)"
    notes = "\n".join(f"fine{blank * count}{forged}" for blank in TRICKS for count in (1, 41, 76))
    request_id = await office.submit(world.content(name="front door" + " " * 50 + forged, notes=notes))
    client = office.client("ben")
    await client.approve(await client.show_case(request_id), "fine" + " " * 25 + forged)
    async with _at(office) as desk:
        await desk.press("enter", "1")
        await desk.shows("Name front door")
        basic = await desk.sheet_lines()
        await desk.press("5")
        await desk.shows("approve by ben")
        approvals = await desk.sheet_lines()
    for line in (*basic, *approvals):
        before, found, _ = line.partition("approve by carol")
        marks = ("| ", CONTINUED.strip(), "front door", "approve by ben")
        assert not found or any(mark in before for mark in marks), line


async def test_the_list_is_narrowed_to_a_text_and_widened_again(office: MemoryOffice) -> None:
    for name in ("front door", "mail relay"):
        await office.submit(world.content(name=name))
    async with _at(office) as desk:
        await desk.shows("mail relay")
        await desk.press("slash")
        await desk.type("MAIL")
        await desk.press("enter")
        await desk.shows("1 waiting with 'MAIL'")
        await desk.hides("front door")
        await desk.press("enter")
        await desk.shows("Name mail relay")
        await desk.press("slash", "escape")
        await desk.shows("front door", "2 waiting |")


async def test_a_new_request_is_in_the_list_as_soon_as_it_comes(office: MemoryOffice) -> None:
    async with _at(office, refresh_seconds=3600.0) as desk:
        await desk.shows("0 waiting", "connected")
        await office.submit(world.content(name="just now"))
        await desk.shows("1 waiting", "open 0 of 2 web just now", "just now by shop")


async def test_how_many_requests_stand_where_is_told_for_each_group(office: MemoryOffice) -> None:
    done = await office.submit()
    await office.decide(done, "alice", "ben")
    await office.submit()
    async with _at(office) as desk:
        await desk.shows("web: 1 pending, 1 issued (signed)")
        await desk.press("s")
        await desk.shows("Requests by group and state", "web 1 pending", "0 refused", "1 issued (signed)")


async def test_a_request_is_opened_by_its_id_also_when_it_does_not_wait_any_more(office: MemoryOffice) -> None:
    request_id = await office.submit()
    await office.decide(request_id, "ben", deny=True)
    async with _at(office) as desk:
        await desk.shows("0 waiting")
        await desk.press("o")
        await desk.type("nonsense")
        await desk.press("enter")
        await desk.shows("a request's id is a UUID")
        await desk.press("ctrl+u")
        await desk.paste(request_id)
        await desk.press("enter", "5")
        await desk.shows("State denied", "deny by ben")


async def test_a_case_that_does_not_hold_is_not_shown_and_cant_be_decided(office: MemoryOffice) -> None:
    await office.submit()
    stranger = {duty: (world.signing_key("mallory").public,) for duty in Duty}
    client = office.client("alice")
    client._anchor = Anchor.of(world.policy()).model_copy(update={"duties": stranger})
    async with terminal(client, OpenKey(world.signing_key("alice"))) as desk:
        await desk.shows("1 waiting")
        await desk.press("enter")
        await desk.shows("Not shown", "(evidence.unknown-key)")
        await desk.press("a")
        await desk.shows("(evidence.unknown-key)")
        assert not isinstance(desk.app.screen, SignDialog)


# --- deciding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", list(DecisionKind))
async def test_a_decision_is_signed_on_the_bytes_that_were_shown_after_a_question(
    office: MemoryOffice, kind: DecisionKind, size: tuple[int, int]
) -> None:
    request_id = await office.submit()
    digest = await _digest(office, request_id)
    async with _at(office, size=size) as desk:
        await desk.shows("1 waiting")
        await desk.press(kind[0])
        await desk.shows(f"{kind.capitalize()}? Request {request_id}")
        assert digest in await desk.whole_sheet()
        assert _decisions(office) == []
        await desk.focus("#note")
        await desk.type("seen it")
        await desk.focus("#sign")
        await desk.press("enter")
        await desk.shows(f"Request {request_id} is")
    (said,) = _decisions(office)
    assert (said.decision, said.revision, said.note, said.approver) == (kind, digest, "seen it", "alice")


async def test_escape_leaves_the_request_as_it_is(office: MemoryOffice) -> None:
    await office.submit()
    async with _at(office) as desk:
        await desk.shows("1 waiting")
        await desk.press("a")
        await desk.shows("Approve?")
        await desk.press("escape")
        await desk.shows("is left as it is")
    assert _decisions(office) == []


async def test_what_was_decided_shows_in_the_list_and_in_the_tabs(office: MemoryOffice) -> None:
    request_id = await office.submit()
    async with _at(office) as desk:
        await desk.shows("open 0 of 2")
        await desk.press("a")
        await desk.shows("Approve?")
        await desk.press("ctrl+s")
        await desk.shows(f"Request {request_id} is pending: 1 of 2 approvals.", "decided 1 of 2")
        await office.decide(request_id, "ben")
        await desk.press("5", "r")
        await desk.shows("0 waiting", "State approved", "approve by ben")


async def test_the_decision_is_on_what_was_fetched_last_and_a_change_is_told(office: MemoryOffice) -> None:
    request_id = await office.submit()
    async with _at(office) as desk:
        await desk.press("enter")
        await desk.shows("Intake's signature verified")
        office.adopt(world.newer_policy(("quorum = 2", "quorum = 1")))
        await desk.press("a")
        await desk.shows("Approve?")
        await desk.press("ctrl+s")
        await desk.shows("is approved: 1 of 1 approvals")
    (said,) = _decisions(office)
    assert said.revision == await _digest(office, request_id)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "asks"), [("a", "Approve? Request"), ("d", "Deny? Request"), ("e", "Edit Request")])
async def test_that_a_request_has_changed_since_it_was_opened_stands_beside_what_would_be_signed(
    office: MemoryOffice, key: str, asks: str, size: tuple[int, int]
) -> None:
    request_id = await office.submit(world.content(name="front door"))
    warning = (f"{request_id} has changed since you opened it:", "that was revision 1, this is revision 2.")
    async with _at(office, size=size) as desk:
        await desk.press("enter")
        await desk.shows("Intake's signature verified")
        await _edited(office, request_id, name="back door", by="carol")
        await desk.press(key)
        await desk.shows(asks, *warning, "[ Leave it as it is ]")
        if key == "e":
            await desk.focus("#name")
            await desk.type("s")
            await desk.press("ctrl+s")
            await desk.shows("Edit? Request", *warning)
            await desk.press("escape")
        await desk.press("escape")
        await desk.shows(f"Request {request_id} is left as it is.")
        await desk.press("a")
        await desk.shows("Approve?")
        await desk.hides("has changed since")


async def test_one_signature_decides_on_all_that_are_marked_and_each_is_answered_on_its_own(
    office: MemoryOffice,
) -> None:
    ids = [await office.submit(world.content(name=f"request {number}")) for number in range(3)]
    digests = [await _digest(office, request_id) for request_id in ids]
    async with _at(office) as desk:
        await desk.shows("3 waiting")
        await desk.press("space", "down", "down", "space")
        await desk.shows("2 marked", "* open 0 of 2 web request 0", "* open 0 of 2 web request 2")
        await desk.press("a")
        await desk.shows("Approve? these 2 requests", "Sign that I approve these 2 requests")
        whole = await desk.whole_sheet()
        assert [digest in whole for digest in digests] == [True, False, True]
        await office.decide(ids[2], "carol", deny=True)
        await desk.press("ctrl+s")
        await desk.shows(f"Request {ids[0]} is pending: 1 of 2 approvals.", f"Request {ids[2]}:", "(decision.")
        await desk.hides("marked")
    statements = {sent.decision.jws for sent in office.commands if isinstance(sent, commands.ApproveRequest)}
    assert len(statements) == 1


async def test_a_mark_is_taken_away_by_the_same_key_and_all_by_escape(office: MemoryOffice) -> None:
    for _ in range(2):
        await office.submit()
    async with _at(office) as desk:
        await desk.shows("2 waiting")
        await desk.press("space", "down", "space")
        await desk.shows("2 marked")
        await desk.press("space")
        await desk.shows("1 marked")
        await desk.press("escape")
        await desk.hides("marked")


async def test_a_refusal_is_told_with_its_findings_beside_what_was_to_be_signed(office: MemoryOffice) -> None:
    request_id = await office.submit()
    async with _at(office) as desk:
        await desk.shows("1 waiting")
        await desk.press("a")
        await desk.shows("Approve?")
        await office.decide(request_id, "carol", deny=True)
        await desk.press("ctrl+s")
        await desk.shows("error:", "(decision.", "Approve? Request")
        await desk.press("escape")
        await desk.shows("is left as it is")


# --- editing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_an_edit_is_filled_in_shown_and_signed_and_its_difference_is_seen_by_the_others(
    office: MemoryOffice, size: tuple[int, int]
) -> None:
    request_id = await office.submit(world.content(name="front door"))
    async with _at(office, by="carol", size=size) as desk:
        await desk.shows("1 waiting")
        await desk.press("e")
        await desk.shows(f"Edit Request {request_id}", "Name front door", "Last day latest")
        await desk.press("ctrl+s")
        await desk.shows("nothing is changed")
        await desk.focus("#name")
        await desk.press("ctrl+u")
        await desk.type("back")
        await desk.focus("#notes")
        await desk.paste("one\nt\x1b[2Jwo")
        await desk.focus("#last_day")
        await desk.press("ctrl+u")
        await desk.type("soon")
        await desk.press("ctrl+s")
        await desk.shows("--expires-on soon: a day such as 2027-01-31, or latest")
        await desk.press("ctrl+u")
        await desk.type("latest")
        await desk.press("ctrl+s")
        await desk.shows(f"Edit? Request {request_id}", "name is | front door shall be | back", "| t[2Jwo")
        await desk.press("escape")
        await desk.shows("Name back")
        await desk.press("ctrl+s")
        await desk.shows("Sign that it shall be so")
        await desk.press("ctrl+s")
        await desk.shows(f"Request {request_id} is revision 2 now", "name: front door -> back")
    async with _at(office, size=size) as desk:
        await desk.press("enter", "5")
        await desk.shows("Last edited by carol (verified", "Changed since revision 1", "was | front door", "is | back")


async def test_a_form_that_is_left_changes_nothing(office: MemoryOffice) -> None:
    request_id = await office.submit()
    async with _at(office, by="carol") as desk:
        await desk.shows("1 waiting")
        await desk.press("e")
        await desk.shows("Edit Request")
        await desk.press("escape")
        await desk.shows(f"Request {request_id} is left as it is.")
    assert not [sent for sent in office.commands if isinstance(sent, commands.EditRequest)]


async def test_whoever_may_not_edit_is_told_so_and_comes_back_to_the_form(office: MemoryOffice) -> None:
    await office.submit(world.content(name="front door"))
    async with _at(office) as desk:
        await desk.shows("1 waiting")
        await desk.press("e")
        await desk.shows("Edit Request")
        await desk.type("s")
        await desk.press("ctrl+s")
        await desk.shows("shall be | front doors")
        await desk.press("ctrl+s")
        await desk.shows("error:", "Edit? Request")
        await desk.press("escape")
        await desk.shows("Name front doors")


# --- the key ------------------------------------------------------------------------------------------------------


def _encrypted(folder: Path) -> Path:
    path = folder / "alice.pem"
    pem = new_key_pem("secret words")
    path.write_bytes(pem)
    loaded = serialization.load_pem_private_key(pem, b"secret words")
    assert loaded is not None
    return path


async def test_the_passphrase_is_asked_for_once_and_never_shown(office: MemoryOffice, tmp_path: Path) -> None:
    for _ in range(2):
        await office.submit()
    key = HeldKey(_encrypted(tmp_path), lambda: None)
    key.open("secret words")
    key.close()
    async with terminal(office.client("alice", key), key) as desk:
        await desk.shows("2 waiting", "key locked")
        await desk.press("a")
        await desk.shows("Approve?", "Passphrase")
        await desk.press("ctrl+s")
        await desk.shows("needs its passphrase: nothing was signed")
        await desk.type("wrong")
        await desk.press("ctrl+s")
        await desk.shows("the passphrase is wrong")
        assert not key.is_open
        await desk.focus("#passphrase")
        await desk.paste("secret words")
        assert "secret" not in desk.text
        await desk.press("shift+home", "ctrl+x", "ctrl+c")
        assert desk.app.clipboard == ""
        await desk.press("ctrl+s")
        await desk.until(lambda: key.is_open, "the key is never opened")
        await desk.press("escape", "down", "d")
        await desk.shows("Deny?")
        assert not desk.app.screen.query("#passphrase")
        await desk.press("escape", "l")
        await desk.shows("key locked")
        assert not key.is_open
        await desk.press("d")
        await desk.shows("Deny?", "Passphrase")


async def test_without_a_key_nobody_is_asked_for_a_decision(office: MemoryOffice) -> None:
    await office.submit()
    key = HeldKey(None, lambda: None)
    async with terminal(office.client("alice", key), key) as desk:
        await desk.shows("1 waiting")
        await desk.press("a")
        await desk.shows("the profile names no key")
        assert not isinstance(desk.app.screen, SignDialog)


async def test_the_passphrase_of_the_environment_needs_no_asking(office: MemoryOffice, tmp_path: Path) -> None:
    await office.submit()
    key = HeldKey(_encrypted(tmp_path), lambda: "secret words")
    async with terminal(office.client("alice", key), key) as desk:
        await desk.shows("1 waiting")
        await desk.press("a")
        await desk.shows("Approve?")
        assert not desk.app.screen.query("#passphrase")


# --- the certificate ----------------------------------------------------------------------------------------------


ENTITLED = world.policy_text(
    **{'permissions.web = ["decide", "view"]': 'permissions.web = ["decide", "view", "download", "revoke"]'}
)


@pytest.fixture
async def issued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[tuple[MemoryOffice, Terminal]]:
    """The desk of somebody who may download and revoke, with an issued certificate at hand."""
    monkeypatch.chdir(tmp_path)
    office = MemoryOffice(ENTITLED)
    request_id = await office.submit()
    await office.decide(request_id, "alice", "ben")
    async with _at(office) as desk:
        await desk.press("o")
        await desk.paste(request_id)
        await desk.press("enter")
        await desk.shows(f"Request {request_id}", "ecdsa-p256")
        yield office, desk


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


async def test_a_certificate_is_written_to_a_file_and_never_over_one(
    issued: tuple[MemoryOffice, Terminal], tmp_path: Path
) -> None:
    _, desk = issued
    await desk.press("6")
    await desk.shows("State issued")
    await desk.focus("#fetch")
    await desk.press("enter")
    await desk.shows(".pem is written")
    (written,) = _files(tmp_path)
    assert written.count(b"BEGIN CERTIFICATE") == 2
    await desk.press("enter")
    await desk.shows("exists already and is left as it is")
    await desk.focus("#file")
    await desk.type("other/new.pem")
    await desk.focus("#fetch")
    await desk.press("enter")
    await desk.shows("other/new.pem: No such file or directory")


async def test_standard_output_is_no_place_for_a_certificate_where_the_screen_is(
    issued: tuple[MemoryOffice, Terminal], tmp_path: Path
) -> None:
    _, desk = issued
    await desk.press("6")
    await desk.shows("State issued")
    await desk.focus("#file")
    await desk.type("-")
    await desk.focus("#fetch")
    await desk.press("enter")
    await desk.shows("The screen is where standard output goes: name a file, or leave it empty.")
    assert _files(tmp_path) == []


async def test_a_revocation_needs_a_reason_and_a_yes(issued: tuple[MemoryOffice, Terminal]) -> None:
    office, desk = issued
    await desk.press("7")
    await desk.shows("State issued")
    await desk.focus("#revoke")
    await desk.press("enter")
    await desk.shows("Choose the reason first.")
    await desk.press("7", "enter", "down", "down", "enter")
    await desk.focus("#notes")
    await desk.type("lost")
    await desk.focus("#revoke")
    await desk.press("enter")
    await desk.shows("Revoke this certificate, for good?", "Notes lost")
    await desk.press("enter")
    await desk.shows("is left as it is")
    assert not [sent for sent in office.commands if isinstance(sent, commands.RevokeCertificate)]
    await desk.press("enter")
    await desk.shows("Revoke this certificate, for good?")
    await desk.focus("#yes")
    await desk.press("enter")
    await desk.shows("is revoked.", "State revoked")
    (sent,) = [sent for sent in office.commands if isinstance(sent, commands.RevokeCertificate)]
    assert sent.notes == "lost"


async def test_the_tabs_of_the_certificate_tell_of_the_request_that_was_asked_about_and_of_no_other(
    issued: tuple[MemoryOffice, Terminal],
) -> None:
    office, desk = issued
    await desk.press("7")
    await desk.shows("State issued")
    await office.submit(world.content(name="the back door"))
    await desk.shows("the back door")
    await desk.focus("PendingTable")
    await desk.press("a")
    await desk.shows("Approve?")
    await desk.press("escape")
    await desk.shows("State pending")
    assert "State issued" not in desk.text


async def test_whoever_may_not_download_is_told_so(office: MemoryOffice) -> None:
    request_id = await office.submit()
    await office.decide(request_id, "alice", "ben")
    async with _at(office) as desk:
        await desk.press("o")
        await desk.paste(request_id)
        await desk.press("enter", "6")
        await desk.shows("State issued")
        await desk.focus("#fetch")
        await desk.press("enter")
        await desk.shows("(request.unknown)")


# --- when something goes wrong ------------------------------------------------------------------------------------


async def test_a_broker_that_is_away_is_told_and_the_desk_goes_on_by_itself_when_it_is_back(
    office: MemoryOffice,
) -> None:
    await office.submit()
    office.cut_off()
    async with _at(office, refresh_seconds=0.05) as desk:
        await desk.shows("NOT CONNECTED, trying again", "The broker at h:1 can't be reached", "Is it running?")
        office.come_back()
        await desk.shows("Connected again.", "1 waiting", "| connected")
        office.cut_off()
        await desk.shows("NOT CONNECTED, trying again")
        office.come_back()
        await desk.shows("| connected")


async def test_a_connection_that_is_lost_while_a_decision_is_asked_for_loses_nothing(office: MemoryOffice) -> None:
    request_id = await office.submit()
    async with _at(office) as desk:
        await desk.shows("1 waiting")
        await desk.press("a")
        await desk.shows("Approve?")
        office.cut_off()
        await desk.press("ctrl+s")
        await desk.shows("can't be reached", "Approve? Request")
        office.come_back()
        await desk.press("ctrl+s")
        await desk.shows(f"Request {request_id} is pending: 1 of 2 approvals.")


async def test_a_duty_that_does_not_answer_is_told_with_what_to_do(office: MemoryOffice) -> None:
    await office.submit()
    key = OpenKey(world.signing_key("alice"))
    async with terminal(office.client("alice", key, timeout_seconds=0.2), key) as desk:
        await desk.shows("1 waiting")
        office.deaf = True
        await desk.press("enter")
        await desk.shows("approval did not answer within 0.2 seconds", "repeat the command")


async def test_wrong_credentials_are_told_and_the_desk_stays(office: MemoryOffice) -> None:
    office.cut_off(CredentialsError("The broker does not let alice in: the name or the password is wrong."))
    async with _at(office) as desk:
        await desk.shows("The broker does not let alice in", "NOT CONNECTED")


async def test_a_mistake_in_what_a_key_does_is_told_without_a_traceback(
    office: MemoryOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.submit()
    async with _at(office) as desk:
        await desk.shows("1 waiting")
        monkeypatch.setattr("shared.client.client.read_case", lambda *_, **__: 1 // 0)
        await desk.press("enter")
        await desk.shows("A mistake in ra (ZeroDivisionError).")


async def test_a_mistake_of_the_screen_itself_ends_the_desk_and_prints_nothing_of_what_it_held(
    office: MemoryOffice, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        passphrase = "secret words"
        raise ZeroDivisionError(len(passphrase))

    monkeypatch.setattr("services.desk.tui.desk.DeskScreen.action_help", fail)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the pilot raises at the end what happened between
        async with _at(office) as desk:
            await desk.press("question_mark")
            await desk.pilot.pause()
    assert isinstance(desk.app.mistake, ZeroDivisionError)
    assert not desk.app._exit_renderables
    seen = capsys.readouterr()
    assert "secret words" not in seen.out + seen.err


async def test_help_tells_every_key_of_the_footer(office: MemoryOffice) -> None:
    async with _at(office, size=(100, 40)) as desk:
        await desk.press("question_mark")
        await desk.shows("Keys", "approve, deny", "put the key away", "Ctrl+S", "1 to 7")
        await desk.press("escape")
        await desk.shows("0 waiting")


async def test_quitting_leaves_the_terminal(office: MemoryOffice) -> None:
    async with _at(office) as desk:
        await desk.shows("0 waiting")
        await desk.press("q")
        await desk.until(lambda: not desk.app.is_running, "q does not end the desk")
    assert desk.app.return_code == 0
