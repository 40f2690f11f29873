"""A denial counts whatever has come of the revision, of the policy and of the requester since; intake hears of it."""

import re
from datetime import timedelta

import pytest

from shared.contracts import commands, events
from shared.evidence.jws import payload_of
from shared.evidence.steps import DecisionKind, Revision
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import WEB, Opened, open_case
from tests.fakes.duties import Approval, Intake, data_of, delivery_of, event, lifecycle
from tests.world import NOW, Approved, decision, signing_key

LATER = timedelta(minutes=10)
"""More than clocks may differ."""
QUORUM_OF_THREE = world.newer_policy(("quorum = 2", "quorum = 3"))


def key_of(owner: str) -> str:
    return signing_key(owner).public.x


WITHOUT_SHOP = re.sub(r"(?s)\[identities\.shop\].*?(?=\n\[)", "", world.newer_policy())
UNVERIFIABLE = {
    "its requester is gone": WITHOUT_SHOP,
    "its requester has another key": world.newer_policy((key_of("shop"), key_of("shop, later"))),
    "intake has another key": world.newer_policy((key_of("intake"), key_of("intake, later"))),
    "approval has another key": world.newer_policy((key_of("approval"), key_of("approval, later"))),
}


def begun_by(accepted: Outgoing) -> Approved:
    """The chain that intake tells of."""
    evidence = events.RequestAccepted.model_validate(data_of(accepted)).evidence
    payload = payload_of(evidence.revisions[0].jws)
    return Approved(evidence, Revision.read(payload, code="a.b"), digest_of(payload))


async def edited(case: Opened) -> None:
    said = world.edit(case.begun, by="carol", at=case.duty.clock.now(), notes="another")
    answer = await case.duty.ask(commands.EditRequest(request_id=case.id, edit=said), by="carol")
    assert answer.code == "ok"


@pytest.mark.parametrize("how", ["edited", "renewed"])
async def test_a_denial_that_is_late_counts_though_the_request_was_changed_since(how: str) -> None:
    case = await open_case()
    denial = case.denial_by("ben")
    case.duty.clock.advance(LATER)
    if how == "edited":
        await edited(case)
    else:
        case.duty.adopt(QUORUM_OF_THREE)
        await case.duty.ask(commands.ShowCase(request_id=case.id), by="alice")
    assert (await case.stored()).revision != case.digest
    (told,) = lifecycle(await case.send(denial, by="ben"))
    assert told.type == "ra.request.denied.v1"


async def test_a_denial_counts_whatever_its_date_as_it_does_for_the_issuer() -> None:
    case = await open_case()
    (told,) = lifecycle(await case.send(case.denial_by("ben", at=NOW - timedelta(days=15)), by="ben"))
    assert told.type == "ra.request.denied.v1"


@pytest.mark.parametrize("is_edited", [False, True], ids=["as submitted", "edited"])
@pytest.mark.parametrize("policy", UNVERIFIABLE.values(), ids=UNVERIFIABLE)
async def test_what_can_be_verified_no_more_can_still_be_denied_and_the_requester_hears_of_it(
    policy: str, *, is_edited: bool
) -> None:
    intake, approval = Intake(), Approval()
    asked = world.content()
    submission = world.submission(asked)
    (accepted,) = lifecycle(await intake.send(commands.SubmitRequest(submission=submission), by="shop"))
    await approval.handle(delivery_of(accepted, "intake"))
    case = Opened(approval, begun_by(accepted))
    if is_edited:
        await edited(case)
    for duty in (intake, approval):
        duty.adopt(policy)
    said = decision((await case.stored()).revision, case.id, by="ben", kind=DecisionKind.DENY)
    (told,) = lifecycle(await approval.send(commands.DenyRequest(request_id=case.id, decision=said), by="ben"))
    await intake.handle(delivery_of(told, "approval"))
    record = await intake.requests.load(case.id)
    assert record is not None
    assert (record.state, (await case.stored()).state) == (State.DENIED, State.DENIED)


@pytest.mark.parametrize("policy", UNVERIFIABLE.values(), ids=UNVERIFIABLE)
async def test_a_denial_that_the_issuer_brings_ends_also_what_can_be_verified_no_more(policy: str) -> None:
    case = await open_case()
    await case.decide("approved")
    returned = events.RequestReturned(
        request_id=case.id,
        approval_group=WEB,
        verdict=(await case.stored()).verdict,
        findings=(finding("evidence.denial-omitted", "x"),),
        denial=case.denial_by("carol").decision,
    )
    case.duty.adopt(policy)
    (told,) = lifecycle(await case.duty.handle(event(returned, sequence=3, policy_serial=2)))
    assert told.type == "ra.request.denied.v1"
    assert (await case.stored()).state is State.DENIED


async def test_under_a_newer_policy_intake_takes_no_other_beginning_than_its_own_for_a_denial() -> None:
    intake, other = Intake(), await open_case()
    asked = world.content(other.id)
    await intake.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    for duty in (intake, other.duty):
        duty.adopt(UNVERIFIABLE["intake has another key"])
    (told,) = lifecycle(await other.send(other.denial_by("ben"), by="ben"))
    await intake.handle(delivery_of(told, "approval"))
    record = await intake.requests.load(other.id)
    assert record is not None
    assert record.state is State.PENDING
    assert intake.counted("ra_refusals", code="evidence.unknown-key") == 1
