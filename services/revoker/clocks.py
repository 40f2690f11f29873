"""The clocks of revocations that are not carried out yet: how much of the time allowed is over (BR 4.9.1.1)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from services.revoker.ports import CertificateStore, Running
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.observability.metrics import RevocationMetrics
from shared.vocabulary.names import RequestId

log = structlog.get_logger()

MARKS = (50, 80, 100)
"""Hundredths of the time allowed at which operators are told."""


@dataclass(frozen=True)
class ClockRounds:
    """Looks at all clocks now and then, until cancelled."""

    certificates: CertificateStore
    metrics: RevocationMetrics
    clock: Clock
    gate: Gate
    """The database's."""
    every_seconds: float
    on_failure: Callable[[], None]
    told: dict[RequestId, int] = field(default_factory=dict)
    """The latest mark of each that operators were told of by this process."""

    async def run(self) -> None:
        """Go on for ever; a fault of ours in one round does not keep the next from being gone."""
        while True:
            await self.gate.passed()
            try:
                await self.look()
            except UnavailableError as away:
                self.gate.close(away)
            except Exception:
                log.exception("a round failed")
                self.on_failure()
            await asyncio.sleep(self.every_seconds)

    async def look(self) -> None:
        """One round.

        Raises:
            UnavailableError: the database is away.
        """
        now = self.clock.now()
        running = [each for each in await self.certificates.running() if each.until >= now]
        used = {each.id: each.used(now) for each in running}
        self.metrics.clocks(used.values(), MARKS)
        for gone in self.told.keys() - used.keys():
            del self.told[gone]
        for each in running:
            self._tell(each, max((mark for mark in MARKS if used[each.id] * 100 >= mark), default=0))

    def _tell(self, running: Running, mark: int) -> None:
        if mark <= self.told.get(running.id, 0):
            return
        self.told[running.id] = mark
        say = log.error if mark == MARKS[-1] else log.warning
        say("revocation clock", request=running.id, used=f"{mark} %", deadline=running.deadline.isoformat())
