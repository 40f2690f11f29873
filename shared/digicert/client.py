"""The client of DigiCert's Services API v2 for a key that may order or revoke."""

from shared.digicert.answers import nothing_in, parsed, revocation_in
from shared.digicert.diagnosis import ORDER
from shared.digicert.models import REVOCATION_REASONS, OrderBody, PlacedOrder, RevocationOutcome
from shared.digicert.reader import DigiCertReader
from shared.digicert.transport import Call, segment
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason


class DigiCertClient(DigiCertReader):
    """Asks the CA, orders and revokes.

    Every method raises `CaRefusedError` where the CA says no and `CaUnavailableError` where it gives no usable
    answer; see there for `maybe_done`. Nothing is ever sent twice: retrying is the caller's decision.
    """

    async def place_order(self, product: str, order: OrderBody) -> PlacedOrder:
        """Order a certificate of this product.

        Raises:
            CaUnavailableError: with `maybe_done`, look under the alternative id before ordering again.
            CaRefusedError: nothing was ordered.
        """
        path = f"/order/certificate/{segment(product)}"
        return await self._answer(
            Call(ORDER, "POST", path, body=order.as_json()), lambda reply: parsed(PlacedOrder, reply)
        )

    async def cancel_order(self, order_id: OrderId, note: str) -> None:
        """Cancel an order that is not issued yet."""
        call = Call(
            "order.cancel",
            "PUT",
            f"/order/certificate/{segment(order_id)}/status",
            body={"status": "CANCELED", "note": note, "send_emails": False},
        )
        await self._answer(call, nothing_in)

    async def revoke_certificate(
        self,
        certificate: CertificateId | str,
        reason: RevocationReason,
        comments: str,
        *,
        skip_approval: bool = True,
    ) -> RevocationOutcome:
        """Revoke the certificate with this number or serial number.

        Skipping approval works for an administrator's key; with another the outcome is a request that waits.

        Raises:
            ValueError: the reason is not one of `REVOCATION_REASONS`.
        """
        if reason not in REVOCATION_REASONS:
            raise ValueError(f"the CA knows no revocation for {reason}")
        call = Call(
            "certificate.revoke",
            "PUT",
            f"/certificate/{segment(certificate)}/revoke",
            body={"revocation_reason": reason.value, "comments": comments, "skip_approval": skip_approval},
        )
        return await self._answer(call, revocation_in)

    async def approve_request(self, request_id: int, comment: str) -> None:
        """Approve one of the CA's own requests, such as the one that an order or a revocation without skipping makes.

        Raises:
            CaRefusedError: this key may not, or the request was decided before.
        """
        call = Call(
            "request.approve",
            "PUT",
            f"/request/{segment(request_id)}/status",
            body={"status": "approved", "processor_comment": comment},
        )
        await self._answer(call, nothing_in)
