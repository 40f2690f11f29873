"""What can be asked of the CA: everything that a view-only API key is good for."""

from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Final

import structlog

from shared.digicert import feed
from shared.digicert.answers import chain_in, parsed
from shared.digicert.errors import CaGarbledError, CaRefusedError
from shared.digicert.models import (
    AlternateOrder,
    AlternateOrders,
    CertificateInfo,
    Copies,
    Intermediate,
    Intermediates,
    OrderInfo,
    OrderPage,
    Product,
    ProductLimits,
    StatusChange,
    StatusChanges,
)
from shared.digicert.transport import CaConnection, Call, segment
from shared.vocabulary.names import CertificateId, OrderId

log = structlog.get_logger()

MAX_FEED_MINUTES: Final = 10_080
MAX_PAGE: Final = 1000
MAX_ALTERNATES: Final = 5000
MAX_CHANGES: Final = 100_000
MAX_READINGS: Final = 10
FEED: Final = "order.changes"
_NOT_FOUND: Final = 404


class DigiCertReader(CaConnection):
    """Asks the CA, and cannot change anything there.

    Every method raises `CaRefusedError` where the CA says no and `CaUnavailableError` where it gives no usable
    answer. Nothing is ever sent twice: retrying is the caller's decision.
    """

    async def order(self, order: OrderId | str) -> OrderInfo:
        """The order with this number, or whose primary certificate has this serial number or thumbprint.

        A thumbprint is the SHA-1 of the DER in hexadecimal; for a serial number see `serial_number_text`.
        """
        path = f"/order/certificate/{segment(order)}"
        return await self._answer(Call("order.info", "GET", path), lambda reply: parsed(OrderInfo, reply))

    async def order_if_there(self, order: OrderId) -> OrderInfo | None:
        """The same; None where the CA has no such order, or none that this key may see."""
        try:
            return await self.order(order)
        except CaRefusedError as error:
            if _is_missing(error):
                return None
            raise

    async def reissues(self, order: OrderId) -> tuple[CertificateInfo, ...]:
        """The certificates by which this order's first one was replaced."""
        return await self._copies("order.reissues", order, "reissue")

    async def duplicates(self, order: OrderId) -> tuple[CertificateInfo, ...]:
        """The certificates that stand beside the order's own."""
        return await self._copies("order.duplicates", order, "duplicate")

    async def orders(
        self, *, offset: int = 0, limit: int = MAX_PAGE, filters: Mapping[str, str] | None = None
    ) -> OrderPage:
        """One page of the account's orders, oldest first; filters, `{"status": "issued"}`, are the CA's.

        The CA's filter `issued` includes expired orders, and its filters on the status have been seen to be ignored:
        look at what comes back.
        """
        params = {f"filters[{name}]": value for name, value in (filters or {}).items()}
        call = Call(
            "order.list",
            "GET",
            "/order/certificate",
            params={"limit": limit, "offset": offset, "sort": "date_created", **params},
        )
        return await self._answer(call, lambda reply: parsed(OrderPage, reply))

    async def all_orders(
        self, *, filters: Mapping[str, str] | None = None, page_size: int = MAX_PAGE
    ) -> AsyncIterator[OrderInfo]:
        """Every order of the account, each once, oldest first, page by page as they are consumed.

        Orders that are placed meanwhile come at the end, or are missing. The end is where a page brings nothing new.
        """
        seen: set[OrderId] = set()
        offset = 0
        while True:
            page = await self.orders(offset=offset, limit=page_size, filters=filters)
            new = [order for order in page.orders if order.order_id not in seen]
            for order in new:
                seen.add(order.order_id)
                yield order
            offset += len(page.orders)
            if not new or offset >= page.page.total:
                return

    async def orders_by_alternative_id(self, alternative_order_id: str) -> tuple[AlternateOrder, ...]:
        """Every order that the CA shows under this id.

        None now need not mean none: how long the look-up lags behind an order is documented nowhere. Neither is it
        that every product keeps the id, nor that the CA lets it be used once only; `orders_with` is a second opinion.
        A 404 of the order is none; a 404 of the route is an error, because it would say nothing about orders.
        """
        found: list[AlternateOrder] = []
        while True:
            page = await self._alternates(alternative_order_id, offset=len(found))
            found.extend(page.orders)
            if not page.orders or len(found) >= min(page.page.total, MAX_ALTERNATES):
                return tuple(dict.fromkeys(found))

    async def orders_with(
        self, alternative_order_id: str, *, common_name: str, csr: str | None, created_from: date
    ) -> tuple[OrderInfo, ...]:
        """The orders of this name, created since the day before, that carry our id or our CSR.

        Found over the list and each order's own page: one call, and one more for each order of that name.
        """
        filters = {"common_name": common_name, "date_created": f">{created_from - feed.DAY}"}
        found = [await self.order(order.order_id) async for order in self.all_orders(filters=filters)]
        return tuple(
            info
            for info in found
            if info.alternative_order_id == alternative_order_id or _same_text(info.certificate.csr, csr)
        )

    async def status_changes(self, minutes: int) -> tuple[StatusChange, ...]:
        """The orders whose status changed within the last so many minutes, at most `MAX_FEED_MINUTES`."""
        if not 1 <= minutes <= MAX_FEED_MINUTES:
            raise ValueError(f"the feed reaches back 1 to {MAX_FEED_MINUTES} minutes, not {minutes}")
        return await self._changes({"minutes": minutes})

    async def status_changes_since(self, last: datetime, now: datetime) -> tuple[StatusChange, ...]:
        """Every order whose status changed after `last`, with its newest status: one call for up to seven days.

        Beyond that it is one call for each further six days. An order may be named although nothing changed.
        """
        changes = [change for query in feed.queries_since(last, now) for change in await self._changes(query)]
        return feed.latest(changes)

    async def chain(self, certificate_id: CertificateId) -> tuple[bytes, ...]:
        """The certificate and its CAs in DER, leaf first, as sent: verifying is the caller's.

        Mostly three certificates with the root last; cross-signed roots make it four or five.
        """
        path = f"/certificate/{segment(certificate_id)}/download/format/pem_all"
        return await self._answer(Call("certificate.download", "GET", path), chain_in)

    async def chain_if_there(self, certificate_id: CertificateId) -> tuple[bytes, ...] | None:
        """The same; None while the download does not know the certificate, which may lag behind its order."""
        try:
            return await self.chain(certificate_id)
        except CaRefusedError as error:
            if _is_missing(error):
                return None
            raise

    async def product(self, name_id: str, *, container_id: int | None = None) -> Product:
        """What the CA says of this product to this key, in this container if one is named."""
        path = f"/product/{segment(name_id)}"
        params = None if container_id is None else {"container_id": container_id}
        return await self._answer(Call("product.info", "GET", path, params), lambda reply: parsed(Product, reply))

    async def product_limits(self, container_id: int) -> ProductLimits:
        """How this container limits its products."""
        path = f"/container/{segment(container_id)}/product-limits"
        return await self._answer(Call("product.limits", "GET", path), lambda reply: parsed(ProductLimits, reply))

    async def intermediates(self) -> tuple[Intermediate, ...]:
        """The intermediates that the account's products can meet."""
        call = Call("intermediate.list", "GET", "/certificate/intermediates")
        return (await self._answer(call, lambda reply: parsed(Intermediates, reply))).intermediates

    async def _copies(self, endpoint: str, order: OrderId, kind: str) -> tuple[CertificateInfo, ...]:
        """None where the CA does not know of any."""
        call = Call(endpoint, "GET", f"/order/certificate/{segment(order)}/{kind}")
        try:
            return (await self._answer(call, lambda reply: parsed(Copies, reply))).certificates
        except CaRefusedError as error:
            if _is_missing(error):
                return ()
            raise

    async def _changes(self, query: feed.Query) -> tuple[StatusChange, ...]:
        """Everything that one question brings.

        What is asked for changes while it is read: an order leaves it as time passes, or when it changes again, and
        those behind it move up past the next page's beginning. So what has pages is read until a reading brings nothing
        new, and all its pages speak of the same total.
        """
        known: dict[StatusChange, None] = {}
        for _ in range(MAX_READINGS):
            changes, totals = await self._reading(query)
            read = dict.fromkeys(changes)
            is_new = not read.keys() <= known.keys()
            known = {change: None for change in known if change not in read} | read
            if len(totals) == 1 or (len(set(totals)) == 1 and not is_new):
                return tuple(known)
        raise CaGarbledError(FEED, "a list that was another one each time it was read", maybe_done=False)

    async def _reading(self, query: feed.Query) -> tuple[list[StatusChange], list[int]]:
        """All pages of one question, and each page's total; the first has everything unless it speaks of more."""
        found: list[StatusChange] = []
        totals: list[int] = []
        lines = 0
        while True:
            params = {**query, "offset": lines} if lines else query
            call = Call(FEED, "GET", "/order/certificate/status-changes", params)
            page = await self._answer(call, lambda reply: parsed(StatusChanges, reply), result=_how_readable)
            found.extend(page.orders)
            lines += page.lines
            totals.append(page.page.total)
            if page.left_out:
                log.warning("lines of the status feed name no order", left_out=page.left_out)
            if not page.lines or lines >= page.page.total:
                return found, totals
            if lines >= MAX_CHANGES:
                raise CaGarbledError(FEED, f"more than {MAX_CHANGES} orders at once", maybe_done=False)

    async def _alternates(self, alternative_order_id: str, *, offset: int) -> AlternateOrders:
        call = Call(
            "order.alternate",
            "GET",
            f"/order/alternate/{segment(alternative_order_id)}",
            params={"limit": MAX_PAGE, "offset": offset},
        )
        try:
            return await self._answer(call, lambda reply: parsed(AlternateOrders, reply))
        except CaRefusedError as error:
            if _is_missing(error):
                return AlternateOrders()
            raise


def _how_readable(page: StatusChanges) -> str:
    return "odd-lines" if page.left_out else "ok"


def _is_missing(error: CaRefusedError) -> bool:
    """Whether the CA does not know the thing; not where it does not know the call."""
    return error.status == _NOT_FOUND and "not_found|route" not in error.codes


def _same_text(shown: str | None, sent: str | None) -> bool:
    """Whether two PEM texts are the same but for their line ends."""
    return shown is not None and sent is not None and shown.split() == sent.split()
