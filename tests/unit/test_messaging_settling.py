"""How a message is settled when a handler, a server or the way out fails."""

import asyncio
from typing import Any

import pytest

from shared.errors import ConflictError, RefusedError, UnavailableError
from shared.messaging import gate as gates
from shared.messaging import runtime as runtimes
from shared.messaging.messages import Outcome, Received
from shared.messaging.runtime import CONFLICT_ATTEMPTS, Settlement
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from tests.fakes.duties import data_of, event
from tests.fakes.scripted import (
    Script,
    Scripted,
    answer_to,
    failed_event,
    follow_up,
    id_of,
    news,
    question,
    witnessed_denial,
)

AWAY = UnavailableError("database", "gone")


def failing(error: BaseException) -> Script:
    async def script(_message: Received[Any]) -> Outcome:
        raise error

    return script


def failing_first(times: int, error: Exception) -> Script:
    left = times

    async def script(message: Received[Any]) -> Outcome:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return Outcome(publish=(answer_to(message),))

    return script


async def both(message: Received[Any]) -> Outcome:
    return Outcome(publish=(follow_up(message), answer_to(message)))


async def test_what_follows_is_published_in_its_order_and_then_acknowledged() -> None:
    duty = Scripted(both)
    event_out, answer = await duty.handle(question())
    assert (event_out.exchange, answer.exchange) == ("ra.events", "ra.replies")
    assert duty.counted("ra_messages_handled", type="ra.request.status.v1", result="handled") == 1


async def test_a_handlers_refusal_is_answered_with_all_of_its_findings() -> None:
    findings = [finding("a.b", "one"), finding("c.d", "two")]
    duty = Scripted(failing(RefusedError.of(findings)))
    delivery = question()
    (answer,) = await duty.handle(delivery)
    assert [found["code"] for found in data_of(answer)["findings"]] == ["a.b", "c.d"]
    assert answer.type == "ra.request.status.reply.v1"
    assert f'"inreplyto":"{id_of(delivery)}"' in answer.body
    assert duty.counted("ra_refusals", code="a.b") == duty.counted("ra_refusals", code="c.d") == 1
    assert duty.publisher.parked == []


async def test_a_refused_event_is_counted_and_answered_to_nobody() -> None:
    duty = Scripted(failing(RefusedError(finding("a.b", "one"))))
    assert await duty.handle(news()) == []
    assert duty.counted("ra_refusals", code="a.b") == 1


async def test_a_witness_refuses_without_an_answer() -> None:
    duty = Scripted(failing(RefusedError(finding("a.b", "one"))), duty=Duty.ISSUER)
    assert await duty.handle(witnessed_denial()) == []


async def test_a_fault_of_ours_parks_the_message_with_its_sender_and_reason_and_says_so() -> None:
    duty = Scripted(failing(KeyError("a bug")))
    delivery = question(queue="intake.commands")
    (answer,) = await duty.handle(delivery)
    assert data_of(answer)["code"] == "failed"
    assert "a bug" not in answer.body
    ((body, headers),) = duty.publisher.parked
    assert body == delivery.body
    assert headers == {
        "x-ra-sender": "shop",
        "x-ra-reason": "handler failed",
        "x-ra-exchange": "ra.commands",
        "x-ra-key": "shop.intake.status",
        "x-ra-queue": "intake.commands",
        "x-ra-message-id": id_of(delivery),
    }
    assert duty.counted("ra_messages_parked", type="ra.request.status.v1") == 1


@pytest.mark.parametrize("error", [TimeoutError(), ValueError("x"), UnavailableError("elsewhere", "x"), OSError()])
async def test_whatever_is_neither_refusal_nor_a_known_dependency_is_parked(error: Exception) -> None:
    duty = Scripted(failing(error))
    await duty.handle(question())
    assert len(duty.publisher.parked) == 1


async def test_a_parked_event_is_answered_to_nobody() -> None:
    duty = Scripted(failing(ValueError("a bug")))
    assert await duty.handle(news()) == []
    assert len(duty.publisher.parked) == 1


async def test_a_witness_that_fails_parks_its_copy_and_leaves_the_answer_to_whom_it_concerns() -> None:
    duty = Scripted(failing(ValueError("a bug")), duty=Duty.ISSUER)
    assert await duty.handle(witnessed_denial()) == []
    assert len(duty.publisher.parked) == 1


async def test_a_message_that_cannot_be_parked_is_left_and_nobody_is_told_anything() -> None:
    duty = Scripted(failing(ValueError("a bug")))
    duty.publisher.parked_away = True
    assert await duty.runtime.handle(question()) is Settlement.LEAVE
    assert duty.publisher.published == []
    assert duty.counted("ra_messages_parked", type="ra.request.status.v1") == 0


