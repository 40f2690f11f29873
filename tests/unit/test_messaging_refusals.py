"""Hostile and broken input: refused, counted, answered where the sender is known, and never parked."""

import json
from dataclasses import replace

import pytest

from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.contracts.replies import Refusal
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import Delivery
from shared.messaging.runtime import Settlement
from shared.vocabulary.duties import Duty
from tests.fakes.duties import data_of
from tests.fakes.scripted import REFUSED_TYPE, Scripted, amended, id_of, news, question

NESTED = b"[" * 100_000
HUGE_NUMBER = b"1" * 100_000

BROKEN = {
    "no JSON": (lambda d: replace(d, body=b"\x00\xff{"), "message.not-json"),
    "nothing": (lambda d: replace(d, body=b""), "message.not-json"),
    "deep": (lambda d: replace(d, body=NESTED), "message.not-json"),
    "deep and closed": (lambda d: replace(d, body=NESTED + b"]" * 100_000), "message.not-json"),
    "deep inside": (lambda d: replace(d, body=b'{"data":' + NESTED), "message.not-json"),
    "deep objects": (lambda d: replace(d, body=b'{"data":' + b'{"a":' * 50_000), "message.not-json"),
    "UTF-16": (lambda d: replace(d, body=d.body.decode().encode("utf-16")), "message.not-json"),
    "half a character": (lambda d: replace(d, body=d.body.replace(b"shop", b"\xc3")), "message.not-json"),
    "lone surrogate": (lambda d: replace(d, body=b'{"id":"\\ud800"}'), "message.not-json"),
    "too large": (lambda d: replace(d, body=d.body + b" " * MAX_MESSAGE_BYTES), "message.too-large"),
    "a list": (lambda d: replace(d, body=b"[]"), "message.envelope-invalid"),
    "a string": (lambda d: replace(d, body=b'"x"'), "message.envelope-invalid"),
    "null": (lambda d: replace(d, body=b"null"), "message.envelope-invalid"),
    "no data": (lambda d: amended(d, data=None), "message.envelope-invalid"),
    "no id": (lambda d: amended(d, id=None), "message.envelope-invalid"),
    "an odd id": (lambda d: amended(d, id="../../etc"), "message.envelope-invalid"),
    "an unknown attribute": (lambda d: amended(d, extra="x"), "message.envelope-invalid"),
    "another specification": (lambda d: amended(d, specversion="0.3"), "message.envelope-invalid"),
    "a stretched subject": (lambda d: amended(d, subject="a.b"), "message.envelope-invalid"),
    "a type with a newline": (lambda d: amended(d, type="ra.request.status.v1\n"), "message.envelope-invalid"),
    "no time": (lambda d: amended(d, time="yesterday"), "message.envelope-invalid"),
    "unknown type": (lambda d: amended(d, type="ra.request.conjure.v1"), "message.type-unknown"),
    "unknown version": (lambda d: amended(d, type="ra.request.status.v2"), "message.type-unknown"),
    "another duty's type": (lambda d: amended(d, type="ra.request.approve.v1"), "message.type-unknown"),
    "unknown field": (lambda d: amended(d, data={"request_id": new_request_id(), "x": 1}), "message.invalid"),
    "missing field": (lambda d: amended(d, data={}), "message.invalid"),
    "data of another kind": (lambda d: amended(d, data=[1]), "message.invalid"),
    "another version of UUID": (lambda d: amended(d, data={"request_id": new_message_id()[:14] + "4" + "0" * 21}),
                                "message.invalid"),
    "wrong subject": (lambda d: amended(d, subject=new_request_id()), "message.subject-differs"),
    "an event's type": (lambda d: amended(d, type="ra.request.failed.v1"), "message.sender-foreign"),
    "another verb's key": (lambda d: replace(d, key="shop.intake.options"), "message.key-differs"),
    "another identity's key": (lambda d: replace(d, key="alice.intake.status"), "message.sender-foreign"),
    "a longer name's key": (lambda d: replace(d, key="shop-2.intake.status"), "message.sender-foreign"),
    "a stretched key": (lambda d: replace(d, key="shop.intake.status.x"), "message.key-differs"),
}  # fmt: skip


@pytest.mark.parametrize(("breaking", "code"), BROKEN.values(), ids=BROKEN)
async def test_what_a_known_sender_gets_wrong_is_refused_with_its_code_counted_and_answered(
    breaking: object, code: str
) -> None:
    duty = Scripted()
    delivery = breaking(question())  # type: ignore[operator]  # a function of the table
    (answer,) = await duty.handle(delivery)
    assert data_of(answer)["code"] == "refused"
    assert code in [found["code"] for found in data_of(answer)["findings"]]
    assert (answer.exchange, answer.key, answer.type) == ("ra.replies", "shop.intake.reply", REFUSED_TYPE)
    assert Refusal.model_validate(data_of(answer)).message
    assert duty.counted("ra_refusals", code=code) >= 1
    assert duty.counted("ra_messages_handled", type="unreadable", result="refused") == 1
    assert (duty.received, duty.publisher.parked) == ([], [])


