"""Filtering, sorting and paging the list of orders."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from tests.sandbox.catalogue import CONTAINER_ID, ORGANIZATION_ID
from tests.sandbox.errors import invalid_value
from tests.sandbox.state import Order

MAX_LIMIT = 1000

Query = Mapping[str, str]
Page = dict[str, int]
EntryT = TypeVar("EntryT")

_FILTERS: dict[str, Callable[[Order, str], bool]] = {
    "id": lambda order, wanted: wanted == str(order.id),
    "status": lambda order, wanted: order.status in {wanted, "expired" if wanted == "issued" else wanted},
    "organization_id": lambda _order, wanted: wanted == str(ORGANIZATION_ID),
    "container_id": lambda _order, wanted: wanted == str(CONTAINER_ID),
    "product_name_id": lambda order, wanted: wanted == order.product,
    "certificate_id": lambda order, wanted: wanted == str(order.current.id),
    "serial_number": lambda order, wanted: wanted.upper() == order.current.serial,
    "common_name": lambda order, wanted: _is_text(order.submission.certificate.common_name, wanted),
    "domain_name": lambda order, wanted: any(_is_text(name, wanted) for name in order.current.wanted.names),
    "search": lambda order, wanted: any(_is_text(name, wanted) for name in order.current.wanted.names),
    "date_created": lambda order, wanted: _is_date(order.created, wanted),
}


def listed(orders: Iterable[Order], query: Query, *, ignore_status: bool = False) -> list[Order]:
    """The orders that pass every filter that the sandbox knows, in the order asked for.

    `issued` includes what has expired, as documented.
    """
    wanted = {name: query[f"filters[{name}]"] for name in _FILTERS if f"filters[{name}]" in query}
    if ignore_status:
        wanted.pop("status", None)
    found = [order for order in orders if all(_FILTERS[name](order, value) for name, value in wanted.items())]
    return found[::-1] if query.get("sort", "").startswith("-") else found


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


def _is_text(text: str, wanted: str) -> bool:
    """Equal; or, behind a `%`, contained."""
    return wanted[1:] in text if wanted.startswith("%") else wanted == text


def _is_date(instant: float, wanted: str) -> bool:
    """`>A`, `<A`, `A...B` or the day itself, each a date or a timestamp in UTC."""
    if wanted.startswith(">"):
        return instant > _instant(wanted[1:])
    if wanted.startswith("<"):
        return instant < _instant(wanted[1:])
    if "..." in wanted:
        first, last = wanted.split("...", 1)
        return _instant(first) <= instant <= _instant(last)
    return datetime.fromtimestamp(instant, UTC).date().isoformat() == wanted


def _instant(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.lstrip("="))
    except ValueError:
        raise invalid_value("filters[date_created]") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
