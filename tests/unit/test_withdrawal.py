"""An approved request is taken back or ordered, and never both, whatever overtakes what."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.approval.withdrawing import MOST_WAITING
from services.issuer.withdrawing import OPEN_FOR_WITHDRAWAL
from shared.contracts import commands, events
from shared.contracts.catalogue import EVENTS, NEWS
from shared.contracts.replies import WithdrawResult
from shared.identifiers import new_message_id
from shared.messaging.messages import EVENTS as EVENTS_EXCHANGE
from shared.messaging.messages import Delivery, Outgoing
from shared.rabbit.topology import LISTENERS
from shared.vocabulary.duties import Duty
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import WEB, Opened, open_case
from tests.fakes.duties import Approval, Intake, Issuer, command, data_of, delivery_of, event, read_reply, replies

OTHER_QUORUM = world.newer_policy(("quorum = 2", "quorum = 3"))
SENDERS = {
    **{contract.name: contract.duty for contract in EVENTS},
    **{contract.name: contract.duty for contract in NEWS},
}


def told(published: Sequence[Outgoing], to: Duty) -> list[Delivery]:
    """What of this the broker delivers to a duty."""
    prefixes = tuple(key.removesuffix("#") for key in LISTENERS[to])
    return [
        delivery_of(message, SENDERS[message.type])
        for message in published
        if message.exchange == EVENTS_EXCHANGE and message.key.startswith(prefixes)
    ]


@dataclass
class Scene:
    """One request at approval and the issuer, with their messages carried by hand."""

    case: Opened
    issuer: Issuer = field(default_factory=Issuer)

    async def approve(self) -> list[Delivery]:
        return told(await self.case.decide("approved"), Duty.ISSUER)

    async def withdraw(self) -> list[Delivery]:
        """A requester takes it back; gives what the issuer is asked, and nobody is answered yet."""
        published = await self.case.send(self.case.withdrawal(), by="shop")
        assert replies(published) == []
        return told(published, Duty.ISSUER)

    async def at_issuer(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Gives what approval is told."""
        return [each for delivery in deliveries for each in told(await self.issuer.handle(delivery), Duty.APPROVAL)]

    async def at_approval(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        return [message for delivery in deliveries for message in await self.case.duty.handle(delivery)]

    async def order(self) -> Any:
        return await self.issuer.orders.load(self.case.id)

    async def state(self) -> State:
        return (await self.case.stored()).state


async def scene() -> Scene:
    return Scene(await open_case())


def codes(published: Sequence[Outgoing]) -> list[str]:
    """What withdrawals are answered with."""
    answers = [read_reply(each, WithdrawResult) for each in replies(list(published))]
    return [each.result.state if each.result else each.findings[0].code for each in answers]


async def test_an_approved_request_is_withdrawn_as_long_as_no_intent_is_stored() -> None:
    play = await scene()
    await play.at_issuer(await play.approve())
    word = await play.at_issuer(await play.withdraw())
    assert codes(await play.at_approval(word)) == ["withdrawn"]
    stored = await play.case.stored()
    assert (stored.state, stored.open_for, stored.withdrawals, stored.sequence) == (State.WITHDRAWN, None, (), 3)
    await play.issuer.work_off()
    assert ((await play.order()).state, play.issuer.ca.orders) == (OrderState.WITHDRAWN, [])


async def test_the_requesters_are_told_by_the_issuers_event() -> None:
    play, intake = await scene(), Intake()
    await intake.send(commands.SubmitRequest(submission=play.case.begun.evidence.submission), by="shop")
    approved = await play.case.decide("approved")
    await play.at_issuer(told(approved, Duty.ISSUER))
    (asked,) = await play.withdraw()
    granted = told(await play.issuer.handle(asked), Duty.INTAKE)
    heard = [message for each in (*granted, *told(approved, Duty.INTAKE)) for message in await intake.handle(each)]
    assert [(message.key, data_of(message)["state"]) for message in heard] == [("shop.intake.notice", "withdrawn")]
    record = await intake.requests.load(play.case.id)
    assert record is not None
    assert record.state is State.WITHDRAWN


async def test_a_withdrawal_that_overtakes_the_approval_leaves_nothing_to_be_ordered() -> None:
    play = await scene()
    approved = await play.approve()
    word = await play.at_issuer(await play.withdraw())
    assert await play.at_issuer(approved) == []
    assert play.issuer.offered == []
    assert codes(await play.at_approval(word)) == ["withdrawn"]
    assert (await play.order()).state is OrderState.WITHDRAWN


async def test_an_approval_that_comes_after_its_withdrawal_and_does_not_hold_any_more_alarms_nobody() -> None:
    play = await scene()
    approved = await play.approve()
    await play.at_issuer(await play.withdraw())
    play.issuer.adopt(OTHER_QUORUM)
    assert await play.at_issuer(approved) == []
    assert play.issuer.refusals.all() == []


@pytest.mark.parametrize("state", sorted(set(OrderState) - OPEN_FOR_WITHDRAWAL - {OrderState.WITHDRAWN}))
async def test_once_there_may_be_an_order_it_is_too_late_and_the_requester_is_told_why(state: OrderState) -> None:
    play = await scene()
    await play.at_issuer(await play.approve())
    order = await play.order()
    before = await play.issuer.orders.replace(order.model_copy(update={"state": state}))
    word = await play.at_issuer(await play.withdraw())
    answered = await play.at_approval(word)
    assert codes(answered) == ["withdrawal.too-late"]
    after = await play.order()
    assert (after.state, after.due, after.voided) == (before.state, before.due, before.voided)
    stored = await play.case.stored()
    assert (stored.state, stored.withdrawals) == (State.APPROVED, ())


async def test_a_withdrawal_while_the_intent_is_stored_is_settled_by_whoever_writes_first() -> None:
    play = await scene()
    await play.at_issuer(await play.approve())
    stale = await play.order()
    await play.at_issuer(await play.withdraw())
    with pytest.raises(Exception, match=play.case.id):
        await play.issuer.ordering.advance(stale)
    assert play.issuer.ca.orders == []


@pytest.mark.parametrize("first", ["the return", "the withdrawal"])
async def test_of_what_the_issuer_gave_back_approval_decides_itself(first: str) -> None:
    play = await scene()
    approved = await play.approve()
    play.issuer.adopt(OTHER_QUORUM)
    returned = await play.at_issuer(approved)
    play.case.duty.adopt(OTHER_QUORUM)
    if first == "the return":
        await play.at_approval(returned)
        assert codes(await play.case.send(play.case.withdrawal(), by="shop")) == ["withdrawn"]
    else:
        asked = await play.withdraw()
        assert await play.at_issuer(asked) == []
        settled = await play.at_approval(returned)
        assert codes(settled) == ["withdrawn"]
        assert [message.type for message in settled if message not in replies(settled)] == ["ra.request.withdrawn.v1"]
    assert await play.state() is State.WITHDRAWN


async def test_a_withdrawal_of_what_turns_out_to_be_denied_is_answered_with_that() -> None:
    play = await scene()
    approved = await play.approve()
    await play.issuer.handle(command(play.case.denial_by("carol"), by="carol"))
    returned = await play.at_issuer(approved)
    await play.withdraw()
    settled = await play.at_approval(returned)
    assert codes(settled) == ["request.not-pending"]
    assert (await play.state(), (await play.case.stored()).withdrawals) == (State.DENIED, ())


async def test_whatever_is_delivered_again_leads_to_the_same_messages_and_changes_nothing() -> None:
    play = await scene()
    message_id = new_message_id()
    await play.at_issuer(await play.approve())
    first = await play.case.send(play.case.withdrawal(), by="shop", message_id=message_id)
    assert await play.case.send(play.case.withdrawal(), by="shop", message_id=message_id) == first
    word = await play.at_issuer(told(first, Duty.ISSUER))
    assert await play.at_issuer(told(first, Duty.ISSUER)) == word
    answers = await play.at_approval(word)
    before = await play.case.stored()
    assert await play.at_approval(word) == answers
    assert await play.case.stored() == before


async def test_everybody_who_asked_is_answered_when_it_is_granted_and_each_alone_when_it_is_not() -> None:
    play = await scene()
    await play.at_issuer(await play.approve())
    order = await play.order()
    await play.issuer.orders.replace(order.model_copy(update={"state": OrderState.INTENT}))
    refused = await play.at_issuer(await play.withdraw())
    order = await play.order()
    await play.issuer.orders.replace(order.model_copy(update={"state": OrderState.ACCEPTED}))  # the CA did not take it
    second, third = await play.withdraw(), await play.withdraw()
    granted = await play.at_issuer(second)
    assert await play.at_issuer(third) == []
    assert codes(await play.at_approval(refused)) == ["withdrawal.too-late"]
    assert codes(await play.at_approval(granted)) == ["withdrawn", "withdrawn"]


async def test_what_waits_for_the_issuer_is_bounded() -> None:
    play = await scene()
    await play.approve()
    for _ in range(MOST_WAITING):
        await play.withdraw()
    assert await play.case.refused(play.case.withdrawal(), by="shop") == ["withdrawal.waits"]


async def test_the_issuers_word_alone_ends_no_request_that_nobody_wanted_back() -> None:
    play = await scene()
    await play.approve()
    verdict = (await play.case.stored()).verdict
    word = events.WithdrawalGranted.model_validate(
        {"request_id": play.case.id, "approval_group": WEB, "verdict": verdict, "by": "shop"}
    )
    assert await play.at_approval([event(word, sequence=3)]) == []
    assert await play.state() is State.APPROVED


class Post:
    """Carries what two duties publish to one another, in any order, and now and then twice."""

    def __init__(self, play: Scene, die: random.Random) -> None:
        self.play, self.die = play, die
        self.duties: dict[Duty, Approval | Issuer] = {Duty.APPROVAL: play.case.duty, Duty.ISSUER: play.issuer}
        self.waiting: dict[Duty, list[Delivery]] = {duty: [] for duty in self.duties}
        self._collected = dict.fromkeys(self.duties, 0)

    def collect(self) -> None:
        for sender, duty in self.duties.items():
            fresh = duty.publisher.published[self._collected[sender] :]
            self._collected[sender] += len(fresh)
            for taker, waiting in self.waiting.items():
                waiting.extend(told(fresh, taker))

    async def carry(self) -> None:
        """One message to its duty, if there is one; of five, one comes again later."""
        taker = self.die.choice(list(self.duties))
        waiting = self.waiting[taker]
        if waiting:
            delivery = self.die.choice(waiting)
            if self.die.randrange(5):
                waiting.remove(delivery)
            await self.duties[taker].handle(delivery)

    async def work(self) -> None:
        """One step of the issuer's schedule."""
        for due in await self.play.issuer.orders.due(2**62, limit=1):
            await self.play.issuer.ordering.advance(due)

    @property
    def is_done(self) -> bool:
        return not any(self.waiting.values())


@pytest.mark.parametrize("seed", range(100))
async def test_in_whatever_order_messages_come_and_work_is_done_it_is_withdrawn_or_ordered(seed: int) -> None:
    """Two withdrawals, an approval and its order, and of every third one a return under another policy."""
    die = random.Random(seed)  # noqa: S311 - a die for a test
    play = await scene()
    await play.approve()
    if seed % 3 == 0:
        play.issuer.adopt(OTHER_QUORUM)
        play.case.duty.adopt(OTHER_QUORUM)
    post = Post(play, die)
    wanted = [command(play.case.withdrawal(), by="shop") for _ in range(2)]
    while wanted or not post.is_done:
        post.collect()
        match die.randrange(4):
            case 0 if wanted:
                post.waiting[Duty.APPROVAL].append(wanted.pop())
            case 1:
                await post.work()
            case _:
                await post.carry()
        post.collect()
    await play.issuer.work_off()
    answers = {answer.id: answer for answer in replies(play.case.duty.publisher.published) if "withdraw" in answer.type}
    state, order, said = await play.state(), await play.order(), codes(list(answers.values()))
    assert len(said) == 2
    if state is State.WITHDRAWN:
        assert "withdrawn" in said
        assert (order.state in {OrderState.WITHDRAWN, OrderState.RETURNED}, play.issuer.ca.orders) == (True, [])
    else:
        assert (state, order.state, set(said)) == (State.APPROVED, OrderState.ISSUED, {"withdrawal.too-late"})
