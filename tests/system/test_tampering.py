"""Whoever owns approval's database and its broker credentials still cannot get a certificate ordered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from deploy.local.stack import Stack
from shared.clock import SystemClock
from shared.contracts.events import Evidence, RequestApproved
from shared.contracts.replies import CaseResult
from shared.contracts.statement import JwsStatement
from shared.evidence.jws import SigningKey, Typ, payload_of
from shared.evidence.steps import Decision, DecisionKind, Verdict
from shared.identifiers import new_message_id
from shared.messaging.messages import publish_event
from shared.rabbit.topology import commands_queue
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import sandbox_of
from tests.system.tampering import (
    Document,
    altered_payload,
    connected_as,
    documents,
    muted,
    publish_as,
    rewrite,
)
from tests.system.way import People, approve, counters, eventually, people_of, reach, submitted, total

REFUSED = "ra_evidence_refused_total"


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


async def _is_refused(stack: Stack, code: str, before: float) -> None:
    async def counted() -> bool:
        return total(counters(stack), REFUSED, duties=[Duty.ISSUER], labels={"code": code}) > before

    await eventually(counted, f"the issuer has not counted a refusal {code}")


def _count(stack: Stack, code: str) -> float:
    return total(counters(stack), REFUSED, duties=[Duty.ISSUER], labels={"code": code})


def _in_stored_event(change: Callable[[Document], None]) -> Callable[[Document], None]:
    """Change the evidence in the approved event that approval has stored and not yet published."""

    def rewritten(case: Document) -> None:
        for outcome in case["outcomes"].values():
            for outgoing in outcome["publish"]:
                if outgoing["type"] == "ra.request.approved.v1":
                    envelope = json.loads(outgoing["body"])
                    change(envelope["data"]["evidence"])
                    outgoing["body"] = json.dumps(envelope)

    return rewritten


def _drop_an_approval(evidence: Document) -> None:
    evidence["decisions"].pop()


def _change_the_subject(evidence: Document) -> None:
    def change(revision: Document) -> None:
        revision["subject"]["attributes"][0]["value"] = "evil.example.com"

    evidence["revisions"][0]["jws"] = altered_payload(evidence["revisions"][0]["jws"], change)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(_drop_an_approval, "evidence.decisions-differ", id="an approval removed"),
        pytest.param(_change_the_subject, "evidence.signature-invalid", id="the subject changed"),
    ],
)
async def test_what_is_changed_in_approvals_database_before_the_verdict_is_published_is_never_ordered(
    stack: Stack, people: People, change: Callable[[Document], None], code: str
) -> None:
    orders, before = len(sandbox_of(stack).orders()), _count(stack, code)
    request_id = await submitted(people)
    await approve(people, request_id, "alice")
    case = await people.ben.show_case(request_id)
    with muted(stack, Duty.APPROVAL):
        approving = asyncio.create_task(people.ben.approve(case))

        async def stored() -> bool:
            found = await asyncio.to_thread(documents, stack, Duty.APPROVAL, "cases")
            return any(each["_id"] == request_id and each["state"] == State.APPROVED for each in found)

        await eventually(stored, "approval has not stored its verdict")
        rewrite(stack, Duty.APPROVAL, "cases", request_id, _in_stored_event(change))
    await approving
    await _is_refused(stack, code, before)
    status = await people.shop.status(request_id)
    assert status.request.state in {State.PENDING, State.APPROVED}

    async def pending_again() -> bool:
        found = [each for each in documents(stack, Duty.APPROVAL, "cases") if each["_id"] == request_id]
        return bool(found[0]["state"] == State.PENDING)

    await eventually(pending_again, "the case was not given back to the approvers")
    assert len(sandbox_of(stack).orders()) == orders

    await approve(people, request_id)
    await reach(people, request_id, State.ISSUED)


async def test_an_approval_removed_from_the_case_itself_is_missing_in_the_quorum(stack: Stack, people: People) -> None:
    orders = len(sandbox_of(stack).orders())
    request_id = await submitted(people)
    await approve(people, request_id, "alice")

    def forget_alice(case: Document) -> None:
        case["evidence"]["decisions"] = []
        case["deciders"] = []

    rewrite(stack, Duty.APPROVAL, "cases", request_id, forget_alice)
    decided = await people.ben.approve(await people.ben.show_case(request_id))
    assert (decided.state, decided.approvals) == (State.PENDING, 1)
    assert len(sandbox_of(stack).orders()) == orders


def _evidence(
    case: CaseResult, submission: JwsStatement, decisions: tuple[JwsStatement, ...], verdict: str
) -> Evidence:
    return Evidence(submission=submission, revisions=(case.revision,), decisions=decisions, verdict=verdict)


def _forged(case: CaseResult, key: SigningKey, by: str) -> JwsStatement:
    """An approver's decision that the approver never made."""
    said = Decision(
        request_id=case.request_id,
        revision=digest_of(payload_of(case.revision.jws)),
        decision=DecisionKind.APPROVE,
        approver=IdentityName(by),
    )
    return JwsStatement(jws=key.sign(said.canonical(), Typ.DECISION, SystemClock().now()))


