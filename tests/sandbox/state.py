"""What the sandbox remembers: orders and their requests, in memory and in a file of JSON lines."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel

from tests.sandbox.authority import Authority, pem_of, serial_of, thumbprint_of, write_atomically
from tests.sandbox.catalogue import IMPORTED_NAME, IMPORTED_ORDER_ID, ORGANIZATION_ID, PRODUCTS, ProductEntry
from tests.sandbox.errors import ApiError, invalid_value, not_found
from tests.sandbox.knobs import Panel
from tests.sandbox.roles import ApiKey, Power
from tests.sandbox.submission import Submission, leaf_for

FIRST_ORDER_ID = 100_000_001
CERTIFICATE_OFFSET = 300_000_000
"""A certificate's number is its order's plus this: an order has one, for nothing is reissued."""
_OPEN = frozenset({"needs_approval", "pending"})


class Request(BaseModel):
    """DigiCert's own request: to place an order, or to revoke."""

    id: int
    type: str
    status: str
    created: float
    requester: str
    comments: str = ""
    processed: float | None = None
    processor_comment: str = ""
    whole_order: bool = False
    """Of a revocation: whether the order goes with its certificate."""


class Order(BaseModel):
    """An order with its one certificate; times are seconds since 1970."""

    id: int
    product: str
    submission: Submission
    status: str
    created: float
    changed: float
    due: float | None = None
    """When a pending order is issued; None: when someone says so."""
    issued: float | None = None
    chain: tuple[str, ...] = ()
    """PEM, leaf first and root last."""
    serial: str = ""
    thumbprint: str = ""
    certificate_status: str = ""
    requests: list[Request] = []
    seeded: bool = False

    @property
    def certificate_id(self) -> int:
        return self.id + CERTIFICATE_OFFSET

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain[0].encode())


