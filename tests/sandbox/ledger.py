"""All orders of the account: in memory, and in a file of JSON lines over restarts."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import ValidationError

from tests.sandbox.authority import Authority, pem_of, serial_of, thumbprint_of, write_atomically
from tests.sandbox.catalogue import IMPORTED_NAME, IMPORTED_ORDER_ID, ORGANIZATION_ID, PRODUCTS, ProductEntry
from tests.sandbox.errors import ApiError, invalid_approver, invalid_value, not_found
from tests.sandbox.knobs import Panel
from tests.sandbox.roles import ApiKey, Power
from tests.sandbox.state import OPEN_REQUESTS, Another, Certificate, Kind, Order, Request, RequestType
from tests.sandbox.submission import CertificatePart, Replacement, Submission, leaf_for, replaced

FIRST_ORDER_ID = 100_000_001
FIRST_CERTIFICATE_ID = 400_000_001
FIRST_REQUEST_ID = 1_001
OPEN = frozenset({"needs_approval", "pending", "processing", "needs_csr", "waiting_pickup"})
"""The statuses of an order that has no certificate yet. Where `processing`, `needs_csr` and `waiting_pickup` come in
is guessed: an order takes them from `/admin` only."""
_WAITING = frozenset({"pending", "approved"})
"""The statuses of a certificate that may still be issued."""


class Ledger:
    """What was ordered, and what became of it."""

    def __init__(self, folder: Path, authority: Authority, panel: Panel, now: Callable[[], float]) -> None:
        """Take up the orders of an earlier run, and seed the imported one where it is missing.

        Args:
            folder: holds `orders.jsonl`, whose last line about an order counts, and `imported.pem`.
            authority: signs the certificates.
            panel: holds the knobs as they stand at the time.
            now: seconds since 1970.

        Raises:
            ValueError: the orders were written by another version of the sandbox.
        """
        self._file = folder / "orders.jsonl"
        self._authority = authority
        self._panel = panel
        self._now = now
        self._orders: dict[int, Order] = {}
        self._waiting: set[int] = set()
        self._by_certificate: dict[int, int] = {}
        self._by_name: dict[str, int] = {}
        """Orders by the serial numbers and thumbprints of their certificates."""
        self._by_alternative: dict[str, list[int]] = {}
        self._by_request: dict[int, int] = {}
        self._last_order, self._last_certificate = FIRST_ORDER_ID - 1, FIRST_CERTIFICATE_ID - 1
        self._last_request = FIRST_REQUEST_ID - 1
        for order in _stored(self._file):
            self._remember(order)
        if IMPORTED_ORDER_ID not in self._orders:
            self._seed(folder / "imported.pem")

    # What there is.

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
        """The order with this number, or whose primary certificate has this serial number or thumbprint.

        Guessed: a certificate that a reissue has replaced is no longer the primary one.
        """
        self._settle()
        by_number = int(text) if text.isascii() and text.isdecimal() else None
        if by_number in self._orders:
            return self._orders[by_number]
        order = self.order(self._by_name.get(text.upper(), 0))
        if text.upper() not in {order.current.serial, order.current.thumbprint}:
            raise not_found("order")
        return order

    def certificate(self, text: str) -> tuple[Order, Certificate]:
        """The certificate with this number or serial number; `ApiError` not_found where there is none."""
        self._settle()
        number = int(text) if text.isascii() and text.isdecimal() else 0
        if number in self._by_certificate:
            order = self._orders[self._by_certificate[number]]
            return order, order.certificate(number)
        if text.upper() in self._by_name:
            order = self._orders[self._by_name[text.upper()]]
            return order, next(each for each in order.certificates if each.serial == text.upper())
        raise not_found()

    def alternates(self, alternative_order_id: str) -> list[Order]:
        """The orders under this id that the lookup knows by now."""
        self._settle()
        known_before = self._now() - self._panel.knobs.alternate_lag_seconds
        found = (self._orders[order_id] for order_id in self._by_alternative.get(alternative_order_id, ()))
        return [order for order in found if order.created <= known_before]

    def downloadable(self, certificate: Certificate) -> Certificate:
        """The certificate, once it can be downloaded; else not_found."""
        if certificate.issued is None or certificate.issued + self._panel.knobs.download_lag_seconds > self._now():
            raise not_found()
        return certificate

    def request(self, request_id: int) -> tuple[Order, Request]:
        """Raises `ApiError` not_found where there is none."""
        self._settle()
        if request_id not in self._by_request:
            raise not_found()
        order = self._orders[self._by_request[request_id]]
        return order, next(request for request in order.requests if request.id == request_id)

    # What is asked for with an API key.

    def place(self, product: ProductEntry, submission: Submission, key: ApiKey) -> Order:
        """Take an order; it may come back issued.

        Raises:
            ApiError: it cannot be fulfilled.
        """
        leaf_for(product, submission, self._panel.knobs, _day(self._now()))
        submission = self._with_alternative_id(submission)
        approved = self._is_approved(key, skips=submission.skip_approval)
        now = self._now()
        certificate = self._new_certificate("primary", submission.certificate)
        order = Order(
            id=self._last_order + 1,
            product=product.name_id,
            submission=submission,
            created=now,
            certificates=[certificate],
            history=[(now, "needs_approval")],
        )
        request = self._new_request("new_request", certificate, key, submission.comments)
        order.requests.append(request)
        if approved:
            self._approve(order, request, "")
        self._save(order)
        return order

    def replace(self, order: Order, kind: Another, wanted: Replacement, key: ApiKey) -> tuple[Request, Certificate]:
        """Take a reissue or a duplicate of an issued order; its certificate may come back issued.

        Guessed: that a reissue waits from its being asked for, and not from its approval only.

        Raises:
            ApiError: the order is not issued, a reissue waits already, or this cannot be fulfilled.
        """
        if order.status != "issued":
            raise invalid_value("status")
        submission = replaced(order.submission, wanted.certificate, _day(order.created))
        leaf_for(PRODUCTS[order.product], submission, self._panel.knobs, _day(self._now()))
        approved = self._is_approved(key, skips=wanted.skip_approval)
        certificate = self._new_certificate(kind, wanted.certificate)
        request = self._new_request(kind, certificate, key, wanted.comments)
        order.certificates.append(certificate)
        order.requests.append(request)
        if kind == "reissue":
            order.turn("reissue_pending", self._now())
        if approved:
            self._approve(order, request, "")
        self._save(order)
        return request, certificate

    def decide(self, order: Order, request: Request, key: ApiKey, verdict: str, comment: str) -> None:
        """Approve or reject one of the CA's requests that is still open."""
        if request.status not in OPEN_REQUESTS:
            raise invalid_value("status")
        if self._panel.knobs.approver == "other" and request.requester == key.name:
            raise invalid_approver()
        if verdict == "rejected":
            self._turn_down(order, request, comment)
        elif request.type == "revoke":
            self._process(request, "approved", comment)
            self._revoke(order, order.certificate(request.certificate_id), whole_order=request.whole_order)
        else:
            self._approve(order, request, comment)
        self._save(order)

    def cancel(self, order: Order) -> None:
        """End an order that is not issued, or take back its reissue, approved or not."""
        if order.status == "reissue_pending":
            self._take_back_reissue(order)
        elif order.status in {"pending", "waiting_pickup"}:
            for certificate in order.certificates:
                certificate.status = "rejected"
            order.turn("canceled", self._now())
        else:
            raise invalid_value("status")
        self._save(order)

    def request_revocation(
        self, order: Order, certificate: Certificate, key: ApiKey, comments: str, *, whole_order: bool
    ) -> Request:
        """A revocation that waits for approval."""
        self._must_be_revocable(order, certificate)
        request = self._new_request("revoke", certificate, key, comments)
        request.status = self._panel.knobs.revocation_status
        request.whole_order = whole_order
        order.requests.append(request)
        self._save(order)
        return request

    def revoke(self, order: Order, certificate: Certificate, *, whole_order: bool) -> None:
        """Revoke at once, and leave no trace of why."""
        self._must_be_revocable(order, certificate)
        self._revoke(order, certificate, whole_order=whole_order)
        self._save(order)

    # What happens inside the CA, as `/admin` makes it happen.

    def issue(self, order: Order) -> None:
        """Issue what is open of an order now, whatever it waits for."""
        for request in _open_requests(order):
            self._process(request, "approved", "")
        waiting = [each for each in order.certificates if each.status in _WAITING]
        if not waiting:
            raise invalid_value("status")
        for certificate in waiting:
            self._issue(order, certificate, self._now())
        self._save(order)

    def reject(self, order: Order) -> None:
        """Reject an open order, as the CA's validation would."""
        if order.status not in OPEN:
            raise invalid_value("status")
        for certificate in order.certificates:
            certificate.status = "rejected"
        for request in _open_requests(order):
            self._process(request, "rejected", "")
        order.turn("rejected", self._now())
        self._save(order)

    def set_status(self, order: Order, status: str) -> None:
        """Give an order a status, whether or not it could come to have it."""
        order.turn(status, self._now())
        self._save(order)

    def _settle(self) -> None:
        """Issue what is approved and validated and whose time has come."""
        now = self._now()
        for order in [self._orders[order_id] for order_id in sorted(self._waiting)]:
            due = [each for each in order.waiting if each.due is not None and each.due <= now]
            for certificate in due:
                if self._is_validated(certificate):
                    self._issue_or_reject(order, certificate, certificate.due or now)
                    self._save(order)

    def _with_alternative_id(self, submission: Submission) -> Submission:
        mode = self._panel.knobs.alternative_ids
        if mode == "unique" and submission.alternative_order_id in self._by_alternative:
            raise invalid_value("alternative_order_id")
        return submission.model_copy(update={"alternative_order_id": None}) if mode == "dropped" else submission

    def _is_approved(self, key: ApiKey, *, skips: bool) -> bool:
        knobs, may = self._panel.knobs, key.may(Power.APPROVE_ORDER)
        if skips and not may and knobs.skip_without_right == "refuse":
            raise invalid_value("skip_approval")
        return knobs.approval == "auto" or (knobs.approval == "skip" and skips and may)

    def _is_validated(self, certificate: Certificate) -> bool:
        knobs = self._panel.knobs
        domains = [
            domain
            for domain in knobs.unvalidated_domains
            if any(name == domain or name.endswith(f".{domain}") for name in certificate.wanted.names)
        ]
        return knobs.organization_validated and not domains

    def _approve(self, order: Order, request: Request, comment: str) -> None:
        self._process(request, "approved", comment)
        certificate = order.certificate(request.certificate_id)
        knobs, now = self._panel.knobs, self._now()
        if knobs.immediate_issuance and self._is_validated(certificate):
            self._issue(order, certificate, now)
            return
        certificate.status = "approved"
        if knobs.immediate_issuance:
            certificate.due = now
        elif knobs.validation_delay_seconds is not None:
            certificate.due = now + knobs.validation_delay_seconds
        if certificate.kind == "primary":
            order.turn("pending", now)

    def _turn_down(self, order: Order, request: Request, comment: str) -> None:
        self._process(request, "rejected", comment)
        if request.type != "revoke":
            self._reject(order, order.certificate(request.certificate_id), self._now())

    def _take_back_reissue(self, order: Order) -> None:
        waiting = {each.id: each for each in order.certificates if each.kind == "reissue" and each.status in _WAITING}
        for certificate in waiting.values():
            certificate.status = "rejected"
        for request in order.requests:
            if request.type == "reissue" and request.certificate_id in waiting:
                self._process(request, "rejected", "")
        order.turn("issued", self._now())

    def _issue_or_reject(self, order: Order, certificate: Certificate, when: float) -> None:
        try:
            self._issue(order, certificate, when)
        except ApiError:  # what could be fulfilled when it was ordered no longer can
            self._reject(order, certificate, when)

    def _reject(self, order: Order, certificate: Certificate, when: float) -> None:
        certificate.status = "rejected"
        if certificate.kind != "duplicate":
            order.turn("rejected" if certificate.kind == "primary" else "issued", when)

    def _issue(self, order: Order, certificate: Certificate, when: float) -> None:
        knobs = self._panel.knobs.changed({"over_long": "clamp"})
        submission = order.submission
        if certificate.kind != "primary":
            submission = replaced(submission, certificate.wanted, _day(order.created))
        leaf = leaf_for(PRODUCTS[order.product], submission, knobs, _day(when))
        chain = self._authority.issue(leaf, knobs.chain_length)
        certificate.chain = tuple(pem_of(each) for each in chain)
        certificate.serial, certificate.thumbprint = serial_of(chain[0]), thumbprint_of(chain[0])
        certificate.status, certificate.issued = "issued", when
        if certificate.kind == "reissue":
            self._revoke_others(order, set(certificate.wanted.names), when)
        if certificate.kind != "duplicate":
            order.turn("issued", when)

    def _revoke_others(self, order: Order, names: set[str], when: float) -> None:
        """Revoke what has a name that a reissue has dropped, duplicates included."""
        for each in order.certificates:
            if each.status == "issued" and not set(each.wanted.names) <= names:
                self._mark_revoked(each, when)

    def _revoke(self, order: Order, certificate: Certificate, *, whole_order: bool) -> None:
        """Revoking the one certificate leaves the order as it is, unless the account prefers otherwise."""
        now = self._now()
        for each in order.certificates if whole_order else [certificate]:
            if each.status == "issued":
                self._mark_revoked(each, now)
        gone = all(each.status != "issued" for each in order.certificates)
        if (whole_order or (gone and self._panel.knobs.revoke_order_with_last)) and order.status != "revoked":
            order.turn("revoked", now)

    def _mark_revoked(self, certificate: Certificate, when: float) -> None:
        certificate.status, certificate.revoked = "revoked", when

    def _must_be_revocable(self, order: Order, certificate: Certificate) -> None:
        if certificate.status == "revoked" and self._panel.knobs.revoked_again == "accept":
            return
        if certificate.status != "issued" or order.status == "reissue_pending":
            raise invalid_value("certificate.status")

    def _process(self, request: Request, verdict: str, comment: str) -> None:
        request.status, request.processor_comment, request.processed = verdict, comment, self._now()

    def _new_certificate(self, kind: Kind, wanted: CertificatePart) -> Certificate:
        self._last_certificate += 1
        return Certificate(id=self._last_certificate, kind=kind, wanted=wanted, status="pending", created=self._now())

    def _new_request(
        self,
        kind: RequestType,
        certificate: Certificate,
        key: ApiKey,
        comments: str | None,
    ) -> Request:
        self._last_request += 1
        return Request(
            id=self._last_request,
            type=kind,
            status="pending",
            created=self._now(),
            requester=key.name,
            certificate_id=certificate.id,
            comments=comments or "",
        )

    # Remembering.

    def _remember(self, order: Order) -> None:
        new = order.id not in self._orders
        self._orders[order.id] = order
        (self._waiting.add if order.waiting else self._waiting.discard)(order.id)
        alternative = order.submission.alternative_order_id
        if new and alternative is not None:
            self._by_alternative.setdefault(alternative, []).append(order.id)
        self._by_certificate |= {each.id: order.id for each in order.certificates}
        issued = [each for each in order.certificates if each.serial]
        self._by_name |= {name: order.id for each in issued for name in (each.serial, each.thumbprint)}
        self._by_request |= {request.id: order.id for request in order.requests}
        self._last_order = max(self._last_order, order.id)
        self._last_certificate = max(self._last_certificate, *(each.id for each in order.certificates), 0)
        self._last_request = max(self._last_request, *(request.id for request in order.requests), 0)

    def _save(self, order: Order) -> None:
        self._remember(order)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(order.model_dump_json() + "\n")

    def _seed(self, certificate_file: Path) -> None:
        """The order that was there before anyone came: its leaf is what an RA is configured with."""
        when = self._now() - timedelta(days=30).total_seconds()
        submission = _imported_submission()
        certificate = self._new_certificate("primary", submission.certificate)
        certificate.created = when
        order = Order(
            id=IMPORTED_ORDER_ID,
            product="ssl_basic",
            submission=submission,
            created=when,
            certificates=[certificate],
            history=[(when, "pending")],
            seeded=True,
        )
        self._issue(order, certificate, when)
        write_atomically(certificate_file, certificate.chain[0].replace("\r", "").encode())
        self._save(order)


def _day(instant: float) -> date:
    return datetime.fromtimestamp(instant, UTC).date()


def _open_requests(order: Order) -> list[Request]:
    """The requests of an order that nobody has decided on; revocations have nothing to do with issuing."""
    return [request for request in order.requests if request.status in OPEN_REQUESTS and request.type != "revoke"]


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
        try:
            yield Order.model_validate_json(line)
        except ValidationError as error:
            raise ValueError(f"{file} is of another version of the sandbox; delete its folder") from error
