"""What the revoker needs from the outside."""

from collections.abc import Sequence
from typing import Protocol

from services.revoker.model import Certificate
from shared.messaging.aggregate import Store
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason


class CertificateStore(Store[Certificate], Protocol):
    """The certificates, and what of their revocation is due."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Certificate]:
        """Up to `limit` certificates whose `due` is not later than `now_ms`, the longest due first.

        Raises:
            UnavailableError: the database is away.
        """
        ...


class RevocationRefusedError(Exception):
    """The CA refused to revoke; `findings` carry its own words."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(found.message for found in findings))
        self.findings = findings


class RevokingAuthority(Protocol):
    """The CA, as narrow as revoking needs it."""

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> bool:
        """Revoke one certificate; `False` while the CA's own approval of the revocation is outstanding.

        Repeating it is safe.

        Raises:
            RevocationRefusedError: the CA refused.
            UnavailableError: no answer; it may or may not have been done.
        """
        ...

    async def is_revoked(self, order_id: OrderId, serial_number: str) -> bool:
        """Whether the CA says that this certificate is revoked.

        Raises:
            UnavailableError: no answer.
        """
        ...
