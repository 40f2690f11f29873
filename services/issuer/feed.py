"""Reading the CA's status feed: one question for all orders that wait there, and for all copies of the issuer."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from services.issuer.model import FeedMark, Order
from services.issuer.ports import CertificateAuthority, FeedStore, OrderChange, OrderStore
from shared.clock import Clock
from shared.errors import ConflictError
from shared.messaging.schedule import milliseconds

log = structlog.get_logger()

MARK = "status-changes"
AT_ONCE = 500
"""How many orders are looked for in the ledger with one question."""


@dataclass(frozen=True)
class StatusFeed:
    """Has the orders looked at that the feed names.

    How far it was read is kept in the database: nothing is missed, however long nobody read it, and no two copies read
    it at the same time.
    """

    orders: OrderStore
    marks: FeedStore
    ca: CertificateAuthority
    offer: Callable[[Order], None]
    """Takes up an entry that became due."""
    clock: Clock
    poll: timedelta

    async def read(self, oldest_ms: int) -> None:
        """Read what changed since it was read last; nothing before `oldest_ms` matters to what waits now.

        Raises:
            NotNowError: the CA gave no answer; what changed is read later.
            UnavailableError: the database is away.
        """
        now_ms = milliseconds(self.clock.now().timestamp())
        mark = await self._claimed(now_ms, oldest_ms)
        if mark is None:
            return
        changes = await self.ca.changes(_instant(mark.seen_ms), _instant(now_ms))
        for each in _in_portions(changes):
            await self._wake(each)
        with contextlib.suppress(ConflictError):  # this took so long that another copy has read it meanwhile
            await self.marks.replace(mark.model_copy(update={"seen_ms": now_ms}))

    async def age(self, oldest_ms: int) -> timedelta:
        """How long ago it was read to its end; since `oldest_ms`, if nobody had a reason to read it before."""
        known = await self.marks.load(MARK)
        seen_ms = oldest_ms if known is None else max(known.seen_ms, oldest_ms)
        return max(self.clock.now() - _instant(seen_ms), timedelta(0))

    async def _claimed(self, now_ms: int, oldest_ms: int) -> FeedMark | None:
        """How far it was read, if it is this copy's turn to read on."""
        due = now_ms + milliseconds(self.poll.total_seconds())
        known = await self.marks.load(MARK)
        if known is None:
            first = FeedMark(id=MARK, seen_ms=oldest_ms, due=due)
            return first if await self.marks.insert(first) else None
        if known.due > now_ms:
            return None
        try:
            return await self.marks.replace(
                known.model_copy(update={"seen_ms": max(known.seen_ms, oldest_ms), "due": due})
            )
        except ConflictError:
            return None

    async def _wake(self, changes: Sequence[OrderChange]) -> None:
        """Make the entries due whose order has a status that they do not know yet."""
        now_ms = milliseconds(self.clock.now().timestamp())
        told = {change.order_id: change.status for change in changes}
        for order in await self.orders.pending(tuple(told)):
            status = None if order.order_id is None else told.get(order.order_id)
            if status in {None, order.ca_status, order.told_status}:
                continue
            try:
                woken = order.model_copy(update={"told_status": status, "waits": 0, "due": now_ms, "due_then": now_ms})
                self.offer(await self.orders.replace(woken))
            except ConflictError:
                log.debug("it is being looked at already", request=order.id)


def _in_portions(changes: Sequence[OrderChange]) -> Iterator[Sequence[OrderChange]]:
    for start in range(0, len(changes), AT_ONCE):
        yield changes[start : start + AT_ONCE]


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
