"""Commands: what identities ask of the duties, in the imperative."""

from typing import Annotated, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from shared.contracts.campaigns import MOST_OF_A_PART, Campaign, CampaignEntry
from shared.contracts.content import Notes
from shared.contracts.statement import (
    ConfirmationStatement,
    DecisionStatement,
    EditStatement,
    JwsStatement,
    SubmissionStatement,
)
from shared.vocabulary.model import Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    IdentityField,
    OrderId,
    RequestIdField,
    SerialNumber,
)
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import OPEN_REVOCATIONS, CertificateState
from shared.x509.possession import PossessionProof

PageSize = Annotated[int, Field(ge=1, le=200)]


class SubmitRequest(Model):
    """Submit a certificate request. Answered by `SubmitResult`."""

    submission: SubmissionStatement


class ShowOptions(Model):
    """Ask what one may pick when submitting. Answered by `OptionsResult`."""


class ShowStatus(Model):
    """Ask where a request stands. Answered by `StatusResult`."""

    request_id: RequestIdField


class ListRequests(Model):
    """List the requests one has made, newest first. Answered by `RequestsResult`."""

    before: RequestIdField | None = None
    """Go on from here: only requests older than this one."""
    limit: PageSize = 50


class ShowSummary(Model):
    """Ask how many requests stand where in the groups that one may view, audit or decide for.

    Answered by `SummaryResult`.
    """


class ExportEvidence(Model):
    """Ask for the whole signed chain of a request. Answered by `EvidenceResult`."""

    request_id: RequestIdField


class ListPublications(Model):
    """Ask what was published of the orders of every group that one audits. Answered by `PublicationsResult`."""

    after: RequestIdField | None = None
    """Go on from here: only requests younger than this one."""
    limit: PageSize = 100


class ListPending(Model):
    """List the requests that wait for a decision in one's groups, oldest first. Answered by `PendingResult`."""

    approval_group: ApprovalGroupField | None = None
    after: RequestIdField | None = None
    """Go on from here: `next` of the page before."""
    limit: PageSize = 50
    text: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Only those with this in their id, their name, their subject or a requester's name, in capitals or not."""
    requester: IdentityField | None = None
    accepted_before: AwareDatetime | None = None
    accepted_after: AwareDatetime | None = None


class ListSigningCertificates(Model):
    """Ask whether signing certificates go together with their products. Answered by `SigningCertificatesResult`."""


class ShowCase(Model):
    """Ask for a case as its approvers see it. Answered by `CaseResult`."""

    request_id: RequestIdField


class EditRequest(Model):
    """Edit a pending request, by a signed edit of one revision. Answered by `EditResult`."""

    request_id: RequestIdField
    edit: EditStatement


class ApproveRequest(Model):
    """Approve one revision of a request, by a signed decision. Answered by `DecisionResult`."""

    request_id: RequestIdField
    decision: DecisionStatement


class DenyRequest(Model):
    """Deny a request, by a signed decision. Answered by `DecisionResult`."""

    request_id: RequestIdField
    decision: DecisionStatement


class WithdrawRequest(Model):
    """Take back a request that is not yet approved. Answered by `WithdrawResult`."""

    request_id: RequestIdField


class ResendVerdict(Model):
    """Have the issuer told of an approval once more, which its ledger has lost. Answered by `ResendResult`."""

    request_id: RequestIdField


class DownloadCertificate(Model):
    """Fetch an issued certificate. Answered by `DownloadResult`."""

    request_id: RequestIdField
    format: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9-]{1,32}\z")]
    """The name of a `DownloadFormat`."""
    chain: bool = True
    """Whether the intermediates come with it; formats that hold one certificate leave them out."""


class ListOrders(Model):
    """List the orders of one's groups, by their requests' ids, the oldest first. Answered by `OrdersResult`."""

    approval_group: ApprovalGroupField | None = None
    states: Annotated[tuple[OrderState, ...], Field(min_length=1, max_length=len(OrderState))] = OPEN_ORDERS
    after: RequestIdField | None = None
    """Go on from here: only requests younger than this one."""
    limit: PageSize = 50


class ShowOrder(Model):
    """Ask where the order for a request stands, why, and what is to be done. Answered by `OrderResult`."""

    request_id: RequestIdField


