"""What goes into the audit log, before anything follows of it; and what happens while it can't be written."""

import asyncio
from typing import Any

import pytest

from shared.audit_log.entries import EntryKind, Record
from shared.audit_log.writing import AuditLog
from shared.contracts.audit import AuditLogCheckpoint, Checkpoint, IssuerCheckpoint
from shared.errors import RefusedError, UnavailableError
from shared.evidence.jws import Typ
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.auditing import AuditedPublisher, GatedTrail
from shared.messaging.gate import Gate
from shared.messaging.messages import Outcome, Received
from shared.messaging.witnessing import CheckpointHandler, Checkpoints
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import IdentityName
from tests import world
from tests.fakes.audit import RememberedTrail
from tests.fakes.broker import MemoryPublisher
from tests.fakes.duties import data_of
from tests.fakes.scripted import Scripted, amended, follow_up, id_of, news, question
from tests.world import NOW, FixedClock, signing_key

REQUEST = new_request_id()


async def _answers(message: Received[Any]) -> Outcome:
    return Outcome(publish=(follow_up(message),))


async def _refuses(_: Received[Any]) -> Outcome:
    raise RefusedError(finding("a.b", "one"), finding("c.d", "two"))


async def _fails(_: Received[Any]) -> Outcome:
    raise KeyError("a bug")


async def test_a_command_is_written_down_with_who_sent_it_and_what_became_of_it() -> None:
    duty = Scripted(_answers)
    delivery = question()
    await duty.handle(delivery)
    (record,) = duty.audit.records
    assert (record.kind, record.identity) == (EntryKind.COMMAND, "shop")
    assert record.detail == {
        "type": "ra.request.status.v1",
        "message": id_of(delivery),
        "result": "handled",
        "body": digest_of(delivery.body),
    }


@pytest.mark.parametrize(
    ("script", "result", "codes"),
    [(_refuses, "refused", "a.b c.d"), (_fails, "parked", None)],
    ids=["refused", "parked"],
)
async def test_what_is_refused_or_parked_is_written_down_too(script: Any, result: str, codes: str | None) -> None:
    duty = Scripted(script)
    await duty.handle(question())
    (record,) = duty.audit.records
    assert (record.detail["result"], record.detail.get("findings")) == (result, codes)


async def test_an_event_is_written_down_with_the_duty_that_sent_it() -> None:
    duty = Scripted()
    await duty.handle(news())
    (record,) = duty.audit.records
    assert (record.kind, record.identity, record.detail["result"]) == (EntryKind.EVENT, "issuer", "handled")


async def test_what_nobody_can_read_is_written_down_with_its_sender_and_digest() -> None:
    duty = Scripted()
    delivery = amended(question(), type="ra.no.such.v1")
    await duty.handle(delivery)
    (record,) = duty.audit.records
    assert (record.identity, record.detail) == (
        "shop",
        {"result": "refused", "body": digest_of(delivery.body), "findings": "message.type-unknown"},
    )


async def test_an_event_of_ones_own_is_written_down_before_it_goes_out() -> None:
    broker, trail = MemoryPublisher(), RememberedTrail()
    broker.away = True
    received: Received[Any] = Received(
        new_message_id(), "t", REQUEST, IdentityName("shop"), 0, IssuerCheckpoint(checkpoint="a.b.c")
    )
    told = follow_up(received)
    with pytest.raises(UnavailableError):
        await AuditedPublisher(Duty.ISSUER, broker, trail).publish(told)
    (record,) = trail.records
    assert (record.kind, record.identity, record.subject) == (EntryKind.TOLD, "issuer", REQUEST)
    assert record.detail == {"type": told.type, "message": told.id, "body": digest_of(told.body.encode())}


async def test_while_the_log_cannot_be_written_nothing_goes_out_and_nothing_new_is_taken_up() -> None:
    written: list[Record] = []
    full, probed = True, asyncio.Event()

    async def write(*records: Record) -> None:
        if full:
            raise UnavailableError("audit log", "no space left")
        written.extend(records)

    async def probe() -> None:
        probed.set()
        if full:
            raise UnavailableError("audit log", "no space left")

    duty = Scripted(_answers)
    states: list[bool] = []
    gate = Gate("audit log", probe, on_change=states.append, longest_pause=0.01)
    duty.audit = GatedTrail(write, gate)  # type: ignore[assignment]  # in place of the one that remembers
    duty.runtime = duty.new_runtime(gate)
    first = asyncio.create_task(duty.runtime.handle(question()))
    await probed.wait()
    second = asyncio.create_task(duty.runtime.handle(question()))
    probed.clear()
    await probed.wait()
    assert not gate.is_open
    assert len(duty.received) == 1, "the second was not taken up"
    assert duty.publisher.published == []
    full = False
    await asyncio.gather(first, second)
    assert [record.kind for record in written] == [EntryKind.COMMAND] * 2
    assert len(duty.publisher.published) == 2
    assert states == [True, False, True]
    await gate.aclose()


# Bearing witness


def checkpoint(of: Duty, by: Duty, log: str) -> str:
    said = Checkpoint(log=log, duty=of, number=7, digest=digest_of(b"a line"))
    return signing_key(by).sign(said.canonical(), Typ.CHECKPOINT, NOW)


def heard(token: str, about: str, sender: Duty = Duty.ISSUER) -> Received[AuditLogCheckpoint]:
    return Received(new_message_id(), "t", about, IdentityName(sender), 0, IssuerCheckpoint(checkpoint=token))


async def test_another_dutys_checkpoint_is_kept() -> None:
    trail, log = RememberedTrail(), new_message_id()
    token = checkpoint(Duty.ISSUER, Duty.ISSUER, log)
    await CheckpointHandler(trail, world.in_force(), FixedClock())(heard(token, log))
    assert trail.records == [
        Record(kind=EntryKind.WITNESSED, identity="issuer", subject=log, detail={"checkpoint": token})
    ]


@pytest.mark.parametrize(
    ("of", "by", "elsewhere"),
    [(Duty.ISSUER, Duty.INTAKE, False), (Duty.INTAKE, Duty.ISSUER, False), (Duty.ISSUER, Duty.ISSUER, True)],
    ids=["signed by another duty", "of another duty's log", "of another log"],
)
async def test_a_checkpoint_that_does_not_hold_is_refused(of: Duty, by: Duty, elsewhere: bool) -> None:  # noqa: FBT001 - a parameter
    trail, log = RememberedTrail(), new_message_id()
    message = heard(checkpoint(of, by, log), new_message_id() if elsewhere else log)
    with pytest.raises(RefusedError):
        await CheckpointHandler(trail, world.in_force(), FixedClock())(message)
    assert trail.records == []


async def test_a_checkpoint_that_could_not_be_told_is_told_when_the_broker_is_back(tmp_path: Any) -> None:
    log = AuditLog(tmp_path, Duty.ISSUER, signing_key("issuer"), FixedClock())
    broker = MemoryPublisher()
    checkpoints = Checkpoints(
        Duty.ISSUER, log, broker.publish, in_force=world.in_force(), clock=FixedClock(), every_seconds=60.0
    )
    broker.away = True
    with pytest.raises(UnavailableError):
        await checkpoints.tell()
    broker.away = False
    await checkpoints.tell()
    await checkpoints.tell()
    await log.aclose()
    (told,) = broker.published
    assert told.key == f"issuer.audit.checkpoint.{log.name}"
    assert data_of(told)["checkpoint"].encode() in log.path.read_bytes()
