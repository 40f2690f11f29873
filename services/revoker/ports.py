"""What the revoker needs from the outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.revoker.model import Certificate
from shared.contracts.commands import ListCertificates
from shared.errors import UnavailableError
from shared.messaging.aggregate import Store
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import ApprovalGroupName, CertificateId, Digest, OrderId, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState


@dataclass(frozen=True)
class Running:
    """The clock of one revocation that is not carried out: open, or refused by the CA."""

    id: RequestId
    asked_at: datetime
    deadline: datetime
    until: datetime
    """When the certificate expires, and nothing is left to revoke."""

    def used(self, now: datetime) -> float:
        """Which part of its time is over: 1 at its deadline, and more after it."""
        return (now - self.asked_at) / (self.deadline - self.asked_at)


class CertificateStore(Store[Certificate], Protocol):
    """The certificates, and what of their revocation is due.

    Every method raises `UnavailableError` when the database is away.
    """

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Certificate]:
        """Up to `limit` certificates whose `due` is not later than `now_ms`, the longest due first."""
        ...

    async def of_serial(self, serial_number: str) -> Sequence[Certificate]:
        """The certificates with this serial number: each issuer may have one."""
        ...

    async def of_key(self, key: Digest) -> Sequence[Certificate]:
        """The certificates with this public key, the latest first, up to `MOST_OF_A_KEY`."""
        ...

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[CertificateState],
        *,
        campaign: Digest | None = None,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Certificate]:
        """Up to `limit` certificates of these groups in these states, by request id from `after` on, oldest first."""
        ...

    async def these(self, ids: Sequence[RequestId]) -> Sequence[Certificate]:
        """The certificates of these requests that are known."""
        ...

    async def live(
        self, groups: Sequence[ApprovalGroupName], wanted: ListCertificates, *, limit: int
    ) -> Sequence[Certificate]:
        """Up to `limit` of these groups' certificates that nobody has asked to revoke and that are `wanted`."""
        ...

    async def of_campaign(self, campaign: Digest) -> dict[CertificateState, int]:
        """How many certificates of this campaign are in each state."""
        ...

    async def running(self) -> Sequence[Running]:
        """The clocks of all revocations that are open or that the CA has refused."""
        ...


MOST_OF_A_KEY = 100
"""Certificates of one key that are looked at."""


class RevocationRefusedError(Exception):
    """The CA refused to revoke; `findings` carry its own words.

    `passes` where that is about our right and not about the certificate: an operator can mend it.
    """

    def __init__(self, *findings: Finding, passes: bool = False) -> None:
        super().__init__("; ".join(found.message for found in findings))
        self.findings = findings
        self.passes = passes


class NotNowError(UnavailableError):
    """The CA, or our account of its rate limit, lets nothing through for `wait` seconds."""

    def __init__(self, reason: str, *, wait: float) -> None:
        super().__init__("the CA", reason)
        self.wait = wait


@dataclass(frozen=True)
class Standing:
    """What the CA has of a certificate."""

    is_revoked: bool = False
    is_reissued: bool = False
    """Whether a reissue of its order is pending: until that is done, the CA revokes nothing of it."""
    open_request: int | None = None
    """The CA's own request for its revocation, which waits for approval."""
    rejected: frozenset[int] = frozenset()
    """Requests for its revocation that were rejected at the CA."""
    unseen: tuple[Finding, ...] = ()
    """Why the CA does not show this certificate: then nothing here says that it is not revoked."""


class RevokingAuthority(Protocol):
    """The CA, as narrow as revoking needs it.

    Every method raises `UnavailableError` when there is no answer: it may or may not have been done.
    """

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> int | None:
        """Revoke one certificate: done, or the number of the CA's own request, which has to be approved there.

        Raises:
            RevocationRefusedError: the CA refused.
        """
        ...

    async def approve(self, request: int, notes: str) -> None:
        """Approve the CA's own request for a revocation.

        Raises:
            RevocationRefusedError: the CA does not let us, or it was decided before.
        """
        ...

    async def standing(
        self, order_id: OrderId, certificate_id: CertificateId, serial_number: str, mark: str
    ) -> Standing:
        """What the CA has of this certificate; of the CA's own requests, those count whose notes have this mark."""
        ...