class SettleOrder(Model):
    """Decide which order at the CA is a request's, where nobody else can. Answered by `SettleResult`."""

    request_id: RequestIdField
    adopt: Annotated[OrderId, Field(ge=1)] | None
    """The CA's number of the order; none says that the CA has none, and that it is to be ordered."""


class FailOrder(Model):
    """End a request that is approved and not issued, for good. Answered by `SettleResult`."""

    request_id: RequestIdField
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    """Its requesters read this."""


class NamedCertificate(Model):
    """A command about a certificate, named by its request or by its serial number."""

    request_id: RequestIdField | None = None
    serial_number: SerialNumber | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.request_id is None) == (self.serial_number is None):
            raise ValueError("it is named either by its request or by its serial number")
        return self

    @property
    def named(self) -> str:
        """The name that is given."""
        return self.request_id or self.serial_number or ""


class ListSealed(Model):
    """List what the issuer holds of the key pairs that it made for one's groups. Answered by `SealedResult`."""

    approval_group: ApprovalGroupField | None = None
    after: RequestIdField | None = None
    """Go on from here: only requests younger than this one."""
    limit: PageSize = 50


class EraseSealed(Model):
    """Erase what the issuer holds of a key pair that it made, for good. Answered by `EraseResult`."""

    request_id: RequestIdField


class RevokeCertificate(NamedCertificate):
    """Revoke an issued certificate. Answered by `RevokeResult` once it is accepted, not yet done."""

    reason: RevocationReason
    notes: Annotated[Notes, StringConstraints(max_length=1_000)] = ""
    proof: PossessionProof | None = None
    """By whoever holds the certificate's private key and has no other right to this; for key compromise only."""


class ConfirmRevocation(Model):
    """Confirm a revocation that waits for this, by a signed statement. Answered by `RevocationResult`."""

    request_id: RequestIdField
    confirmation: ConfirmationStatement


class DenyRevocation(Model):
    """End a revocation that waits for confirmation, by a signed statement. Answered by `RevocationResult`."""

    request_id: RequestIdField
    confirmation: ConfirmationStatement


class ShowRevocation(NamedCertificate):
    """Ask where the revocation of a certificate stands. Answered by `RevocationResult`."""


class ListRevocations(Model):
    """List the revocations of one's groups by request id, the oldest first. Answered by `RevocationsResult`."""

    approval_group: ApprovalGroupField | None = None
    states: Annotated[tuple[CertificateState, ...], Field(min_length=1, max_length=len(CertificateState))] = (
        OPEN_REVOCATIONS
    )
    campaign: DigestField | None = None
    """Only those of this campaign, by its digest."""
    after: RequestIdField | None = None
    """Go on from here: only requests younger than this one."""
    limit: PageSize = 50


Names = Field(max_length=200)


class ListCertificates(Model):
    """List the good certificates that one may have revoked in a campaign. Answered by `CertificatesResult`.

    Those that are all that is said, by request id, the oldest first.
    """

    approval_group: ApprovalGroupField | None = None
    request_ids: Annotated[tuple[RequestIdField, ...], Names] = ()
    """Of these requests only, if any are named."""
    serial_numbers: Annotated[tuple[SerialNumber, ...], Names] = ()
    """With these serial numbers only, if any are named."""
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = None
    """The issuer's name as the certificate has it (RFC 4514)."""
    key: DigestField | None = None
    """Of the SubjectPublicKeyInfo, DER."""
    requester: IdentityField | None = None
    issued_after: AwareDatetime | None = None
    issued_before: AwareDatetime | None = None
    after: RequestIdField | None = None
    """Go on from here: `next` of the page before."""
    limit: PageSize = 200


class RevokeCampaign(Model):
    """Have one part of a campaign revoked. Answered by `CampaignPartResult` once that is accepted, not yet done."""

    campaign: Campaign
    signatures: Annotated[tuple[JwsStatement, ...], Field(min_length=2, max_length=2)]
    """Of two people."""
    part: Annotated[int, Field(ge=0)]
    certificates: Annotated[tuple[CampaignEntry, ...], Field(min_length=1, max_length=MOST_OF_A_PART)]


class ShowCampaign(Model):
    """Ask how far a campaign has come. Answered by `CampaignResult`."""

    campaign: DigestField
