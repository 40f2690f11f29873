"""The ledger: one entry for each request, from the witnessed denial or the accepted approval to the certificate."""

from datetime import date

from pydantic import Field

from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement
from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import Finding
from shared.vocabulary.held import HeldKind
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
from shared.vocabulary.orders import OrderState


class Settlement(Model):
    """What an operator wants done about an entry; the CA is asked again before it is done."""

    by: IdentityField
    adopt: OrderId | None
    """The order at the CA that is this request's; none says that there is none, and that it is to be ordered."""
    fail: str | None = None
    """Why the request is to end for good, if it is."""


class Held(Model):
    """The private key that the issuer made, or the PKCS#12 with it: encrypted under the requester's password."""

    kind: HeldKind
    content: Blob = Field(repr=False)
    """EncryptedPrivateKeyInfo (RFC 5958), or PKCS#12 (RFC 7292): DER."""
    opening_key: str
    """The id of the opening key to which the password is sealed."""
    since_ms: int
    erase_ms: int | None = None
    """When it is erased at the latest, POSIX milliseconds."""
    once: bool = True
    """Whether the first download is the last one."""
    taken_by: IdentityField | None = None
    """Who downloads it, where that is the first download and the last: nobody else is answered with it."""


class Order(Aggregate):
    """One request in the ledger."""

    id: RequestIdField
    state: OrderState
    voided: tuple[DigestField, ...] = ()
    """Verdicts that were given back to approval: none of them serves again, whatever changes meanwhile."""
    denials: tuple[JwsStatement, ...] = ()
    """Signed denials that the issuer saw on their way to approval."""
    sequence: int = 0
    policy_serial: int = 0
    """Of the policy under which the approval was accepted: nobody orders it under an older one."""
    approval_group: ApprovalGroupField | None = None
    requesters: tuple[IdentityField, ...] = ()
    evidence: Evidence | None = None
    revision: DigestField | None = None
    verdict: DigestField | None = None
    origin_ms: int = 0
    """When the request began or its verdict was signed, whichever is earlier: from then on, there may be an order."""
    accepted_at_ms: int = 0
    attempt: int = 0
    """The number that goes into the alternative order id. It rises only past one whose orders at the CA have ended."""
    tries: int = 0
    """How often an order was sent, or was about to be."""
    unanswered: int = 0
    """The same since the CA's last word on it that left no doubt, or since an operator's."""
    alternative_order_id: MessageIdField | None = None
    expires_on: date | None = None
    """The last day that was asked for in the latest intent."""
    intended_at_ms: int = 0
    searched_at_ms: int = 0
    """When the CA was last asked what it has of this, and had nothing."""
    intent: str | None = None
    """The latest intent, signed: what was verified then, and by which policy."""
    order_id: OrderId | None = None
    ca_status: str | None = None
    """The CA's word for where its order stands, as it was last seen there."""
    told_status: str | None = None
    """The CA's word for it in its status feed, if that is what made us look."""
    certificate_id: CertificateId | None = None
    issuance: str | None = None
    findings: tuple[Finding, ...] = ()
    """Why it stands where it stands."""
    csr: Blob | None = None
    """Of the key pair that the issuer made for this, once it did: PKCS#10, DER."""
    held: Held | None = None
    revoked: bool = False
    """Whether the revoker said so: then nothing is delivered any more."""
    held_for: ApprovalGroupField | None = None
    """The approval group while something is held, so that it is found fast."""
    settlement: Settlement | None = None
    waits: int = 0
    """How often it was looked at in vain since something happened to it."""
    unpublished: tuple[Outgoing, ...] = ()
    """What follows from the latest step and is not yet known to be published."""
    due: int | None = None
    """When the scheduler looks at it next, POSIX milliseconds; none when there is nothing to do."""
    due_then: int | None = None
    """The same for the time when all is published: until then it is due at once."""


class EvidenceRefusal(Aggregate):
    """An approval that did not hold, kept under the id of the message that carried it."""

    id: MessageIdField
    request_id: RequestIdField
    findings: tuple[Finding, ...]


class FeedMark(Aggregate):
    """How far the CA's status feed was read, by whichever copy of the issuer."""

    seen_ms: int
    """All changes up to then have been seen."""
    due: int
    """When it is to be read next, by any copy."""


class BlockedKey(Aggregate):
    """A public key that was reported as compromised; nothing is ordered with it any more. It is never forgotten."""

    id: DigestField
    """SHA-256 of the SubjectPublicKeyInfo."""
    request_id: RequestIdField
    """Whose certificate it was."""
