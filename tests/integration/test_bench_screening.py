"""The bench of screening, with the real linter; how fast it is is no matter here."""

from bench.screening import KEYS, measure


async def test_each_kind_of_key_is_measured_with_and_without_what_comes_before_the_lint() -> None:
    figures = await measure(rounds=3)
    assert [figure.at_most is not None for figure in figures] == [True, False, False] * len(KEYS)
    assert all(figure.value > 0 for figure in figures)
