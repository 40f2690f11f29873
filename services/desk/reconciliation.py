"""What was published and what the CA has, against each other: pure, no clock, no I/O."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.desk.published import Fact, PublishedCertificate
from shared.digicert.models import OrderInfo, OrderStatus
from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupField, CertificateId, OrderId, RequestIdField
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr

KINDS = (
    "orphan",
    "duplicate",
    "unknown-to-ca",
    "differs",
    "quarantined",
    "unproven",
    "overdue",
    "in-flight",
    "partial",
)
"""What a discrepancy's code may end in, after `reconcile.`."""

ENDED = frozenset(
    {OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.REVOKED, OrderStatus.EXPIRED, "denied"},
)
"""Statuses of an order of which nothing is valid any more, and nothing will be."""
SOUND = frozenset({OrderStatus.ISSUED, OrderStatus.EXPIRED})
WAITING = frozenset({State.PENDING, State.APPROVED, State.ORDERED})
"""States of a request whose order may be under way; intake may not have heard of the approval yet."""
FURTHER = frozenset({"reissue", "duplicate"})
"""The CA's own requests by which an order comes to another certificate."""


class Discrepancy(Model):
    """Something that is not as it should be, or that should be looked at, and what to do about it."""

    finding: Finding
    proposal: str
    approval_group: ApprovalGroupField | None = None
    request_id: RequestIdField | None = None
    order_id: int | None = None
    certificate_id: int | None = None


@dataclass(frozen=True)
class Patience:
    """How young something is that may still be under way."""

    now: datetime
    grace: timedelta

    def covers(self, text: str | None) -> bool:
        """Whether this moment, in ISO 8601, was within the grace; one that can't be read was not."""
        moment = moment_of(text)
        return moment is not None and not self.is_over(moment)

    def is_over(self, moment: datetime | None) -> bool:
        """Whether this moment is known and was before the grace."""
        return moment is not None and self.now - moment >= self.grace


def moment_of(text: str | None) -> datetime | None:
    """A moment as the CA writes it; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def unproven(request_id: RequestIdField, group: ApprovalGroupField, refused: RefusedError) -> Discrepancy:
    """What intake shows of a request does not hold by the duties' signatures."""
    reasons = "; ".join(found.message for found in refused.findings)
    return Discrepancy(
        finding=finding(
            "reconcile.unproven", f"what was published of this request does not hold: {reasons}", value=request_id
        ),
        proposal="Check its evidence with the anchor of that time. If it holds there, use --since; if it does not, "
        "somebody has a duty's key or database.",
        approval_group=group,
        request_id=request_id,
    )


def to_look_at(
    facts: Collection[Fact],
    listed: Mapping[OrderId, OrderInfo],
    *,
    known: Collection[OrderId],
    now: datetime,
    quick: bool,
) -> list[OrderId]:
    """The orders whose own page must be seen: the list of orders says less, and may leave some out.

    Not `quick`, these are all that have a valid certificate of ours: only there it shows whether somebody had another
    one made within the order, or has revoked the certificate alone.
    """
    ours = {fact.order_id: fact for fact in facts if fact.order_id is not None}
    strange = [order_id for order_id in listed if order_id not in ours and order_id not in known]
    doubtful = [
        order_id
        for order_id, fact in ours.items()
        if order_id not in listed or _is_doubtful(fact, listed[order_id], now=now, quick=quick)
    ]
    return sorted({*strange, *doubtful})


def _is_doubtful(fact: Fact, entry: OrderInfo, *, now: datetime, quick: bool) -> bool:
    certificate = fact.certificate
    if certificate is None:
        return True
    if certificate.not_after < now or (certificate.is_revoked and _is_revoked(entry)):
        return False
    return certificate.is_revoked or not quick


def reconcile(
    facts: Sequence[Fact],
    orders: Mapping[OrderId, OrderInfo],
    *,
    known: Collection[OrderId],
    patience: Patience,
    complete: bool,
) -> list[Discrepancy]:
    """Everything in which what was published and what the CA has are not the same.

    Args:
        facts: of all requests that may be seen.
        orders: what the CA has, as far as `to_look_at` asked for it with each order's own page.
        known: orders that belong to others, or that somebody has dealt with; they are no orphans and no duplicates.
        patience: for what may still be under way.
        complete: whether these are the facts of all requests; if not, an order without a request may be anybody's.
    """
    return [
        *_published_twice(facts),
        *(found for fact in facts for found in _check_published(fact, orders, patience)),
        *_check_unpublished(facts, orders, known=known, patience=patience, complete=complete),
    ]


