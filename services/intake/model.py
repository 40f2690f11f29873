"""The request as its requester sees it."""

from datetime import datetime
from typing import Self

from services.intake.mail.model import Mail, Undelivered
from services.intake.tally import UNCOUNTED
from shared.contracts.events import Differences, Evidence
from shared.contracts.replies import RequestSummary
from shared.messaging.aggregate import Aggregate
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    IdentityField,
    OrderId,
    RequestIdField,
)
from shared.vocabulary.states import State


class Happening(Model):
    """A lifecycle event as far as the requester's view needs it."""

    sequence: int
    at: datetime
    by: str
    state: State | None
    """Where the request stands after it; none when it leaves that as it was."""
    message: str
    findings: tuple[Finding, ...] = ()
    verdict: DigestField | None = None
    """The verdict that was reached or, when it `gives_back`, the one that does not hold."""
    gives_back: bool = False
    order_id: OrderId | None = None
    """The CA's number of an order that was announced."""
    differences: Differences = ()
    """What an edit has changed."""


class KnownKey(Aggregate):
    """A public key that intake has accepted, or that was reported as compromised; it is never forgotten."""

    id: DigestField
    """SHA-256 of the SubjectPublicKeyInfo."""
    requesters: tuple[IdentityField, ...]
    """Of the first request with this key."""
    requests: tuple[RequestIdField, ...]
    """Accepted with this key: the latest ones, in the order in which they took it."""
    compromised_by: RequestIdField | None = None
    """The first request whose certificate was revoked because the key was compromised."""


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
    happenings: tuple[Happening, ...]
    """In the order of their sequence numbers; the first is that the request came."""
    evidence: Evidence | None = None
    decided: int = 0
    """The sequence number of the event whose round of deciding the evidence holds."""
    serial_number: str | None = None
    not_after: datetime | None = None
    warn_due: int | None = None
    """When its requesters are told next that the certificate is about to expire, POSIX milliseconds."""
    mails: tuple[Mail, ...] = ()
    """Still to be sent."""
    due: int | None = None
    """When the first of them may be sent, POSIX milliseconds; none when there is none."""
    waiting_since: int | None = None
    """When it happened that the oldest of them tells of, POSIX milliseconds."""
    undelivered: tuple[Undelivered, ...] = ()
    """The latest mails that were given up."""
    tallied: State | None = None
    """As what it is counted in its group's tally; none if it is not."""
    tally: int = UNCOUNTED
    """The number of the tally's batch in which it was counted last."""
    untallied: ApprovalGroupField | None = None
    """The mark that it may stand elsewhere than it is counted; the tally alone takes it away."""

    def marked(self) -> Self:
        """This request as it is to be stored: marked, unless it is known to be counted as what it is."""
        return self if self.state is self.tallied else self.model_copy(update={"untallied": self.approval_group})

    def summary(self) -> RequestSummary:
        """This request in one line."""
        return RequestSummary(
            request_id=self.id,
            name=self.name,
            state=self.state,
            approval_group=self.approval_group,
            requesters=self.requesters,
            subject=self.subject,
            submitted_at=self.happenings[0].at,
            changed_at=max(happening.at for happening in self.happenings),
        )
