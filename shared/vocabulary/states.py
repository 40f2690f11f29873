"""The states of a request and the ways between them."""

from enum import StrEnum


class State(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    REFUSED = "refused"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ORDERED = "ordered"
    ISSUED = "issued"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


FINAL_STATES = frozenset({State.REFUSED, State.DENIED, State.WITHDRAWN, State.EXPIRED, State.FAILED, State.REVOKED})
"""States that no request leaves."""

NEXT_STATES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.REFUSED, State.APPROVED, State.DENIED, State.WITHDRAWN, State.EXPIRED}),
    State.APPROVED: frozenset(
        {
            State.PENDING,
            State.DENIED,
            State.WITHDRAWN,
            State.ORDERED,
            State.ISSUED,
            State.FAILED,
            State.QUARANTINED,
        }
    ),
    State.ORDERED: frozenset({State.ISSUED, State.FAILED, State.QUARANTINED}),
    State.ISSUED: frozenset({State.REVOKED}),
    State.QUARANTINED: frozenset({State.REVOKED}),
} | {state: frozenset() for state in FINAL_STATES}
"""Where each state may lead; an order that issues at once goes from `approved` straight to `issued`."""