def _verdict(case: CaseResult, key: SigningKey, decisions: tuple[JwsStatement, ...]) -> str:
    said = Verdict(
        request_id=case.request_id,
        revision=digest_of(payload_of(case.revision.jws)),
        sequence=2,
        decisions=tuple(digest_of(payload_of(each.jws)) for each in decisions),
        policy_digest=digest_of(b"whatever"),
    )
    return key.sign(said.canonical(), Typ.VERDICT, SystemClock().now())


@pytest.mark.parametrize("stolen", [False, True], ids=["without approval's key", "with approval's own key"])
async def test_a_hand_published_approval_without_the_approvers_signatures_is_never_ordered(
    stack: Stack, people: People, *, stolen: bool
) -> None:
    orders, before = len(sandbox_of(stack).orders()), _count(stack, "evidence.unknown-key")
    request_id = await submitted(people)
    case = await people.alice.show_case(request_id)
    mallory = world.signing_key("mallory")
    approvals_key = SigningKey.from_file(stack.key_file(Duty.APPROVAL)) if stolen else mallory
    decisions = (_forged(case, mallory, "alice"), _forged(case, mallory, "ben"))
    event = RequestApproved(
        request_id=request_id,
        approval_group=ApprovalGroupName("web"),
        evidence=_evidence(
            case, _submission_of(stack, request_id), decisions, _verdict(case, approvals_key, decisions)
        ),
    )
    forged = publish_event(event, origin=new_message_id(), sequence=2, policy_serial=1, at=SystemClock().now())
    await publish_as(stack, str(Duty.APPROVAL), forged)
    await _is_refused(stack, "evidence.unknown-key", before)
    assert len(sandbox_of(stack).orders()) == orders
    assert (await people.shop.status(request_id)).request.state is State.PENDING
    await approve(people, request_id)
    await reach(people, request_id, State.ISSUED)


def _submission_of(stack: Stack, request_id: RequestId) -> JwsStatement:
    (case,) = [each for each in documents(stack, Duty.APPROVAL, "cases") if each["_id"] == request_id]
    return JwsStatement.model_validate(case["evidence"]["submission"])


async def test_a_signed_denial_that_approval_leaves_out_is_brought_up_by_the_issuer(
    stack: Stack, people: People
) -> None:
    """The denial is taken out of approval's queue with approval's own credentials before approval sees it."""
    orders, before = len(sandbox_of(stack).orders()), _count(stack, "evidence.denial-omitted")
    request_id = await submitted(people)
    case = await people.carol.show_case(request_id)
    approval = stack.duties[Duty.APPROVAL]
    approval.stop()
    denying = asyncio.create_task(people.carol.deny(case))
    await _swallow_one(stack)
    denying.cancel()
    approval.start()
    await asyncio.to_thread(approval.await_ready)
    await approve(people, request_id, "alice", "ben")
    await _is_refused(stack, "evidence.denial-omitted", before)
    status = await reach(people, request_id, State.DENIED)
    assert status.request.state is State.DENIED
    assert len(sandbox_of(stack).orders()) == orders


async def _swallow_one(stack: Stack) -> None:
    """Take one command out of approval's queue, as whoever holds approval's password may."""
    async with connected_as(stack, str(Duty.APPROVAL)) as channel:
        queue = await channel.get_queue(commands_queue(Duty.APPROVAL), ensure=False)

        async def taken() -> bool:
            message = await queue.get(fail=False)
            if message is None:
                return False
            assert message.routing_key == "carol.approval.deny"
            await message.ack()
            return True

        await eventually(taken, "the denial never came to approval's queue")


async def test_the_evidence_of_another_request_does_not_serve(stack: Stack, people: People) -> None:
    """A genuine approval of one request, published again as that of another."""
    first, second = await submitted(people), await submitted(people)
    await approve(people, first)
    await reach(people, first, State.ISSUED)
    orders = len(sandbox_of(stack).orders())
    (case,) = [each for each in documents(stack, Duty.APPROVAL, "cases") if each["_id"] == first]
    event = RequestApproved(
        request_id=second,
        approval_group=ApprovalGroupName("web"),
        evidence=Evidence.model_validate(case["evidence"]),
    )
    before = _count(stack, "evidence.request-differs")
    replayed = publish_event(event, origin=new_message_id(), sequence=2, policy_serial=1, at=SystemClock().now())
    await publish_as(stack, str(Duty.APPROVAL), replayed)
    await _is_refused(stack, "evidence.request-differs", before)
    assert len(sandbox_of(stack).orders()) == orders
