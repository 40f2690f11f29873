"""What the lists of orders and of requests can be filtered and sorted by."""

from datetime import UTC, datetime, time

from tests.sandbox.catalogue import CONTAINER_ID, ORGANIZATION_ID
from tests.sandbox.listing import Listing, Test, has_text, is_date, is_equal, is_flag
from tests.sandbox.state import Order, Request

Entry = tuple[Order, Request]


def _has_status(wanted: str) -> Test[Order]:
    """`issued` includes what has expired, as documented."""
    statuses = {"issued", "expired"} if wanted == "issued" else {wanted}
    return lambda order: order.status in statuses


def _valid_till(order: Order) -> float | None:
    """The last day of validity, which an issued certificate has."""
    if order.current.issued is None:
        return None
    return datetime.combine(order.current.leaf.not_valid_after_utc, time.min, UTC).timestamp()


def _common_name(order: Order) -> str:
    return order.current.wanted.common_name


ORDERS: Listing[Order] = Listing(
    filters={
        "id": is_equal(lambda order: str(order.id)),
        "status": _has_status,
        "organization_id": is_equal(lambda _order: str(ORGANIZATION_ID)),
        "container_id": is_equal(lambda _order: str(CONTAINER_ID)),
        "product_name_id": is_equal(lambda order: order.product),
        "certificate_id": is_equal(lambda order: str(order.current.id)),
        "serial_number": lambda wanted: lambda order: order.current.serial == wanted.upper(),
        "common_name": has_text(lambda order: [_common_name(order)]),
        "domain_name": has_text(lambda order: order.current.wanted.names),
        "search": has_text(lambda order: [_common_name(order)]),  # and e-mail addresses, which no order here has
        "date_created": is_date(lambda order: order.created),
        "valid_till": is_date(_valid_till),
        "is_renewed": is_flag("0"),
        "disable_renewal_notifications": is_flag("0"),
    },
    # Guessed, but for `date_created`: clients were seen to use some, and no list of all could be had.
    sorts={
        "order_id": lambda order: (order.id, 0),
        "date_created": lambda order: (order.created, order.id),
        "valid_till": lambda order: (_valid_till(order) or 0, 0),
        "common_name": _common_name,
        "status": lambda order: order.status,
    },
)

REQUESTS: Listing[Entry] = Listing(
    filters={
        "type": is_equal(lambda entry: entry[1].type),
        "status": is_equal(lambda entry: entry[1].status),
        "container_id": is_equal(lambda _entry: str(CONTAINER_ID)),
        "search": has_text(lambda entry: [entry[0].submission.certificate.common_name]),
    },
)
