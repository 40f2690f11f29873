"""Events composed under a newer policy than the one in force here: they wait for it, and nothing else does."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.errors import RefusedError
from shared.identifiers import new_request_id
from shared.messaging.messages import Delivery
from shared.messaging.runtime import Settlement
from tests import world
from tests.fakes.duties import event
from tests.fakes.scripted import Scripted, amended, failed_event, question

SECOND = world.newer_policy(serial=2)
THIRD = world.newer_policy(serial=3)


def told(*, serial: int = 2, about: str | None = None, queue: str = "intake.events") -> Delivery:
    """A lifecycle event composed under the policy of this serial."""
    delivery = event(failed_event(about), sequence=3, policy_serial=serial)  # type: ignore[arg-type]  # a request's id
    return Delivery(**{**vars(delivery), "queue": queue})


async def waiting(duty: Scripted, *deliveries: Delivery) -> "list[asyncio.Task[Settlement]]":
    """These in the hands of a duty that has had all the time it could use."""
    tasks = [asyncio.create_task(duty.runtime.handle(delivery)) for delivery in deliveries]
    for _ in range(20):
        await asyncio.sleep(0)
    return tasks


async def cancelled(tasks: "list[asyncio.Task[Settlement]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_event_of_a_newer_policy_waits_for_it_spends_no_attempt_and_is_then_handled_once() -> None:
    duty = Scripted()
    (handling,) = await waiting(duty, told())
    assert not handling.done()
    assert (duty.received, duty.publisher.published, duty.publisher.parked) == ([], [], [])
    assert not duty.policy.is_open
    duty.adopt(SECOND)
    assert await handling is Settlement.ACKNOWLEDGE
    assert [message.policy_serial for message in duty.received] == [2]
    assert duty.policy.is_open
    assert duty.policy_states == [True, False, True]
    assert duty.counted("ra_handlings_retried", type="ra.request.failed.v1") == 0


@pytest.mark.parametrize("serial", [1, 2])
async def test_an_event_of_the_same_or_an_older_policy_is_handled_at_once(serial: int) -> None:
    duty = Scripted()
    duty.adopt(SECOND)
    assert await duty.runtime.handle(told(serial=serial)) is Settlement.ACKNOWLEDGE
    assert duty.policy_states == [True]


async def test_a_policy_that_is_not_new_enough_lets_nothing_through() -> None:
    duty = Scripted()
    (second, third) = await waiting(duty, told(serial=2), told(serial=3))
    duty.adopt(SECOND)
    assert await second is Settlement.ACKNOWLEDGE
    assert not third.done()
    assert not duty.policy.is_open
    duty.adopt(THIRD)
    assert await third is Settlement.ACKNOWLEDGE
    assert duty.policy.is_open


async def test_what_waits_for_a_policy_takes_no_room_from_commands_and_other_events() -> None:
    duty = Scripted(concurrency=1)
    held = await waiting(duty, *(told(serial=999_999_999) for _ in range(20)))
    assert await duty.runtime.handle(question()) is Settlement.ACKNOWLEDGE
    assert await duty.runtime.handle(told(serial=1)) is Settlement.ACKNOWLEDGE
    assert len(duty.received) == 2
    await cancelled(held)


async def test_what_comes_later_about_the_same_request_does_not_overtake_in_its_queue() -> None:
    duty, request_id = Scripted(), new_request_id()
    held = await waiting(duty, told(about=request_id), told(about=request_id, serial=1))
    assert duty.received == []
    duty.adopt(SECOND)
    await asyncio.gather(*held)
    assert [message.policy_serial for message in duty.received] == [2, 1]


async def test_a_command_about_that_request_is_answered_meanwhile() -> None:
    duty, request_id = Scripted(), new_request_id()
    held = await waiting(duty, told(about=request_id))
    assert await duty.runtime.handle(question(request_id, queue="intake.commands")) is Settlement.ACKNOWLEDGE
    await cancelled(held)


async def test_the_largest_serial_that_a_policy_can_have_fits_into_an_envelope() -> None:
    duty, largest = Scripted(), 10**18 - 1
    duty.adopt(world.newer_policy(serial=largest))
    assert await duty.runtime.handle(told(serial=largest)) is Settlement.ACKNOWLEDGE
    with pytest.raises(RefusedError, match="serial"):
        world.policy(world.newer_policy(serial=largest + 1))


async def test_a_command_cannot_make_anybody_wait() -> None:
    duty = Scripted()
    assert await duty.runtime.handle(amended(question(), policyserial="999")) is Settlement.ACKNOWLEDGE
    assert duty.received[0].policy_serial == 0
    assert duty.policy_states == [True]


async def test_only_a_duty_can_make_another_wait() -> None:
    duty = Scripted()
    forged = Delivery(**{**vars(told(serial=999)), "sender": "alice"})
    assert await duty.handle(forged) == []
    assert duty.counted("ra_refusals", code="message.sender-foreign") == 1


async def test_an_operator_is_told_once_who_wants_which_policy_and_what_is_in_force() -> None:
    duty = Scripted()
    with capture_logs() as lines:
        held = await waiting(duty, told(serial=7), told(serial=7), told(serial=8))
    said = [line for line in lines if line["event"] == "waiting for a newer policy"]
    assert [(line["wanted"], line["in_force"], line["sender"]) for line in said] == [(7, 1, "issuer"), (8, 1, "issuer")]
    assert {line["type"] for line in said} == {"ra.request.failed.v1"}
    assert all(line["request"] for line in said)
    await cancelled(held)


async def test_whoever_is_cancelled_while_waiting_settles_nothing_and_leaves_no_trace() -> None:
    duty = Scripted()
    held = await waiting(duty, told(), told())
    await cancelled(held)
    assert duty.received == []
    assert duty.policy.is_open
    assert duty.policy_states == [True, False, True]
    assert duty.runtime._turns == {}
    duty.adopt(SECOND)
    assert await duty.runtime.handle(told()) is Settlement.ACKNOWLEDGE
