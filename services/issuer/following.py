"""Following an order that the CA has and has not issued yet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from services.issuer.books import Books, group_of
from services.issuer.model import Order
from services.issuer.ports import APPROVAL_THERE, CertificateAuthority, NotNowError, PlacedOrder
from shared.contracts import events
from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.orders import OrderState
from shared.x509.certificate import identify_certificate

log = structlog.get_logger()

APPROVED_AGAIN_AFTER = timedelta(hours=1)
NOT_YET = "the CA has the order and has not issued yet"


@dataclass(frozen=True)
class Following:
    """Brings an order on at the CA, and waits for it."""

    books: Books
    ca: CertificateAuthority
    on_pending: Callable[[], None]
    """Told when an order begins to wait at the CA."""

    async def brought_on(self, placed: PlacedOrder) -> PlacedOrder:
        """The order after our key has approved it at the CA; or with the reasons why it waits there for people."""
        try:
            for approval in placed.approvals:
                await self.ca.approve(approval)
            if placed.approvals:
                placed = await self.ca.follow(placed.order_id)
        except NotNowError as not_now:
            if not_now.passes:
                return replace(placed, reasons=not_now.findings, is_ready=True)
            return replace(placed, reasons=(_waits_for_people(placed), *not_now.findings))
        return replace(placed, reasons=(_waits_for_people(placed),)) if placed.needs_approval else placed

    async def readable(self, placed: PlacedOrder) -> PlacedOrder:
        """The order as the CA answered; or, where that answer's chain can't be read, as the CA shows it now."""
        try:
            for certificate in placed.chain:
                identify_certificate(certificate)
        except RefusedError as garbled:
            log.warning("the CA's answer has a certificate that cannot be read; it is fetched", reason=str(garbled))
        else:
            return placed
        try:
            return await self.ca.follow(placed.order_id)
        except NotNowError as not_now:
            return replace(placed, chain=(), reasons=not_now.findings, is_ready=True)

    async def wait(self, order: Order, placed: PlacedOrder) -> None:
        """Store that it waits, and tell of it the first time.

        It is looked at again when the status feed names it, and once in a long while because the feed may be silent;
        soon, where a look should have brought more than it did; and each hour while it waits for approval there,
        because our key may have got the right.
        """
        soon = placed.is_ready or order.told_status not in {None, placed.status}
        safety = self.books.pace.safety
        rest = min(safety, APPROVED_AGAIN_AFTER) if placed.needs_approval else safety
        due = self.books.later(self.books.growing(order, safety) if soon else rest)
        update: dict[str, object] = {
            "state": OrderState.PENDING,
            "order_id": placed.order_id,
            "ca_status": placed.status,
            "findings": placed.reasons,
            "waits": order.waits + 1 if soon else 0,
        }
        if order.state is OrderState.PENDING:
            await self.books.keep(order, **update, due=due)
            return
        event = events.RequestOrdered(
            request_id=order.id,
            approval_group=group_of(order),
            order_id=placed.order_id,
            message=next((why.message for why in placed.reasons if why.code == APPROVAL_THERE), NOT_YET),
        )
        await self.books.tell(order, {**update, "due_then": due}, event, role="ordered")
        self.on_pending()


def _waits_for_people(placed: PlacedOrder) -> Finding:
    numbers = ", ".join(map(str, placed.approvals))
    what = f"request {numbers}" if numbers else "it"
    text = f"order {placed.order_id} waits for approval at the CA: somebody there must approve {what}"
    return finding(APPROVAL_THERE, text, value=numbers or None)
