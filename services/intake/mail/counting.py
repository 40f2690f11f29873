"""Counting, now and then, the mails that wait."""

import asyncio
from dataclasses import dataclass

from services.intake.mail.ports import Backlog, MailStore
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import MailMetrics

EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class MailCount:
    """Counts until cancelled."""

    requests: MailStore
    database: Gate
    metrics: MailMetrics
    clock: Clock

    async def run(self) -> None:
        """Go on for ever; that the database is away is told by its own metric."""
        while True:
            await self.database.passed()
            try:
                await self.count()
            except UnavailableError as away:
                self.database.close(away)
            await asyncio.sleep(EVERY_SECONDS)

    async def count(self) -> None:
        """Count once.

        Raises:
            UnavailableError: the database is away.
        """
        now_ms = milliseconds(self.clock.now().timestamp())
        found = await self.requests.mail_backlog() or Backlog(0, now_ms)
        self.metrics.waiting(found.count, oldest_seconds=max(0, now_ms - found.oldest_ms) / 1000)
