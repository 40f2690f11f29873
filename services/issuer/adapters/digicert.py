"""DigiCert behind the issuer's port."""

from collections.abc import Awaitable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeVar, cast

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuer.ports import (
    ID_TAKEN,
    KnownOrder,
    NotNowError,
    OrderChange,
    OrderRefusedError,
    OrderRequest,
    OrderUncertainError,
    PlacedOrder,
    Sought,
)
from shared.clock import Clock, SystemClock
from shared.digicert import models
from shared.digicert.client import DigiCertClient
from shared.digicert.diagnosis import ID_REFUSED, diagnose, is_retried
from shared.digicert.errors import CaRefusedError, CaUnavailableError
from shared.digicert.models import (
    CaCertificate,
    OrderBody,
    OrderInfo,
    OrderStatus,
    Product,
    ProductLimit,
    RequestStatus,
)
from shared.policy.compatibility import Combination, ImportedOrder, ListedIntermediate, ProductFacts
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import OrderId

log = structlog.get_logger()

AnswerT = TypeVar("AnswerT")

ENDED = frozenset({"rejected", "revoked", "canceled", "expired", "denied"})
"""Statuses of an order from which no certificate comes any more."""
OPEN = frozenset({"pending", "submitted"})
"""Statuses of one of DigiCert's own requests that waits for somebody to approve it."""
MAY_NOT_SKIP = frozenset({"invalid_value:skip_approval", "access_denied|missing_permission"})
"""With what an order that skips approval may be refused to a key that may order and may not skip."""
NO_ORDER = frozenset({"not_found|order"})
UNKNOWN = NO_ORDER | {"not_found", "not_found|product"}
SKIP_AGAIN_AFTER = timedelta(hours=1)
"""When it is tried again whether the key may skip DigiCert's approval: an operator may have given it the right."""
EVERY_ROLE = frozenset({0, None})
"""The role of a container's limit that is everybody's."""
COMMENT = "Approved by a quorum of the Registration Authority."


