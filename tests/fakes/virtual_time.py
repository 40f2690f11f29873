"""An event loop whose time is its own: where all wait, it jumps to the instant at which somebody no longer does."""

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tests.world import NOW

ResultT = TypeVar("ResultT")


class _Jumping(selectors.DefaultSelector):
    """Never waits: what the loop would have waited for, is over."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.waited += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """For work that waits for time and for one another only, never for a socket or a thread."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.waited


@dataclass(frozen=True)
class VirtualClock:
    """The clock of the running virtual loop, which starts at `NOW`; whole milliseconds, as the machine's own."""

    ahead: timedelta = timedelta(0)
    """By how much it is wrong."""

    def now(self) -> datetime:
        elapsed = asyncio.get_running_loop().time()
        return NOW + self.ahead + timedelta(milliseconds=int(elapsed * 1000 + 1e-6))

    def seconds(self) -> float:
        """The same, in full, as seconds since 1970."""
        return NOW.astimezone(UTC).timestamp() + asyncio.get_running_loop().time()


def run_virtually(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run this in virtual time, to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
