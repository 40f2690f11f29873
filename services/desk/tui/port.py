"""What the full-screen desk needs of the client; `RaClient` has it."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

from shared.client.case import ShownCase
from shared.client.errors import ClientError
from shared.client.watching import News
from shared.contracts.content import EditedContent
from shared.contracts.replies import (
    CaseResult,
    DecisionResult,
    DownloadResult,
    EditResult,
    PendingResult,
    RevokeResult,
    StatusResult,
    SummaryResult,
)
from shared.evidence.steps import DecisionKind
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State


class Office(Protocol):
    """The duties, as one identity's client reaches them; every call raises what `RaClient` says."""

    @property
    def identity(self) -> IdentityName:
        """As whom it speaks."""
        ...

    async def list_pending(
        self, *, after: str | None = None, limit: int = 50, text: str | None = None
    ) -> PendingResult:
        """One page of the requests that wait for a decision, oldest first."""
        ...

    async def show_case(self, request_id: str) -> CaseResult:
        """A case as its approvers see it."""
        ...

    def read(self, case: CaseResult) -> ShownCase:
        """What a case holds, from its signed bytes."""
        ...

    async def edit(self, case: CaseResult, content: EditedContent) -> EditResult:
        """Edit the revision that this case shows: it is to be what `content` says."""
        ...

    async def approve(self, case: CaseResult, note: str = "") -> DecisionResult:
        """Approve exactly the revision that this case shows."""
        ...

    async def deny(self, case: CaseResult, note: str = "") -> DecisionResult:
        """Deny the request of which this case shows a revision."""
        ...

    async def decide(
        self, cases: Sequence[CaseResult], kind: DecisionKind, note: str = ""
    ) -> dict[RequestId, DecisionResult | ClientError]:
        """Decide alike on exactly the revisions that these cases show, with one signature."""
        ...

    async def summary(self) -> SummaryResult:
        """How many requests stand where."""
        ...

    def watch(self) -> AsyncIterator[News]:
        """What awaits this identity's decision as it comes, for ever."""
        ...

    async def status(self, request_id: str) -> StatusResult:
        """Where a request stands and how it came there."""
        ...

    async def wait_for_state(self, request_id: str, states: Collection[State], limit_seconds: float) -> StatusResult:
        """The request's status once it is in one of these states."""
        ...

    async def download(
        self, request_id: str, form: DownloadFormat = DownloadFormat.PEM_X509, *, chain: bool = True
    ) -> DownloadResult:
        """The issued certificate."""
        ...

    async def revoke(self, request_id: str, reason: RevocationReason, notes: str = "") -> RevokeResult:
        """Have an issued certificate revoked."""
        ...