@pytest.mark.parametrize(
    ("delivery", "code"),
    [
        (question(sender=None), "message.sender-missing"),
        (question(sender="stranger"), "message.sender-unknown"),
        (question(sender=""), "message.sender-unknown"),
        (question(sender="shop\n"), "message.sender-unknown"),
        (question(sender="Shop"), "message.sender-unknown"),
        (question(sender="intake"), "message.sender-unknown"),
        (news(sender=None), "message.sender-missing"),
        (news(sender="stranger"), "message.sender-foreign"),
        (news(sender="approval"), "message.sender-foreign"),
        (news(sender="alice"), "message.sender-foreign"),
        (amended(news(), sequence=None), "message.sequence-missing"),
        (amended(news(), sequence="0"), "message.envelope-invalid"),
        (amended(news(), sequence="-1"), "message.envelope-invalid"),
        (amended(news(), sequence=3), "message.envelope-invalid"),
        (amended(news(), policyserial=None), "message.policyserial-missing"),
        (amended(news(), policyserial="0"), "message.envelope-invalid"),
        (amended(news(), policyserial="1" * 19), "message.envelope-invalid"),
        (amended(news(), subject=new_request_id()), "message.subject-differs"),
        (replace(news(), body=b"{"), "message.not-json"),
        (replace(news(), body=b"{", sender=None), "message.sender-missing"),
    ],
)
async def test_strangers_and_duties_are_refused_without_an_answer(delivery: Delivery, code: str) -> None:
    duty = Scripted()
    assert await duty.handle(delivery) == []
    assert duty.counted("ra_refusals", code=code) == 1
    assert (duty.received, duty.publisher.parked) == ([], [])


async def test_a_refusal_names_the_id_of_the_envelope_where_there_is_one() -> None:
    delivery = replace(amended(question(), type="ra.request.conjure.v1"), message_id=new_message_id())
    (answer,) = await Scripted().handle(delivery)
    assert json.loads(answer.body)["inreplyto"] == id_of(delivery)


@pytest.mark.parametrize("body", [b"{", b'{"id":7}', b'{"id":"x"}', b"[]", NESTED])
async def test_a_refusal_falls_back_on_the_id_among_the_message_properties(body: bytes) -> None:
    property_id = new_message_id()
    (answer,) = await Scripted().handle(question(body=body, message_id=property_id))
    assert json.loads(answer.body)["inreplyto"] == property_id


@pytest.mark.parametrize("property_id", [None, "", "x", "' or 1=1", "0" * 300])
async def test_a_refusal_that_can_name_no_id_is_sent_all_the_same(property_id: str | None) -> None:
    (answer,) = await Scripted().handle(question(body=b"{", message_id=property_id))
    assert "inreplyto" not in json.loads(answer.body)


async def test_the_same_broken_message_is_answered_under_the_same_id() -> None:
    duty, delivery = Scripted(), question(body=b"{")
    first, second = await duty.handle(delivery), await duty.handle(delivery)
    assert first == second


async def test_a_message_of_many_mistakes_is_answered_with_at_most_twenty_of_them() -> None:
    fields = {f"field{number}": number for number in range(10_000)}
    (answer,) = await Scripted().handle(amended(question(), data=fields))
    assert len(data_of(answer)["findings"]) == 20


async def test_a_refusal_quotes_nothing_of_what_was_sent() -> None:
    (answer,) = await Scripted().handle(amended(question(), data={"request_id": "s3cret"}))
    assert "s3cret" not in answer.body


async def test_a_number_beyond_all_bounds_is_refused_like_anything_else() -> None:
    duty = Scripted()
    for body in (b'{"data":%b}' % HUGE_NUMBER, b'{"time":%b}' % HUGE_NUMBER, b'{"data":1e999,"time":NaN}'):
        assert len(await duty.handle(question(body=body))) == 1
    assert duty.publisher.parked == []


async def test_a_refusal_that_cannot_be_published_leaves_the_message() -> None:
    duty = Scripted()
    duty.publisher.away = True
    assert await duty.runtime.handle(question(body=b"{")) is Settlement.LEAVE


async def test_a_refusal_that_no_queue_takes_is_settled_and_counted() -> None:
    duty = Scripted()
    duty.publisher.unroutable = {"ra.replies"}
    assert await duty.runtime.handle(question(body=b"{")) is Settlement.ACKNOWLEDGE
    assert duty.counted("ra_messages_unroutable", exchange="ra.replies") == 1


async def test_a_witness_stays_silent_where_another_duty_answers() -> None:
    witness = Scripted(duty=Duty.ISSUER)
    unreadable = replace(question(by="alice"), key="alice.approval.deny", body=b"{")
    assert await witness.handle(unreadable) == []
    assert witness.counted("ra_refusals", code="message.not-json") == 1
