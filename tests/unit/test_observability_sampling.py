from datetime import timedelta

from shared.observability.sampling import EVERY, Sampler
from tests.world import NOW


def test_the_first_of_each_kind_is_logged_at_once() -> None:
    sampler = Sampler()
    assert sampler.lets_through("message.not-json", NOW) == 0
    assert sampler.lets_through("message.invalid", NOW) == 0


def test_a_flood_is_logged_once_in_a_while_with_the_number_left_out() -> None:
    sampler = Sampler()
    sampler.lets_through("message.not-json", NOW)
    flood = [sampler.lets_through("message.not-json", NOW + timedelta(milliseconds=step)) for step in range(500)]
    assert flood == [None] * 500
    assert sampler.lets_through("message.not-json", NOW + EVERY) == 500
    assert sampler.lets_through("message.not-json", NOW + 2 * EVERY) == 0


def test_no_number_of_kinds_fills_the_memory() -> None:
    sampler = Sampler()
    for number in range(5_000):
        sampler.lets_through(f"kind.{number}", NOW)
    assert len(sampler._last) <= 1_000
