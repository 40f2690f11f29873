"""The issuer's rounds: now and then it counts what waits, and reads the status feed if something waits at the CA."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.issuer.feed import StatusFeed
from services.issuer.ports import Backlog, OrderStore
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import OrderMetrics
from shared.vocabulary.orders import OPEN_ORDERS, OrderState

log = structlog.get_logger()

IDLE_SECONDS = 30.0
"""How long until the next round while nothing waits at the CA."""


@dataclass(frozen=True)
class Rounds:
    """Goes the rounds until cancelled."""

    orders: OrderStore
    feed: StatusFeed
    quota_used: Callable[[], Awaitable[dict[float, float]]]
    metrics: OrderMetrics
    clock: Clock
    gate: Gate
    """The database's."""
    poll_seconds: float
    on_failure: Callable[[], None]
    wake: asyncio.Event
    """Set when an order begins to wait at the CA: then no long rest is taken."""

    async def run(self) -> None:
        """Go on for ever; a fault of ours in one round does not keep the next from being gone."""
        while True:
            await self.gate.passed()
            self.wake.clear()
            if not await self._round():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self.wake.wait()
            await asyncio.sleep(self.poll_seconds)

    async def _round(self) -> bool:
        """One round; whether something waits at the CA."""
        try:
            backlog = await self.orders.backlog()
            self._count(backlog)
            self.metrics.quota(await self.quota_used())
            pending = backlog.get(OrderState.PENDING)
            age = timedelta(0) if pending is None else await self.feed.age(pending.oldest_ms)
            self.metrics.feed_read(age_seconds=age.total_seconds())
            if pending is not None:
                await self.feed.read(pending.oldest_ms)
        except UnavailableError as away:
            log.warning("a round was cut short", reason=str(away))
            if away.dependency == self.gate.name:
                self.gate.close(away)
            return True
        except Exception:
            log.exception("a round failed")
            self.on_failure()
            return True
        return pending is not None

    def _count(self, backlog: Mapping[OrderState, Backlog]) -> None:
        now_ms = milliseconds(self.clock.now().timestamp())
        for state in OPEN_ORDERS:
            found = backlog.get(state, Backlog(0, now_ms))
            self.metrics.waiting(state, found.count, oldest_seconds=max(0, now_ms - found.oldest_ms) / 1000)
