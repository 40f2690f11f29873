"""Intake's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from services.intake.model import Happening, RequestRecord
from services.intake.story import history_of
from shared.contracts.catalogue import EVENT_OF
from shared.contracts.content import RequestContent
from shared.contracts.events import RequestAccepted
from shared.contracts.replies import (
    OptionsResult,
    ProfileOption,
    SigningCertificateOption,
    StatusResult,
)
from shared.errors import RefusedError
from shared.evidence.steps import Revision
from shared.evidence.verification import VerifiedSubmission
from shared.lint.kinds import LintKind
from shared.messaging.messages import Outgoing
from shared.policy.fitness import certificate_names, check_request, last_day
from shared.policy.model import Trust
from shared.policy.policy import Policy
from shared.policy.resolution import ResolvedPolicy, resolve
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State
from shared.x509.certificate import IssuedCertificate
from shared.x509.comparison import TrustKind
from shared.x509.csr import VerifiedCsr, parse_csr
from shared.x509.template import would_be_certificate

NOTICED_STATES = frozenset(
    {State.DENIED, State.WITHDRAWN, State.ISSUED, State.FAILED, State.QUARANTINED, State.REVOKED}
)
"""Changes that the requesters are told of without asking."""


def check_permission(content: RequestContent, sender: IdentityName, policy: Policy) -> Iterator[Finding]:
    """Why this identity may not submit this at all."""
    identity = policy.identity(sender)
    if identity is None or not identity.may(Permission.SUBMIT, content.approval_group):
        yield finding(
            "identity.not-permitted",
            f"{sender} may not submit for this approval group",
            value=content.approval_group,
        )
    elif content.on_behalf_of is not None:
        if not identity.may(Permission.SUBMIT_ON_BEHALF, content.approval_group):
            yield finding(
                "identity.not-permitted",
                f"{sender} may not submit on behalf of others",
                value=content.on_behalf_of,
            )
        if policy.identity(content.on_behalf_of) is None:
            yield finding("identity.unknown", "on_behalf_of names nobody", value=content.on_behalf_of)


def check_signature(submission: VerifiedSubmission, sender: IdentityName, policy: Policy) -> Iterator[Finding]:
    """Whether a submission of this identity had to be signed and is not."""
    identity = policy.identity(sender)
    if submission.signer is None and (identity is None or identity.must_sign):
        yield finding("submission.unsigned", f"submissions by {sender} must be signed")


@dataclass(frozen=True)
class Screened:
    """What screening found out; `csr` and `resolved` are there when `findings` refuse nothing."""

    findings: tuple[Finding, ...]
    csr: VerifiedCsr | None = None
    resolved: ResolvedPolicy | None = None


def screen(content: RequestContent, policy: Policy, *, today: date) -> Screened:
    """Everything that speaks against this request, reported together."""
    findings: list[Finding] = []
    csr = resolved = None
    try:
        csr = parse_csr(content.csr)
    except RefusedError as refused:
        findings += refused.findings
    try:
        resolved = resolve(
            policy,
            signing_certificate=content.signing_certificate,
            approval_group=content.approval_group,
            extension_profile=content.extension_profile,
            dn_profile=content.dn_profile,
        )
    except RefusedError as refused:
        findings += refused.findings
    if csr is not None and resolved is not None:
        findings += check_request(csr, resolved, expires_on=content.expires_on, today=today)
    return Screened(tuple(findings), csr, resolved)


LINT_KINDS = {Trust.PUBLIC: LintKind.PUBLIC_TLS, Trust.PRIVATE: LintKind.PRIVATE}


def template_of(
    csr: VerifiedCsr, resolved: ResolvedPolicy, issuer: IssuedCertificate, *, expires_on: date | None, today: date
) -> bytes:
    """The certificate that this would become if it were issued today, DER: good for linting and nothing else.

    Raises:
        RefusedError: no certificate can hold what is asked for.
    """
    latest = expires_on or last_day(resolved, today=today)
    return would_be_certificate(
        csr,
        subject=csr.subject,
        names=certificate_names(csr),
        extended_key_usage=resolved.extensions.extended_key_usage,
        issuer=issuer,
        not_before=datetime(today.year, today.month, today.day, tzinfo=UTC),
        not_after=datetime(latest.year, latest.month, latest.day, 23, 59, 59, tzinfo=UTC),
        trust=TrustKind.PUBLIC if resolved.trust is Trust.PUBLIC else TrustKind.PRIVATE,
    )


def first_revision(
    submission: VerifiedSubmission, requesters: tuple[IdentityName, ...], screened: Screened
) -> Revision:
    """Revision 1 of an accepted request."""
    content, csr, resolved = submission.content, screened.csr, screened.resolved
    if csr is None or resolved is None:
        raise ValueError("only what passed the screening has a revision")
    return Revision(
        request_id=content.request_id,
        number=1,
        submission=submission.digest,
        requesters=requesters,
        name=content.name,
        csr=csr.der,
        public_key=csr.spki_sha256,
        subject=csr.subject,
        names=certificate_names(csr),
        expires_on=content.expires_on,
        notes=content.notes,
        emails=content.emails,
        policy=resolved,
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
    names = certificate_names(screened.csr) if screened.csr else None
    message = "refused by the screening" if refused else "accepted; waits for the approvers"
    return RequestRecord(
        id=content.request_id,
        content=submission.digest,
        sender=sender,
        requesters=requesters,
        listed_for=requesters,
        name=content.name,
        approval_group=content.approval_group,
        subject=str(screened.csr.subject) if screened.csr else "",
        names=tuple(value for _, value in sorted(names.as_set())) if names else (),
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
    """What this identity may pick when it submits."""
    identity = policy.identity(sender)
    file = policy.file
    groups = {name for name in file.approval_groups if identity is not None and identity.may(Permission.SUBMIT, name)}
    signing = {
        name: certificate
        for name, certificate in sorted(file.signing_certificates.items())
        if certificate.approval_groups & groups
    }
    extensions = {name for certificate in signing.values() for name in certificate.extension_profiles}
    dns = {name for certificate in signing.values() for name in certificate.dn_profiles}
    return OptionsResult(
        signing_certificates=tuple(
            SigningCertificateOption(
                name=name,
                description=certificate.description,
                approval_groups=tuple(sorted(certificate.approval_groups & groups)),
                extension_profiles=tuple(sorted(certificate.extension_profiles)),
                dn_profiles=tuple(sorted(certificate.dn_profiles)),
                enrollment_methods=tuple(sorted(certificate.enrollment_methods)),
                key_types=tuple(sorted(certificate.key_types)),
                max_validity_days=certificate.max_validity_days,
            )
            for name, certificate in signing.items()
        ),
        extension_profiles=tuple(
            ProfileOption(name=name, description=file.extension_profiles[name].description)
            for name in sorted(extensions)
        ),
        dn_profiles=tuple(
            ProfileOption(name=name, description=file.dn_profiles[name].description) for name in sorted(dns)
        ),
        approval_groups=tuple(
            ProfileOption(name=name, description=file.approval_groups[name].description) for name in sorted(groups)
        ),
    )
