"""The request as its requester sees it."""

from datetime import datetime

from shared.contracts.events import Evidence
from shared.contracts.replies import HistoryEntry, RequestSummary
from shared.messaging.aggregate import Aggregate
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    IdentityField,
    RequestIdField,
)
from shared.vocabulary.states import State


class RequestRecord(Aggregate):
    """One request: what was asked, where it stands, how it came there, and the evidence so far."""

    id: RequestIdField
    content: DigestField
    """Of the submission's bytes: the same id may come again only with the same ones."""
    sender: IdentityField
    requesters: tuple[IdentityField, ...]
    listed_for: tuple[IdentityField, ...]
    name: str
    approval_group: ApprovalGroupField
    subject: str
    names: tuple[str, ...]
    state: State
    sequence: int
    """Of the latest lifecycle event seen."""
    findings: tuple[Finding, ...] = ()
    history: tuple[HistoryEntry, ...]
    evidence: Evidence | None = None
    serial_number: str | None = None
    not_after: datetime | None = None

    def summary(self) -> RequestSummary:
        """This request in one line."""
        return RequestSummary(
            request_id=self.id,
            name=self.name,
            state=self.state,
            approval_group=self.approval_group,
            requesters=self.requesters,
            subject=self.subject,
            submitted_at=self.history[0].at,
            changed_at=self.history[-1].at,
        )
