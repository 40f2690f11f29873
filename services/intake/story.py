"""What happened to a request, told in its own order whatever order it was heard in: pure, no I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from services.intake.model import Happening, RequestRecord
from shared.contracts import events
from shared.contracts.replies import HistoryEntry
from shared.evidence.jws import payload_of
from shared.evidence.steps import Erasure, Issuance, Revision
from shared.vocabulary.findings import Finding, Severity
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, OrderId
from shared.vocabulary.states import State
from shared.x509.names import SubjectAltNames


def apply_event(
    record: RequestRecord, event: events.LifecycleEvent, *, by: str, sequence: int, now: datetime
) -> RequestRecord:
    """The record after one more lifecycle event, the same in whatever order its events come."""
    happening = Happening(
        sequence=sequence,
        at=now,
        by=by,
        state=None if isinstance(event, _LEAVES_STATE) else event.state,
        message=describe(event),
        findings=_findings(event),
        verdict=_verdict(event),
        gives_back=isinstance(event, events.RequestReturned),
        order_id=OrderId(event.order_id) if isinstance(event, events.RequestOrdered) else None,
        differences=getattr(event, "differences", ()),
    )
    happenings = _in_order(record.happenings, happening)
    told = list(_told(happenings))
    latest, state = told[-1]
    why = [known.findings for known, _ in told if known.state is not None or known.findings][-1]
    update: dict[str, object] = {
        "happenings": happenings,
        "state": state,
        "sequence": latest.sequence,
        "findings": tuple(dict.fromkeys((*_screening(told), *why))),
        **_evidence(record, event, sequence, told),
    }
    if isinstance(event, events.CertificateIssued | events.CertificateQuarantined):
        update |= {"serial_number": event.serial_number, "not_after": event.not_after}
    return record.model_copy(update=update)


def history_of(record: RequestRecord) -> tuple[HistoryEntry, ...]:
    """What happened, for those who ask."""
    return tuple(
        HistoryEntry(
            at=happening.at,
            state=state,
            by=happening.by,
            message=happening.message,
            differences=happening.differences,
        )
        for happening, state in _told(record.happenings)
    )


def _told(happenings: Sequence[Happening]) -> Iterator[tuple[Happening, State]]:
    """What counts of this, with the state after it: an approval that never held can't be given back either."""
    state, verdict = State.PENDING, None
    for happening in happenings:
        if happening.gives_back and (verdict is None or happening.verdict != verdict):
            continue
        verdict = None if happening.gives_back else happening.verdict or verdict
        state = happening.state or state
        yield happening, state


def _in_order(happenings: Sequence[Happening], new: Happening) -> tuple[Happening, ...]:
    """With the new one where its number says; what has the same number and was heard before keeps the last word."""
    place = next((at for at, known in enumerate(happenings) if known.sequence >= new.sequence), len(happenings))
    place = max(place, 1)  # nothing happened before intake accepted the request
    return (*happenings[:place], new, *happenings[place:])


def _verdict(event: events.LifecycleEvent) -> Digest | None:
    match event:
        case events.RequestApproved():
            return digest_of(payload_of(event.evidence.verdict or ""))
        case events.RequestReturned():
            return event.verdict
        case _:
            return None


def _findings(event: events.LifecycleEvent) -> tuple[Finding, ...]:
    if isinstance(event, events.RequestEdited):
        return revision_in_force(event.evidence).findings
    return getattr(event, "findings", ())


def _screening(told: Sequence[tuple[Happening, State]]) -> tuple[Finding, ...]:
    """What is worth noting of what was submitted or, if it was edited, of what that made of it."""
    screened = [happening for happening, _ in told if happening.differences] or [told[0][0]]
    return tuple(known for known in screened[-1].findings if known.severity is not Severity.ERROR)


def revision_in_force(evidence: events.Evidence) -> Revision:
    """What the request is, by its latest revision."""
    return Revision.read(payload_of(evidence.revisions[-1].jws), code="evidence.revision-invalid")


def names_of(names: SubjectAltNames) -> tuple[str, ...]:
    """Alternative names as requesters are shown them."""
    return tuple(value for _, value in sorted(names.as_set()))


