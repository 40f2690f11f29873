"""Keeps the tallies: a batch of requests at a time, as soon as many wait and after a while in any case."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from services.intake.ports import CountedRequests, TallyStore
from services.intake.tally import Tally, first_tally
from shared.errors import ConflictError, UnavailableError
from shared.messaging.gate import Gate
from shared.observability.metrics import RequestMetrics
from shared.vocabulary.names import ApprovalGroupName

log = structlog.get_logger()

BATCH = 100
"""How many requests are counted in one write, and how many changes make it worth while at once."""


class Changes:
    """Counts how often requests were written since the last look."""

    def __init__(self, many: int = BATCH) -> None:
        self._many = many
        self._seen = 0
        self._enough = asyncio.Event()

    def note(self) -> None:
        """A request was written."""
        self._seen += 1
        if self._seen >= self._many:
            self._enough.set()

    async def many(self, seconds: float) -> None:
        """Return when there were many, or so much time has passed, and count anew."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        self._seen = 0
        self._enough.clear()


@dataclass(frozen=True)
class Tallying:
    """Counts what waits in each group; any number of copies may do so at once, and each may die anywhere."""

    requests: CountedRequests
    tallies: TallyStore
    noted: dict[ApprovalGroupName, int] = field(default_factory=dict)
    """By group, the number of the newest batch of which this process has told every request."""

    async def advance(self, group: ApprovalGroupName) -> Tally:
        """Count one batch of this group; the tally after it, with an empty batch if nothing waits.

        Raises:
            ConflictError: another copy was faster.
            UnavailableError: the database is away.
        """
        tally = await self._ready(group)
        await self._tell(tally)
        waiting = await self.requests.untallied(group, limit=BATCH)
        if not waiting:
            return tally.model_copy(update={"batch": {}})
        counted = await self.tallies.replace(tally.counting(waiting))
        await self._tell(counted)
        return counted

    async def _ready(self, group: ApprovalGroupName) -> Tally:
        """The tally of which all requests from before its beginning are marked."""
        tally = await self.tallies.load(group)
        if tally is None:
            tally = first_tally(group)
            await self.requests.mark_all(group, begun=tally.begun)
            if not await self.tallies.insert(tally):
                raise ConflictError(f"another copy has just begun to count {group}")
        elif not tally.complete:
            await self.requests.mark_all(group, begun=tally.begun)
            tally = await self.tallies.replace(tally.model_copy(update={"complete": True}))
        return tally

    async def _tell(self, tally: Tally) -> None:
        """Tell the requests of the batch, unless this process has done so."""
        if tally.batch and self.noted.get(tally.id) != tally.number:
            await self.requests.note_tallied(tally)
            self.noted[tally.id] = tally.number


@dataclass(frozen=True)
class TallyRounds:
    """Goes from group to group until cancelled."""

    tallying: Tallying
    groups: Callable[[], Collection[ApprovalGroupName]]
    changes: Changes
    metrics: RequestMetrics
    gate: Gate
    """The database's."""
    every_seconds: float
    on_failure: Callable[[], None]

    async def run(self) -> None:
        """Go on for ever; a fault of ours in one round does not keep the next from being gone."""
        while True:
            await self.gate.passed()
            for group in self.groups():
                await self._count(group)
            await self.changes.many(self.every_seconds)

    async def _count(self, group: ApprovalGroupName) -> None:
        """Count everything that waits in this group."""
        try:
            while (tally := await self.tallying.advance(group)).batch:
                pass
        except ConflictError:
            log.debug("another copy counts", group=group)
        except UnavailableError as away:
            self.gate.close(away)
        except Exception:
            log.exception("counting failed", group=group)
            self.on_failure()
        else:
            self.metrics.counted(group, tally.counts)
