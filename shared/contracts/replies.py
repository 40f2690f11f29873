"""Replies: `{code, message, findings}` for every command from a known sender, with its result if it has one."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import Field, SerializeAsAny, StringConstraints

from shared.contracts.events import Differences
from shared.contracts.statement import CompactJws, DecisionStatement, EditStatement, RevisionStatement
from shared.vocabulary.findings import Finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.held import HeldKind
from shared.vocabulary.model import Blob, Model, is_none
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    DnProfileField,
    EmailAddress,
    ExtensionProfileField,
    IdentityField,
    MessageIdField,
    RequestIdField,
    SigningCertificateField,
)
from shared.vocabulary.orders import OrderState
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from shared.vocabulary.states import State
from shared.x509.profiles import DnProfile, ExtensionProfile


class ReplyCode(StrEnum):
    """`ok`: done or accepted. `refused`: the sender must change something. `failed`: our fault; operators know."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


class Result(Model):
    """What a command was answered with, beyond the code."""


ResultT = TypeVar("ResultT", bound=Result)


class Reply(Model, Generic[ResultT]):
    """The answer to one command."""

    code: ReplyCode
    message: str
    findings: tuple[Finding, ...] = ()
    result: SerializeAsAny[ResultT] | None = None


class Refusal(Model):
    """The answer to something that could not be read as a command, or was refused."""

    code: ReplyCode = ReplyCode.REFUSED
    message: str
    findings: tuple[Finding, ...] = ()
    result: None = None


class SubmitResult(Result):
    """The request is on its way to the approvers."""

    request_id: RequestIdField
    state: State


class ExtensionProfileOption(Result):
    """An extension profile that may be picked, with its fields."""

    name: ExtensionProfileField
    profile: ExtensionProfile


class DnProfileOption(Result):
    """A DN profile that may be picked, with its fields."""

    name: DnProfileField
    profile: DnProfile


class ApprovalGroupOption(Result):
    """An approval group that may be asked."""

    name: ApprovalGroupField
    description: str
    quorum: int
    decide_within_hours: int
    on_behalf: bool
    """Whether one may ask it on behalf of another."""


class GeneratedOption(Result):
    """What applies where the issuer makes the key pair."""

    password_min_length: int
    password_min_score: int
    """By zxcvbn, from 0 to 4."""
    pkcs12_3des: bool
    erase_after_download: bool
    erase_after_hours: int | None


class SigningCertificateOption(Result):
    """A signing certificate and what goes with it."""

    name: SigningCertificateField
    description: str
    trust: str
    approval_groups: tuple[ApprovalGroupField, ...]
    extension_profiles: tuple[ExtensionProfileField, ...]
    dn_profiles: tuple[DnProfileField, ...]
    enrollment_methods: tuple[str, ...]
    key_types: tuple[str, ...]
    signature_hashes: tuple[str, ...]
    """The first is what a request gets that names none."""
    max_validity_days: int
    generated: GeneratedOption | None = Field(default=None, exclude_if=is_none)
    """Where the issuer makes key pairs for it."""


class OptionsResult(Result):
    """What this identity may pick when it submits, and what it may fill in."""

    signing_certificates: tuple[SigningCertificateOption, ...]
    extension_profiles: tuple[ExtensionProfileOption, ...]
    dn_profiles: tuple[DnProfileOption, ...]
    approval_groups: tuple[ApprovalGroupOption, ...]


class RequestSummary(Result):
    """A request in one line."""

    request_id: RequestIdField
    name: str
    state: State
    approval_group: ApprovalGroupField
    requesters: tuple[IdentityField, ...]
    subject: str
    submitted_at: datetime
    changed_at: datetime


class HistoryEntry(Result):
    """One thing that happened to a request."""

    at: datetime
    state: State
    by: str
    message: str
    differences: Differences = ()
    """What an edit has changed."""


class UndeliveredMail(Model):
    """A mail that was given up."""

    news: str
    to: EmailAddress
    at: datetime
    reason: str


class StatusResult(Result):
    """Where a request stands and how it came there."""

    request: RequestSummary
    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    history: tuple[HistoryEntry, ...]
    serial_number: str | None = None
    not_after: datetime | None = None
    undelivered: Annotated[tuple[UndeliveredMail, ...] | None, Field(exclude_if=is_none)] = None
    """The latest mails about it that were given up; of those to its approvers its requesters are not told."""


class RequestsResult(Result):
    """One page of requests; `more` says whether to ask again `before` the last one."""

    requests: tuple[RequestSummary, ...]
    more: bool


