"""A mail that is still to be sent, as the record of its request keeps it."""

from enum import StrEnum

from shared.vocabulary.model import Model
from shared.vocabulary.names import EmailAddress, MessageIdField


class News(StrEnum):
    """What a mail is about; its templates have the same name."""

    RECEIVED = "received"
    REFUSED = "refused"
    EDITED = "edited"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ISSUED = "issued"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"
    REVOCATION = "revocation"
    """Somebody has asked for it to be revoked, or that came to nothing."""
    EXPIRING = "expiring"
    """A certificate is about to expire."""
    PENDING = "pending"
    """To approvers: a request awaits their decision."""
    REMINDER = "reminder"
    """To approvers: it still does."""


class Mail(Model):
    """One mail to one address."""

    id: MessageIdField
    """Follows from the request, the news and the address: the same mail always has the same Message-ID."""
    news: News
    to: EmailAddress
    is_named: bool
    """Whether the request names this address, rather than the policy: its requester may name anybody."""
    at_ms: int
    """When it happened, POSIX milliseconds."""
    sequence: int = 0
    """Of the happening that it tells of; 0 when it tells of none."""
    tries: int = 0
    due: int
    """When it may be sent, POSIX milliseconds; while it is being sent, the end of the lease."""


class Undelivered(Model):
    """A mail that was given up."""

    news: News
    to: EmailAddress
    at_ms: int
    """When it was given up, POSIX milliseconds."""
    reason: str
