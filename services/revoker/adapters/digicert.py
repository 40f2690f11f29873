"""DigiCert behind the revoker's port."""

from services.revoker.ports import RevocationRefusedError
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaCredentialError, CaRefusedError
from shared.errors import UnavailableError
from shared.vocabulary.findings import finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

REVOKED = "revoked"
WAITING = frozenset({"pending", "submitted"})


class DigiCertRevocation:
    """The Services API v2, as far as revoking needs it."""

    def __init__(self, client: DigiCertClient) -> None:
        self._client = client

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> bool:
        """Revoke one certificate; `False` while DigiCert wants its revocation request approved."""
        try:
            outcome = await self._client.revoke_certificate(certificate_id, reason, notes)
        except CaCredentialError as error:
            raise UnavailableError("the CA", str(error)) from error
        except CaRefusedError as error:
            raise RevocationRefusedError(
                *(finding("ca.refused", f"the CA said: {text}", value=code) for code, text in error.reasons)
            ) from error
        return outcome.request is None or outcome.request.status not in WAITING

    async def is_revoked(self, order_id: OrderId, serial_number: str) -> bool:
        """Whether DigiCert says that this certificate, or its whole order, is revoked."""
        try:
            info = await self._client.order(order_id)
        except CaRefusedError as error:
            raise UnavailableError("the CA", str(error)) from error
        same = info.certificate.serial_number == serial_number
        return info.status == REVOKED or (same and info.certificate.status == REVOKED)