class GroupSummary(Result):
    """How many requests of one approval group stand in each state."""

    approval_group: ApprovalGroupField
    complete: bool
    """Whether all are counted; a group that was never counted before, is counted anew, or of which very many requests
    have just changed, takes a while."""
    counts: dict[State, int]


class SummaryResult(Result):
    """How many requests stand where, at this moment."""

    groups: tuple[GroupSummary, ...]


class EvidenceResult(Result):
    """The evidence file of a request, as `ra audit export` writes it."""

    request_id: RequestIdField
    evidence: str


class Publication(Result):
    """What intake heard of one request and its order; all but the order's number is to be had signed."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    state: State
    changed_at: datetime
    revisions: tuple[RevisionStatement, ...] = ()
    """None of a request that was refused."""
    verdict: CompactJws | None = None
    order_id: int | None = None
    """Of an order that the CA had not issued at once, as the issuer announced it: nobody signed for that."""
    issuance: CompactJws | None = None
    revocation: CompactJws | None = None


class PublicationsResult(Result):
    """One page, oldest requests first; `more` says whether to ask again `after` the last one."""

    publications: tuple[Publication, ...]
    more: bool
    groups: tuple[ApprovalGroupField, ...]
    """Whose requests are shown: those that the sender audits."""
    complete: bool
    """Whether that is every request there is."""


class PendingCase(Result):
    """A case in the approvers' list."""

    request: RequestSummary
    approvals: int
    """How many people have approved what is in force, as far as their approvals count now."""
    quorum: int
    decided_by_me: bool
    """Whether one of these approvals is the viewer's."""


class PendingResult(Result):
    """One page of cases; `more` says whether to ask again, after `next`."""

    cases: tuple[PendingCase, ...]
    more: bool
    next: RequestIdField | None = None
    """After which one to go on; that need not be shown, as what is decided meanwhile or does not fit is left out."""


class SigningCertificateStanding(Result):
    """Whether a signing certificate's imported certificate, intermediate and product go together."""

    name: SigningCertificateField
    product: str
    ca_cert_id: str
    fit: Fit
    findings: tuple[Finding, ...]
    facts_taken_at: datetime | None
    """When the CA was asked."""
    attested_until: date | None
    """The last day of a policy officer's attestation, if there is one."""


class SigningCertificatesResult(Result):
    """The signing certificates of the groups that one may view, audit or decide for."""

    signing_certificates: tuple[SigningCertificateStanding, ...]


class CaseResult(Result):
    """A case as its approvers see it: the revision's own signed bytes, from which the desk shows everything."""

    request_id: RequestIdField
    state: State
    revision: RevisionStatement
    former: RevisionStatement | None = None
    """The revision before it, to see what has changed."""
    edit: EditStatement | None = None
    """The latest edit, if there was one: what the revision holds follows from it and the submission."""
    decisions: tuple[DecisionStatement, ...]
    not_counting: tuple[tuple[Finding, ...], ...] = ()
    """Of each decision on a pending case: why it does not count any more; nothing if it does."""
    quorum: int
    returned_because: tuple[Finding, ...] = ()
    blocked_because: tuple[Finding, ...] = ()
    """Why nobody can approve it under the policy in force; it can still be denied and withdrawn."""
    held_because: tuple[Finding, ...] = ()
    """Why it waits though the quorum is reached; it goes on by itself."""


class EditResult(Result):
    """What the edit has made of the request, to be approved by others."""

    request_id: RequestIdField
    state: State
    number: int
    """Of the new revision."""
    revision: DigestField
    differences: Differences
    """To the revision before."""
    findings: tuple[Finding, ...]
    """Warnings and notes of the screening."""


class DecisionResult(Result):
    """What the decision led to."""

    request_id: RequestIdField
    state: State
    approvals: int
    quorum: int
    held_because: tuple[Finding, ...] = ()
    """Why it waits though the quorum is reached; it goes on by itself."""


class WithdrawResult(Result):
    """The request is withdrawn."""

    request_id: RequestIdField
    state: State


class DownloadResult(Result):
    """The certificate in the format asked for."""

    request_id: RequestIdField
    format: DownloadFormat
    media_type: str
    file_name: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9._-]{1,120}\z")]
    content: Annotated[Blob, Field(max_length=1_000_000)]


