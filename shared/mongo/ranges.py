"""Ranges of an index that are worth a page each, learned from the pages that were read before."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator

MOST_ENDS = 1_000
"""Of one list, remembered at once; without them nothing is lost but time."""


class Ranges:
    """Remembers where pages ended, so that the next ones are asked for by both their ends.

    MongoDB stops at a page's limit by itself. The stand-in reads a range of an index to its end before it looks at
    the limit: a range that ends where a page ended keeps it from reading a whole list for its first page.
    """

    def __init__(self) -> None:
        self._ends: dict[str, list[str]] = defaultdict(list)

    def after(self, name: str, begin: str) -> Iterator[str]:
        """The known ends in the list of this name that lie behind `begin`, in their order."""
        ends = self._ends[name]
        yield from ends[bisect_right(ends, begin) :]

    def learn(self, name: str, end: str) -> None:
        """A page of this list ended here."""
        ends = self._ends[name]
        if end not in ends and len(ends) < MOST_ENDS:
            insort(ends, end)

    def forget(self, name: str, end: str) -> None:
        """There is nothing in the range that ends here."""
        ends = self._ends[name]
        if end in ends:
            ends.remove(end)
