"""What an approver's signature says of a request: a decision signed alone, or one of several signed together."""

from shared.errors import RefusedError
from shared.evidence.jws import Typ, payload_of, typ_of
from shared.evidence.steps import Decision, Decisions
from shared.vocabulary.findings import finding


def claimed_decision(token: str, about: str) -> tuple[Decision, Typ]:
    """The decision on this request, not verified, and the `typ` with which it has to be signed.

    Raises:
        RefusedError: the payload is malformed, or decides on other requests.
    """
    payload = payload_of(token)
    if typ_of(token) != Typ.DECISIONS:
        return Decision.read(payload, code="decision.invalid"), Typ.DECISION
    decision = Decisions.read(payload, code="decision.invalid").on(about)
    if decision is None:
        text = "this was signed for other requests; look at this one"
        raise RefusedError(finding("decision.not-named", text, value=about))
    return decision, Typ.DECISIONS
