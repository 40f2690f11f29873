"""Events composed under a newer policy than the one in force here: they wait for it, and nothing else does."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from shared.errors import RefusedError
from shared.identifiers import new_request_id
from shared.messaging.messages import Delivery, PutBy
from shared.messaging.policy_gate import taken_up
from shared.messaging.runtime import Settlement
from shared.vocabulary.duties import Duty
from tests import world
from tests.fakes.duties import event
from tests.fakes.scripted import Scripted, amended, failed_event, question, witnessed_denial

SECOND = world.newer_policy(serial=2)
THIRD = world.newer_policy(serial=3)


def told(*, serial: int = 2, about: str | None = None, queue: str = "intake.events") -> Delivery:
    """A lifecycle event composed under the policy of this serial."""
    delivery = event(failed_event(about), sequence=3, policy_serial=serial)  # type: ignore[arg-type]  # a request's id
    return replace(delivery, queue=queue)


async def put_by(duty: Scripted, *deliveries: Delivery) -> None:
    """These come, and are put by at once."""
    before = len(duty.publisher.waiting)
    for delivery in deliveries:
        assert await duty.runtime.handle(delivery) is Settlement.ACKNOWLEDGE
    assert len(duty.publisher.waiting) == before + len(deliveries)


def take(duty: Scripted) -> Delivery:
    """The next of what was put by, as the broker hands it over."""
    body, headers = duty.publisher.waiting.popleft()
    delivery = Delivery(body=body, sender=duty.duty, queue=f"{duty.duty}.waiting", key=f"{duty.duty}.waiting")
    return taken_up(delivery, headers, duty.duty)


async def waiting(duty: Scripted, count: int = 1) -> "list[asyncio.Task[Settlement]]":
    """So many of what was put by in the hands of a duty that has had all the time it could use."""
    tasks = [asyncio.create_task(duty.runtime.handle(take(duty))) for _ in range(count)]
    for _ in range(20):
        await asyncio.sleep(0)
    return tasks


async def work_off(duty: Scripted) -> None:
    """Take up what was put by until nothing is left; nothing of it may have to wait."""
    while duty.publisher.waiting:
        assert await duty.runtime.handle(take(duty)) is Settlement.ACKNOWLEDGE


async def cancelled(tasks: "list[asyncio.Task[Settlement]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_event_of_a_newer_policy_waits_for_it_spends_no_attempt_and_is_then_handled_once() -> None:
    duty = Scripted()
    await put_by(duty, told())
    (handling,) = await waiting(duty)
    assert not handling.done()
    assert (duty.received, duty.publisher.published, duty.publisher.parked) == ([], [], [])
    assert not duty.policy.is_open
    duty.adopt(SECOND)
    assert await handling is Settlement.ACKNOWLEDGE
    assert [(message.policy_serial, message.sender) for message in duty.received] == [(2, "issuer")]
    assert duty.policy.is_open
    assert duty.policy_states == [True, False, True]
    assert duty.counted("ra_handlings_retried", type="ra.request.failed.v1") == 0


async def test_what_cannot_be_put_by_comes_again() -> None:
    duty = Scripted()
    duty.publisher.away = True
    assert await duty.runtime.handle(told()) is Settlement.LEAVE
    assert duty.received == []


@pytest.mark.parametrize("serial", [1, 2])
async def test_an_event_of_the_same_or_an_older_policy_is_handled_at_once(serial: int) -> None:
    duty = Scripted()
    duty.adopt(SECOND)
    assert await duty.runtime.handle(told(serial=serial)) is Settlement.ACKNOWLEDGE
    assert duty.policy_states == [True]


async def test_a_policy_that_is_not_new_enough_lets_nothing_through() -> None:
    duty = Scripted()
    await put_by(duty, told(serial=2), told(serial=3))
    second, third = await waiting(duty, 2)
    duty.adopt(SECOND)
    assert await second is await third is Settlement.ACKNOWLEDGE
    assert [message.policy_serial for message in duty.received] == [2]
    (third,) = await waiting(duty)
    assert not third.done()
    assert not duty.policy.is_open
    duty.adopt(THIRD)
    assert await third is Settlement.ACKNOWLEDGE
    assert [message.policy_serial for message in duty.received] == [2, 3]
    assert duty.policy.is_open


async def test_any_number_of_serials_that_never_come_hold_up_nothing_that_can_be_handled() -> None:
    duty = Scripted(concurrency=1)
    absurd = [told(serial=999_999_999) for _ in range(40)]
    await put_by(duty, *absurd, told(serial=2), told(serial=2))
    held = await waiting(duty, 16)
    assert await duty.runtime.handle(question()) is Settlement.ACKNOWLEDGE
    assert await duty.runtime.handle(told(serial=1)) is Settlement.ACKNOWLEDGE
    assert len(duty.received) == 2
    duty.adopt(SECOND)
    assert await asyncio.gather(*held) == [Settlement.ACKNOWLEDGE] * 16
    while len(duty.received) < 4:
        assert await duty.runtime.handle(take(duty)) is Settlement.ACKNOWLEDGE
    assert [message.policy_serial for message in duty.received[2:]] == [2, 2]
    assert len(duty.publisher.waiting) == 40


async def test_what_comes_later_about_the_same_request_does_not_overtake_in_its_queue() -> None:
    duty, request_id = Scripted(), new_request_id()
    await put_by(duty, told(about=request_id, serial=3), told(about=request_id, serial=1))
    for policy in (SECOND, THIRD):
        held = await waiting(duty, 2)
        assert duty.received == []
        duty.adopt(policy)
        await asyncio.gather(*held)
    assert [message.policy_serial for message in duty.received] == [3, 1]


async def test_what_follows_is_handled_at_once_when_nothing_that_was_put_by_is_left() -> None:
    duty, request_id = Scripted(), new_request_id()
    await put_by(duty, told(about=request_id), told(about=request_id, serial=1))
    duty.adopt(SECOND)
    await put_by(duty, told(about=request_id, serial=2))
    duty.adopt(THIRD)
    await work_off(duty)
    assert await duty.runtime.handle(told(about=request_id, serial=1)) is Settlement.ACKNOWLEDGE
    assert [message.policy_serial for message in duty.received] == [2, 1, 2, 1]


async def test_a_command_made_up_among_what_was_put_by_comes_from_nobody() -> None:
    duty = Scripted()
    headers = {f"x-ra-{name}": str(value) for name, value in vars(question()).items()}
    headers |= {"x-ra-sender": "shop", "x-ra-waits-for": "1", "x-ra-seen-by": "1"}
    made_up = Delivery(body=question().body, sender="intake", queue="intake.waiting", key="intake.waiting")
    assert await duty.handle(taken_up(made_up, headers, "intake")) == []
    assert duty.received == []


async def test_a_denial_that_the_issuer_witnesses_is_not_put_by() -> None:
    duty, denial = Scripted(duty=Duty.ISSUER), witnessed_denial()
    duty.policy.was_put_by(denial, duty.runtime._decode(denial), PutBy(waits_for=2, seen_by=1))
    assert await duty.runtime.handle(denial) is Settlement.ACKNOWLEDGE
    assert (len(duty.received), len(duty.publisher.waiting)) == (1, 0)


async def test_of_no_more_than_so_many_requests_it_is_remembered_that_something_was_put_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.messaging.policy_gate.MOST_REMEMBERED", 3)
    duty = Scripted()
    await put_by(duty, *(told() for _ in range(5)))
    assert len(duty.policy._last) == 3


async def test_what_somebody_else_puts_among_what_was_put_by_is_refused() -> None:
    duty = Scripted()
    await put_by(duty, told())
    body, headers = duty.publisher.waiting.popleft()
    delivery = Delivery(body=body, sender="intake", queue="intake.waiting", key="intake.waiting")
    odd: tuple[Delivery, ...] = (
        taken_up(replace(delivery, sender="alice"), headers, "intake"),
        taken_up(delivery, {}, "intake"),
    )
    for wrong in ({"x-ra-waits-for": "two"}, {"x-ra-sender": "shop"}):
        odd += (taken_up(delivery, headers | wrong, "intake"),)
    for each in odd:
        assert await duty.handle(each) == []
    assert duty.counted("ra_refusals", code="message.sender-missing") == 4
    assert duty.received == []


async def test_a_command_about_that_request_is_answered_meanwhile() -> None:
    duty, request_id = Scripted(), new_request_id()
    await put_by(duty, told(about=request_id))
    held = await waiting(duty)
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
        await put_by(duty, told(serial=7), told(serial=7), told(serial=8))
        held = await waiting(duty, 3)
    said = [line for line in lines if line["event"] == "waiting for a newer policy"]
    assert [(line["wanted"], line["in_force"], line["sender"]) for line in said] == [(7, 1, "issuer"), (8, 1, "issuer")]
    assert {line["type"] for line in said} == {"ra.request.failed.v1"}
    assert all(line["request"] for line in said)
    await cancelled(held)


async def test_whoever_is_cancelled_while_waiting_settles_nothing_and_leaves_no_trace() -> None:
    duty = Scripted()
    await put_by(duty, told(), told())
    held = await waiting(duty, 2)
    await cancelled(held)
    assert duty.received == []
    assert duty.policy.is_open
    assert duty.policy_states == [True, False, True]
    assert duty.runtime._turns == {}
    duty.adopt(SECOND)
    assert await duty.runtime.handle(told()) is Settlement.ACKNOWLEDGE
