"""Withdrawal, return, lists, and two last approvals at once."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts import commands, events
from shared.contracts.replies import CaseResult, PendingResult
from shared.contracts.statement import JwsStatement
from shared.evidence.file import EvidenceFile, verify_evidence
from shared.evidence.steps import DecisionKind
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.runtime import Settlement
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, MessageId
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import WEB, Opened, open_case
from tests.fakes.duties import Approval, command, data_of, event, lifecycle, replies
from tests.world import NOW, decision

REASON = (finding("ca.intermediate-differs", "not this one"),)
LATER = NOW + timedelta(seconds=5)


async def test_a_requester_withdraws_a_pending_request() -> None:
    case = await open_case()
    await case.approve("alice")
    published = await case.send(case.withdrawal(), by="shop")
    (told,) = lifecycle(published)
    assert (told.type, data_of(told)["by"]) == ("ra.request.withdrawn.v1", "shop")
    stored = await case.stored()
    assert (stored.state, stored.open_for, stored.sequence) == (State.WITHDRAWN, None, 2)


@pytest.mark.parametrize("who", ["alice", "portal", "olga"])
async def test_whoever_may_not_withdraw_learns_nothing_of_the_request(who: str) -> None:
    case = await open_case()
    assert await case.refused(case.withdrawal(), by=who) == ["request.unknown"]
    nowhere = commands.WithdrawRequest(request_id=new_request_id())
    assert await case.refused(nowhere, by=who) == ["request.unknown"]
    assert (await case.stored()).state is State.PENDING


async def test_the_permission_to_withdraw_serves_for_its_own_group_only() -> None:
    text = world.policy_text().replace('["view", "download", "revoke", "audit"]', '["withdraw"]')
    case = await open_case(policy_text=text)
    assert (await case.duty.ask(case.withdrawal(), by="olga")).code == "ok"


@pytest.mark.parametrize("how", ["denied", "withdrawn"])
async def test_what_is_decided_cannot_be_withdrawn_any_more(how: str) -> None:
    case = await open_case()
    await case.decide(how)
    assert await case.refused(case.withdrawal(), by="shop") == ["request.not-pending"]


async def test_a_redelivered_withdrawal_is_answered_with_the_same_messages() -> None:
    case, message_id = await open_case(), new_message_id()
    first = await case.send(case.withdrawal(), by="shop", message_id=message_id)
    assert await case.send(case.withdrawal(), by="shop", message_id=message_id) == first
    assert len(first) == 2


def returned(case: Opened, verdict: str | None, *, denial: JwsStatement | None = None) -> events.RequestReturned:
    return events.RequestReturned.model_validate(
        {"request_id": case.id, "approval_group": WEB, "verdict": verdict, "findings": REASON, "denial": denial}
    )


async def _approved() -> Opened:
    case = await open_case()
    await case.decide("approved")
    return case


async def test_a_returned_approval_lets_the_approvers_decide_again_from_the_beginning() -> None:
    case = await _approved()
    before = await case.stored()
    await case.duty.handle(event(returned(case, before.verdict), sequence=3))
    reopened = await case.stored()
    assert (reopened.state, reopened.sequence, reopened.open_for) == (State.PENDING, 3, "web")
    assert (reopened.deciders, reopened.evidence.verdict, reopened.evidence.decisions) == ((), None, ())
    assert reopened.returned_because == REASON
    await case.approve("ben")
    (told,) = lifecycle(await case.send(case.approval_by("carol"), by="carol"))
    assert '"sequence":"4"' in told.body


async def test_a_second_approval_of_the_same_people_in_the_same_words_can_be_returned_too() -> None:
    case = await _approved()
    for sequence in (3, 5, 7):
        verdict = (await case.stored()).verdict
        await case.duty.handle(event(returned(case, verdict), sequence=sequence))
        assert (await case.stored()).state is State.PENDING
        await case.decide("approved")


@pytest.mark.parametrize("verdict", [None, digest_of(b"another")])
async def test_the_return_of_another_verdict_changes_nothing(verdict: str | None) -> None:
    case = await _approved()
    before = await case.stored()
    await case.duty.handle(event(returned(case, verdict), sequence=3))
    assert await case.stored() == before


async def test_a_return_that_comes_twice_does_not_undo_the_second_approval() -> None:
    case = await _approved()
    told = event(returned(case, (await case.stored()).verdict), sequence=3)
    await case.duty.handle(told)
    await case.decide("approved")
    before = await case.stored()
    assert await case.duty.handle(told) == []
    assert await case.stored() == before


async def test_a_denial_that_was_left_out_closes_the_case_with_evidence_that_verifies() -> None:
    case = await _approved()
    denial = case.denial_by("carol").decision
    told = event(returned(case, (await case.stored()).verdict, denial=denial), sequence=3)
    published = await case.duty.handle(told)
    (denied,) = lifecycle(published)
    assert denied.type == "ra.request.denied.v1"
    assert '"sequence":"4"' in denied.body
    evidence = events.Evidence.model_validate(data_of(denied)["evidence"])
    assert denial in evidence.decisions
    file = EvidenceFile(request_id=case.id, evidence=evidence)
    story = verify_evidence(file, case.duty.in_force.anchor, now=NOW)
    assert any("carol denied" in step for step in story.steps)
    assert await case.duty.handle(told) == published


@pytest.mark.parametrize("kind", ["an approval", "forged", "by nobody", "of another request"])
async def test_what_is_no_denial_of_this_revision_only_reopens_the_case(kind: str) -> None:
    case = await _approved()
    denial = {
        "an approval": decision(case.digest, case.id, by="carol"),
        "forged": decision(case.digest, case.id, by="carol", kind=DecisionKind.DENY, signer="mallory"),
        "by nobody": decision(case.digest, case.id, by="shop", kind=DecisionKind.DENY),
        "of another request": decision(digest_of(b"x"), case.id, by="carol", kind=DecisionKind.DENY),
    }[kind]
    await case.duty.handle(event(returned(case, (await case.stored()).verdict, denial=denial), sequence=3))
    assert (await case.stored()).state is State.PENDING


async def test_a_return_about_an_unknown_request_is_refused_and_counted() -> None:
    case = Opened(Approval(), world.accepted())
    assert await case.duty.handle(event(returned(case, None), sequence=3)) == []
    assert case.duty.counted("ra_refusals", code="request.unknown") == 1


async def test_pending_cases_are_listed_for_those_who_decide_or_view_and_for_nobody_else() -> None:
    case = await open_case()
    await case.approve("alice")
    for who, decided in (("alice", True), ("ben", False), ("olga", False)):
        result = (await case.duty.ask(commands.ListPending(), by=who)).result
        (line,) = PendingResult.model_validate(result).cases
        assert (line.request.request_id, line.approvals, line.decided_by_me) == (case.id, 1, decided)
    assert await case.refused(commands.ListPending(), by="shop") == ["identity.not-permitted"]
    other = commands.ListPending(approval_group=ApprovalGroupName("mail"))
    assert await case.refused(other, by="alice") == ["identity.not-permitted"]


async def test_pages_of_pending_cases_follow_one_another_without_gap_or_repetition() -> None:
    duty = Approval()
    ids = [(await open_case(duty=duty)).id for _ in range(5)]
    seen: list[str] = []
    ask = commands.ListPending(limit=2)
    for more in (True, True, False):
        page = PendingResult.model_validate((await duty.ask(ask, by="alice")).result)
        seen += [line.request.request_id for line in page.cases]
        assert page.more is more
        ask = commands.ListPending(limit=2, after=page.cases[-1].request.request_id)
    assert seen == sorted(ids)


async def test_a_case_is_shown_to_whom_it_concerns_and_does_not_exist_for_others() -> None:
    case = await open_case()
    show = commands.ShowCase(request_id=case.id)
    for who in ("alice", "shop", "olga"):
        result = CaseResult.model_validate((await case.duty.ask(show, by=who)).result)
        assert result.revision == case.begun.evidence.revisions[0]
    text = world.policy_text().replace('"submit_on_behalf", "view"', '"submit_on_behalf"')
    case.duty.adopt(text)
    assert await case.refused(show, by="portal") == ["request.unknown"]


class Shuffled:
    """A store whose every access lets others go first, as often as a die says."""

    def __init__(self, store: Any, die: random.Random) -> None:
        self._store, self._die = store, die

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def slowly(*arguments: Any) -> Any:
            for _ in range(self._die.randrange(4)):
                await asyncio.sleep(0)
            found = await method(*arguments)
            for _ in range(self._die.randrange(4)):
                await asyncio.sleep(0)
            return found

        return slowly


@pytest.mark.parametrize("seed", range(200))
async def test_of_two_last_decisions_at_once_exactly_one_decides(seed: int) -> None:
    """Two processes of the duty, one database; the third approver approves or denies at the same moment."""
    die = random.Random(seed)  # noqa: S311 - a die for a test
    case = await open_case()
    await case.approve("alice")
    copies = [_copy(case, die), _copy(case, die)]
    third = case.denial_by("carol") if seed % 2 else case.approval_by("carol")
    deliveries = [command(case.approval_by("ben"), by="ben"), command(third, by="carol")]
    die.shuffle(deliveries)
    settled = await asyncio.gather(*(copy.runtime.handle(each) for copy, each in zip(copies, deliveries, strict=True)))
    assert set(settled) == {Settlement.ACKNOWLEDGE}
    published = [message for copy in copies for message in copy.publisher.published]
    (verdict,) = lifecycle(published)
    assert '"sequence":"2"' in verdict.body
    codes = sorted(data_of(answer)["code"] for answer in replies(published))
    assert codes == ["ok", "refused"]
    stored = await case.stored()
    assert len(stored.evidence.decisions) == 2
    assert (verdict.type == "ra.request.denied.v1") is (stored.state is State.DENIED)


def _copy(case: Opened, die: random.Random) -> Approval:
    """Another process of the duty on the same database."""
    copy = Approval()
    shuffled: Any = Shuffled(case.duty.cases, die)
    copy.cases = shuffled
    copy.runtime._routes = copy.routes()
    return copy


async def test_a_message_id_taken_from_somebody_else_decides_nothing() -> None:
    case = await open_case()
    message_id = MessageId(new_message_id())
    await case.send(case.approval_by("alice"), by="alice", message_id=message_id)
    before = await case.stored()
    published = await case.send(case.approval_by("ben"), by="ben", message_id=message_id)
    assert lifecycle(published) == []
    assert await case.stored() == before
