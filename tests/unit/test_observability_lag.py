"""The event loop's standstills are counted, and the longest one is remembered, for whatever reason it stood still."""

import asyncio
import time
from contextlib import suppress

from prometheus_client import CollectorRegistry

from shared.observability.lag import EVERY_SECONDS, LoopLag, seconds_without_processor


def test_each_standstill_is_counted_and_the_longest_is_kept() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry)
    for seconds, held in ((0.004, 0.004), (0.3, 0.01), (0.02, 0.02)):
        lag.note(seconds, held=held)
    assert registry.get_sample_value("ra_event_loop_longest_lag_seconds") == 0.3
    assert registry.get_sample_value("ra_event_loop_longest_held_seconds") == 0.02
    assert registry.get_sample_value("ra_event_loop_lag_seconds_bucket", {"le": "0.1"}) == 2.0
    assert registry.get_sample_value("ra_event_loop_lag_seconds_count") == 3.0


async def _measured(lag: LoopLag, *, stands_still: float) -> None:
    measuring = asyncio.create_task(lag.run())
    await asyncio.sleep(EVERY_SECONDS / 2)
    time.sleep(stands_still)  # noqa: ASYNC251 - this is what is measured
    await asyncio.sleep(EVERY_SECONDS)
    measuring.cancel()
    with suppress(asyncio.CancelledError):
        await measuring


async def test_whatever_does_not_let_go_of_the_loop_counts() -> None:
    lag = LoopLag(CollectorRegistry())
    await _measured(lag, stands_still=0.3)
    assert lag.longest >= lag.longest_held >= 0.2


async def test_what_the_machine_gave_to_others_is_not_held() -> None:
    waited = iter(range(1000))
    lag = LoopLag(CollectorRegistry(), without_processor=lambda: float(next(waited)))
    await _measured(lag, stands_still=0.3)
    assert lag.longest >= 0.2
    assert lag.longest_held == 0.0


def test_what_threads_waited_for_the_processor_only_grows() -> None:
    before = seconds_without_processor()
    assert 0.0 <= before <= seconds_without_processor()
