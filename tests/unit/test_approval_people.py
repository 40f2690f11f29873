"""Whose approval counts is asked again at every step: what a policy says of people counts from its first moment on."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.client.case import read_case
from shared.contracts import commands
from shared.contracts.replies import CaseResult, PendingResult
from shared.messaging.messages import Outgoing
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import Issuer, delivery_of, lifecycle
from tests.world import decision


def _without_alice() -> str:
    text = world.newer_policy()
    start = text.index("[identities.alice]")
    return text[:start] + text[start:].replace('["decide", "view"]', '["view"]', 1)


def _alice_asks() -> str:
    asks = ('kind = "system"\ndescription = "The web', 'kind = "person"\nperson = "alice"\ndescription = "The web')
    return world.newer_policy(asks)


def _ben_is_alice() -> str:
    return world.newer_policy(('person = "ben"', 'person = "alice"'))


CHANGES: dict[str, tuple[Callable[[], str], str]] = {
    "an approver is removed": (_without_alice, "decision.not-an-approver"),
    "the requester turns out to be an approver": (_alice_asks, "decision.by-requester"),
    "two approvers turn out to be one person": (_ben_is_alice, "evidence.person-twice"),
}
every_change = pytest.mark.parametrize(("policy", "code"), CHANGES.values(), ids=CHANGES)


async def told(duty: Issuer | Opened, published: list[Outgoing], sender: str) -> list[Outgoing]:
    """What follows at this duty from the lifecycle events among these."""
    taker = duty.duty if isinstance(duty, Opened) else duty
    found: list[Outgoing] = []
    for message in lifecycle(published):
        found += await taker.handle(delivery_of(message, sender))
    return found


@every_change
async def test_before_the_verdict_an_approval_that_no_longer_counts_is_not_counted(
    policy: Callable[[], str], code: str
) -> None:
    case = await open_case()
    await case.approve("alice")
    case.duty.adopt(policy())
    if code == "evidence.person-twice":
        assert await case.refused(case.approval_by("ben"), by="ben") == ["decision.already-made"]
    else:
        assert (await case.approve("ben")).state is State.PENDING
        assert await case.refused(case.approval_by("alice"), by="alice") == [code]
    assert (await case.approve("carol")).state is State.APPROVED
    issuer = Issuer(policy())
    await told(issuer, case.duty.publisher.published, "approval")
    assert (await issuer.orders.load(case.id)).state is OrderState.ACCEPTED  # type: ignore[union-attr]


def _lapses() -> str:
    return world.newer_policy(("approvals_stay_good_hours = 336", "approvals_stay_good_hours = 1"))


@pytest.mark.parametrize(
    ("policy", "counting", "code"),
    [
        (_without_alice, ["ben"], "decision.not-an-approver"),
        (_alice_asks, ["ben"], "decision.by-requester"),
        (_ben_is_alice, ["alice"], "decision.already-made"),
        (_lapses, [], "decision.stale"),
    ],
    ids=["an approver is removed", "one asks", "two are one person", "all have lapsed"],
)
async def test_list_and_show_count_only_what_counts_now_and_say_why_the_rest_does_not(
    policy: Callable[[], str], counting: list[str], code: str
) -> None:
    case = await open_case()
    case.duty.know()  # so that it is held with both approvals
    await case.approve("alice")
    await case.approve("ben")
    case.duty.adopt(policy())
    case.duty.clock.advance(timedelta(hours=2))
    (line,) = PendingResult.model_validate((await case.duty.ask(commands.ListPending(), by="carol")).result).cases
    assert (line.approvals, line.quorum, line.decided_by_me) == (len(counting), 2, False)
    shown = CaseResult.model_validate((await case.duty.ask(commands.ShowCase(request_id=case.id), by="carol")).result)
    said = read_case(shown, case.duty.in_force.anchor, now=case.duty.clock.now()).decisions
    assert [each.decision.approver for each in said if not each.not_counting] == counting
    assert {found.code for each in said for found in each.not_counting} == {code}


async def test_no_approval_is_counted_of_what_was_edited_by_one_who_may_not_edit_any_more() -> None:
    case = await open_case()
    said = world.edit(case.begun, by="carol", notes="new")
    await case.send(commands.EditRequest(request_id=case.id, edit=said), by="carol")
    digest = (await case.stored()).revision
    approval = commands.ApproveRequest(request_id=case.id, decision=decision(digest, case.id, by="alice"))
    await case.send(approval, by="alice")
    case.duty.adopt(
        world.newer_policy(('permissions.web = ["decide", "view", "edit"]', 'permissions.web = ["decide"]'))
    )
    (line,) = PendingResult.model_validate((await case.duty.ask(commands.ListPending(), by="alice")).result).cases
    assert (line.approvals, line.decided_by_me) == (0, False)
    shown = CaseResult.model_validate((await case.duty.ask(commands.ShowCase(request_id=case.id), by="ben")).result)
    assert [[found.code for found in findings] for findings in shown.not_counting] == [["edit.not-an-editor"]]


@every_change
@pytest.mark.parametrize("when", ["on its way", "before the order"])
async def test_between_the_verdict_and_the_order_the_request_goes_back_to_pending_and_says_why(
    policy: Callable[[], str], code: str, when: str
) -> None:
    case, issuer = await open_case(), Issuer()
    approved = await case.decide("approved")
    if when == "on its way":
        issuer.adopt(policy())
    follows = await told(issuer, approved, "approval")
    issuer.adopt(policy())
    await issuer.work_off()
    follows = follows or issuer.publisher.published
    assert [message.type for message in lifecycle(follows)] == ["ra.request.returned.v1"]
    assert issuer.ca.orders == []
    case.duty.adopt(policy())
    await told(case, follows, "issuer")
    stored = await case.stored()
    assert (stored.state, stored.deciders, stored.verdict) == (State.PENDING, (), None)
    assert code in [found.code for found in stored.returned_because]
    shown = await case.duty.ask(commands.ShowCase(request_id=case.id), by="carol")
    assert isinstance(shown.result, CaseResult)
    assert shown.result.returned_because == stored.returned_because
    await case.approve("ben")
    again = await case.send(case.approval_by("carol"), by="carol")
    await told(issuer, again, "approval")
    await issuer.work_off()
    assert (await issuer.orders.load(case.id)).state is OrderState.ISSUED  # type: ignore[union-attr]
