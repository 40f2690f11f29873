"""Intake's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from services.intake.mail.model import News
from services.intake.model import Happening, RequestRecord
from services.intake.story import history_of, names_of
from shared.contracts.catalogue import EVENT_OF
from shared.contracts.content import RequestContent
from shared.contracts.events import RequestAccepted, chain_fits
from shared.contracts.replies import Publication, StatusResult, UndeliveredMail
from shared.contracts.statement import SubmissionStatement
from shared.errors import RefusedError
from shared.evidence.steps import Revision
from shared.evidence.verification import VerifiedSubmission
from shared.messaging.messages import Outgoing
from shared.policy.policy import Policy
from shared.screening import Screened
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.names import Digest, IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

NOTICED_STATES = frozenset(
    {
        State.REFUSED,
        State.DENIED,
        State.WITHDRAWN,
        State.EXPIRED,
        State.ISSUED,
        State.FAILED,
        State.QUARANTINED,
        State.REVOKED,
    }
)
"""Changes that the requesters are told of without asking."""
PAGE_BYTES = 512 * 1024
"""An answer with publications ends with the one that reaches this."""


def check_signature(submission: VerifiedSubmission, sender: IdentityName, policy: Policy) -> Iterator[Finding]:
    """Whether a submission of this identity had to be signed and is not."""
    identity = policy.identity(sender)
    if submission.signer is None and (identity is None or identity.must_sign):
        yield finding("submission.unsigned", f"submissions by {sender} must be signed")


def first_revision(
    submission: VerifiedSubmission,
    requesters: tuple[IdentityName, ...],
    screened: Screened,
    *,
    policy_digest: Digest,
) -> Revision:
    """Revision 1 of an accepted request."""
    content, proposal = submission.content, screened.proposal
    if proposal is None:
        raise ValueError("only what passed the screening has a revision")
    return Revision(
        request_id=content.request_id,
        number=1,
        submission=submission.digest,
        requesters=requesters,
        name=content.name,
        method=content.method,
        csr=None if content.csr is None else proposal.csr.der,
        public_key=None if content.csr is None else proposal.csr.spki_sha256,
        generated=content.generated,
        subject=proposal.subject,
        names=proposal.names,
        extensions=proposal.extensions,
        expires_on=content.expires_on,
        notes=content.notes,
        emails=content.emails,
        policy=proposal.resolved,
        policy_digest=policy_digest,
        findings=screened.findings,
    )


def check_size(submission: SubmissionStatement, revision: Revision) -> Iterator[Finding]:
    """Whether approval could read what it would be told of this request."""
    if not chain_fits(submission, (), revision):
        text = "the request, and what was found, are together larger than a message may be"
        yield finding("request.too-large", text)


def requesters_of(content: RequestContent, sender: IdentityName) -> tuple[IdentityName, ...]:
    """Sender first, then whom it is for."""
    if content.on_behalf_of is None or content.on_behalf_of == sender:
        return (sender,)
    return (sender, content.on_behalf_of)


def new_record(
    submission: VerifiedSubmission, sender: IdentityName, screened: Screened, *, now: datetime
) -> RequestRecord:
    """The record of a request just screened: pending or refused."""
    content = submission.content
    refused = refuses(screened.findings)
    requesters = requesters_of(content, sender)
    state = State.REFUSED if refused else State.PENDING
    proposal = screened.proposal
    message = "refused by the screening" if refused else "accepted; waits for the approvers"
    return RequestRecord(
        id=content.request_id,
        content=submission.digest,
        sender=sender,
        requesters=requesters,
        listed_for=requesters,
        name=content.name,
        approval_group=content.approval_group,
        subject=str(proposal.subject) if proposal else "",
        names=names_of(proposal.names) if proposal else (),
        state=state,
        sequence=1,
        findings=screened.findings,
        happenings=(
            Happening(sequence=1, at=now, by="intake", state=state, message=message, findings=screened.findings),
        ),
    )


def same_request(known: RequestRecord, submission: VerifiedSubmission, sender: IdentityName) -> None:
    """Check that a request id used before is used for the same request.

    Raises:
        RefusedError: `request.id-reused`; whose it is and what it holds is not told.
    """
    if known.content != submission.digest or known.sender != sender:
        raise RefusedError(finding("request.id-reused", "this request id was used for another request", value=known.id))


def waiting_event(record: RequestRecord) -> tuple[Outgoing, ...]:
    """The event by which a request came to approval, while it waits there: once more does no harm, and may help."""
    if record.state is not State.PENDING:
        return ()
    stored = (outgoing for outcome in record.outcomes.values() for outgoing in outcome.publish)
    return tuple(outgoing for outgoing in stored if outgoing.type == EVENT_OF[RequestAccepted].name)


def may_see(record: RequestRecord, identity: IdentityName, permission: Permission, policy: Policy) -> bool:
    """Whether this identity asked for the request or holds the permission for its group."""
    known = policy.identity(identity)
    return identity in record.requesters or (known is not None and known.may(permission, record.approval_group))


def check_export(record: RequestRecord, identity: IdentityName, policy: Policy) -> None:
    """Check that the evidence holds no certificate that is withheld from this identity, who may see the request.

    Raises:
        RefusedError: `evidence.quarantined`, a requester would get hold of what nobody approved.
    """
    withheld = any(happening.state is State.QUARANTINED for happening in record.happenings)
    known = policy.identity(identity)
    if withheld and (known is None or not known.may(Permission.AUDIT, record.approval_group)):
        text = "it holds a certificate that differs from what was approved: ask an auditor of the group for it"
        raise RefusedError(finding("evidence.quarantined", text))


def status_of(record: RequestRecord, identity: IdentityName) -> StatusResult:
    """Where the request stands and how it came there, as far as this identity may know."""
    to_approvers = frozenset() if identity not in record.requesters else frozenset({News.PENDING, News.REMINDER})
    return StatusResult(
        request=record.summary(),
        names=record.names,
        findings=record.findings,
        history=history_of(record),
        serial_number=record.serial_number,
        not_after=record.not_after,
        undelivered=tuple(
            UndeliveredMail(
                news=each.news, to=each.to, at=datetime.fromtimestamp(each.at_ms / 1000, UTC), reason=each.reason
            )
            for each in record.undelivered
            if each.news not in to_approvers
        )
        or None,
    )


def publications_of(records: Sequence[RequestRecord]) -> tuple[Publication, ...]:
    """What was published of these requests, and of the first one in any case; as many as one answer holds."""
    found: list[Publication] = []
    size = 0
    for record in records:
        if size >= PAGE_BYTES:
            break
        found.append(_publication_of(record))
        size += len(found[-1].canonical())
    return tuple(found)


def _publication_of(record: RequestRecord) -> Publication:
    evidence = record.evidence
    announced = [happening.order_id for happening in record.happenings if happening.order_id is not None]
    return Publication(
        request_id=record.id,
        approval_group=record.approval_group,
        state=record.state,
        changed_at=record.summary().changed_at,
        revisions=evidence.revisions if evidence else (),
        verdict=evidence and evidence.verdict,
        order_id=announced[-1] if announced else None,
        issuance=evidence and evidence.issuance,
        revocation=evidence and evidence.revocation,
    )
