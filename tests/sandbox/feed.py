"""The list of orders whose status changed."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone

from tests.sandbox.errors import ApiError, invalid_value, required
from tests.sandbox.listing import whole_number
from tests.sandbox.state import Order

MAX_SECONDS = 604_800
DATES = "filters[status_last_updated]"
MOUNTAIN = timezone(timedelta(hours=-6), "MDT")
"""The feed's dates are documented to be in MDT. Guessed: that this means six hours behind UTC in winter, too."""


def changed(orders: Iterable[Order], query: Mapping[str, str], now: float, *, includes_last_day: bool) -> list[Order]:
    """The orders whose status changed last within the time that the query names.

    With dates, an order that changed again after their end is missing, as documented.

    Raises:
        ApiError: no time is named, or more than a week.
    """
    first, last = _window(query, now, includes_last_day=includes_last_day)
    return [order for order in orders if first <= order.changed <= last and not order.seeded]


def _window(query: Mapping[str, str], now: float, *, includes_last_day: bool) -> tuple[float, float]:
    if DATES in query:
        first, last = _dates(query[DATES], includes_last_day=includes_last_day)
        seconds = last - first
    elif {"minutes", "seconds"} & query.keys():
        seconds = 60 * whole_number(query, "minutes", 0) + whole_number(query, "seconds", 0)
        first, last = now - seconds, now
    else:
        raise required("minutes")
    if seconds > MAX_SECONDS:
        raise ApiError(400, "time_frame_too_long", "The time frame is longer than a week.")
    return first, last


def _dates(text: str, *, includes_last_day: bool) -> tuple[float, float]:
    """`A...B` as instants, each a day or `2026-11-23 10:20:30`."""
    try:
        first, last = (datetime.fromisoformat(part).replace(tzinfo=MOUNTAIN) for part in text.split("..."))
    except ValueError:
        raise invalid_value(DATES) from None
    is_day = len(text.rsplit("...", maxsplit=1)[-1]) == len("2026-11-23")
    return first.timestamp(), (last + timedelta(days=int(is_day and includes_last_day))).timestamp()
