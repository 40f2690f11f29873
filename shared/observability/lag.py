"""How long the event loop stands still: what everything in a process waits for when something does not let go."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Gauge, Histogram

EVERY_SECONDS = 0.05


class LoopLag:
    """Measures it again and again until cancelled."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        self.longest = 0.0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(EVERY_SECONDS)
            self.note(max(0.0, time.monotonic() - begun - EVERY_SECONDS))

    def note(self, seconds: float) -> None:
        """The event loop came back so much later than it was to."""
        self._lag.observe(seconds)
        if seconds > self.longest:
            self.longest = seconds
            self._longest.set(seconds)
