"""The certificate as the revoker knows it, and its revocation."""

from datetime import datetime
from enum import StrEnum

from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outgoing
from shared.vocabulary.names import (
    ApprovalGroupField,
    CertificateId,
    DigestField,
    IdentityField,
    OrderId,
    RequestIdField,
)
from shared.vocabulary.reasons import RevocationReason


class CertificateState(StrEnum):
    """Where a certificate stands with the revoker."""

    LIVE = "live"
    REVOKING = "revoking"
    """A revocation was accepted; the CA may or may not have carried it out."""
    REVOKED = "revoked"


class Certificate(Aggregate):
    """One issued certificate, by its request's id, and what became of it."""

    id: RequestIdField
    state: CertificateState = CertificateState.LIVE
    quarantined: bool
    """Whether it was held back because it differs from what was approved."""
    sequence: int
    approval_group: ApprovalGroupField
    requesters: tuple[IdentityField, ...]
    order_id: OrderId
    certificate_id: CertificateId
    serial_number: str
    digest: DigestField
    issuance: DigestField
    reason: RevocationReason | None = None
    notes: str = ""
    requested_by: IdentityField | None = None
    requested_at: datetime | None = None
    unpublished: tuple[Outgoing, ...] = ()
    """What follows from the latest step and is not yet known to be published."""
    due: int | None = None
    """When the scheduler looks at it next, POSIX milliseconds; none when there is nothing to do."""
