"""Filtering, sorting and paging of the API's lists, whatever they list."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from tests.sandbox.errors import invalid_value

MAX_LIMIT = 1000

Query = Mapping[str, str]
Page = dict[str, int]
Key = str | tuple[float, int]
"""What entries are sorted by."""
EntryT = TypeVar("EntryT")
Test = Callable[[EntryT], bool]
Filter = Callable[[str], Test[EntryT]]
"""From the text in the query to what an entry must be; ValueError for a text that says nothing."""

_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_DAY = 86_400


@dataclass(frozen=True)
class Listing(Generic[EntryT]):
    """What a list can be filtered and sorted by."""

    filters: Mapping[str, Filter[EntryT]]
    sorts: Mapping[str, Callable[[EntryT], Key]] = field(default_factory=dict)

    def listed(self, entries: Iterable[EntryT], query: Query) -> list[EntryT]:
        """The entries that pass every filter, sorted as asked for.

        Raises:
            ApiError: `invalid_value:…` with the first filter or sort that the list does not have, or that says nothing.
        """
        tests = [self._test(name, text) for name, text in query.items() if name.startswith("filters")]
        found = [entry for entry in entries if all(test(entry) for test in tests)]
        for name in reversed(query["sort"].split(",") if "sort" in query else []):
            if name.removeprefix("-") not in self.sorts:
                raise invalid_value("sort")
            found.sort(key=self.sorts[name.removeprefix("-")], reverse=name.startswith("-"))
        return found

    def _test(self, name: str, text: str) -> Test[EntryT]:
        try:
            return self.filters[name.removeprefix("filters[").removesuffix("]")](text)
        except (KeyError, ValueError):
            raise invalid_value(name) from None


def is_equal(value: Callable[[EntryT], str]) -> Filter[EntryT]:
    return lambda wanted: lambda entry: value(entry) == wanted


def is_flag(value: str) -> Filter[EntryT]:
    """Of what every entry has alike: `1` or `0`."""

    def tested(wanted: str) -> Test[EntryT]:
        if wanted not in {"0", "1"}:
            raise ValueError(wanted)
        return lambda _entry: value == wanted

    return tested


def has_text(values: Callable[[EntryT], Iterable[str]]) -> Filter[EntryT]:
    """Equal to one of them; or, behind a `%`, contained in one."""

    def tested(wanted: str) -> Test[EntryT]:
        if wanted.startswith("%"):
            return lambda entry: any(wanted[1:] in text for text in values(entry))
        return lambda entry: wanted in values(entry)

    return tested


def is_date(value: Callable[[EntryT], float | None]) -> Filter[EntryT]:
    """Of an instant, which an entry may not have: see `_period`."""

    def tested(wanted: str) -> Test[EntryT]:
        is_inside = _period(wanted)

        def test(entry: EntryT) -> bool:
            instant = value(entry)
            return instant is not None and is_inside(instant)

        return test

    return tested


def _period(wanted: str) -> Callable[[float], bool]:
    """`>A`, `>=A`, `<A`, `<=A`, `A...B` or the day itself, each a date or a timestamp in UTC.

    Guessed: that a date means its beginning, at the end of a range, too.
    """
    for sign, holds in _COMPARISONS.items():
        if wanted.startswith(sign):
            bound = _instant(wanted.removeprefix(sign))
            return lambda instant: holds(instant, bound)
    first, dots, last = wanted.removeprefix("=").partition("...")
    start = _instant(first)
    if not dots:
        return lambda instant: instant // _DAY == start // _DAY
    end = _instant(last)
    return lambda instant: start <= instant <= end


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def paged(entries: Sequence[EntryT], query: Query, *, most: int = MAX_LIMIT) -> tuple[Sequence[EntryT], Page]:
    """One page, and where it stands in the whole."""
    limit = min(whole_number(query, "limit", most), most)
    offset = whole_number(query, "offset", 0)
    return entries[offset : offset + limit], {"total": len(entries), "limit": limit, "offset": offset}


def whole_number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise invalid_value(name)
    return int(text)