class DigiCertAuthority:
    """The Services API v2, as far as ordering needs it."""

    def __init__(self, client: DigiCertClient, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._skip_again_at: datetime | None = None
        """Until then, orders do not try to skip DigiCert's approval: the key may not."""

    async def ready(self) -> None:
        """Return when the API key's rate limit lets a call go."""
        await self._answer(self._client.ready("order"))

    async def place(self, order: OrderRequest) -> PlacedOrder:
        """Place an order; DigiCert takes the names from the body, not from the CSR."""
        body = OrderBody(
            common_name=order.common_name,
            csr=_pem(order.csr),
            dns_names=order.dns_names,
            signature_hash=cast("Literal['sha256', 'sha384', 'sha512']", order.signature_hash),
            alternative_order_id=order.alternative_order_id,
            organization_id=order.organization_id,
            ca_cert_id=order.ca_cert_id,
            profile_option=_profile_option(order.extended_key_usage),
            expires_on=order.expires_on,
            container_id=order.container_id,
        )
        try:
            placed = await self._place(order.product, body)
        except CaUnavailableError as error:
            if error.maybe_done:
                raise OrderUncertainError(*_findings(error)) from error
            raise _not_now(error) from error
        except CaRefusedError as error:
            raise _refusal(error) from error
        approvals = () if placed.certificate_id is not None else _open(placed.requests)
        status = OrderStatus.NEEDS_APPROVAL if approvals else OrderStatus.PENDING
        return PlacedOrder(
            placed.order_id,
            placed.certificate_id,
            placed.chain,
            status=status,
            approvals=approvals,
            needs_approval=bool(approvals),
            is_ready=placed.certificate_id is None,  # it may wait for an approval that the answer does not name
        )

    async def look_up(self, alternative_order_id: str) -> Sequence[KnownOrder]:
        """The orders that DigiCert has under this id of ours."""
        found = await self._answer(self._client.orders_by_alternative_id(alternative_order_id))
        return [KnownOrder(each.order_id, ended=each.status in ENDED) for each in found]

    async def look_alikes(self, sought: Sought) -> Sequence[KnownOrder]:
        """What the list of orders has of this name: it is documented nowhere that every product keeps our id."""
        found = await self._answer(
            self._client.orders_with(
                sought.alternative_order_id,
                common_name=sought.common_name,
                csr=None if sought.csr is None else _pem(sought.csr),
                created_from=sought.since,
            )
        )
        return [
            KnownOrder(each.order_id, ended=each.status in ENDED, ours=bool(each.alternative_order_id))
            for each in found
            if each.alternative_order_id in {None, "", sought.alternative_order_id}
        ]

    async def is_live(self, order_id: OrderId) -> bool:
        """Look at the order's own page."""
        info = await self._unless(NO_ORDER, self._client.order(order_id))
        return info is not None and info.status not in ENDED

    async def resembles(self, order_id: OrderId, sought: Sought) -> bool:
        """Look at the order's own page."""
        info = await self._unless(NO_ORDER, self._client.order(order_id))
        if info is None:
            return False
        if info.alternative_order_id:
            return info.alternative_order_id == sought.alternative_order_id
        if sought.csr is None:
            return False
        return (info.certificate.csr or "").split() == _pem(sought.csr).split()

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        """The order as it is now, with its chain once that can be downloaded."""
        info = await self._answer(self._client.order(order_id))
        certificate_id = info.certificate.certificate_id
        if info.status in ENDED:
            return PlacedOrder(order_id, ended=(_ended(info),), status=info.status)
        if certificate_id is None or not _is_issued(info):
            waits = info.status == OrderStatus.NEEDS_APPROVAL
            approvals = _open(info.requests)
            return PlacedOrder(order_id, status=info.status, approvals=approvals, needs_approval=waits)
        chain = await self._answer(self._client.chain_if_there(certificate_id))
        return PlacedOrder(order_id, certificate_id, chain or (), status=info.status, is_ready=True)

    async def approve(self, approval: int) -> None:
        """Approve DigiCert's own request in the name of this API key, if it may."""
        await self._answer(self._client.approve_request(approval, COMMENT))

    async def changes(self, since: datetime, now: datetime) -> Sequence[OrderChange]:
        """What the status feed says."""
        found = await self._answer(self._client.status_changes_since(since, now))
        return [OrderChange(each.order_id, each.status) for each in found]

    async def product_facts(
        self, combination: Combination, imported: bytes, intermediate: bytes, *, at: datetime
    ) -> ProductFacts:
        """Ask for the product, its limits in the container, the intermediates, and the imported certificate's order."""
        product = await self._unless(
            UNKNOWN, self._client.product(combination.product, container_id=combination.container_id)
        )
        if product is None:
            return ProductFacts(combination=combination, taken_at=at, product_known=False)
        has_it, limits = await self._limits(combination)
        return ProductFacts(
            combination=combination,
            taken_at=at,
            product_known=True,
            signature_hashes=tuple(each.id for each in product.allowed_hashes),
            allowed_ca_certs=_ids(product.allowed_ca_certs),
            container_ca_certs=tuple(each for limit in limits for each in limit.allowed_intermediates),
            container_hashes=tuple(each for limit in limits for each in limit.allowed_hashes),
            container_has_it=has_it,
            several_names=product.additional_dns_names_allowed,
            exact_end=_both(product.custom_expiration_date_allowed, product.custom_order_expiration_date_allowed),
            longest_years=_longest_years(product, limits),
            listed=await self._listed(combination, _thumbprint(intermediate)),
            imported_order=await self._imported_order(_thumbprint(imported)),
        )

    async def _limits(self, combination: Combination) -> tuple[bool | None, tuple[ProductLimit, ...]]:
        """Whether the container, where it is limited, has the product, and how it limits it for every role.

        Limits of single roles are left aside: which role the API key has, DigiCert does not say.
        """
        if combination.container_id is None:
            return None, ()
        answer = await self._answer(self._client.product_limits(combination.container_id))
        if not answer.is_limited:
            return None, ()
        found = [limit for limit in answer.product_limits if limit.product_name_id == combination.product]
        return bool(found), tuple(limit for limit in found if limit.role_id in EVERY_ROLE)

    async def _listed(self, combination: Combination, thumbprint: str) -> tuple[ListedIntermediate, ...]:
        return tuple(
            ListedIntermediate(ca_cert_id=each.id, is_ours=each.thumbprint == thumbprint, is_private=each.is_private)
            for each in await self._answer(self._client.intermediates())
            if each.thumbprint == thumbprint or each.id == combination.ca_cert_id
        )

    async def _imported_order(self, thumbprint: str) -> ImportedOrder | None:
        """What the imported certificate was ordered as; none where the CA does not have it, or shows another."""
        info = await self._unless(UNKNOWN, self._client.order(thumbprint))
        if info is None or info.certificate.thumbprint not in (None, thumbprint):
            return None
        ca_cert = info.certificate.ca_cert
        return ImportedOrder(
            product=info.product.name_id if info.product else None, ca_cert_id=ca_cert.id if ca_cert else None
        )

    async def _unless(self, codes: Collection[str], question: Awaitable[AnswerT]) -> AnswerT | None:
        """The answer; none where the CA says with one of these codes that it does not have what was asked for."""
        try:
            return await question
        except CaRefusedError as error:
            if not error.codes.isdisjoint(codes):
                return None
            raise _not_now(error) from error
        except CaUnavailableError as error:
            raise _not_now(error) from error

    async def _place(self, product: str, body: OrderBody) -> models.PlacedOrder:
        """Skip DigiCert's approval where the key may: whether it may is not known beforehand, and may change."""
        now = self._clock.now()
        unskipped = body.model_copy(update={"skip_approval": False})
        if self._skip_again_at is not None and now < self._skip_again_at:
            return await self._client.place_order(product, unskipped)
        try:
            placed = await self._client.place_order(product, body)
        except CaRefusedError as error:
            if not error.codes & MAY_NOT_SKIP:
                raise
        else:
            self._skip_again_at = None
            return placed
        placed = await self._client.place_order(product, unskipped)
        log.warning("the API key may not skip DigiCert's approval; orders are placed without, for an hour")
        self._skip_again_at = now + SKIP_AGAIN_AFTER
        return placed

    async def _answer(self, question: Awaitable[AnswerT]) -> AnswerT:
        """The answer to a question that is asked again later, whatever is in the way of one now."""
        try:
            return await question
        except (CaUnavailableError, CaRefusedError) as error:
            raise _not_now(error) from error


def _profile_option(usages: Sequence[str]) -> str:
    return "server_client_auth_eku" if "clientAuth" in usages else "server_auth_only_eku"


def _refusal(error: CaRefusedError) -> Exception:
    """What follows from an order that DigiCert refused: nothing was ordered by this call."""
    findings = _findings(error)
    if any(found.code == ID_REFUSED for found in findings):
        text = "the CA says that it has an order under this request's id already"
        return OrderUncertainError(finding(ID_TAKEN, text), *findings)
    return _not_now(error) if is_retried(error) else OrderRefusedError(*findings)


def _not_now(error: CaUnavailableError | CaRefusedError) -> NotNowError:
    if isinstance(error, CaUnavailableError):
        return NotNowError(_findings(error), wait=error.retry_after)
    return NotNowError(_findings(error), passes=False)


def _findings(error: CaUnavailableError | CaRefusedError) -> list[Finding]:
    return [diagnosis.finding for diagnosis in diagnose(error)]


def _open(requests: Iterable[RequestStatus]) -> tuple[int, ...]:
    """DigiCert's own requests that must be approved before it issues."""
    return tuple(each.request_id for each in requests if each.status in OPEN and each.type in {None, "new_request"})


def _is_issued(info: OrderInfo) -> bool:
    """Whether there is a certificate; its serial number is there from then on, whatever the order's status becomes."""
    return info.status == OrderStatus.ISSUED or info.certificate.serial_number is not None


def _ended(info: OrderInfo) -> Finding:
    return finding("ca.order-ended", f"the CA ended order {info.order_id}", value=info.status)


def _pem(der: bytes) -> str:
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode()


def _both(*said: bool | None) -> bool | None:
    """No, if one says no; yes, if one says yes; else nothing."""
    words = {word for word in said if word is not None}
    return all(words) if words else None


def _longest_years(product: Product, limits: Iterable[ProductLimit]) -> int | None:
    """For how long the product may be ordered: certificate and order have the same term."""
    lists = [product.allowed_order_validity_years]
    lists += [years for limit in limits for years in (limit.allowed_lifetimes, limit.allowed_order_lifetimes)]
    return min((max(years) for years in lists if years), default=None)


def _ids(certificates: Iterable[CaCertificate] | None) -> tuple[str, ...] | None:
    return None if certificates is None else tuple(each.id for each in certificates)


def _thumbprint(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex()  # noqa: S303 - DigiCert names certificates so
