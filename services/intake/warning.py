"""Warning of certificates that are about to expire."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.intake.announcing import Announced, Announcer
from services.intake.expiry import next_warning, warning_now
from services.intake.model import RequestRecord
from services.intake.ports import RequestStore
from shared.clock import Clock
from shared.messaging.messages import Outgoing


@dataclass(frozen=True)
class ExpiryWarnings:
    """Tells the requesters, once for each warning; of several that were missed, of the nearest alone.

    The notices are published before the record is written: then it is due no more. Repeated, they have the same ids.
    """

    requests: RequestStore
    announcer: Announcer
    publish: Callable[[Outgoing], Awaitable[None]]
    clock: Clock

    async def due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` requests whose requesters are to be warned by now."""
        return await self.requests.warn_due(now_ms, limit=limit)

    async def advance(self, record: RequestRecord) -> None:
        """Give the warning that holds now, and note when the next one comes.

        Raises:
            ConflictError: another copy was faster, or something else happened to the request.
            UnavailableError: the database or the broker is away.
        """
        now = self.clock.now()
        days = warning_now(record.not_after, now=now)
        announced = Announced(record) if days is None else self.announcer.expiring(record, days)
        for notice in announced.notices:
            await self.publish(notice)
        following = next_warning(record.not_after, now=now)
        await self.requests.replace(announced.record.model_copy(update={"warn_due": following}))
