"""Work driven by time: found by its state, claimed by compare-and-set with a lease, taken from each group in turn."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Generic, Protocol, TypeVar

import structlog

from shared.clock import Clock
from shared.errors import ConflictError, UnavailableError
from shared.messaging.gate import Gate

log = structlog.get_logger()

POLL_SECONDS = 2.0
BATCH = 50
ROOM = 16
"""How many pieces of one group wait in this process at most; the others wait in the database."""

EachT = TypeVar("EachT")


class Work(Protocol):
    """A piece of work, as far as its place in the queue goes."""

    @property
    def id(self) -> str:
        """What tells it from all others."""
        ...

    @property
    def approval_group(self) -> str | None:
        """Whose it is: no group waits for more than its turn because of another."""
        ...


WorkT = TypeVar("WorkT", bound=Work)
WorkT_co = TypeVar("WorkT_co", bound=Work, covariant=True)


def milliseconds(seconds: float) -> int:
    """Seconds, or a POSIX time in seconds, as whole milliseconds: the unit of `due`."""
    return round(seconds * 1000)


def in_turn(lanes: Iterable[Sequence[EachT]]) -> list[EachT]:
    """The first of each lane, then the second of each, and so on."""
    return [each for row in zip_longest(*lanes) for each in row if each is not None]


class DueWork(Protocol[WorkT_co]):
    """Finds what is due."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[WorkT_co]:
        """Up to `limit` pieces whose `due` is not later than now: of each group in turn the longest due."""
        ...


class Schedule(Generic[WorkT]):
    """Takes up due work, a few pieces at a time, each piece once in this process, each group in its turn.

    `advance` brings one piece one step further and stores it. It raises `ConflictError` when another copy was faster,
    and `UnavailableError` when a server is away; the work is then found again when it is due.
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
        every_seconds: float | None = None,
        before: Sequence[Gate] = (),
    ) -> None:
        """`gate` is the database's; `on_failure` is told when a step failed through a fault of ours.

        It looks for due work at least as often as `every_seconds`, if not as usual, and only while the gates `before`
        it are open.
        """
        self._store = store
        self._advance = advance
        self._clock = clock
        self._gate = gate
        self._before = before
        self._concurrency = concurrency
        self._on_done = on_done
        self._on_failure = on_failure
        self._every_seconds = POLL_SECONDS if every_seconds is None else every_seconds
        self._wake = asyncio.Event()
        self._lanes: dict[str | None, deque[WorkT]] = {}
        """What waits here, by group; the group whose turn it is stands first."""
        self._known: set[str] = set()
        """What waits here, is in hand, or rests after it failed."""
        self._left: set[str | None] = set()
        """The groups of which more is due than waits here."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def offer(self, work: WorkT) -> None:
        """Take up this piece without looking for it, when its group's turn comes; without room it is found later."""
        if self._closing or work.id in self._known:
            return
        lane = self._lanes.get(work.approval_group, deque())
        if len(lane) == ROOM:
            self._left.add(work.approval_group)
            return
        lane.append(work)
        self._lanes[work.approval_group] = lane
        self._known.add(work.id)
        self._go_on()

    async def run(self) -> None:
        """Look for due work until cancelled; what is in hand is finished by `finish`."""
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await self._wake.wait()

    async def finish(self, grace_seconds: float) -> None:
        """Let what is in hand finish within the grace period, then cancel it; every step is safe to repeat."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        for gate in (*self._before, self._gate):
            await gate.passed()
        now = milliseconds(self._clock.now().timestamp())
        try:
            found = await self._store.due(now, limit=BATCH)
        except UnavailableError as away:
            self._gate.close(away)
            return
        for work in found:
            self.offer(work)
        if len(found) == BATCH:
            self._left.update(work.approval_group for work in found)

    def _go_on(self) -> None:
        while self._lanes and len(self._tasks) < self._concurrency and not self._closing:
            work = self._next()
            task = asyncio.create_task(self._step(work), name=f"work {work.id}")
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _next(self) -> WorkT:
        """The piece whose turn it is; its group goes to the end of the line."""
        group, lane = next(iter(self._lanes.items()))
        del self._lanes[group]
        work = lane.popleft()
        if lane:
            self._lanes[group] = lane
        if group in self._left and len(lane) <= ROOM // 2:
            self._left.discard(group)
            self._wake.set()
        return work

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()

    async def _step(self, work: WorkT) -> None:
        if await self._try(work):
            self._known.discard(work.id)
        else:  # it is still due: not at once again, and not in the way of others
            asyncio.get_running_loop().call_later(POLL_SECONDS, self._known.discard, work.id)

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
