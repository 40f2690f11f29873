"""Screening: whether a request is well-formed, allowed, and fit for its profiles. Pure, and the same for everybody.

Intake decides by it; `ra policy explain` tells by it what intake would decide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar

from shared.contracts.content import RequestContent
from shared.errors import RefusedError
from shared.lint.kinds import LintKind
from shared.policy.composition import NOTHING_EDITED, Composed, compose
from shared.policy.fitness import RULES, Proposal, check_expiry, last_day
from shared.policy.model import EnrollmentMethod, Trust
from shared.policy.policy import Policy
from shared.policy.resolution import ResolvedPolicy, check_pkcs12, method_not_allowed, resolve
from shared.sealing import kid_of_sealed
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import IdentityName
from shared.vocabulary.permissions import Permission
from shared.x509.certificate import IssuedCertificate
from shared.x509.comparison import TrustKind
from shared.x509.csr import VerifiedCsr
from shared.x509.entered import EditedValues
from shared.x509.stand_ins import asked_with
from shared.x509.template import would_be_certificate

T = TypeVar("T")

LINT_KINDS = {Trust.PUBLIC: LintKind.PUBLIC_TLS, Trust.PRIVATE: LintKind.PRIVATE}


@dataclass(frozen=True)
class Step:
    """One thing that was looked at, and what was found."""

    about: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Screened:
    """What screening found out.

    `proposal` is there as soon as the CSR can be read and the policy knows the choices; it is good only if `findings`
    refuse nothing.
    """

    steps: tuple[Step, ...]
    csr: VerifiedCsr | None = None
    resolved: ResolvedPolicy | None = None
    composed: Composed | None = None
    proposal: Proposal | None = None
    added: tuple[Finding, ...] = field(default=())
    """By what can't be told from the request and the policy alone: the linter, and keys known already."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, each once, in the order of the steps."""
        found = (each for step in self.steps for each in step.findings)
        return tuple(dict.fromkeys((*found, *self.added)))


def check_sender(content: RequestContent, sender: IdentityName, policy: Policy) -> Iterator[Finding]:
    """Why this identity may not submit this at all."""
    identity, group = policy.identity(sender), content.approval_group
    if identity is None or not identity.may(Permission.SUBMIT, group):
        yield finding("identity.not-permitted", f"{sender} may not submit for this approval group", value=group)
        return
    signing = policy.signing_certificate(content.signing_certificate)
    if signing is not None and not signing.takes(sender):
        text = f"{sender} may not submit to this signing certificate"
        yield finding("identity.not-permitted", text, value=content.signing_certificate)
    if content.on_behalf_of is None:
        return
    if not identity.may(Permission.SUBMIT_ON_BEHALF, group):
        text = f"{sender} may not submit on behalf of others"
        yield finding("identity.not-permitted", text, value=content.on_behalf_of)
    if policy.identity(content.on_behalf_of) is None:
        yield finding("identity.unknown", "on_behalf_of names nobody", value=content.on_behalf_of)


def screen(content: RequestContent, policy: Policy, *, today: date, edited: EditedValues = NOTHING_EDITED) -> Screened:
    """Everything that speaks against this request, with what approvers have entered, reported together."""
    about = "certificate request and proof of possession" if content.generated is None else "key pair to be made"
    csr, reading = _tried(about, lambda: asked_with(content.csr, content.wanted_key_type))
    resolved, choosing = _tried(
        "signing certificate, approval group and profiles",
        lambda: resolve(
            policy,
            signing_certificate=content.signing_certificate,
            approval_group=content.approval_group,
            extension_profile=content.extension_profile,
            dn_profile=content.dn_profile,
            signature_hash=content.signature_hash,
            generated=content.generated is not None,
        ),
    )
    steps = [reading, choosing, Step("enrollment method", tuple(_check_method(content, policy)))]
    if content.generated is not None and resolved is not None:
        steps.append(Step("PKCS#12", tuple(check_pkcs12(content.generated.pkcs12, resolved))))
    if resolved is not None and csr is None:
        expiry = tuple(check_expiry(content.expires_on, resolved, today=today))
        steps.append(Step("expiration date", expiry))
    if csr is None or resolved is None:
        return Screened(tuple(steps), csr, resolved)
    composed = compose(csr, content.entered, resolved, edited)
    proposal = Proposal(
        csr=csr,
        subject=composed.subject,
        names=composed.names,
        extensions=composed.extensions,
        resolved=resolved,
        expires_on=content.expires_on,
        today=today,
    )
    steps.append(Step("where the values come from", composed.findings))
    steps += [Step(rule.about, tuple(rule.check(proposal))) for rule in RULES]
    return Screened(tuple(steps), csr, resolved, composed, proposal)


def _tried(about: str, act: Callable[[], T]) -> tuple[T | None, Step]:
    try:
        return act(), Step(about, ())
    except RefusedError as refused:
        return None, Step(about, refused.findings)


def _check_method(content: RequestContent, policy: Policy) -> Iterator[Finding]:
    signing = policy.signing_certificate(content.signing_certificate)
    if signing is not None and EnrollmentMethod(content.method) not in signing.enrollment_methods:
        yield method_not_allowed(content.signing_certificate, signing, content.method)


def check_sealed(content: RequestContent, policy: Policy) -> Iterator[Finding]:
    """Whether the password is sealed to a key that is in use: what was submitted before stays good."""
    if content.generated is None:
        return
    kid = kid_of_sealed(content.generated.sealed_password)
    known = next((each for each in policy.file.opening_keys if each.key.kid == kid), None)
    if known is None:
        text = "it is sealed to no key of the policy that is in force: get the anchor of that one, and submit again"
        yield finding("password.opening-key-unknown", text, value=kid)
    elif known.retired:
        text = "it is sealed to a key that is retired: get the anchor of the policy in force, and submit again"
        yield finding("password.opening-key-retired", text, value=kid)


def template_of(proposal: Proposal, issuer: IssuedCertificate) -> bytes:
    """The certificate that this would become if it were issued today, DER: good for linting and nothing else.

    Raises:
        RefusedError: no certificate can hold what is asked for.
    """
    today, latest = proposal.today, proposal.expires_on or last_day(proposal.resolved, today=proposal.today)
    rule = proposal.resolved.extensions.names
    return would_be_certificate(
        proposal.csr,
        subject=proposal.subject,
        names=proposal.names,
        names_critical=rule is not None and rule.critical,
        extensions=proposal.extensions,
        issuer=issuer,
        not_before=datetime(today.year, today.month, today.day, tzinfo=UTC),
        not_after=datetime(latest.year, latest.month, latest.day, 23, 59, 59, tzinfo=UTC),
        trust=TrustKind.PUBLIC if proposal.public else TrustKind.PRIVATE,
    )
