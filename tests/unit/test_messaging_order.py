"""Turns, bounds, cancellation: what many messages at once must not break."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from shared.errors import UnavailableError
from shared.identifiers import new_request_id
from shared.messaging.messages import Outcome, Received
from shared.messaging.runtime import Settlement
from tests.fakes.scripted import Scripted, answer_to, id_of, question


class Standstill:
    """Handlers that stand still until the test lets them go on."""

    def __init__(self) -> None:
        self.entered: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.inside = 0
        self.most_inside = 0

    async def __call__(self, message: Received[Any]) -> Outcome:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.entered.put_nowait(message.id)
        try:
            await self.go_on.wait()
        finally:
            self.inside -= 1
        return Outcome(publish=(answer_to(message),))


async def test_messages_about_one_request_are_handled_one_at_a_time_in_their_order() -> None:
    script, request_id = Standstill(), new_request_id()
    duty = Scripted(script)
    deliveries = [question(request_id) for _ in range(10)]
    tasks = [asyncio.create_task(duty.runtime.handle(delivery)) for delivery in deliveries]
    await script.entered.get()
    assert len(duty.received) == 1
    script.go_on.set()
    await asyncio.gather(*tasks)
    assert script.most_inside == 1
    assert [message.id for message in duty.received] == [id_of(delivery) for delivery in deliveries]
    assert len(duty.publisher.published) == 10


async def test_another_request_does_not_wait() -> None:
    script = Standstill()
    duty = Scripted(script)
    tasks = [asyncio.create_task(duty.runtime.handle(question())) for _ in range(3)]
    for _ in tasks:
        await script.entered.get()
    assert script.inside == 3
    script.go_on.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("bound", [1, 3])
async def test_no_more_than_so_many_messages_are_in_hand_at_once(bound: int) -> None:
    script = Standstill()
    duty = Scripted(script, concurrency=bound)
    tasks = [asyncio.create_task(duty.runtime.handle(question())) for _ in range(10)]
    for _ in range(bound):
        await script.entered.get()
    script.go_on.set()
    await asyncio.gather(*tasks)
    assert script.most_inside == bound


async def test_a_cancelled_handling_settles_nothing_and_lets_its_request_go() -> None:
    script, request_id = Standstill(), new_request_id()
    duty = Scripted(script)
    handling = asyncio.create_task(duty.runtime.handle(question(request_id)))
    await script.entered.get()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert (duty.publisher.published, duty.publisher.parked) == ([], [])
    script.go_on.set()
    assert await duty.runtime.handle(question(request_id)) is Settlement.ACKNOWLEDGE


async def test_whoever_is_cancelled_while_waiting_for_a_turn_takes_nobody_elses() -> None:
    script, request_id = Standstill(), new_request_id()
    duty = Scripted(script)
    first, second, third = (asyncio.create_task(duty.runtime.handle(question(request_id))) for _ in range(3))
    await script.entered.get()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    script.go_on.set()
    assert [await first, await third] == [Settlement.ACKNOWLEDGE] * 2
    assert script.most_inside == 1
    assert len(duty.received) == 2


async def test_cancelling_gives_back_the_room_in_hand() -> None:
    script = Standstill()
    duty = Scripted(script, concurrency=1)
    handling = asyncio.create_task(duty.runtime.handle(question()))
    waiting = asyncio.create_task(duty.runtime.handle(question()))
    await script.entered.get()
    for task in (waiting, handling):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    script.go_on.set()
    assert await duty.runtime.handle(question()) is Settlement.ACKNOWLEDGE


async def test_cancellation_while_publishing_leaves_the_message_unsettled() -> None:
    async def answered(message: Received[Any]) -> Outcome:
        return Outcome(publish=(answer_to(message),))

    duty, publishing = Scripted(answered), asyncio.Event()

    async def stuck(_message: object) -> None:
        publishing.set()
        await asyncio.Event().wait()

    duty.runtime._publisher.publish = stuck  # type: ignore[assignment,method-assign]  # a confirmation that never comes
    handling = asyncio.create_task(duty.runtime.handle(question()))
    await publishing.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert duty.publisher.parked == []


async def test_cancellation_while_the_database_is_away_leaves_the_message_unsettled() -> None:
    duty = Scripted()
    duty.gate.close(UnavailableError("database", "gone"))
    handling = asyncio.create_task(duty.runtime.handle(question()))
    await asyncio.sleep(0)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    await duty.gate.aclose()
    assert duty.received == []


async def test_no_trace_of_handled_requests_stays_in_memory() -> None:
    duty = Scripted()
    await asyncio.gather(*(duty.runtime.handle(question()) for _ in range(50)))
    assert duty.runtime._turns == {}


async def test_one_busy_request_does_not_change_the_order_of_another() -> None:
    busy, calm = new_request_id(), new_request_id()
    duty = Scripted()
    deliveries = [question(busy if number % 3 else calm) for number in range(30)]
    await asyncio.gather(*(duty.runtime.handle(delivery) for delivery in deliveries))
    handled = [message.id for message in duty.received]
    assert Counter(handled) == Counter(id_of(delivery) for delivery in deliveries)
    for subject in (busy, calm):
        sent = [id_of(delivery) for delivery in deliveries if subject in delivery.body.decode()]
        assert [message for message in handled if message in sent] == sent
