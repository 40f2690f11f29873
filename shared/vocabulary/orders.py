"""Where an order stands in the issuer's ledger, as its operators see it."""

from enum import StrEnum


class OrderState(StrEnum):
    """Where an entry of the ledger stands."""

    WITNESSED = "witnessed"
    """Only a denial is known so far."""
    RETURNED = "returned"
    """The approval did not hold; another may come."""
    ACCEPTED = "accepted"
    """The evidence holds; to be ordered."""
    INTENT = "intent"
    """An order may have been placed, or may be under way."""
    PENDING = "pending"
    """The CA has the order and has not issued yet."""
    WITHDRAWN = "withdrawn"
    """A requester took it back before it was ordered."""
    ISSUED = "issued"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    UNCLEAR = "unclear"
    """Nobody can tell which order at the CA is this request's: an operator's to decide. Nothing is ordered."""


OPEN_ORDERS = (OrderState.ACCEPTED, OrderState.INTENT, OrderState.PENDING, OrderState.UNCLEAR)
"""The states in which something is still to come."""
