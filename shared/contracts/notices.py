"""Notices: what intake tells identities without being asked, beside the new state of a request."""

from datetime import datetime
from enum import StrEnum

from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupField, IdentityField, RequestIdField


class Awaited(StrEnum):
    """Why a decision is awaited."""

    SUBMITTED = "submitted"
    """The request is new."""
    RETURNED = "returned"
    """The approval did not hold, so that all must decide again."""
    EDITED = "edited"
    """Its content was changed, so that all must decide again."""
    REMINDED = "reminded"
    """It has waited for a while."""


class DecisionAwaited(Model):
    """Intake to an approver: this request awaits a decision."""

    request_id: RequestIdField
    approval_group: ApprovalGroupField
    name: str
    subject: str
    requesters: tuple[IdentityField, ...]
    why: Awaited
    message: str


class CertificateExpiring(Model):
    """Intake to the requester: this certificate is about to expire."""

    request_id: RequestIdField
    name: str
    serial_number: str
    not_after: datetime
    days: int
    """Which of the warnings this is: there is one for each of 30, 14, 7 and 1 days before, at most."""
