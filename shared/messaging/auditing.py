"""What the runtime writes into the audit log: each command, each event, each refusal; before anything follows of it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.audit_log.entries import EntryKind, Record
from shared.contracts.audit import CHECKPOINT_OF
from shared.contracts.catalogue import NEWS_OF
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.messages import EVENTS, Delivery, Outgoing, Received
from shared.messaging.ports import Publisher
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model, digest_of

CHECKPOINT_TYPES = frozenset(NEWS_OF[model].name for model in CHECKPOINT_OF.values())
"""Of the messages that tell of the log itself, which are not told of in it again."""


class AuditTrail(Protocol):
    """Where it is written down."""

    async def write(self, *records: Record) -> None:
        """Return when these are written and can't be lost, however long that takes."""
        ...


@dataclass(frozen=True)
class GatedTrail:
    """An audit log that, while it can't be written, holds up what would be written, and with its gate all new work."""

    write_down: Callable[..., Awaitable[None]]
    gate: Gate

    async def write(self, *records: Record) -> None:
        """Return when these are written."""
        while True:
            await self.gate.passed()
            try:
                await self.write_down(*records)
            except UnavailableError as away:
                self.gate.close(away)
            else:
                return


@dataclass(frozen=True)
class AuditedPublisher:
    """Publishes, and writes down each event of the duty before it goes out."""

    duty: Duty
    publisher: Publisher
    audit: AuditTrail

    async def publish(self, message: Outgoing) -> None:
        """Publish as the publisher beneath does."""
        if message.exchange == EVENTS and message.type not in CHECKPOINT_TYPES:
            await self.audit.write(_told(self.duty, message))
        await self.publisher.publish(message)

    async def park(self, body: bytes, headers: dict[str, str]) -> None:
        """Park as the publisher beneath does."""
        await self.publisher.park(body, headers)

    async def put_by(self, body: bytes, headers: dict[str, str]) -> None:
        """Put by as the publisher beneath does."""
        await self.publisher.put_by(body, headers)


def _told(duty: Duty, message: Outgoing) -> Record:
    return Record(
        kind=EntryKind.TOLD,
        identity=duty,
        subject=json.loads(message.body)["subject"],
        detail={"type": message.type, "message": message.id, "body": digest_of(message.body.encode())},
    )


def handled(delivery: Delivery, message: Received[Model], result: str, findings: Sequence[Finding] = ()) -> Record:
    """What became of a message that could be read."""
    detail = {"type": message.type, "message": message.id, "result": result, "body": digest_of(delivery.body)}
    if findings:
        detail["findings"] = _codes(findings)
    kind = EntryKind.COMMAND if message.order == 0 and message.policy_serial == 0 else EntryKind.EVENT
    return Record(kind=kind, identity=message.sender, subject=message.subject, detail=detail)


def unreadable(delivery: Delivery, findings: Sequence[Finding]) -> Record:
    """What became of a message that could not be read, or that its sender may not send."""
    detail = {"result": "refused", "body": digest_of(delivery.body), "findings": _codes(findings)}
    return Record(kind=EntryKind.COMMAND, identity=(delivery.sender or "")[:255], detail=detail)


def _codes(findings: Sequence[Finding]) -> str:
    return " ".join(sorted({found.code for found in findings}))
