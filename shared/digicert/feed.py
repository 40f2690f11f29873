"""What to ask the CA's status feed, however long ago it was asked last, and what its answers say together.

The feed has two ways to name a time. Minutes and seconds reach from now up to seven days back. Ranges of dates reach
further, at most seven days each; they leave out an order that changed again after the range, which then stands in a
later one. So the answers of all ranges up to now name every order that changed.

Dates are in Mountain time, and nothing says whether a range includes its last day. Therefore ranges begin a day early
and overlap by a day, which makes both questions irrelevant.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from shared.digicert.models import StatusChange

REACH = timedelta(days=7)
"""How far back minutes and seconds reach."""
OVERLAP = timedelta(minutes=2)
"""By how much a look reaches back beyond the last one: the CA's clock and ours may differ."""
DAY = timedelta(days=1)
_RANGE = timedelta(days=6)

Query = Mapping[str, str | int]


def queries_since(last: datetime, now: datetime) -> tuple[Query, ...]:
    """What to ask so that no change after `last` is missed, in this order: one question, after a long time more."""
    seconds = int((now - last + OVERLAP).total_seconds()) + 1
    reach = int(REACH.total_seconds())
    if seconds <= reach:
        return ({"seconds": max(seconds, int(OVERLAP.total_seconds()))},)
    ranges = _ranges((last - OVERLAP - DAY).date(), (now - REACH + DAY).date())
    return (*({"filters[status_last_updated]": text} for text in ranges), {"seconds": reach})


def latest(changes: Iterable[StatusChange]) -> tuple[StatusChange, ...]:
    """Each order once, with the status that was told last."""
    return tuple({change.order_id: change for change in changes}.values())


def _ranges(first: date, last: date) -> Iterator[str]:
    """Ranges of at most seven days, both ends included, of which each begins on the last day of the one before."""
    while first < last:
        end = min(first + _RANGE, last)
        yield f"{first.isoformat()}...{end.isoformat()}"
        first = end
