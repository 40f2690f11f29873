"""The certificate as the revoker knows it, and its revocation."""

from datetime import datetime

from shared.contracts.campaigns import Campaign
from shared.contracts.statement import ConfirmationStatement, JwsStatement
from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outgoing
from shared.policy.model import Trust
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Blob, Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    CertificateId,
    DigestField,
    IdentityField,
    MessageIdField,
    OrderId,
    RequestIdField,
)
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from shared.x509.possession import PossessionProof


class Asked(Model):
    """A revocation as it was asked for, and how far it has come."""

    id: MessageIdField
    """Of the command."""
    reason: RevocationReason
    notes: str
    by: IdentityField
    at: datetime
    """When it was reported: the clock runs from here."""
    deadline: datetime
    proof: PossessionProof | None = None
    needed: int = 0
    """How many people must confirm it."""
    confirmations: tuple[ConfirmationStatement, ...] = ()
    confirmed_by: tuple[IdentityField, ...] = ()
    replaces: RevocationReason | None = None
    """The reason for which it is revoked, or about to be, already."""
    tries: int = 0
    """How often the CA was asked, or was about to be."""
    ca_request: int | None = None
    """The CA's own request for this revocation, which has to be approved there."""
    waits: int = 0
    """How often it was looked at in vain since something happened to it."""
    ended_at: datetime | None = None
    """When it was carried out, or came to nothing at the CA."""
    campaign: DigestField | None = None
    """By which it was asked for."""
    findings: tuple[Finding, ...] = ()
    """Why it stands where it stands."""
    overtook: "Asked | None" = None
    """What was open when this was asked for; it goes on if the CA refuses this."""


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
    issuer: str
    digest: DigestField
    issuance: DigestField
    product: str
    trust: Trust
    issued_ms: int
    """When the issuer signed for it, POSIX milliseconds."""
    not_after: datetime
    spki: Blob
    """The certificate's SubjectPublicKeyInfo, DER; empty if it can't be read."""
    key: DigestField
    revocation: Asked | None = None
    """The latest that was asked for."""
    revoked_for: RevocationReason | None = None
    """The reason for which the latest revocation was carried out."""
    deadline_ms: int | None = None
    """By when it has to be revoked, POSIX milliseconds; a refusal of the CA does not end that."""
    campaigns: tuple[DigestField, ...] = ()
    """Those that had it revoked, or tried to: each does so once."""
    unpublished: tuple[Outgoing, ...] = ()
    """What follows from the latest step and is not yet known to be published."""
    due: int | None = None
    """When the scheduler looks at it next, POSIX milliseconds; none when there is nothing to do."""

    @property
    def asked(self) -> Asked:
        """The revocation that was asked for."""
        if self.revocation is None:
            raise ValueError("nobody asked for a revocation")
        return self.revocation


class CampaignRecord(Aggregate):
    """A campaign of which a part was accepted, by its digest, with what shows that it was meant."""

    id: DigestField
    campaign: Campaign
    signatures: tuple[JwsStatement, ...]
    signers: tuple[IdentityField, ...]
    by: IdentityField
    """Who sent the first part."""
    at: datetime
