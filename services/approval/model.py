"""The case: one request before its approvers."""

from datetime import datetime

from shared.contracts.events import Evidence
from shared.contracts.replies import RequestSummary
from shared.contracts.statement import CompactJws
from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    IdentityField,
    MessageIdField,
    RequestIdField,
    SigningCertificateField,
)
from shared.vocabulary.states import State


class AskedWithdrawal(Model):
    """Who wants a request back, and by which command."""

    command: MessageIdField
    by: IdentityField


class Case(Aggregate):
    """A request, its revision in force, the decisions on it, and where that leads."""

    id: RequestIdField
    state: State
    sequence: int
    """Of the latest lifecycle event of this request that approval has seen or published."""
    approval_group: ApprovalGroupField
    open_for: ApprovalGroupField | None
    """The group whose decision is awaited; none once it is decided, so that open cases are found fast."""
    requesters: tuple[IdentityField, ...]
    name: str
    subject: str
    evidence: Evidence
    revision: DigestField
    policy_serial: int
    """Of the policy by which the revision in force was made."""
    deciders: tuple[IdentityField, ...] = ()
    """Who made the decisions in the evidence, in their order."""
    verdict: DigestField | None = None
    returned_because: tuple[Finding, ...] = ()
    held_because: tuple[Finding, ...] = ()
    """Why it waits though the quorum is reached."""
    password_unchecked: bool = False
    """Whether the issuer has still to say if it can use the sealed password: until then there is no verdict."""
    unpublished: tuple[Outgoing, ...] = ()
    """What follows from the latest look at it and is not yet known to be published."""
    withdrawals: tuple[AskedWithdrawal, ...] = ()
    """Of an approved request: those about which the issuer was asked and that are not answered yet."""
    asked_about: DigestField | None = None
    """The latest verdict of which the issuer was asked whether it can still be withdrawn."""
    due: int | None = None
    """When it is looked at next, POSIX milliseconds; none while there is nothing to do."""
    timed_by: int = 0
    """Serial of the policy by which that was set."""
    reminded_at: datetime | None = None
    accepted_at: datetime
    returned_at: datetime | None = None
    """When the issuer gave its latest approval back."""
    changed_at: datetime

    @property
    def waits_since(self) -> datetime:
        """From when on its approvers have their time: once an approval was given back, they have it anew."""
        return self.returned_at or self.accepted_at

    def summary(self) -> RequestSummary:
        """This case's request in one line."""
        return RequestSummary(
            request_id=self.id,
            name=self.name,
            state=self.state,
            approval_group=self.approval_group,
            requesters=self.requesters,
            subject=self.subject,
            submitted_at=self.accepted_at,
            changed_at=self.changed_at,
        )


class KnownFacts(Aggregate):
    """The newest that the issuer told of a signing certificate, under its name, as the issuer signed it."""

    id: SigningCertificateField
    token: CompactJws
