"""Intake's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Iterator
from datetime import datetime

from services.intake.model import Happening, RequestRecord
from services.intake.story import history_of
from shared.contracts.catalogue import EVENT_OF
from shared.contracts.content import RequestContent
from shared.contracts.events import RequestAccepted
from shared.contracts.replies import (
    ApprovalGroupOption,
    DnProfileOption,
    ExtensionProfileOption,
    OptionsResult,
    SigningCertificateOption,
    StatusResult,
)
from shared.errors import RefusedError
from shared.evidence.steps import Revision
from shared.evidence.verification import VerifiedSubmission
from shared.messaging.messages import Outgoing
from shared.policy.policy import Policy
from shared.screening import Screened
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

NOTICED_STATES = frozenset(
    {State.DENIED, State.WITHDRAWN, State.ISSUED, State.FAILED, State.QUARANTINED, State.REVOKED}
)
"""Changes that the requesters are told of without asking."""


def check_signature(submission: VerifiedSubmission, sender: IdentityName, policy: Policy) -> Iterator[Finding]:
    """Whether a submission of this identity had to be signed and is not."""
    identity = policy.identity(sender)
    if submission.signer is None and (identity is None or identity.must_sign):
        yield finding("submission.unsigned", f"submissions by {sender} must be signed")


def first_revision(
    submission: VerifiedSubmission, requesters: tuple[IdentityName, ...], screened: Screened
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
        csr=proposal.csr.der,
        public_key=proposal.csr.spki_sha256,
        subject=proposal.subject,
        names=proposal.names,
        extensions=proposal.extensions,
        expires_on=content.expires_on,
        notes=content.notes,
        emails=content.emails,
        policy=proposal.resolved,
        findings=screened.findings,
    )


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
        names=tuple(value for _, value in sorted(proposal.names.as_set())) if proposal else (),
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


def status_of(record: RequestRecord) -> StatusResult:
    """Where the request stands and how it came there."""
    return StatusResult(
        request=record.summary(),
        names=record.names,
        findings=record.findings,
        history=history_of(record),
        serial_number=record.serial_number,
        not_after=record.not_after,
    )


def options_for(sender: IdentityName, policy: Policy) -> OptionsResult:
    """What this identity may pick when it submits, and what it may fill in."""
    identity, file = policy.identity(sender), policy.file
    groups = {name for name in file.approval_groups if identity is not None and identity.may(Permission.SUBMIT, name)}
    signing = {
        name: certificate
        for name, certificate in sorted(file.signing_certificates.items())
        if certificate.approval_groups & groups and certificate.takes(sender)
    }
    extensions = {name for certificate in signing.values() for name in certificate.extension_profiles}
    dns = {name for certificate in signing.values() for name in certificate.dn_profiles}
    return OptionsResult(
        signing_certificates=tuple(
            SigningCertificateOption(
                name=name,
                description=certificate.description,
                trust=certificate.trust,
                approval_groups=tuple(sorted(certificate.approval_groups & groups)),
                extension_profiles=tuple(sorted(certificate.extension_profiles)),
                dn_profiles=tuple(sorted(certificate.dn_profiles)),
                enrollment_methods=tuple(sorted(certificate.enrollment_methods)),
                key_types=tuple(sorted(certificate.key_types)),
                signature_hashes=certificate.signature_hashes,
                max_validity_days=certificate.max_validity_days,
            )
            for name, certificate in signing.items()
        ),
        extension_profiles=tuple(
            ExtensionProfileOption(name=name, profile=file.extension_profiles[name]) for name in sorted(extensions)
        ),
        dn_profiles=tuple(DnProfileOption(name=name, profile=file.dn_profiles[name]) for name in sorted(dns)),
        approval_groups=tuple(
            ApprovalGroupOption(
                name=name,
                description=file.approval_groups[name].description,
                quorum=file.approval_groups[name].quorum,
                decide_within_hours=file.approval_groups[name].decide_within_hours,
                on_behalf=identity is not None and identity.may(Permission.SUBMIT_ON_BEHALF, name),
            )
            for name in sorted(groups)
        ),
    )
