"""How many mails each sender's requests may cause to addresses that they name."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)
"""What is beyond the allowance waits for as long, so that a flood of it costs one write an hour each."""


class Allowance:
    """Counts, in this process, the mails of the last hour."""

    def __init__(self, per_hour: int, now: Callable[[], datetime]) -> None:
        self._per_hour = per_hour
        self._now = now
        self._sent: dict[str, deque[datetime]] = {}

    def left(self, sender: str) -> int:
        """How many more there may be now."""
        return max(0, self._per_hour - len(self._counting(sender)))

    def spend(self, sender: str, count: int) -> None:
        """So many are going to be sent now: said before anything is awaited, so that nobody else spends the same."""
        self._counting(sender).extend([self._now()] * count)

    def give_back(self, sender: str, count: int) -> None:
        """So many of those were not sent."""
        sent = self._counting(sender)
        for _ in range(min(count, len(sent))):
            sent.pop()

    def _counting(self, sender: str) -> deque[datetime]:
        """Those of this sender that still count."""
        sent = self._sent.setdefault(sender, deque())
        while sent and sent[0] + WINDOW <= self._now():
            sent.popleft()
        return sent