async def test_a_parked_message_whose_answer_cannot_be_published_comes_again() -> None:
    duty = Scripted(failing(ValueError("a bug")))

    duty.publisher.away, duty.publisher.parked_away = True, False
    assert await duty.runtime.handle(question()) is Settlement.LEAVE


async def test_a_handler_that_never_ends_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "HANDLER_SECONDS", 0.0)

    async def hang(_message: Received[Any]) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    duty = Scripted(hang)
    (answer,) = await duty.handle(question())
    assert data_of(answer)["code"] == "failed"


async def test_a_broker_that_is_away_leaves_the_message_and_nothing_is_counted_as_handled() -> None:
    duty = Scripted(both)
    duty.publisher.away = True
    assert await duty.runtime.handle(question()) is Settlement.LEAVE
    assert duty.counted("ra_messages_handled", type="ra.request.status.v1", result="handled") == 0


async def test_an_answer_that_no_queue_takes_is_counted_and_the_message_settled() -> None:
    duty = Scripted(both)
    duty.publisher.unroutable = {"ra.replies"}
    (published,) = await duty.handle(question())
    assert published.exchange == "ra.events"
    assert duty.counted("ra_messages_unroutable", exchange="ra.replies") == 1
    assert duty.publisher.parked == []


async def test_an_event_that_no_queue_takes_parks_the_message() -> None:
    duty = Scripted(both)
    duty.publisher.unroutable = {"ra.events"}
    (answer,) = await duty.handle(question())
    assert data_of(answer)["code"] == "failed"
    ((_, headers),) = duty.publisher.parked
    assert headers["x-ra-reason"].startswith("no queue takes what follows")


async def test_a_lost_race_is_run_again_in_place() -> None:
    duty = Scripted(failing_first(CONFLICT_ATTEMPTS - 1, ConflictError("x")))
    (answer,) = await duty.handle(question())
    assert data_of(answer)["code"] == "ok"
    assert duty.gate_states == [True]


async def test_a_race_that_is_never_won_is_a_fault_of_ours() -> None:
    duty = Scripted(failing(ConflictError("x")))
    await duty.handle(question())
    assert len(duty.received) == CONFLICT_ATTEMPTS
    assert len(duty.publisher.parked) == 1


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "FIRST_PAUSE", 0.0)


@pytest.mark.usefixtures("_no_pause")
async def test_while_the_database_is_away_nothing_is_settled_and_once_it_is_back_the_message_is_handled_once() -> None:
    duty = Scripted(failing_first(1, AWAY))
    duty.database_is_back = False
    handling = asyncio.create_task(duty.runtime.handle(question()))
    waiting = asyncio.create_task(duty.runtime.handle(question()))
    await duty.until_probed(20)
    assert not handling.done()
    assert not duty.gate.is_open
    calls_while_away = len(duty.received)
    assert calls_while_away <= 2, "closed means that no attempt is spent"
    assert duty.publisher.published == []
    duty.database_is_back = True
    assert [await handling, await waiting] == [Settlement.ACKNOWLEDGE] * 2
    assert duty.gate_states == [True, False, True]
    assert len(duty.publisher.published) == 2
    assert len(duty.received) == 3
    assert duty.counted("ra_handlings_retried", type="ra.request.status.v1") == 1


@pytest.mark.usefixtures("_no_pause")
async def test_a_closed_gate_keeps_new_messages_from_their_handlers() -> None:
    duty = Scripted()
    duty.database_is_back = False
    duty.gate.close(AWAY)
    handling = asyncio.create_task(duty.runtime.handle(question()))
    await duty.until_probed(10)
    assert duty.received == []
    duty.database_is_back = True
    assert await handling is Settlement.ACKNOWLEDGE


@pytest.mark.usefixtures("_no_pause")
async def test_hostile_input_is_refused_even_while_the_database_is_away() -> None:
    duty = Scripted()
    duty.database_is_back = False
    duty.gate.close(AWAY)
    assert len(await duty.handle(question(body=b"{"))) == 1
    await duty.gate.aclose()


@pytest.mark.usefixtures("_no_pause")
async def test_a_gate_that_is_closed_twice_probes_once_and_ends_its_probing_with_the_process() -> None:
    duty = Scripted()
    duty.database_is_back = False
    duty.gate.close(AWAY)
    duty.gate.close(AWAY)
    await duty.gate.aclose()
    assert duty.gate_states == [True, False]
    assert len(asyncio.all_tasks()) == 1


async def test_a_message_without_a_followup_is_simply_acknowledged() -> None:
    duty = Scripted()
    assert await duty.handle(event(failed_event(), sequence=2)) == []
    assert duty.received[0].order == 2
