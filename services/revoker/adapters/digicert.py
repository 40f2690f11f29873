"""DigiCert behind the revoker's port."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.revoker.ports import NotNowError, RevocationRefusedError, Standing
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaCredentialError, CaRefusedError, CaThrottledError
from shared.errors import UnavailableError
from shared.vocabulary.findings import finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

REVOKED, REJECTED, REISSUE_PENDING = "revoked", "rejected", "reissue_pending"
REVOKE = "revoke"
WAITING = frozenset({"pending", "submitted"})
BUSY_SECONDS = 15.0
"""How long nothing is asked of a CA that says it is too much and not for how long."""


class DigiCertRevocation:
    """The Services API v2, as far as revoking needs it."""

    def __init__(self, client: DigiCertClient) -> None:
        self._client = client

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> int | None:
        """Revoke one certificate; the number of DigiCert's own request where that has to be approved there."""
        with _heeding():
            outcome = await self._client.revoke_certificate(certificate_id, reason, notes)
        waits = outcome.request is not None and outcome.request.status in WAITING
        return outcome.request.request_id if outcome.request is not None and waits else None

    async def approve(self, request: int, notes: str) -> None:
        """Approve DigiCert's own request."""
        with _heeding():
            await self._client.approve_request(request, notes)

    async def standing(
        self, order_id: OrderId, certificate_id: CertificateId, serial_number: str, mark: str
    ) -> Standing:
        """What DigiCert says of this certificate and of its order; requests count if their comment has our mark."""
        try:
            with _heeding():
                info = await self._client.order(order_id)
        except RevocationRefusedError as error:
            raise UnavailableError("the CA", str(error)) from error
        same = certificate_id == info.certificate.certificate_id or serial_number == info.certificate.serial_number
        asked = [each for each in info.requests if each.type == REVOKE and mark in (each.comments or "")]
        waiting = [request.request_id for request in asked if request.status in WAITING]
        return Standing(
            is_revoked=info.status == REVOKED or (same and info.certificate.status == REVOKED),
            is_reissued=info.status == REISSUE_PENDING,
            open_request=waiting[0] if waiting else None,
            rejected=frozenset(request.request_id for request in asked if request.status == REJECTED),
        )


@contextmanager
def _heeding() -> Iterator[None]:
    """What the CA says no to, in the words of the port."""
    try:
        yield
    except CaThrottledError as error:
        raise NotNowError(str(error), wait=error.retry_after or BUSY_SECONDS) from error
    except CaCredentialError as error:
        raise UnavailableError("the CA", str(error)) from error
    except CaRefusedError as error:
        raise RevocationRefusedError(
            *(finding("ca.refused", f"the CA said: {text}", value=code) for code, text in error.reasons)
        ) from error
