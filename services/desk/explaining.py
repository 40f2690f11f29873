"""What would happen to a request under a policy, rule by rule: what `ra policy explain` says, without any server."""

from datetime import date
from enum import StrEnum

from services.desk.choices import Choices, completed, name_of
from shared.contracts.content import RequestContent
from shared.identifiers import new_request_id
from shared.lint.worker import LintWorker
from shared.options import options_for
from shared.policy.composition import Origin
from shared.policy.policy import Policy
from shared.screening import LINT_KINDS, Screened, Step, check_sender, screen, template_of
from shared.vocabulary.findings import Finding, Severity, refuses
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName
from shared.x509.csr import VerifiedCsr

SENDER = "who asks"
LINT = "the would-be certificate, linted"


class Outcome(StrEnum):
    """What became of one rule."""

    HOLDS = "holds"
    NOTES = "notes"
    WARNS = "warns"
    REFUSES = "refuses"
    NOT_REACHED = "not reached"


class ExplainedStep(Model):
    """One rule, what became of it, and what it found."""

    about: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()


class ExplainedValue(Model):
    """One value that the certificate would have, and where it comes from."""

    what: str
    values: tuple[str, ...]
    origin: Origin


class Explanation(Model):
    """What would happen."""

    accepted: bool
    steps: tuple[ExplainedStep, ...]
    values: tuple[ExplainedValue, ...]
    approval_group: str
    quorum: int | None
    """None where the policy does not know the choices."""
    findings: tuple[Finding, ...]
    """All of the steps', each once: what the answer to a submission would hold."""


async def explain(
    content: RequestContent, policy: Policy, *, sender: IdentityName | None, today: date, linter: LintWorker
) -> Explanation:
    """What intake would do with this content, sent by this identity; `None` leaves out who asks.

    Not told here, as only intake knows it: whether the key is in use by another requester or known as compromised.
    """
    first = () if sender is None else (Step(SENDER, tuple(check_sender(content, sender, policy))),)
    if refuses([found for step in first for found in step.findings]):
        return _explained(content, first, Screened(()), linted=None)
    screened = screen(content, policy, today=today)
    if screened.proposal is None or refuses(screened.findings):
        return _explained(content, (*first, *screened.steps), screened, linted=None)
    resolved = screened.proposal.resolved
    template = template_of(screened.proposal, policy.intermediates[resolved.signing_certificate])
    linted = tuple(await linter.lint(template, LINT_KINDS[resolved.trust]))
    return _explained(content, (*first, *screened.steps), screened, linted=linted)


def content_of(csr: VerifiedCsr, made: Choices, policy: Policy, sender: IdentityName | None) -> RequestContent:
    """A request for this CSR with these choices, and where there is only one to pick, with that one.

    Raises:
        DeskError: a choice is needed.
    """
    choices = completed(made, options_for(sender, policy))
    return RequestContent.model_validate(
        {"request_id": new_request_id(), "name": name_of(csr), "csr": csr.pem, **vars(choices)}
    )


def _explained(
    content: RequestContent, steps: tuple[Step, ...], screened: Screened, *, linted: tuple[Finding, ...] | None
) -> Explanation:
    explained = [
        ExplainedStep(about=step.about, outcome=_outcome(step.findings), findings=step.findings) for step in steps
    ]
    if linted is None:
        explained.append(ExplainedStep(about=LINT, outcome=Outcome.NOT_REACHED))
    else:
        explained.append(ExplainedStep(about=LINT, outcome=_outcome(linted), findings=linted))
    findings = tuple(dict.fromkeys(found for step in explained for found in step.findings))
    return Explanation(
        accepted=not refuses(findings),
        steps=tuple(explained),
        values=tuple(_values(screened)),
        approval_group=content.approval_group,
        quorum=screened.resolved.quorum if screened.resolved else None,
        findings=findings,
    )


def _outcome(findings: tuple[Finding, ...]) -> Outcome:
    severities = {found.severity for found in findings}
    for severity, outcome in (
        (Severity.ERROR, Outcome.REFUSES),
        (Severity.WARNING, Outcome.WARNS),
        (Severity.NOTE, Outcome.NOTES),
    ):
        if severity in severities:
            return outcome
    return Outcome.HOLDS


def _values(screened: Screened) -> list[ExplainedValue]:
    composed = screened.composed
    if composed is None:
        return []
    extensions = {each.type: each.values for each in composed.extensions}
    names = tuple(f"{kind} {value}" for kind, value in sorted(composed.names.as_set()))
    return [
        ExplainedValue(
            what=what,
            values=names if what == "subjectAltName" else extensions.get(what, composed.subject.values(what)),
            origin=origin,
        )
        for what, origin in composed.origins
    ]