class Ledger:
    """All orders of the account, over restarts too."""

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        panel: Panel,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take up the orders of an earlier run, and seed the imported one where it is missing.

        Args:
            folder: holds `orders.jsonl`, whose last line about an order counts, and `imported.pem`.
            authority: signs the certificates.
            panel: holds the knobs as they stand at the time.
            now: seconds since 1970.
        """
        self._file = folder / "orders.jsonl"
        self._authority = authority
        self._panel = panel
        self._now = now
        self._orders: dict[int, Order] = {}
        self._open: set[int] = set()
        self._by_certificate: dict[str, int] = {}
        self._by_alternative: dict[str, list[int]] = {}
        self._requests: dict[int, int] = {}
        self._last_order, self._last_request = FIRST_ORDER_ID - 1, 1_000
        for order in _stored(self._file):
            self._remember(order)
        if IMPORTED_ORDER_ID not in self._orders:
            self._seed(folder / "imported.pem")

    def orders(self) -> Iterator[Order]:
        """Every order, oldest first, the seeded one included."""
        self._settle()
        return iter(self._orders.values())

    def placed(self) -> list[Order]:
        """The orders that came over the API."""
        return [order for order in self.orders() if not order.seeded]

    def order(self, order_id: int) -> Order:
        """Raises `ApiError` not_found|order where there is none."""
        self._settle()
        try:
            return self._orders[order_id]
        except KeyError:
            raise not_found("order") from None

    def order_by_any(self, text: str) -> Order:
        """The order with this number, or whose certificate has this serial number or thumbprint."""
        self._settle()
        by_number = int(text) if text.isascii() and text.isdecimal() else None
        if by_number in self._orders:
            return self._orders[by_number]
        return self.order(self._by_certificate.get(text.upper(), 0))

    def order_of_certificate(self, text: str) -> Order:
        """The order of the certificate with this number or serial number."""
        self._settle()
        if text.isascii() and text.isdecimal() and int(text) - CERTIFICATE_OFFSET in self._orders:
            return self._orders[int(text) - CERTIFICATE_OFFSET]
        try:
            return self._orders[self._by_certificate[text.upper()]]
        except KeyError:
            raise not_found() from None

    def alternates(self, alternative_order_id: str) -> list[Order]:
        """The orders under this id that the lookup knows by now."""
        self._settle()
        known_before = self._now() - self._panel.knobs.alternate_lag_seconds
        found = (self._orders[order_id] for order_id in self._by_alternative.get(alternative_order_id, ()))
        return [order for order in found if order.created <= known_before]

    def changed_since(self, instant: float) -> list[Order]:
        """The orders whose status changed at or after this instant."""
        return [order for order in self.orders() if order.changed >= instant and not order.seeded]

    def downloadable(self, order: Order) -> Order:
        """The order, once its certificate can be downloaded; else not_found."""
        if order.issued is None or order.issued + self._panel.knobs.download_lag_seconds > self._now():
            raise not_found()
        return order

    def request(self, request_id: int) -> tuple[Order, Request]:
        """Raises `ApiError` not_found where there is none."""
        self._settle()
        if request_id not in self._requests:
            raise not_found()
        order = self._orders[self._requests[request_id]]
        return order, next(request for request in order.requests if request.id == request_id)

    def place(self, product: ProductEntry, submission: Submission, key: ApiKey) -> Order:
        """Take an order that has been checked; it may come back issued."""
        now = self._now()
        order = Order(
            id=self._last_order + 1,
            product=product.name_id,
            submission=submission,
            status="needs_approval",
            created=now,
            changed=now,
        )
        order.requests.append(self._new_request("new_request", key, submission.comments or ""))
        if self._is_approved(submission, key):
            self._approve(order, order.requests[0], "")
        self._save(order)
        return order

    def decide(self, order: Order, request: Request, verdict: str, comment: str) -> None:
        """Approve or reject one of the CA's requests that is still open."""
        if request.status not in {"pending", "submitted"}:
            raise invalid_value("status")
        if verdict == "rejected":
            self._process(request, verdict, comment)
            if request.type == "new_request":
                self._turn(order, "rejected")
        elif request.type == "new_request":
            self._approve(order, request, comment)
        else:
            self._process(request, "approved", comment)
            self._revoke(order, whole_order=request.whole_order)
        self._save(order)

    def cancel(self, order: Order) -> None:
        if order.status not in {"pending", "waiting_pickup"}:
            raise invalid_value("status")
        self._turn(order, "canceled")
        self._save(order)

    def request_revocation(self, order: Order, key: ApiKey, comments: str, *, whole_order: bool) -> Request:
        """A revocation that waits for approval."""
        _must_be_revocable(order)
        request = self._new_request("revoke", key, comments)
        request.whole_order = whole_order
        order.requests.append(request)
        self._save(order)
        return request

    def revoke(self, order: Order, *, whole_order: bool) -> None:
        """Revoke at once, and leave no trace of why."""
        _must_be_revocable(order)
        self._revoke(order, whole_order=whole_order)
        self._save(order)

    def issue(self, order: Order) -> None:
        """Issue an open order now, whatever it waits for."""
        if order.status not in _OPEN:
            raise invalid_value("status")
        for request in order.requests:
            self._process(request, "approved", "")
        self._issue(order, self._now())
        self._save(order)

    def reject(self, order: Order) -> None:
        """Reject an open order, as the CA's validation would."""
        if order.status not in _OPEN:
            raise invalid_value("status")
        for request in order.requests:
            self._process(request, "rejected", "")
        self._turn(order, "rejected")
        self._save(order)

    def _settle(self) -> None:
        """Issue the pending orders whose time has come."""
        now = self._now()
        for order in [self._orders[order_id] for order_id in sorted(self._open)]:
            if order.status == "pending" and order.due is not None and order.due <= now:
                self._issue_or_reject(order, order.due)
                self._save(order)

    def _is_approved(self, submission: Submission, key: ApiKey) -> bool:
        mode = self._panel.knobs.approval
        return mode == "auto" or (mode == "skip" and submission.skip_approval and key.may(Power.APPROVE_ORDER))

    def _approve(self, order: Order, request: Request, comment: str) -> None:
        self._process(request, "approved", comment)
        knobs, now = self._panel.knobs, self._now()
        if knobs.immediate_issuance:
            self._issue(order, now)
            return
        delay = knobs.validation_delay_seconds
        order.due = None if delay is None else now + delay
        self._turn(order, "pending")

    def _issue_or_reject(self, order: Order, when: float) -> None:
        try:
            self._issue(order, when)
        except ApiError:  # what could be fulfilled when it was ordered no longer can
            self._turn(order, "rejected", when)

    def _issue(self, order: Order, when: float) -> None:
        day = datetime.fromtimestamp(when, UTC).date()
        knobs = self._panel.knobs.changed({"over_long": "clamp"})
        leaf = leaf_for(PRODUCTS[order.product], order.submission, knobs, day)
        chain = self._authority.issue(leaf)
        order.chain = tuple(pem_of(certificate) for certificate in chain)
        order.serial, order.thumbprint = serial_of(chain[0]), thumbprint_of(chain[0])
        order.certificate_status = "issued"
        order.issued = when
        self._turn(order, "issued", when)

    def _revoke(self, order: Order, *, whole_order: bool) -> None:
        """Revoking the one certificate leaves the order as it is, revoking the order does not."""
        order.certificate_status = "revoked"
        if whole_order:
            self._turn(order, "revoked")

    def _turn(self, order: Order, status: str, when: float | None = None) -> None:
        order.status = status
        order.changed = self._now() if when is None else when

    def _process(self, request: Request, verdict: str, comment: str) -> None:
        request.status, request.processor_comment, request.processed = verdict, comment, self._now()

    def _new_request(self, kind: str, key: ApiKey, comments: str) -> Request:
        self._last_request += 1
        return Request(
            id=self._last_request,
            type=kind,
            status="pending",
            created=self._now(),
            requester=key.name,
            comments=comments,
        )

    def _remember(self, order: Order) -> None:
        new = order.id not in self._orders
        self._orders[order.id] = order
        (self._open.add if order.status in _OPEN else self._open.discard)(order.id)
        alternative = order.submission.alternative_order_id
        if new and alternative is not None:
            self._by_alternative.setdefault(alternative, []).append(order.id)
        if order.serial:
            self._by_certificate |= {order.serial: order.id, order.thumbprint: order.id}
        self._requests |= {request.id: order.id for request in order.requests}
        self._last_order = max(self._last_order, order.id)
        self._last_request = max(self._last_request, *(request.id for request in order.requests), 0)

    def _save(self, order: Order) -> None:
        self._remember(order)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(order.model_dump_json() + "\n")

    def _seed(self, certificate_file: Path) -> None:
        """The order that was there before anyone came: its leaf is what an RA is configured with."""
        when = self._now() - timedelta(days=30).total_seconds()
        order = Order(
            id=IMPORTED_ORDER_ID,
            product="ssl_basic",
            submission=_imported_submission(),
            status="pending",
            created=when,
            changed=when,
            seeded=True,
        )
        self._issue(order, when)
        write_atomically(certificate_file, order.chain[0].replace("\r", "").encode())
        self._save(order)


def _must_be_revocable(order: Order) -> None:
    if order.certificate_status != "issued":
        raise invalid_value("certificate.status")


def _imported_submission() -> Submission:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return Submission.model_validate(
        {
            "certificate": {
                "common_name": IMPORTED_NAME,
                "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
                "signature_hash": "sha256",
            },
            "organization": {"id": ORGANIZATION_ID},
            "order_validity": {"years": 1},
        }
    )


def _stored(file: Path) -> Iterator[Order]:
    """Every line of an earlier run; a torn last one is cut off: it was never answered."""
    if not file.exists():
        return
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        write_atomically(file, text.encode())
    for line in text.splitlines():
        yield Order.model_validate_json(line)
