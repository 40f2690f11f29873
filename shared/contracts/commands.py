"""Commands: what identities ask of the duties, in the imperative."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.content import Notes
from shared.contracts.statement import DecisionStatement, EditStatement, SubmissionStatement
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupField, IdentityField, OrderId, RequestIdField
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.vocabulary.reasons import RevocationReason

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


class RevokeCertificate(Model):
    """Revoke an issued certificate. Answered by `RevokeResult` once it is accepted, not yet done."""

    request_id: RequestIdField
    reason: RevocationReason
    notes: Annotated[Notes, StringConstraints(max_length=1_000)] = ""
