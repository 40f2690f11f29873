"""DigiCert behind the issuer's port."""

from collections.abc import Awaitable, Sequence
from typing import Literal, TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuer.ports import OrderRefusedError, OrderRequest, OrderUncertainError, PlacedOrder
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaCredentialError, CaRefusedError, CaUnavailableError
from shared.digicert.models import OrderBody, OrderInfo
from shared.errors import UnavailableError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import OrderId

AnswerT = TypeVar("AnswerT")

ENDED = frozenset({"rejected", "revoked", "canceled", "expired", "denied"})
"""Statuses of an order from which no certificate comes any more."""
ISSUED = "issued"


class DigiCertAuthority:
    """The Services API v2, as far as ordering needs it."""

    def __init__(self, client: DigiCertClient) -> None:
        self._client = client

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
        )
        try:
            placed = await self._client.place_order(order.product, body)
        except CaUnavailableError as error:
            if error.maybe_done:
                raise OrderUncertainError(str(error)) from error
            raise
        except CaCredentialError as error:
            raise UnavailableError("the CA", str(error)) from error
        except CaRefusedError as error:
            raise OrderRefusedError(*_refusal(error)) from error
        return PlacedOrder(placed.order_id, placed.certificate_id, placed.chain)

    async def look_up(self, alternative_order_id: str) -> Sequence[PlacedOrder]:
        """The orders that DigiCert has under this id of ours."""
        found = await self._asked(self._client.orders_by_alternative_id(alternative_order_id))
        return [PlacedOrder(each.order_id, each.certificate_id) for each in found]

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        """The order as it is now, with its chain if it is issued."""
        info = await self._asked(self._client.order(order_id))
        certificate_id = info.certificate.certificate_id
        if info.status in ENDED:
            return PlacedOrder(order_id, ended=(_ended(info),))
        if info.status != ISSUED or certificate_id is None:
            return PlacedOrder(order_id, certificate_id)
        chain = await self._asked(self._client.chain(certificate_id))
        return PlacedOrder(order_id, certificate_id, chain)

    async def check_fit(self, product: str, ca_cert_id: str, intermediate: bytes) -> list[Finding]:
        """Compare the product's own list of issuing CAs and the CA's intermediates with what the policy says."""
        try:
            facts = await self._asked(self._client.product(product))
        except CaRefusedError as refused:
            return [finding("ca.product-unknown", text, value=product) for _, text in refused.reasons]
        allowed = facts.allowed_ca_certs
        if allowed is not None and ca_cert_id not in {each.id for each in allowed}:
            return [
                finding(
                    "ca.intermediate-not-allowed",
                    f"{product} is not issued from this intermediate",
                    value=ca_cert_id,
                )
            ]
        thumbprint = x509.load_der_x509_certificate(intermediate).fingerprint(hashes.SHA1()).hex()  # noqa: S303 - DigiCert names intermediates so
        try:
            known = {each.id: each.thumbprint for each in await self._asked(self._client.intermediates())}
        except CaRefusedError as refused:
            raise UnavailableError("the CA", str(refused)) from refused
        if known.get(ca_cert_id) != thumbprint:
            return [
                finding(
                    "ca.intermediate-differs",
                    "the CA's intermediate of this id is not the one that the policy has",
                    value=ca_cert_id,
                )
            ]
        return []

    async def _asked(self, question: Awaitable[AnswerT]) -> AnswerT:
        try:
            return await question
        except CaCredentialError as error:
            raise UnavailableError("the CA", str(error)) from error


def _profile_option(usages: Sequence[str]) -> str:
    return "server_client_auth_eku" if "clientAuth" in usages else "server_auth_only_eku"


def _refusal(error: CaRefusedError) -> list[Finding]:
    return [finding("ca.refused", f"the CA said: {text}", value=code) for code, text in error.reasons]


def _ended(info: OrderInfo) -> Finding:
    return finding("ca.order-ended", f"the CA ended order {info.order_id}", value=info.status)


def _pem(der: bytes) -> str:
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode()