def _published_twice(facts: Sequence[Fact]) -> Iterator[Discrepancy]:
    first: dict[OrderId, Fact] = {}
    for fact in facts:
        if fact.order_id is not None and first.setdefault(fact.order_id, fact) is not fact:
            other = first[fact.order_id].request_id
            yield _differs(
                fact,
                f"the order was published for request {other}, too",
                "Look at both requests: the issuer has ordered for one of them at most.",
            )


def _check_published(fact: Fact, orders: Mapping[OrderId, OrderInfo], patience: Patience) -> Iterator[Discrepancy]:
    if fact.order_id is None:
        return
    order = orders.get(fact.order_id)
    if order is None:
        yield _about(
            fact,
            finding("reconcile.unknown-to-ca", "the CA has no such order", value=fact.order_id),
            "See that the key may look at the whole account. If it may, the issuer told of an order that it did not "
            "place there: revoke the certificate, and find out where it comes from.",
        )
    elif fact.certificate is not None:
        yield from _check_certificate(fact, fact.certificate, order, patience.now)
    elif fact.state is State.FAILED:
        yield from _check_failed(fact, order)
    else:
        yield from _check_announced(fact, order, patience)


def _check_certificate(
    fact: Fact, certificate: PublishedCertificate, order: OrderInfo, now: datetime
) -> Iterator[Discrepancy]:
    yield from _check_identity(fact, certificate, order)
    revoked = _is_revoked(order)
    if revoked and not certificate.is_revoked:
        yield _differs(
            fact,
            "it is revoked at the CA and counts as good here",
            "Ask who revoked it at DigiCert, past the revoker. Then have it revoked here, too: ra revoke.",
        )
    elif certificate.is_revoked and not revoked and order.status not in ENDED and now <= certificate.not_after:
        yield _differs(
            fact, "it is revoked here and good at the CA", f"Revoke {_certificate_of(order)} at DigiCert at once."
        )
    elif not revoked and order.status not in SOUND:
        yield _differs(fact, f"it is issued here, and {order.status} at the CA", _undo(order))
    elif certificate.is_quarantined and not revoked and now <= certificate.not_after:
        found = finding(
            "reconcile.quarantined",
            "the certificate is not what was approved, and is good at the CA",
            value=order.order_id,
            severity=Severity.WARNING,
        )
        yield _about(fact, found, "Find out how it came to differ, and have it revoked: ra revoke.")


def _check_identity(fact: Fact, certificate: PublishedCertificate, order: OrderInfo) -> Iterator[Discrepancy]:
    """Whether the CA shows the very certificate that was published, and no other beside it."""
    shown = order.certificate
    who = "Ask at DigiCert who did that with which key."
    if shown.certificate_id not in {None, certificate.certificate_id}:
        yield _differs(
            fact, f"the CA shows certificate {shown.certificate_id} in place of ours", f"{who} {_undo(order)}"
        )
    elif shown.serial_number is not None and _number(shown.serial_number) != certificate.serial:
        yield _differs(fact, f"the CA shows the serial number {shown.serial_number}", f"{who} {_undo(order)}")
    if order.alternative_order_id not in {None, certificate.alternative_order_id}:
        yield _differs(fact, f"the CA has it under the id {order.alternative_order_id}", who)
    if order.product is not None and order.product.name_id != fact.product:
        yield _differs(fact, f"it is the product {order.product.name_id}, not {fact.product}", who)
    for request in order.requests:
        if request.type in FURTHER and request.status != OrderStatus.REJECTED:
            yield _differs(
                fact,
                f"a {request.type} was asked for, by the CA's request {request.request_id}",
                f"{who} No duty does: revoke the certificate that came of it.",
            )


def _check_failed(fact: Fact, order: OrderInfo) -> Iterator[Discrepancy]:
    if order.status not in ENDED:
        yield _differs(fact, f"it failed here, and is {order.status} at the CA", _undo(order), order)


def _check_announced(fact: Fact, order: OrderInfo, patience: Patience) -> Iterator[Discrepancy]:
    """An order that was announced and is not issued as far as was published; the CA may have just done so."""
    if not _is_for(fact, order):
        yield _differs(fact, "the CA has it for another CSR, or other names", f"{_ask_who(order)} {_undo(order)}")
    elif order.status == OrderStatus.ISSUED or order.status in ENDED:
        yield _under_way(fact, order, f"it is {order.status} at the CA", order.certificate.date_issued, patience)


