"""The ledger: one entry for each request, from the witnessed denial or the accepted approval to the certificate."""

from datetime import date
from enum import StrEnum

from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement
from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import (
    ApprovalGroupField,
    CertificateId,
    DigestField,
    IdentityField,
    MessageIdField,
    OrderId,
    RequestIdField,
)


class OrderState(StrEnum):
    """Where an entry of the ledger stands."""

    WITNESSED = "witnessed"
    """Only a denial is known so far."""
    RETURNED = "returned"
    """The approval did not hold; another may come."""
    ACCEPTED = "accepted"
    """The evidence holds; to be ordered."""
    INTENT = "intent"
    """An order may have been placed, or may be under way."""
    PENDING = "pending"
    """The CA has the order and has not issued yet."""
    ISSUED = "issued"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    UNCLEAR = "unclear"
    """The CA knows several orders for one intent: an operator's to decide. Nothing is ordered again."""


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
    attempt: int = 0
    alternative_order_id: MessageIdField | None = None
    expires_on: date | None = None
    """The last day that was asked for in the latest intent."""
    intended_at_ms: int = 0
    intent: str | None = None
    """The latest intent, signed: what was verified then, and by which policy."""
    order_id: OrderId | None = None
    certificate_id: CertificateId | None = None
    issuance: str | None = None
    findings: tuple[Finding, ...] = ()
    unpublished: tuple[Outgoing, ...] = ()
    """What follows from the latest step and is not yet known to be published."""
    due: int | None = None
    """When the scheduler looks at it next, POSIX milliseconds; none when there is nothing to do."""


class EvidenceRefusal(Aggregate):
    """An approval that did not hold, kept under the id of the message that carried it."""

    id: MessageIdField
    request_id: RequestIdField
    findings: tuple[Finding, ...]
