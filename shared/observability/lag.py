"""How long the event loop stands still: what everything in a process waits for when something does not let go."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram

EVERY_SECONDS = 0.05
_THREADS = Path("/proc/self/task")
_NANOSECONDS = 1e-9


def seconds_without_processor() -> float:
    """How long threads of this process were ready to run, and the machine let others run; 0 where nothing tells it.

    All of them count: a thread that holds the interpreter's lock when it loses the processor holds the loop up with it.
    """
    waited = 0
    with suppress(OSError):
        for thread in _THREADS.iterdir():
            with suppress(OSError, ValueError, IndexError):
                waited += int((thread / "schedstat").read_text().split()[1])
    return waited * _NANOSECONDS


class LoopLag:
    """Measures it again and again until cancelled.

    What a busy machine takes away from the process is no standstill of the loop, and is told apart.
    """

    def __init__(
        self, registry: CollectorRegistry, *, without_processor: Callable[[], float] = seconds_without_processor
    ) -> None:
        """`without_processor` tells how long this process had to wait so far."""
        self._lag = Histogram(
            "ra_event_loop_lag_seconds",
            "How much later than wanted the event loop came back, looked at twenty times a second.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
            registry=registry,
        )
        self._longest = Gauge(
            "ra_event_loop_longest_lag_seconds",
            "The longest that the event loop has stood still since the process began.",
            registry=registry,
        )
        self._longest_held = Gauge(
            "ra_event_loop_longest_held_seconds",
            "The same without the time for which the machine gave the process no processor.",
            registry=registry,
        )
        self._without_processor = without_processor
        self.longest = self.longest_held = 0.0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            begun, without = time.monotonic(), self._without_processor()
            await asyncio.sleep(EVERY_SECONDS)
            late = max(0.0, time.monotonic() - begun - EVERY_SECONDS)
            self.note(late, held=max(0.0, late - (self._without_processor() - without)))

    def note(self, seconds: float, *, held: float) -> None:
        """The event loop came back so much later than it was to; `held` of it is due to this process."""
        self._lag.observe(seconds)
        if seconds > self.longest:
            self.longest = seconds
            self._longest.set(seconds)
        if held > self.longest_held:
            self.longest_held = held
            self._longest_held.set(held)