def _under_way(fact: Fact, order: OrderInfo, what: str, moment: str | None, patience: Patience) -> Discrepancy:
    """Something at the CA that is not published yet, since this moment or else since the order was created."""
    if patience.covers(moment or order.date_created):
        found = finding(
            "reconcile.in-flight",
            f"{what}, and that is not published yet",
            value=order.order_id,
            severity=Severity.NOTE,
        )
        return _about(fact, found, "Nothing is to be done; look again at the next run.", order)
    found = finding(
        "reconcile.overdue",
        f"{what}, and that should have been published by now",
        value=order.order_id,
        severity=Severity.WARNING,
    )
    return _about(fact, found, "Look at the issuer's log and ledger: does it run, and reach CA and broker?", order)


def _check_unpublished(
    facts: Sequence[Fact],
    orders: Mapping[OrderId, OrderInfo],
    *,
    known: Collection[OrderId],
    patience: Patience,
    complete: bool,
) -> Iterator[Discrepancy]:
    owners = _Owners(facts, orders)
    published = {fact.order_id for fact in facts}
    strange = [order for order_id, order in orders.items() if order_id not in published and order_id not in known]
    under_way: dict[RequestIdField, list[OrderInfo]] = defaultdict(list)
    nobodys: list[OrderInfo] = []
    for order in strange:
        owner = owners.of(order)
        if owner is None:
            nobodys.append(order)
        elif owner.order_id is not None:
            yield from _duplicate(owner, order, f"order {owner.order_id} is the one that was published")
        elif owner.state in WAITING:
            under_way[owner.request_id].append(order)
        elif owner.state is State.FAILED:
            yield from _check_failed(owner, order)
        else:
            yield _orphan(order, f"it is for the CSR of request {owner.request_id}, which is {owner.state}", owner)
    for fact in facts:
        yield from _check_under_way(fact, under_way.get(fact.request_id, ()), patience)
    if complete:
        yield from (_orphan(order, "it is for none of our requests") for order in nobodys)
    else:
        yield _partial(len(nobodys))


class _Owners:
    """To which request an order belongs that was not published."""

    def __init__(self, facts: Sequence[Fact], orders: Mapping[OrderId, OrderInfo]) -> None:
        self._by_alternative_id: dict[str, Fact] = {}
        self._by_csr: dict[bytes, list[Fact]] = defaultdict(list)
        for fact in facts:
            if fact.csr is not None:
                self._by_csr[fact.csr].append(fact)
            for name in _alternative_ids(fact, orders):
                self._by_alternative_id[name] = fact

    def of(self, order: OrderInfo) -> Fact | None:
        """The request that has an order under the same id, or else one that asked for the very same.

        Of several that did, one that waits for its order comes first, then one that has one.
        """
        if order.alternative_order_id in self._by_alternative_id:
            return self._by_alternative_id[order.alternative_order_id]
        asked = [fact for fact in self._by_csr.get(_csr_of(order) or b"", ()) if _is_for(fact, order)]
        waiting = [fact for fact in asked if fact.order_id is None and fact.state in WAITING]
        ordered = [fact for fact in asked if fact.order_id is not None]
        return next(iter((*waiting, *ordered, *asked)), None)


def _alternative_ids(fact: Fact, orders: Mapping[OrderId, OrderInfo]) -> Iterator[str]:
    if fact.certificate is not None:
        yield fact.certificate.alternative_order_id
    if fact.order_id is not None and fact.order_id in orders:
        shown = orders[fact.order_id].alternative_order_id
        if shown is not None:
            yield shown


def _duplicate(fact: Fact, order: OrderInfo, which: str) -> Iterator[Discrepancy]:
    if order.status not in ENDED and not _is_revoked(order):
        found = finding(
            "reconcile.duplicate", f"the CA has another order for this request; {which}", value=order.order_id
        )
        yield _about(fact, found, f"{_ask_who(order)} {_undo(order)}", order)


