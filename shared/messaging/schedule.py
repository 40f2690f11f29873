"""Work driven by time: found by its state, claimed by compare-and-set with a lease."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from shared.clock import Clock
from shared.errors import ConflictError, UnavailableError
from shared.messaging.aggregate import Aggregate
from shared.messaging.gate import Gate

log = structlog.get_logger()

POLL_SECONDS = 2.0
BATCH = 50

WorkT = TypeVar("WorkT", bound=Aggregate)
WorkT_co = TypeVar("WorkT_co", bound=Aggregate, covariant=True)


def milliseconds(seconds: float) -> int:
    """Seconds, or a POSIX time in seconds, as whole milliseconds: the unit of `due`."""
    return round(seconds * 1000)


class DueWork(Protocol[WorkT_co]):
    """Finds what is due."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[WorkT_co]:
        """Up to `limit` aggregates whose `due` is not later than now."""
        ...


class Schedule(Generic[WorkT]):
    """Takes up due work, a few pieces at a time, each piece once in this process.

    `advance` brings one aggregate one step further and stores it. It raises `ConflictError` when another copy was
    faster, and `UnavailableError` when a server is away; the work is then found again when it is due.
    """

    def __init__(
        self,
        store: DueWork[WorkT],
        advance: Callable[[WorkT], Awaitable[None]],
        *,
        clock: Clock,
        gate: Gate,
        concurrency: int,
        on_done: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        """`gate` is the database's; `on_failure` is told when a step failed through a fault of ours."""
        self._store = store
        self._advance = advance
        self._clock = clock
        self._gate = gate
        self._slots = asyncio.Semaphore(concurrency)
        self._room = concurrency * 4
        self._on_done = on_done
        self._on_failure = on_failure
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resting = 0
        self._left_over = False
        self._closing = False

    def offer(self, work: WorkT) -> None:
        """Take up this piece now, without looking for it, if there is room; else it is found when its turn comes."""
        if self._closing:
            return
        if len(self._tasks) - self._resting < self._room:
            self._start(work)
        else:
            self._left_over = True

    async def run(self) -> None:
        """Look for due work until cancelled; what is in hand is finished by `finish`."""
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def finish(self, grace_seconds: float) -> None:
        """Let what is in hand finish within the grace period, then cancel it; every step is safe to repeat."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_seconds)
        for task in tuple(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        await self._gate.passed()
        now = milliseconds(self._clock.now().timestamp())
        try:
            found = await self._store.due(now, limit=BATCH)
        except UnavailableError as away:
            self._gate.close(away)
            return
        for work in found:
            self.offer(work)
        self._left_over = self._left_over or len(found) == BATCH

    def _start(self, work: WorkT) -> None:
        if work.id in self._tasks:
            return
        task = asyncio.create_task(self._step(work), name=f"work {work.id}")
        self._tasks[work.id] = task
        task.add_done_callback(lambda _: self._done(work.id))

    def _done(self, work_id: str) -> None:
        self._tasks.pop(work_id, None)
        self._look_for_what_was_left()

    def _look_for_what_was_left(self) -> None:
        if self._left_over:
            self._left_over = False
            self._wake.set()

    async def _step(self, work: WorkT) -> None:
        async with self._slots:
            went_well = await self._try(work)
        if went_well:
            return
        self._resting += 1  # it is still due: not at once again, and not in the way of others
        self._look_for_what_was_left()
        try:
            await asyncio.sleep(POLL_SECONDS)
        finally:
            self._resting -= 1

    async def _try(self, work: WorkT) -> bool:
        try:
            await self._advance(work)
        except ConflictError:
            log.debug("another copy was faster", id=work.id)
            return True
        except UnavailableError as away:
            log.warning("work waits", id=work.id, reason=str(away))
            if away.dependency == self._gate.name:
                self._gate.close(away)
            return False
        except Exception:
            log.exception("work failed", id=work.id)
            self._on_failure()
            return False
        self._on_done()
        return True
