"""The event loop's standstills are counted, and the longest one is remembered."""

from prometheus_client import CollectorRegistry

from shared.observability.lag import LoopLag


def test_each_standstill_is_counted_and_the_longest_is_kept() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry)
    for seconds in (0.004, 0.3, 0.02):
        lag.note(seconds)
    assert registry.get_sample_value("ra_event_loop_longest_lag_seconds") == 0.3
    assert registry.get_sample_value("ra_event_loop_lag_seconds_bucket", {"le": "0.1"}) == 2.0
    assert registry.get_sample_value("ra_event_loop_lag_seconds_count") == 3.0
