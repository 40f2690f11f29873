"""Lifecycle events: what happened to a request, in the past participle, each with the signed proof of it."""

import operator
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from shared.contracts.statement import (
    MOST_JWS_BYTES,
    CompactJws,
    DecisionStatement,
    EditStatement,
    RevisionStatement,
    SubmissionStatement,
)
from shared.vocabulary.differences import MOST_DIFFERENCES, Difference
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model, is_none
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    IdentityField,
    MessageIdField,
    RequestIdField,
    SigningCertificateField,
)
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State

MOST_REVISIONS = 50
MOST_CHAIN_BYTES = 640 * 1024
"""Of a submission and its revisions: beside them the decisions of the largest quorum fit into one message."""
MOST_DELIVERIES = 100
"""Of one certificate that its evidence keeps."""
MOST_AWAITED = 1_000
"""How many of those whose decision is awaited a reminder names."""
_SIGNED_AROUND_BYTES = 512
"""Of header and signature of a revision, at most."""


Differences = Annotated[tuple[Difference, ...], Field(max_length=MOST_DIFFERENCES)]


class LifecycleEvent(Model):
    """Something that happened to one request."""

    state: ClassVar[State]
    """Where the request stands after it."""
    request_id: RequestIdField
    approval_group: ApprovalGroupField


class Evidence(Model):
    """The signed chain, as far as it has come: the steps of the design in their order."""

    submission: SubmissionStatement
    revisions: Annotated[tuple[RevisionStatement, ...], Field(min_length=1, max_length=MOST_REVISIONS)]
    decisions: Annotated[tuple[DecisionStatement, ...], Field(max_length=50)] = ()
    verdict: CompactJws | None = None
    issuance: CompactJws | None = None
    revocation: CompactJws | None = None
    deliveries: Annotated[tuple[CompactJws, ...], Field(max_length=MOST_DELIVERIES, exclude_if=operator.not_)] = ()
    """The first ones and the latest ones, where there are more."""
    erasure: CompactJws | None = Field(default=None, exclude_if=is_none)
    """Of the private key, where the issuer made it."""


def chain_fits(
    submission: SubmissionStatement,
    revisions: Sequence[RevisionStatement],
    following: Model,
    edit: EditStatement | None = None,
) -> bool:
    """Whether a chain with one more revision, not signed yet, can be told in every message that carries it."""
    signed = len(following.canonical()) * 4 // 3 + _SIGNED_AROUND_BYTES  # base64 (RFC 7515 §7.1)
    edits = [revision.edit for revision in revisions] + [edit]
    former = len(submission.canonical()) + sum(len(revision.jws) for revision in revisions)
    former += sum(len(each.jws) for each in edits if each is not None)
    return signed <= MOST_JWS_BYTES and former + signed <= MOST_CHAIN_BYTES


class RequestAccepted(LifecycleEvent):
    """Intake: the request is well-formed and allowed; the approvers' turn."""

    state = State.PENDING
    evidence: Evidence


class RequestEdited(LifecycleEvent):
    """Approval: an approver edited it; the approvers decide on what it is now, whatever they decided before."""

    state = State.PENDING
    by: IdentityField
    differences: Differences
    """To the revision before, field by field; empty texts where there was, or is, nothing."""
    evidence: Evidence
    """Up to the new revision, which comes with the editor's signature."""


class RequestRefused(LifecycleEvent):
    """Approval: nobody need decide on it, as it could not be issued.

    The issuer cannot use the sealed password that came with it, or what was signed when it came does not hold under the
    policy in force.
    """

    state = State.REFUSED
    findings: tuple[Finding, ...]


class RequestApproved(LifecycleEvent):
    """Approval: the quorum approved exactly this revision."""

    state = State.APPROVED
    evidence: Evidence


class RequestDenied(LifecycleEvent):
    """Approval: an approver denied it."""

    state = State.DENIED
    evidence: Evidence


class RequestWithdrawn(LifecycleEvent):
    """Approval: a requester took it back."""

    state = State.WITHDRAWN
    by: str


class RequestExpired(LifecycleEvent):
    """Approval: the time to decide is over, and no quorum was reached."""

    state = State.EXPIRED
    approvals: int
    """How many people had approved it."""
    quorum: int


