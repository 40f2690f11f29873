"""What an approver's decision does, and everything that does not count as one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts import commands
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.evidence.jws import Typ
from shared.evidence.steps import DecisionKind
from shared.evidence.verification import verify_approval, verify_decisions, verify_revision
from shared.identifiers import new_message_id, new_request_id
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import Approval, data_of, event, lifecycle, replies
from tests.world import NOW, decision, signing_key

DENY = DecisionKind.DENY


async def test_the_quorum_is_reached_by_two_people_and_the_verdict_proves_it() -> None:
    case = await open_case()
    first = await case.approve("alice")
    assert (first.state, first.approvals, first.quorum) == (State.PENDING, 1, 2)
    published = await case.send(case.approval_by("ben"), by="ben")
    (told,) = lifecycle(published)
    assert (told.type, told.key) == ("ra.request.approved.v1", "approval.request.approved.web")
    evidence = Evidence.model_validate(data_of(told)["evidence"])
    assert verify_approval(evidence, case.duty.in_force.anchor, now=NOW).revision.digest == case.digest
    assert len(replies(published)) == 1
    assert (await case.stored()).state is State.APPROVED


async def test_what_an_approver_is_told_is_published_after_what_they_caused() -> None:
    case = await open_case()
    await case.approve("alice")
    published = await case.send(case.approval_by("ben"), by="ben")
    assert [message.exchange for message in published] == ["ra.events", "ra.replies"]


async def test_one_denial_decides_and_is_part_of_the_evidence() -> None:
    case = await open_case()
    await case.approve("alice")
    published = await case.send(case.denial_by("ben", note="no"), by="ben")
    (told,) = lifecycle(published)
    assert told.type == "ra.request.denied.v1"
    assert len(data_of(told)["evidence"]["decisions"]) == 2
    assert (await case.stored()).state is State.DENIED


@dataclass
class Wrong:
    """A decision that must not count: what is sent, by whom, and with what it is refused."""

    command: Any
    by: str
    codes: set[str]


def _signed_by(case: Opened, name: str, **others: Any) -> JwsStatement:
    return decision(case.digest, case.id, by=name, **others)


def _approve(case: Opened, statement: JwsStatement) -> commands.ApproveRequest:
    return commands.ApproveRequest(request_id=case.id, decision=statement)


WRONG = {
    "by a requester": lambda c: Wrong(
        _approve(c, _signed_by(c, "shop")), "shop", {"decision.not-an-approver", "decision.by-requester"}
    ),
    "by somebody who decides for no group": lambda c: Wrong(
        _approve(c, _signed_by(c, "olga", signer="alice")), "olga", {"decision.not-an-approver", "evidence.unknown-key"}
    ),
    "with a stranger's key": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben", signer="mallory")), "ben", {"evidence.unknown-key"}
    ),
    "somebody else's signed decision": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben")), "carol", {"decision.foreign"}
    ),
    "a requester with an approver's decision": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben")), "shop", {"decision.foreign"}
    ),
    "on a revision nobody has": lambda c: Wrong(
        _approve(c, decision(digest_of(b"x"), c.id, by="ben")), "ben", {"decision.outdated-revision"}
    ),
    "on this revision of another request": lambda c: Wrong(
        _approve(c, decision(c.digest, new_request_id(), by="ben")), "ben", {"decision.outdated-revision"}
    ),
    "an approval that was signed as a denial": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben", kind=DENY)), "ben", {"decision.contradicts"}
    ),
    "a denial that was signed as an approval": lambda c: Wrong(
        commands.DenyRequest(request_id=c.id, decision=_signed_by(c, "ben")), "ben", {"decision.contradicts"}
    ),
    "older than what it decides on": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben", at=NOW - timedelta(minutes=3))), "ben", {"decision.before-revision"}
    ),
    "from the future": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben", at=NOW + timedelta(minutes=3))), "ben", {"evidence.from-the-future"}
    ),
    "signed too long ago": lambda c: Wrong(
        _approve(c, _signed_by(c, "ben", at=NOW - timedelta(days=15))),
        "ben",
        {"decision.stale", "decision.before-revision"},
    ),
    "a submission's signature": lambda c: Wrong(
        _approve(c, JwsStatement(jws=signing_key("ben").sign(b"{}", Typ.SUBMISSION, NOW))), "ben", {"decision.invalid"}
    ),
    "no token at all": lambda c: Wrong(_approve(c, JwsStatement(jws="a.b.c")), "ben", {"evidence.malformed"}),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
async def test_what_is_no_decision_of_the_sender_on_this_revision_is_refused_and_changes_nothing(make: Any) -> None:
    case = await open_case()
    await case.approve("alice")
    before = await case.stored()
    wrong = make(case)
    assert set(await case.duty.refused(wrong.command, by=wrong.by)) == wrong.codes
    assert await case.stored() == before


async def test_nobody_approves_twice() -> None:
    case = await open_case()
    await case.approve("alice")
    assert await case.refused(case.approval_by("alice", note="again"), by="alice") == ["decision.already-made"]


@pytest.mark.parametrize("by", ["alice", "carol"])
async def test_who_has_approved_ends_the_request_by_a_denial_also_under_another_name(by: str) -> None:
    text = world.policy_text().replace('person = "carol"', 'person = "alice"')
    case = await open_case(policy_text=text)
    await case.approve("alice")
    (told,) = lifecycle(await case.send(case.denial_by(by), by=by))
    assert told.type == "ra.request.denied.v1"
    stored = await case.stored()
    assert (stored.state, stored.deciders) == (State.DENIED, ("alice", by))
    _, revision = verify_revision(stored.evidence, case.duty.in_force.anchor, now=NOW)
    assert len(verify_decisions(stored.evidence, revision, case.duty.in_force.anchor, now=NOW)) == 2
    assert await case.refused(case.approval_by("ben"), by="ben") == ["decision.too-late"]


async def test_two_identities_of_one_person_make_one_decision() -> None:
    text = world.policy_text().replace('person = "ben"', 'person = "alice"')
    case = await open_case(policy_text=text.replace("quorum = 2", "quorum = 1"))
    case.duty.adopt(text)
    await case.approve("alice")
    assert await case.refused(case.approval_by("ben"), by="ben") == ["decision.already-made"]


async def test_whoever_owns_the_requester_does_not_decide() -> None:
    text = world.policy_text().replace(
        'kind = "system"\ndescription = "The web', 'kind = "person"\nperson = "ben"\ndescription = "The web'
    )
    case = await open_case(policy_text=text)
    assert await case.refused(case.approval_by("ben"), by="ben") == ["decision.by-requester"]


async def test_an_approver_removed_from_the_group_no_longer_counts() -> None:
    case = await open_case()
    await case.approve("alice")
    text = world.policy_text()
    alone = text.replace('person = "alice"\ndescription = "Approver"\n', 'person = "alice"\n')
    start = alone.index("[identities.alice]")
    case.duty.adopt(alone[:start] + alone[start:].replace('["decide", "view"]', '["view"]', 1))
    second = await case.approve("ben")
    assert second.approvals == 1
    third = await case.approve("carol")
    assert third.state is State.APPROVED


@pytest.mark.parametrize("kind", [DecisionKind.APPROVE, DENY])
async def test_who_is_an_approver_no_more_is_told_so_and_not_only_that_their_key_is_unknown(kind: DecisionKind) -> None:
    case = await open_case()
    text = world.newer_policy()
    start, end = text.index("[identities.alice]"), text.index("[identities.ben]")
    case.duty.adopt(f'{text[:start]}[identities.alice]\nkind = "person"\nperson = "alice"\n{text[end:]}')
    said = case.approval_by("alice") if kind is DecisionKind.APPROVE else case.denial_by("alice")
    assert await case.refused(said, by="alice") == ["decision.not-an-approver", "evidence.unknown-key"]


async def test_an_approval_that_lapsed_does_not_count_and_may_be_given_again() -> None:
    case = await open_case(policy_text=world.policy_text(**{"decide_within_hours = 336": "decide_within_hours = 400"}))
    await case.approve("alice")
    case.duty.clock.advance(timedelta(hours=337))
    later = case.duty.clock.now()
    again = await case.approve("alice", at=later)
    assert (again.state, again.approvals) == (State.PENDING, 1)
    case.duty.hear()
    assert (await case.approve("ben", at=later)).state is State.APPROVED


async def test_a_raised_quorum_counts_at_once_and_a_lowered_one_not_for_what_is_open() -> None:
    case = await open_case()
    case.duty.adopt(world.policy_text().replace("quorum = 2", "quorum = 3"))
    await case.approve("alice")
    assert (await case.approve("ben")).quorum == 3
    case.duty.adopt(world.policy_text().replace("quorum = 2", "quorum = 1"))
    other = await open_case(duty=case.duty)
    assert (await other.approve("alice")).state is State.PENDING


@pytest.mark.parametrize("how", ["approved", "denied", "withdrawn"])
async def test_on_a_decided_request_nobody_decides_any_more(how: str) -> None:
    case = await open_case()
    await case.decide(how)
    before = await case.stored()
    assert "decision.too-late" in await case.refused(case.approval_by("carol"), by="carol")
    assert "decision.too-late" in await case.refused(case.denial_by("carol"), by="carol")
    assert await case.stored() == before


async def test_a_decision_on_a_request_that_approval_does_not_know_is_refused() -> None:
    duty, request_id = Approval(), new_request_id()
    statement = decision(digest_of(b"x"), request_id, by="alice")
    asked = commands.ApproveRequest(request_id=request_id, decision=statement)
    assert await duty.refused(asked, by="alice") == ["request.unknown"]


@pytest.mark.parametrize("kind", ["approve", "deny"])
async def test_a_redelivered_decision_is_answered_with_the_same_messages_and_changes_nothing_again(kind: str) -> None:
    case = await open_case()
    await case.approve("alice")
    message_id = new_message_id()
    said = case.approval_by("ben") if kind == "approve" else case.denial_by("ben")
    first = await case.send(said, by="ben", message_id=message_id)
    stored = await case.stored()
    again = await case.send(said, by="ben", message_id=message_id)
    assert again == first
    assert [message.exchange for message in first] == ["ra.events", "ra.replies"]
    assert await case.stored() == stored


async def test_forged_evidence_opens_no_case_and_is_counted_and_its_requester_is_told() -> None:
    duty, begun = Approval(), world.accepted()
    forged = signing_key("mallory").sign(begun.revision.canonical(), Typ.REVISION, NOW)
    evidence = begun.evidence.model_copy(update={"revisions": (RevisionStatement(jws=forged),)})
    case = Opened(duty, begun)
    accepted = event(case.accepted_event(evidence), sequence=1)
    (told,) = await duty.handle(accepted)
    assert (told.type, told.key) == ("ra.request.refused.v1", "approval.request.refused.web")
    assert [found["code"] for found in data_of(told)["findings"]] == ["evidence.unknown-key"]
    assert await duty.handle(accepted) == [told]
    stored = await case.stored()
    assert (stored.state, stored.open_for, stored.sequence) == (State.REFUSED, None, 2)
    assert duty.counted("ra_evidence_refused", code="evidence.unknown-key") == 2


async def test_forged_evidence_refuses_no_request_that_has_its_case() -> None:
    case = await open_case()
    before = await case.stored()
    forged = signing_key("mallory").sign(case.begun.revision.canonical(), Typ.REVISION, NOW)
    evidence = case.begun.evidence.model_copy(update={"revisions": (RevisionStatement(jws=forged),)})
    assert await case.duty.handle(event(case.accepted_event(evidence), sequence=1)) == []
    assert await case.stored() == before


@pytest.mark.parametrize("key", ["shop", "intake"])
async def test_a_request_whose_signers_have_other_keys_by_now_is_refused_and_not_lost(key: str) -> None:
    old, new = signing_key(key).public.x, signing_key("another").public.x
    duty = Approval(world.policy_text().replace(old, new))
    case = Opened(duty, world.accepted())
    (told,) = await duty.handle(event(case.accepted_event(), sequence=1))
    assert told.type == "ra.request.refused.v1"
    assert (await case.stored()).state is State.REFUSED


async def test_an_accepted_request_opens_a_case_under_its_own_id_only() -> None:
    duty, begun = Approval(), world.accepted()
    told = Opened(duty, begun).accepted_event().model_copy(update={"request_id": new_request_id()})
    await duty.handle(event(told, sequence=1))
    assert duty.cases.documents == {}
    assert duty.counted("ra_refusals", code="evidence.request-differs") == 1


async def test_a_request_accepted_twice_does_not_forget_its_decisions() -> None:
    case = await open_case()
    await case.approve("alice")
    before = await case.stored()
    await case.duty.handle(event(case.accepted_event(), sequence=1, origin="again"))
    assert await case.stored() == before


async def test_decisions_smuggled_in_with_an_accepted_request_do_not_count() -> None:
    duty, begun = Approval(), world.approved()
    case = Opened(duty, begun)
    await duty.handle(event(case.accepted_event(), sequence=1))
    assert (await case.stored()).evidence.decisions == ()
    assert (await case.stored()).evidence.verdict is None
    assert (await case.approve("carol")).approvals == 1


async def test_approval_signs_with_its_own_key_only() -> None:
    assert Approval().key.public in world.policy().duty_keys(Duty.APPROVAL)