def _check_under_way(fact: Fact, orders: Sequence[OrderInfo], patience: Patience) -> Iterator[Discrepancy]:
    """The orders for a request of which none was published yet: one of them is to be expected."""
    if not orders and fact.state is State.APPROVED and fact.order_id is None and patience.is_over(fact.changed_at):
        text = "it is approved, and the CA has no order for it"
        yield _about(
            fact,
            finding("reconcile.overdue", text, value=fact.request_id, severity=Severity.WARNING),
            f"See why: ra orders show {fact.request_id}. If the issuer's ledger does not know it, as after a restore, "
            f"have it told again: ra orders resend {fact.request_id}",
        )
    alive = [order for order in orders if order.status not in ENDED]
    if len(alive) > 1:
        for order in alive:
            yield from _duplicate(fact, order, "none of them is published: see which one the issuer has")
        return
    for order in alive or orders:
        if fact.state is State.PENDING and not patience.covers(order.date_created):
            yield _orphan(order, f"it is for the CSR of request {fact.request_id}, which is not approved", fact)
        else:
            yield _under_way(fact, order, f"an order for this request is {order.status}", None, patience)


def _orphan(order: OrderInfo, why: str, fact: Fact | None = None) -> Discrepancy:
    found = finding("reconcile.orphan", f"the CA has an order that was never published: {why}", value=order.order_id)
    return Discrepancy(
        finding=found,
        proposal=f"{_ask_who(order)} If nobody of yours did, {_undo_and_rotate(order)} If another system did, or it is "
        "dealt with, put its number into the file of --known.",
        approval_group=fact and fact.approval_group,
        request_id=fact and fact.request_id,
        order_id=order.order_id,
        certificate_id=order.certificate.certificate_id,
    )


def _partial(count: int) -> Discrepancy:
    return Discrepancy(
        finding=finding(
            "reconcile.partial",
            f"not all requests may be seen here, and {count} orders belong to none of those that may: "
            "whether they are orphans can't be told",
            severity=Severity.WARNING,
        ),
        proposal="Give this identity the permission `audit` for every approval group.",
    )


def _differs(fact: Fact, what: str, proposal: str, order: OrderInfo | None = None) -> Discrepancy:
    number = fact.order_id if order is None else order.order_id
    return _about(fact, finding("reconcile.differs", f"of this order: {what}", value=number), proposal, order)


def _about(fact: Fact, found: Finding, proposal: str, order: OrderInfo | None = None) -> Discrepancy:
    """A discrepancy of this request, and of its published order if no other one is named."""
    certificate_id: CertificateId | None = None
    if order is not None:
        certificate_id = order.certificate.certificate_id
    elif fact.certificate is not None:
        certificate_id = fact.certificate.certificate_id
    return Discrepancy(
        finding=found,
        proposal=proposal,
        approval_group=fact.approval_group,
        request_id=fact.request_id,
        order_id=fact.order_id if order is None else order.order_id,
        certificate_id=certificate_id,
    )


def _ask_who(order: OrderInfo) -> str:
    return f"Ask at DigiCert who placed order {order.order_id}, with which key."


def _undo(order: OrderInfo) -> str:
    """What leaves nothing valid of an order."""
    if _is_revoked(order) or order.status in ENDED:
        return "Nothing is left to be revoked."
    if order.status == OrderStatus.ISSUED:
        return f"Revoke {_certificate_of(order)} at DigiCert."
    return f"Cancel order {order.order_id} at DigiCert, and revoke what came of it."


def _undo_and_rotate(order: OrderInfo) -> str:
    return f"a key that orders was misused: give the issuer a new one. {_undo(order)}"


def _certificate_of(order: OrderInfo) -> str:
    number = order.certificate.certificate_id
    return f"every certificate of order {order.order_id}" if number is None else f"certificate {number}"


def _is_revoked(order: OrderInfo) -> bool:
    """Whether the whole order is revoked, or the certificate that it shows."""
    return OrderStatus.REVOKED in {order.status, (order.certificate.status or "").lower()}


def _is_for(fact: Fact, order: OrderInfo) -> bool:
    """Whether the order is for what the request asked for, as far as the CA shows it.

    The CA takes the names from the order and not from the CSR; `www.` of a name, and a wildcard's domain, it may add
    by itself.
    """
    shown = order.certificate
    names = {name.lower() for name in (*shown.dns_names, shown.common_name or "") if name}
    strange = {name for name in names - fact.names if not {name.removeprefix("www."), f"*.{name}"} & fact.names}
    return not strange and _csr_of(order) in {None, fact.csr}


def _csr_of(order: OrderInfo) -> bytes | None:
    """The order's CSR in DER; none where the CA shows none, and empty if it can't be read."""
    if not order.certificate.csr:
        return None
    try:
        return parse_csr(order.certificate.csr).der
    except RefusedError:
        return b""


def _number(serial_number: str) -> int | None:
    try:
        return int(serial_number, 16)
    except ValueError:
        return None
