"""Whatever comes, and however it is interleaved: the runtime settles it, in order, and never falls over."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.identifiers import new_request_id
from shared.messaging.messages import Outcome, Received
from shared.messaging.runtime import Settlement
from tests.fakes.scripted import Scripted, amended, id_of, question

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
ATTRIBUTES = st.sampled_from(
    [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "inreplyto",
        "sequence",
        "policyserial",
        "data",
        "x",
    ]
)
SENDERS = st.none() | st.sampled_from(["shop", "alice", "issuer", "stranger"]) | st.text(max_size=5)
KEYS = st.sampled_from(["shop.intake.status", "alice.intake.status", "issuer.request.failed.web", "", ".", "a"])


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()), sender=SENDERS, key=KEYS)
def test_bytes_of_any_kind_are_acknowledged_and_nothing_is_parked(body: bytes, sender: str | None, key: str) -> None:
    duty = Scripted()
    asyncio.run(duty.handle(question(body=body, sender=sender, key=key)))
    assert duty.publisher.parked == []
    assert duty.received == []


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(ATTRIBUTES, JSON, max_size=3), sender=SENDERS, key=KEYS)
def test_an_envelope_amended_in_any_way_is_acknowledged_and_answered_at_most_once(
    changes: dict[str, Any], sender: str | None, key: str
) -> None:
    duty = Scripted()
    published = asyncio.run(duty.handle(question(sender=sender, key=key, body=amended(question(), **changes).body)))
    assert duty.publisher.parked == []
    assert len(published) <= 1
    assert all(message.key == f"{sender}.intake.reply" for message in published)


@settings(max_examples=150, deadline=None)
@given(
    work=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=25),
    concurrency=st.integers(1, 5),
    cancelled=st.sets(st.integers(0, 24)),
)
def test_order_per_request_and_the_bound_hold_however_handlers_are_interleaved_and_cancelled(
    work: list[tuple[int, int]], concurrency: int, cancelled: set[int]
) -> None:
    """Each piece of work is a request and how often its handler lets others go first."""
    requests = [new_request_id() for _ in range(4)]
    deliveries = [question(requests[which]) for which, _ in work]
    turns = {id_of(delivery): turn for delivery, (_, turn) in zip(deliveries, work, strict=True)}
    inside: list[str] = []
    finished: list[str] = []

    async def script(message: Received[Any]) -> Outcome:
        assert message.subject not in inside, "two messages about one request at once"
        inside.append(message.subject)
        assert len(inside) <= concurrency
        try:
            for _ in range(turns[message.id]):
                await asyncio.sleep(0)
        finally:
            inside.remove(message.subject)
        finished.append(message.id)
        return Outcome()

    async def run() -> list[Settlement | BaseException]:
        duty = Scripted(script, concurrency=concurrency)
        tasks = [asyncio.create_task(duty.runtime.handle(delivery)) for delivery in deliveries]
        await asyncio.sleep(0)
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
            await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert duty.runtime._turns == {}
        assert duty.publisher.parked == []
        return results

    results = asyncio.run(run())
    settled = [
        id_of(each) for each, result in zip(deliveries, results, strict=True) if result is Settlement.ACKNOWLEDGE
    ]
    assert set(settled) <= set(finished)
    for request in requests:
        arrived = [id_of(each) for each in deliveries if json.loads(each.body)["subject"] == request]
        assert [each for each in finished if each in arrived] == [each for each in arrived if each in finished]
    for number, result in enumerate(results):
        assert result is Settlement.ACKNOWLEDGE or (number in cancelled and isinstance(result, asyncio.CancelledError))