class RequestReminded(LifecycleEvent):
    """Approval: it is still to be decided, and its approvers are to be reminded. Its state is as it was."""

    state = State.PENDING
    awaits: Annotated[tuple[IdentityField, ...], Field(max_length=MOST_AWAITED)]
    """The identities that may decide and whose owners have not, in alphabetical order."""
    approvals: int
    """How many people have approved it."""
    quorum: int
    until: datetime
    """When it expires."""


class RequestReturned(LifecycleEvent):
    """Issuer: the approval does not hold, so the approvers must decide again; `denial` is one they left out."""

    state = State.PENDING
    verdict: DigestField | None
    findings: tuple[Finding, ...]
    denial: DecisionStatement | None = None


class RequestOrdered(LifecycleEvent):
    """Issuer: the CA took the order and has not issued yet."""

    state = State.ORDERED
    order_id: int
    message: str


class CertificateIssued(LifecycleEvent):
    """Issuer: the certificate came back and matches what was approved."""

    state = State.ISSUED
    issuance: CompactJws
    revision: RevisionStatement
    serial_number: str
    """Lower-case hexadecimal."""
    not_after: datetime
    findings: tuple[Finding, ...] = ()
    """What is worth noting of it, such as a linter's warnings."""


class RequestFailed(LifecycleEvent):
    """Issuer: the CA said no, for good."""

    state = State.FAILED
    findings: tuple[Finding, ...]


class CertificateQuarantined(LifecycleEvent):
    """Issuer: what the CA issued differs from what was approved; it is not delivered and should be revoked."""

    state = State.QUARANTINED
    issuance: CompactJws
    revision: RevisionStatement
    serial_number: str
    not_after: datetime
    findings: tuple[Finding, ...]


class RevocationAsked(LifecycleEvent):
    """Revoker: somebody who may has asked for its revocation; the request stands where it stood."""

    state = State.ISSUED
    reason: RevocationReason
    by: IdentityField
    deadline: datetime
    """By when it has to be revoked."""
    awaits: int = 0
    """How many people must confirm it before it is sent to the CA."""


class CertificateRevoked(LifecycleEvent):
    """Revoker: the CA revoked it."""

    state = State.REVOKED
    revocation: CompactJws
    reason: RevocationReason
    revoked_at: datetime


class RevocationFailed(LifecycleEvent):
    """Revoker: the CA refused, or a person denied the revocation; the certificate stays as it was."""

    state = State.ISSUED
    reason: RevocationReason
    findings: tuple[Finding, ...]


class WithdrawalGranted(LifecycleEvent):
    """Issuer: a requester took it back after its approval and before it was ordered."""

    state = State.WITHDRAWN
    verdict: DigestField
    by: IdentityField


class WithdrawalAsked(Model):
    """Approval to the issuer: a requester wants this approved request back; until it is ordered, the issuer decides."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    verdict: DigestField
    """By which it is approved."""
    approved_as: Annotated[int, Field(ge=2)]
    """The sequence number of that approval."""
    command: MessageIdField
    """The requester's own message, which is answered when the issuer has decided."""
    by: IdentityField


class WithdrawalRefused(Model):
    """Issuer to approval: it is too late, as there may be an order."""

    request_id: RequestIdField
    verdict: DigestField
    command: MessageIdField
    findings: tuple[Finding, ...]


class PasswordAsked(Model):
    """Approval to the issuer: whether it can open the sealed password of this request, and whether it is good."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    evidence: Evidence


class PasswordChecked(Model):
    """Issuer to approval: what speaks against the sealed password; it never says anything of what is in it."""

    request_id: RequestIdField
    findings: tuple[Finding, ...]


class CertificateDelivered(Model):
    """Issuer: somebody has downloaded the certificate; it is news of no step in a request's life."""

    request_id: RequestIdField
    delivery: CompactJws


class KeyErased(Model):
    """Issuer: nothing is held any more of the private key that it made for this request."""

    request_id: RequestIdField
    erasure: CompactJws


class ProductFactsTaken(Model):
    """Issuer: what the CA says of a signing certificate's product; it is about no single request."""

    signing_certificate: SigningCertificateField
    facts: CompactJws


class KeyBlocked(Model):
    """Revoker: this key was reported as compromised; nothing is requested or ordered with it from now on."""

    approval_group: ApprovalGroupField
    block: CompactJws


class RequestNotice(Model):
    """Intake to the requester: the request has a new state, or another content."""

    request_id: RequestIdField
    state: State
    message: str
    findings: tuple[Finding, ...] = ()
    differences: Differences = ()
    """What an edit has changed."""
