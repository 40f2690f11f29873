"""What becomes of a decision, in words."""

from shared.contracts.replies import DecisionResult
from shared.evidence.steps import DecisionKind


def told(result: DecisionResult, kind: DecisionKind) -> str:
    """What the decision led to."""
    if kind is DecisionKind.DENY:
        return f"Request {result.request_id} is {result.state}."
    said = f"Request {result.request_id} is {result.state}: {result.approvals} of {result.quorum} approvals."
    if not result.held_because:
        return said
    reasons = "; ".join(found.message for found in result.held_because)
    return f"{said} It waits, and goes on by itself: {reasons}."
