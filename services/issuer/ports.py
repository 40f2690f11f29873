"""What the issuer needs from the outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from services.issuer.model import BlockedKey, EvidenceRefusal, FeedMark, Order
from shared.errors import UnavailableError
from shared.messaging.aggregate import Store
from shared.policy.compatibility import Combination, ProductFacts
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import ApprovalGroupName, CertificateId, OrderId, RequestId
from shared.vocabulary.orders import OrderState

APPROVAL_THERE = "order.approval-there"
"""The code of an order that waits until people approve it at the CA."""
ID_TAKEN = "order.id-taken"
"""The code of an order that the CA refuses because it has one under that id."""
LEFT_THERE = "order.left-there"
"""The code of an order that stays at the CA although its request does not go on."""
UNCLEAR = "order.unclear"
"""The code of an entry of which nobody can tell which order at the CA it is."""


@dataclass(frozen=True)
class Backlog:
    """The entries in one state."""

    count: int
    oldest_ms: int
    """When the one that has waited longest was accepted."""


class OrderStore(Store[Order], Protocol):
    """The ledger, what of it is due, and what of it operators look at.

    Every method raises `UnavailableError` when the database is away.
    """

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Order]:
        """Up to `limit` entries whose `due` is not later than `now_ms`: of each group in turn the longest due."""
        ...

    async def pending(self, order_ids: Sequence[OrderId]) -> Sequence[Order]:
        """The entries that wait at the CA as one of these orders."""
        ...

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[OrderState],
        *,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Order]:
        """Up to `limit` entries of these groups in one of these states, by request id from `after` on, oldest first."""
        ...

    async def holding(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Order]:
        """Up to `limit` entries of these groups that hold a private key, by request id from `after` on.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def backlog(self) -> Mapping[OrderState, Backlog]:
        """How many entries there are in each of the open states, and since when the oldest waits."""
        ...


class FeedStore(Store[FeedMark], Protocol):
    """How far the CA's status feed was read."""


class BlockedKeyStore(Store[BlockedKey], Protocol):
    """The keys that were reported as compromised."""


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
    container_id: int | None = None
    """The CA's container to order under; without one, that of the API key."""


@dataclass(frozen=True)
class PlacedOrder:
    """An order as the CA has it; `chain` is empty until it is issued, else DER, leaf first."""

    order_id: OrderId
    certificate_id: CertificateId | None = None
    chain: tuple[bytes, ...] = ()
    ended: tuple[Finding, ...] = ()
    """Why the CA will never issue it, if it said so."""
    status: str = ""
    """The CA's word for where it stands, if it said one."""
    approvals: tuple[int, ...] = ()
    """The CA's own requests that somebody there has to approve before it goes on, as far as it names them."""
    needs_approval: bool = False
    """Whether it waits for somebody to approve it there, whichever requests are named."""
    reasons: tuple[Finding, ...] = ()
    """Why it waits, where there is something to say."""
    is_ready: bool = False
    """Whether to look again soon: it is issued and cannot be downloaded yet, or something of ours is still to do."""


@dataclass(frozen=True)
class KnownOrder:
    """An order that the CA has, as a look-up tells of it."""

    order_id: OrderId
    ended: bool = False
    """Whether no certificate comes from it any more."""
    ours: bool = True
    """Whether it carries our id; if not, it has none and holds our CSR, and nobody can tell whose it is."""


@dataclass(frozen=True)
class Sought:
    """By what an order of ours can be known at the CA."""

    alternative_order_id: str
    csr: bytes | None
    """PKCS#10, DER; none while no key pair was made for it."""
    common_name: str
    since: date
    """It was not placed before this day."""


@dataclass(frozen=True)
class OrderChange:
    """An order whose status changed, with the CA's word for the new one."""

    order_id: OrderId
    status: str


class NotNowError(UnavailableError):
    """The CA did not do it, and may do it later: by itself, or once an operator has mended what `findings` say.

    `wait` is in how many seconds to ask again, where that is known; `passes` says that it passes by itself.
    """

    def __init__(self, findings: Sequence[Finding], *, wait: float | None = None, passes: bool = True) -> None:
        super().__init__("the CA", "; ".join(found.message for found in findings))
        self.findings = tuple(findings)
        self.wait = wait
        self.passes = passes


class OrderRefusedError(Exception):
    """The CA refused to take the order, for good and for what was asked; `findings` carry its own words."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(found.message for found in findings))
        self.findings = findings


class OrderUncertainError(Exception):
    """The CA gave no answer that can be used, and may or may not have taken the order."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(found.message for found in findings))
        self.findings = findings


class CertificateAuthority(Protocol):
    """The CA, as narrow as ordering needs it.

    Every method raises `NotNowError` when the CA certainly did nothing and may be asked again later.
    """

    async def ready(self) -> None:
        """Return when the CA's rate limit lets a call go, if that is soon."""
        ...

    async def place(self, order: OrderRequest) -> PlacedOrder:
        """Place an order.

        Raises:
            OrderRefusedError: the CA refused it.
            OrderUncertainError: nobody knows; look it up before placing it again.
        """
        ...

    async def look_up(self, alternative_order_id: str) -> Sequence[KnownOrder]:
        """The orders that the CA shows under this id of ours."""
        ...

    async def look_alikes(self, sought: Sought) -> Sequence[KnownOrder]:
        """The same by another way: orders of this name that carry our id, or that have no id and our CSR."""
        ...

    async def resembles(self, order_id: OrderId, sought: Sought) -> bool:
        """Whether the CA has this order, and it carries our id, or has no id and our CSR."""
        ...

    async def is_live(self, order_id: OrderId) -> bool:
        """Whether the CA has this order, and has not ended it."""
        ...

    async def follow(self, order_id: OrderId) -> PlacedOrder:
        """The order as it is now, with its chain if that can be had."""
        ...

    async def approve(self, approval: int) -> None:
        """Approve one of the CA's own requests; an answer that is lost does no harm."""
        ...

    async def changes(self, since: datetime, now: datetime) -> Sequence[OrderChange]:
        """Every order whose status changed after `since`, with its newest status."""
        ...


class ProductSource(Protocol):
    """Tells what the CA offers."""

    async def product_facts(
        self, combination: Combination, imported: bytes, intermediate: bytes, *, at: datetime
    ) -> ProductFacts:
        """What the CA says of this combination, whose certificates are given as DER.

        Raises:
            NotNowError: it does not say now.
        """
        ...
