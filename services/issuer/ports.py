"""What the issuer needs from the outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from services.issuer.model import EvidenceRefusal, Order
from shared.messaging.aggregate import Store
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import CertificateId, OrderId


class OrderStore(Store[Order], Protocol):
    """The ledger, and what of it is due."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Order]:
        """Up to `limit` entries whose `due` is not later than `now_ms`, the longest due first.

        Raises:
            UnavailableError: the database is away.
        """
        ...


class RefusalStore(Store[EvidenceRefusal], Protocol):
    """The refusals of evidence."""


@dataclass(frozen=True)
class OrderRequest:
    """What is ordered from the CA."""

    product: str
    alternative_order_id: str
    csr: bytes
    """PKCS#10, DER."""
    common_name: str
    dns_names: tuple[str, ...]
    signature_hash: str
    organization_id: int
    ca_cert_id: str
    extended_key_usage: tuple[str, ...]
    expires_on: date


@dataclass(frozen=True)
class PlacedOrder:
    """An order as the CA has it; `chain` is empty until it is issued, else DER, leaf first."""

    order_id: OrderId
    certificate_id: CertificateId | None = None
    chain: tuple[bytes, ...] = ()
    ended: tuple[Finding, ...] = ()
    """Why the CA will never issue it, if it said so."""


class OrderRefusedError(Exception):
    """The CA refused to take the order, for good; `findings` carry its own words."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(found.message for found in findings))
        self.findings = findings


class OrderUncertainError(Exception):
    """The CA gave no answer and may or may not have taken the order."""


class CertificateAuthority(Protocol):
    """The CA, as narrow as ordering needs it.

    Every method raises `UnavailableError` when the CA is away and certainly did not act.
    """

    async def place(self, order: OrderRequest) -> PlacedOrder:
        """Place an order.

        Raises:
            OrderRefusedError: the CA refused it.
            OrderUncertainError: nobody knows; look it up before placing it again.
        """
        ...

    async def look_up(self, alternative_order_id: str) -> Sequence[PlacedOrder]:
        """The orders that the CA has under this id of ours, without their chains."""
        ...

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        """The order as it is now, with its chain if it is issued."""
        ...

    async def check_fit(self, product: str, ca_cert_id: str, intermediate: bytes) -> list[Finding]:
        """Why this product, intermediate (DER) and id of it do not go together at the CA; empty when they do."""
        ...
