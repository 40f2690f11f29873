"""Approval takes an approver's edit: what follows from it, and everything that does not count as one."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import commands, events
from shared.contracts.replies import CaseResult, EditResult
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import DecisionKind, Revision
from shared.evidence.verification import verify_approval
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import Outgoing
from shared.messaging.schedule import milliseconds
from shared.vocabulary.differences import Difference
from shared.vocabulary.findings import Severity, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from shared.x509.entered import EditedValues
from shared.x509.names import SubjectAltNames
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import Intake, Issuer, data_of, delivery_of, lifecycle, replies
from tests.world import DAY, NOW, Approved, decision, signing_key

NAMES = EditedValues(names=SubjectAltNames(dns=("www.example.com", "shop.example.com")))
CAROL = 'permissions.web = ["decide", "view", "edit"]'
NO_EDITOR = world.newer_policy((CAROL, 'permissions.web = ["decide", "view"]'))
WARNING = finding("lint.odd", "an odd thing", severity=Severity.WARNING)


async def begun_of(case: Opened) -> Approved:
    """What is in force now."""
    stored = await case.stored()
    revision = Revision.read(payload_of(stored.evidence.revisions[-1].jws), code="a.b")
    return Approved(stored.evidence, revision, stored.revision)


def edit_of(begun: Approved, **says: Any) -> commands.EditRequest:
    return commands.EditRequest(request_id=begun.revision.request_id, edit=world.edit(begun, **says))


async def edit(case: Opened, *, by: str = "carol", **says: Any) -> list[Outgoing]:
    return await case.send(edit_of(await begun_of(case), by=by, **says), by=by)


async def refused(case: Opened, *, by: str = "carol", **says: Any) -> list[str]:
    before = await case.stored()
    codes = await case.refused(edit_of(await begun_of(case), by=by, **says), by=by)
    assert await case.stored() == before
    return codes


async def approve(case: Opened, by: str) -> list[Outgoing]:
    """As an approver does it: look, then sign for what was shown."""
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by=by)).result
    assert isinstance(shown, CaseResult)
    said = decision(digest_of(payload_of(shown.revision.jws)), case.id, by=by)
    return await case.send(commands.ApproveRequest(request_id=case.id, decision=said), by=by)


async def test_an_edit_makes_a_new_revision_and_voids_earlier_approvals() -> None:
    case = await open_case()
    await case.approve("alice")
    published = await edit(case, entered=NAMES, name="another", notes="why", expires_on=(NOW + 9 * DAY).date())
    (told,) = lifecycle(published)
    assert (told.type, told.key) == ("ra.request.edited.v1", "approval.request.edited.web")
    event = events.RequestEdited.model_validate(data_of(told))
    assert '"sequence":"2"' in told.body
    assert event.by == "carol"
    assert Difference(what="name", before="the shop's front door", after="another") in event.differences
    changed = {"name", "last day", "notes", "alternative names", "findings"}
    assert {each.what for each in event.differences} == changed
    stored = await case.stored()
    assert (stored.state, stored.sequence, stored.name) == (State.PENDING, 2, "another")
    assert (stored.evidence.decisions, stored.deciders) == ((), ())
    assert event.evidence == stored.evidence
    (answer,) = replies(published)
    result = EditResult.model_validate(data_of(answer)["result"])
    assert (result.number, result.revision, result.differences) == (2, stored.revision, event.differences)
    assert await case.refused(case.approval_by("ben"), by="ben") == ["decision.outdated-revision"]


async def test_what_was_edited_is_approved_by_two_others_and_ordered_as_it_is_then() -> None:
    case = await open_case()
    await edit(case, entered=NAMES)
    begun = await begun_of(case)
    own = commands.ApproveRequest(request_id=case.id, decision=decision(begun.digest, case.id, by="carol"))
    assert await case.refused(own, by="carol") == ["decision.by-editor"]
    assert lifecycle(await approve(case, "alice")) == []
    (told,) = lifecycle(await approve(case, "ben"))
    assert '"sequence":"3"' in told.body
    evidence = events.Evidence.model_validate(data_of(told)["evidence"])
    assert verify_approval(evidence, case.duty.in_force.anchor, now=NOW).revision.digest == begun.digest
    issuer = Issuer()
    await issuer.handle(delivery_of(told, "approval"))
    await issuer.work_off()
    assert [message.type for message in lifecycle(issuer.publisher.published)] == ["ra.certificate.issued.v1"]
    (placed,) = issuer.ca.orders
    assert placed.request.dns_names == NAMES.names.dns


async def test_an_edit_is_screened_like_a_submission_and_linted() -> None:
    case = await open_case()
    outside = EditedValues(names=SubjectAltNames(dns=("www.example.net",)))
    codes = await refused(case, entered=outside, expires_on=(NOW + 900 * DAY).date())
    assert {"name.dns-outside", "validity.too-long"} <= set(codes)
    case.duty.linter.says = [finding("lint.bad", "broken")]
    assert await refused(case, entered=NAMES) == ["lint.bad"]
    case.duty.linter.says = [WARNING]
    await edit(case, entered=NAMES)
    assert WARNING in (await begun_of(case)).revision.findings
    case.duty.linter.says = []
    await edit(case, name="once more")
    assert [found.code for found in (await begun_of(case)).revision.findings] == ["name.csr-ignored"]


async def test_while_the_linter_is_away_nothing_is_edited_and_decisions_go_on() -> None:
    case = await open_case()
    case.duty.linter.away = True
    assert await refused(case, entered=NAMES) == ["edit.not-judged"]
    assert (await case.approve("alice")).approvals == 1


async def test_the_event_loop_goes_on_while_an_edit_is_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    case = await open_case()
    threads: list[object] = []

    async def noted(act: Callable[..., Any], *args: Any, **named: Any) -> Any:
        threads.append(act)
        return act(*args, **named)

    monkeypatch.setattr(asyncio, "to_thread", noted)
    await edit(case, entered=NAMES)
    assert [getattr(act, "__name__", "") for act in threads] == ["drafted"]


async def test_what_a_requester_entered_stands_where_an_approver_enters_nothing() -> None:
    entered = {"names": {"dns": ["mail.example.com"]}}
    case = await open_case(world.content(entered=entered))
    await edit(case, notes="x")
    assert (await begun_of(case)).revision.names.dns == ("www.example.com", "mail.example.com")
    await edit(case, entered=NAMES)
    await edit(case, name="a second edit goes on from the first")
    assert (await begun_of(case)).revision.names == NAMES.names
    await edit(case, entered=EditedValues())
    assert (await begun_of(case)).revision.names.dns == ("www.example.com", "mail.example.com")


async def test_what_no_approver_may_enter_is_refused() -> None:
    case = await open_case()
    kept = {"subject": [{"type": "C", "value": "GB"}], "extensions": [{"type": "keyUsage", "values": ["keyAgreement"]}]}
    assert await refused(case, entered=EditedValues.model_validate(kept)) == [
        "dn.not-enterable",
        "extension.not-enterable",
    ]
    without = {"without_attributes": ["O"], "without_extensions": ["keyUsage"]}
    assert await refused(case, entered=EditedValues.model_validate(without)) == [
        "dn.not-enterable",
        "extension.not-enterable",
    ]


async def test_an_edit_that_changes_nothing_is_refused() -> None:
    case = await open_case()
    assert await refused(case) == ["edit.changes-nothing"]
    same = EditedValues(names=case.begun.revision.names)
    assert await refused(case, entered=same) == ["edit.changes-nothing"]


async def test_an_edit_of_another_revision_than_the_one_in_force_is_refused() -> None:
    case = await open_case()
    late = edit_of(case.begun, name="too late")
    await edit(case, name="first")
    assert await case.refused(late, by="carol") == ["edit.outdated-revision"]


WRONG: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "by an approver who may not edit": ({"by": "alice"}, "alice", {"edit.not-an-editor"}),
    "under anothers name": ({"by": "carol"}, "alice", {"edit.foreign"}),
    "with anothers key": ({"by": "carol", "signer": "alice"}, "carol", {"evidence.unknown-key"}),
    "of another request": ({"request_id": new_request_id()}, "carol", {"edit.outdated-revision"}),
    "long before what it edits": ({"at": NOW - DAY}, "carol", {"edit.before-revision"}),
    "from the future": ({"at": NOW + DAY}, "carol", {"evidence.from-the-future"}),
    "without the permission": ({"by": "olga", "signer": "alice"}, "olga", {"evidence.unknown-key"}),
}


@pytest.mark.parametrize(("says", "sender", "codes"), WRONG.values(), ids=WRONG)
async def test_what_is_no_edit_of_its_sender_is_refused(says: dict[str, Any], sender: str, codes: set[str]) -> None:
    case = await open_case()
    before = await case.stored()
    command = commands.EditRequest(request_id=case.id, edit=world.edit(case.begun, name="x", **says))
    assert set(await case.refused(command, by=sender)) == codes
    assert await case.stored() == before


async def test_a_stranger_is_told_nothing_of_the_request() -> None:
    text = world.policy_text() + '\n[identities.stranger]\nkind = "system"\nmust_sign = false\n'
    case = await open_case(policy_text=text)
    for request in (case.id, RequestId(new_request_id())):
        command = commands.EditRequest(request_id=request, edit=world.edit(case.begun, name="x"))
        assert await case.refused(command, by="stranger") == ["request.unknown"]


async def test_what_is_no_edit_at_all_is_refused() -> None:
    case = await open_case()
    said = payload_of(world.edit(case.begun, name="x").jws)
    for token in ("a.b.c", signing_key("carol").sign(said, Typ.DECISION, NOW)):
        command = commands.EditRequest(request_id=case.id, edit=JwsStatement(jws=token))
        assert await case.refused(command, by="carol") in (["evidence.malformed"], ["evidence.wrong-typ"])
    spoilt = signing_key("carol").sign(said[:-1] + b',"csr":"x"}', Typ.EDIT, NOW)
    command = commands.EditRequest(request_id=case.id, edit=JwsStatement(jws=spoilt))
    assert await case.refused(command, by="carol") == ["edit.invalid"]


@pytest.mark.parametrize("how", ["approved", "denied", "withdrawn"])
async def test_what_is_decided_is_not_edited_any_more(how: str) -> None:
    case = await open_case()
    await case.decide(how)
    assert await refused(case, name="x") == ["edit.too-late"]


async def test_a_repeated_edit_is_answered_as_before_and_counts_once() -> None:
    case = await open_case()
    command, message_id = edit_of(case.begun, name="another"), new_message_id()
    first = await case.send(command, by="carol", message_id=message_id)
    assert await case.send(command, by="carol", message_id=message_id) == first
    assert len((await case.stored()).evidence.revisions) == 2


async def test_an_edit_is_made_under_the_policy_in_force_and_can_mend_what_that_does_not_allow() -> None:
    case = await open_case(world.content(csr=world.make_csr("www.example.com", "www.example.org")))
    suffixes = 'dns_suffixes = ["example.com", "example.org"]'
    case.duty.adopt(world.newer_policy((suffixes, 'dns_suffixes = ["example.com"]')))
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by="alice")).result
    assert isinstance(shown, CaseResult)
    assert [found.code for found in shown.blocked_because] == ["name.dns-outside"]
    await edit(case, entered=NAMES)
    begun = await begun_of(case)
    assert begun.revision.policy.extensions.names is not None
    assert begun.revision.policy.extensions.names.dns_suffixes == ("example.com",)
    await approve(case, "alice")
    assert lifecycle(await approve(case, "ben")) != []


async def test_a_copy_of_approval_with_an_older_policy_edits_nothing() -> None:
    case = await open_case()
    case.duty.adopt(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))
    await edit(case, name="x")
    case.duty.adopt(world.policy_text())
    assert await refused(case, name="y") == ["edit.policy-older"]


async def test_a_renewal_after_an_edit_keeps_what_was_edited() -> None:
    case = await open_case()
    await edit(case, entered=NAMES, name="another")
    case.duty.adopt(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))
    await approve(case, "alice")
    begun = await begun_of(case)
    assert (begun.revision.number, begun.revision.names, begun.revision.name) == (3, NAMES.names, "another")
    (told,) = lifecycle(await approve(case, "ben"))
    evidence = events.Evidence.model_validate(data_of(told)["evidence"])
    assert verify_approval(evidence, case.duty.in_force.anchor, now=NOW).revision.digest == begun.digest


async def test_what_nobody_can_approve_as_its_editor_has_left_says_so_and_can_be_denied() -> None:
    case = await open_case()
    await edit(case, entered=NAMES)
    begun = await begun_of(case)
    case.duty.adopt(NO_EDITOR)
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by="alice")).result
    assert isinstance(shown, CaseResult)
    assert [found.code for found in shown.blocked_because] == ["edit.not-an-editor"]
    said = decision(begun.digest, case.id, by="alice")
    approval = commands.ApproveRequest(request_id=case.id, decision=said)
    assert await case.refused(approval, by="alice") == ["edit.not-an-editor"]
    denial = world.decision(begun.digest, case.id, by="alice", kind=DecisionKind.DENY)
    (told,) = lifecycle(await case.send(commands.DenyRequest(request_id=case.id, decision=denial), by="alice"))
    assert told.type == "ra.request.denied.v1"
    intake = Intake(NO_EDITOR)
    await intake.send(commands.SubmitRequest(submission=case.begun.evidence.submission), by="shop")
    await intake.handle(delivery_of(told, "approval"))
    record = await intake.requests.load(case.id)
    assert record is not None
    assert record.state is State.DENIED


async def test_another_editor_mends_what_was_edited_by_one_who_left() -> None:
    ben = ('permissions.web = ["decide", "view", "submit"]', 'permissions.web = ["decide", "view", "submit", "edit"]')
    case = await open_case()
    await edit(case, entered=NAMES)
    case.duty.adopt(world.newer_policy((CAROL, 'permissions.web = ["decide", "view"]'), ben))
    await edit(case, by="ben", name="once more")
    assert lifecycle(await approve(case, "alice")) == []
    begun = await begun_of(case)
    assert begun.revision.names == NAMES.names
    assert begun.revision.editors == ("carol", "ben")
    assert begun.revision.editor_people == ("carol", "ben")


async def test_an_editor_who_comes_back_under_another_identity_does_not_approve_their_edit() -> None:
    ben = ('permissions.web = ["decide", "view", "submit"]', 'permissions.web = ["decide", "view", "submit", "edit"]')
    dora = ("[identities.carol]", "[identities.dora]")
    keys = (signing_key("carol").public.x, signing_key("dora").public.x)
    case = await open_case()
    await edit(case, entered=NAMES)
    case.duty.adopt(world.newer_policy(ben, dora, keys))
    await edit(case, by="ben", name="once more")
    said = decision((await begun_of(case)).digest, case.id, by="dora")
    asked = commands.ApproveRequest(request_id=case.id, decision=said)
    assert await case.refused(asked, by="dora") == ["decision.by-editor"]


async def test_a_held_case_that_is_edited_is_held_no_more() -> None:
    case = await open_case()
    case.duty.know()
    await case.approve("alice")
    await case.approve("ben")
    assert (await case.stored()).held_because != ()
    await edit(case, entered=NAMES)
    stored = await case.stored()
    assert (stored.held_because, stored.deciders) == ((), ())
    case.duty.hear()
    case.duty.clock.advance(DAY)
    for due in await case.duty.cases.due(milliseconds(case.duty.clock.now().timestamp()), limit=9):
        await case.duty.due.advance(due)
    assert (await case.stored()).state is State.PENDING


async def test_what_the_issuer_returned_can_be_edited_and_approved_anew() -> None:
    case = await open_case(world.content(expires_on=(NOW + 3 * DAY).date()))
    (told,) = lifecycle(await case.decide("approved"))
    issuer = Issuer()
    issuer.clock.advance(4 * DAY)
    (returned,) = lifecycle(await issuer.handle(delivery_of(told, "approval")))
    case.duty.clock.advance(4 * DAY)
    case.duty.hear()
    await case.duty.handle(delivery_of(returned, "issuer"))
    begun, at = await begun_of(case), NOW + 4 * DAY
    said = edit_of(begun, expires_on=(NOW + 30 * DAY).date(), at=at)
    await case.send(said, by="carol")
    stored = await case.stored()
    assert stored.returned_because == ()
    for name in ("alice", "ben"):
        said_by = decision(stored.revision, case.id, by=name, at=at)
        published = await case.send(commands.ApproveRequest(request_id=case.id, decision=said_by), by=name)
    await issuer.handle(delivery_of(lifecycle(published)[0], "approval"))
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1


async def test_there_is_an_end_to_edits_and_to_what_one_may_hold() -> None:
    case = await open_case()
    notes = "n" * 4_000
    for number in range(60):
        begun = await begun_of(case)
        answer = await case.duty.ask(edit_of(begun, notes=notes[number:]), by="carol")
        if answer.code == "refused":
            break
    assert [found.code for found in answer.findings] in (["edit.too-large"], ["revision.too-many"])
    stored = await case.stored()
    assert 15 < len(stored.evidence.revisions) <= 50
    assert lifecycle(await approve(case, "alice")) == []


async def test_approval_countersigns_no_edit_of_what_was_changed_in_its_database() -> None:
    case = await open_case()
    stored = await case.stored()
    altered = case.begun.revision.model_copy(update={"names": SubjectAltNames(dns=("evil.example.com",))})
    token = signing_key("approval").sign(altered.canonical(), Typ.REVISION, NOW)
    evidence = stored.evidence.model_copy(update={"revisions": (RevisionStatement(jws=token),)})
    digest = digest_of(altered.canonical())
    await case.duty.cases.replace(stored.model_copy(update={"evidence": evidence, "revision": digest}))
    said = edit_of(Approved(evidence, altered, digest), name="x")
    assert await case.refused(said, by="carol") == ["evidence.unknown-key"]


async def test_whoever_may_edit_may_look_and_list() -> None:
    text = world.newer_policy((CAROL, 'permissions.web = ["edit"]'))
    case = await open_case()
    case.duty.adopt(text)
    assert (await case.duty.ask(commands.ShowCase(request_id=case.id), by="carol")).code == "ok"
    assert (await case.duty.ask(commands.ListPending(), by="carol")).code == "ok"
    await edit(case, name="another")


async def test_a_case_is_shown_with_the_revision_before_and_with_the_latest_edit() -> None:
    case = await open_case()
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by="alice")).result
    assert isinstance(shown, CaseResult)
    assert (shown.former, shown.edit) == (None, None)
    await edit(case, name="another")
    case.duty.adopt(world.newer_policy(("quorum = 2", "quorum = 3")))
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by="alice")).result
    assert isinstance(shown, CaseResult)
    revisions = (await case.stored()).evidence.revisions
    assert (len(revisions), shown.former, shown.edit) == (3, revisions[1], revisions[1].edit)
