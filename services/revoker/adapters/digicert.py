"""DigiCert behind the revoker's port."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.revoker.ports import NotNowError, RevocationRefusedError, Standing
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaCredentialError, CaRefusedError, CaThrottledError
from shared.digicert.models import CertificateInfo, OrderInfo
from shared.errors import UnavailableError
from shared.vocabulary.findings import finding
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

REVOKED, APPROVED, REJECTED, REISSUE_PENDING = "revoked", "approved", "rejected", "reissue_pending"
REVOKE = "revoke"
FORBIDDEN = 403
BUSY_SECONDS = 15.0
"""How long nothing is asked of a CA that says it is too much and not for how long."""


class DigiCertRevocation:
    """The Services API v2, as far as revoking needs it."""

    def __init__(self, client: DigiCertClient) -> None:
        self._client = client

    async def revoke(self, certificate_id: CertificateId, reason: RevocationReason, notes: str) -> int | None:
        """Revoke one certificate; the number of DigiCert's own request, unless that is approved already."""
        with _heeding():
            outcome = await self._client.revoke_certificate(certificate_id, reason, notes)
        request = outcome.request
        return None if request is None or request.status == APPROVED else request.request_id

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
                ours = await self._ours(info, certificate_id, serial_number)
        except RevocationRefusedError as refused:
            text = "the CA does not show the order of this certificate: look there whether it is revoked"
            return Standing(unseen=(finding("revocation.order-not-shown", text, value=order_id), *refused.findings))
        asked = [each for each in info.requests if each.type == REVOKE and mark in (each.comments or "")]
        waiting = [request.request_id for request in asked if request.status not in {APPROVED, REJECTED}]
        approved = any(request.status == APPROVED for request in asked)
        said = None if ours is None else ours.status
        text = "the order was reissued, and the CA no longer lists this certificate: look there whether it is revoked"
        unseen = (finding("revocation.certificate-not-shown", text, value=certificate_id),)
        return Standing(
            is_revoked=info.status == REVOKED or (said == REVOKED if said else approved),
            is_reissued=info.status == REISSUE_PENDING,
            open_request=waiting[0] if waiting else None,
            rejected=frozenset(request.request_id for request in asked if request.status == REJECTED),
            unseen=unseen if ours is None else (),
        )

    async def _ours(self, info: OrderInfo, certificate_id: CertificateId, serial_number: str) -> CertificateInfo | None:
        """This certificate, wherever its order has it; the order's own page shows but the latest."""
        if _is_same(info.certificate, certificate_id, serial_number):
            return info.certificate
        for copies in (self._client.reissues, self._client.duplicates):
            for each in await copies(info.order_id):
                if _is_same(each, certificate_id, serial_number):
                    return each
        return None


def _is_same(shown: CertificateInfo, certificate_id: CertificateId, serial_number: str) -> bool:
    return certificate_id == shown.certificate_id or serial_number == shown.serial_number


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
            *(finding("ca.refused", f"the CA said: {text}", value=code) for code, text in error.reasons),
            passes=error.status == FORBIDDEN,
        ) from error