class OrderSummary(Result):
    """An order in one line."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    state: OrderState
    accepted_at: datetime
    """When the issuer accepted the approval."""
    order_id: int | None = None
    """The CA's number of it, once that is known."""
    findings: tuple[Finding, ...] = ()
    """Why it stands where it stands."""


class OrdersResult(Result):
    """One page of orders; `more` says whether to ask again `after` the last one."""

    orders: tuple[OrderSummary, ...]
    more: bool


class OrderResult(Result):
    """Where the order for a request stands, and what is to be done."""

    order: OrderSummary
    what_to_do: str
    requesters: tuple[IdentityField, ...]
    tries: int
    """How often it was sent to the CA, or was about to be."""
    attempt: int
    """The number in `alternative_order_id`; 0 before the first one."""
    alternative_order_id: str | None = None
    """Under which the CA can be asked for it."""
    certificate_id: int | None = None
    ca_status: str | None = None
    """The CA's own word for where it stands."""
    expires_on: date | None = None
    """The last day that the CA was asked for."""
    next_look: datetime | None = None


class ResendResult(Result):
    """The verdict is told again."""

    request_id: RequestIdField
    state: State


class SettleResult(Result):
    """The decision is accepted; the CA is asked before it is done."""

    request_id: RequestIdField
    state: OrderState


class OtherCertificate(Result):
    """Another certificate that is not revoked."""

    request_id: RequestIdField
    serial_number: str
    not_after: datetime


class SealedSummary(Result):
    """What is held of one key pair; never its content."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    kind: HeldKind
    since: datetime
    opening_key: str
    """Which of the issuer's opening keys opens its password."""
    erased_at: datetime | None = None
    """When it is erased at the latest, if that is known."""


class SealedResult(Result):
    """What is held, by the requests' ids, the oldest first."""

    held: tuple[SealedSummary, ...]
    more: bool


class EraseResult(Result):
    """It is erased."""

    request_id: RequestIdField
    kind: HeldKind


class RevokeResult(Result):
    """The revocation is accepted and under way, or was done before."""

    request_id: RequestIdField
    state: State
    reason: RevocationReason
    certificate: DigestField
    deadline: datetime | None = None
    """By when it has to be revoked."""
    awaits: int = 0
    """How many people must confirm it first."""
    same_key: tuple[OtherCertificate, ...] = ()
    """After a key compromise: what else is good with the same key, as far as the sender may have it revoked."""


class Revocation(Result):
    """Where the revocation of one certificate stands."""

    request_id: RequestIdField
    revocation_id: MessageIdField
    """Of this asking: what a confirmation names."""
    state: CertificateState
    approval_group: ApprovalGroupField
    serial_number: str
    certificate: DigestField
    reason: RevocationReason
    notes: str
    by: IdentityField
    asked_at: datetime
    deadline: datetime
    needed: int
    """How many people must confirm it."""
    confirmed_by: tuple[IdentityField, ...] = ()
    ended_at: datetime | None = None
    """When it was carried out, or came to nothing."""
    findings: tuple[Finding, ...] = ()
    """Why it stands where it stands."""


class RevocationResult(Result):
    """Where a revocation stands."""

    request_id: RequestIdField
    revocation: Revocation


class RevocationsResult(Result):
    """One page of revocations; `more` says whether to ask again `after` the last one."""

    revocations: tuple[Revocation, ...]
    more: bool


class LiveCertificate(Model):
    """A good certificate that may be revoked."""

    request_id: RequestIdField
    certificate: DigestField
    serial_number: str
    issuer: str
    approval_group: ApprovalGroupField
    requesters: tuple[IdentityField, ...]
    not_after: datetime


class CertificatesResult(Result):
    """One page of certificates; there may be more `after` the request `next`, if there is one."""

    certificates: tuple[LiveCertificate, ...]
    next: RequestIdField | None = None


class LeftOut(Model):
    """A certificate that a campaign does not have revoked, and why."""

    request_id: RequestIdField
    findings: tuple[Finding, ...]


class CampaignPartResult(Result):
    """One part of a campaign is accepted."""

    campaign: DigestField
    part: int
    accepted: int
    """How many are under way or done by this campaign."""
    left_out: tuple[LeftOut, ...] = ()


class CampaignResult(Result):
    """How far a campaign has come; what it left out is in none of the numbers but `count`."""

    campaign: DigestField
    reason: RevocationReason
    count: int
    started_at: datetime
    deadline: datetime
    """By when the first of them must be revoked."""
    requested: int
    """They wait to be confirmed."""
    revoking: int
    revoked: int
    failed: int
    """Their revocation came to nothing."""