def _evidence(
    record: RequestRecord, event: events.LifecycleEvent, sequence: int, told: Sequence[tuple[Happening, State]]
) -> dict[str, object]:
    """The evidence with what this event adds: the latest round's revisions, and its decisions unless given back.

    An edit begins a new round. What is shown of the request is what its latest revision holds.
    """
    evidence, decided, shown = record.evidence, record.decided, {}
    if evidence is None:
        return {}
    match event:
        case events.RequestEdited() | events.RequestApproved() | events.RequestDenied() if sequence > decided:
            decided = sequence
            revision = revision_in_force(event.evidence)
            shown = {"name": revision.name, "subject": str(revision.subject), "names": names_of(revision.names)}
            evidence = evidence.model_copy(
                update={
                    "revisions": event.evidence.revisions,
                    "decisions": event.evidence.decisions,
                    "verdict": event.evidence.verdict,
                }
            )
        case events.CertificateIssued() | events.CertificateQuarantined():
            evidence = evidence.model_copy(update={"issuance": event.issuance, "erasure": _erasure_of(event, evidence)})
        case events.CertificateRevoked() if sequence == _latest_revocation(told):
            evidence = evidence.model_copy(update={"revocation": event.revocation})
        case _:
            pass
    if any(happening.gives_back and happening.sequence > decided for happening, _ in told):
        evidence = evidence.model_copy(update={"decisions": (), "verdict": None})
    return {"evidence": evidence, "decided": decided, **shown}


def _erasure_of(
    event: events.CertificateIssued | events.CertificateQuarantined, evidence: events.Evidence
) -> str | None:
    """The erasure that is known already, if it is of the certified key: one of a former approval is no part of it."""
    if evidence.erasure is None:
        return None
    issued = Issuance.read(payload_of(event.issuance), code="evidence.payload-invalid")
    erased = Erasure.read(payload_of(evidence.erasure), code="evidence.erasure-invalid")
    return evidence.erasure if issued.csr is None or digest_of(issued.csr) == erased.csr else None


def _latest_revocation(told: Sequence[tuple[Happening, State]]) -> int:
    """The number of the revocation that counts: for key compromise it may be told once more."""
    return max(known.sequence for known, _ in told if known.state is State.REVOKED)


_LEAVES_STATE = (events.RequestReminded, events.RevocationAsked, events.RevocationFailed)
"""After these, a request stands where it stood."""

_SENTENCES: dict[type[events.LifecycleEvent], str] = {
    events.RequestEdited: "edited by {by}; the approvers decide on what it is now",
    events.RequestApproved: "approved by the quorum; it will be ordered from the CA",
    events.RequestDenied: "denied by an approver",
    events.RequestWithdrawn: "withdrawn by {by}",
    events.WithdrawalGranted: "withdrawn by {by} after its approval and before it was ordered",
    events.RequestExpired: "expired: {approvals} of {quorum} approvals when the time to decide was over",
    events.RequestReminded: "its approvers were reminded: {approvals} of {quorum} approvals so far",
    events.RequestReturned: "the approval did not hold and the approvers must decide again",
    events.RequestOrdered: "ordered from the CA as order {order_id}: {message}",
    events.CertificateIssued: "issued with serial number {serial_number}",
    events.CertificateQuarantined: "the CA's certificate differs from what was approved; it is held back",
    events.RevocationAsked: "{by} asked for its revocation: {reason}; by {deadline:%Y-%m-%d %H:%M} UTC",
    events.CertificateRevoked: "revoked: {reason}",
    events.RevocationFailed: "its revocation came to nothing, and the certificate is as good as before",
}


def describe(event: events.LifecycleEvent) -> str:
    """A lifecycle event in a sentence for its requester."""
    if isinstance(event, events.RequestFailed):
        return _failure(event)
    if isinstance(event, events.RequestRefused):
        return _refusal(event)
    return _SENTENCES[type(event)].format_map(dict(event))


def _refusal(event: events.RequestRefused) -> str:
    if any(found.code.startswith("password.") for found in event.findings):
        return "refused: the sealed password cannot be used"
    return "refused: what was signed when it was submitted does not hold under the policy in force; submit it anew"


def _failure(event: events.RequestFailed) -> str:
    """Who ended it, by the reasons: an operator, the CA after it had taken the order, or the CA at once."""
    codes = {found.code for found in event.findings}
    if "order.ended-by-operator" in codes:
        return "an operator of the registration authority ended it"
    if "ca.order-ended" in codes:
        return "the CA ended the order"
    if "issued.revocation-proposed" in codes:
        return "the CA sent no certificate that can be read"
    return "the CA refused the order"
