"""The duties bear witness of one another's audit logs: what one has told of its log, it can't take back alone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.audit_log.entries import EntryKind, Record
from shared.audit_log.writing import AuditLog
from shared.clock import Clock
from shared.contracts.audit import CHECKPOINT_OF, AuditLogCheckpoint, Checkpoint
from shared.errors import RefusedError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import Typ, payload_of, verify
from shared.messaging.auditing import AuditTrail
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_news
from shared.messaging.runtime import Routes, routes
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding


@dataclass(frozen=True)
class CheckpointHandler:
    """Writes another duty's word on its audit log into this duty's own, from where it can't be taken back."""

    audit: AuditTrail
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[AuditLogCheckpoint]) -> Outcome:
        """Handle the news."""
        token = message.data.checkpoint
        sender = Duty(message.sender)
        verify(token, Typ.CHECKPOINT, self.in_force.policy.duty_keys(sender), now=self.clock.now())
        said = Checkpoint.read(payload_of(token), code="audit-log.checkpoint-invalid")
        if said.duty is not sender or said.log != message.subject:
            raise RefusedError(finding("audit-log.checkpoint-invalid", "the checkpoint is of another log"))
        await self.audit.write(
            Record(kind=EntryKind.WITNESSED, identity=sender, subject=said.log, detail={"checkpoint": token})
        )
        return NOTHING


def witness_routes(duty: Duty, handler: CheckpointHandler) -> Routes:
    """By what a duty hears of the others' audit logs."""
    return routes(*((model, handler) for other, model in CHECKPOINT_OF.items() if other is not duty))


class Checkpoints:
    """Signs the duty's own log as it is, from time to time and at the end, and tells the others."""

    def __init__(
        self,
        duty: Duty,
        audit_log: AuditLog,
        publish: Callable[[Outgoing], Awaitable[None]],
        *,
        in_force: PolicyInForce,
        clock: Clock,
        every_seconds: float,
    ) -> None:
        """`every_seconds` is how long what is written stays untold at most, while the broker is there."""
        self._duty = duty
        self._audit_log = audit_log
        self._publish = publish
        self._in_force = in_force
        self._clock = clock
        self._every_seconds = every_seconds
        self._untold: str | None = None

    async def run(self) -> None:
        """Tell it again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            with contextlib.suppress(UnavailableError):
                await self.tell()

    async def tell(self) -> None:
        """Tell how far the log has come, if anything is new in it.

        Raises:
            UnavailableError: the log can't be written, or the broker is away.
        """
        self._untold = await self._audit_log.checkpoint() or self._untold
        if self._untold is None:
            return
        told = CHECKPOINT_OF[self._duty](checkpoint=self._untold)
        await self._publish(
            publish_news(
                told,
                about=self._audit_log.name,
                origin=self._untold,
                policy_serial=self._in_force.policy.serial,
                at=self._clock.now(),
            )
        )
        self._untold = None
