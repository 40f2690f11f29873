"""Sampling: a flood of the same news is logged now and then, with the number left out; counters count them all."""

from datetime import datetime, timedelta

EVERY = timedelta(seconds=1)
MOST_KINDS = 1_000
"""How many kinds of news are told apart at once; far more than there are."""


class Sampler:
    """Lets through the first news of each kind, and then at most one in every `EVERY`."""

    def __init__(self) -> None:
        self._last: dict[str, datetime] = {}
        self._left_out: dict[str, int] = {}

    def lets_through(self, kind: str, now: datetime) -> int | None:
        """How many of this kind were left out since the last one, or `None` to leave out this one as well."""
        last = self._last.get(kind)
        if last is not None and now - last < EVERY:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        if len(self._last) >= MOST_KINDS:
            self._last.clear()
        self._last[kind] = now
        return self._left_out.pop(kind, 0)
