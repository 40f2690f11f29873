"""What approvers are shown of a case: only what counts now is counted. Pure, no I/O."""

from collections.abc import Iterator
from datetime import datetime

from services.approval import rules
from services.approval.model import Case
from shared.contracts.replies import CaseResult, PendingCase
from shared.evidence.in_force import PolicyInForce
from shared.evidence.revisions import link_of
from shared.evidence.verification import VerifiedDecision, VerifiedRevision, check_editor, counting_people
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import IdentityName
from shared.vocabulary.states import State

Weighed = tuple[VerifiedDecision | None, tuple[Finding, ...]]
"""A decision, if its signature holds, and why it does not count."""


def pending_case(case: Case, viewer: IdentityName, in_force: PolicyInForce, *, now: datetime) -> PendingCase:
    """The case as a line of the viewer's list."""
    anchor = in_force.anchor
    counting = [decision for decision, findings in weighed(case, in_force, now=now) if decision and not findings]
    people = counting_people(counting, anchor)
    return PendingCase(
        request=case.summary(),
        approvals=len(people),
        quorum=rules.quorum_of(case, _in_force(case), anchor),
        decided_by_me=anchor.person_of(viewer) in people,
    )


def shown_case(
    case: Case, in_force: PolicyInForce, *, blocked_because: tuple[Finding, ...], now: datetime
) -> CaseResult:
    """The case as an approver looks at it, with the reasons why it can't be approved now."""
    group = in_force.anchor.approval_groups.get(case.approval_group)
    revisions = case.evidence.revisions
    return CaseResult(
        request_id=case.id,
        state=case.state,
        revision=revisions[-1],
        former=revisions[-2] if len(revisions) > 1 else None,
        edit=next((each.edit for each in reversed(revisions) if each.edit is not None), None),
        decisions=case.evidence.decisions,
        not_counting=tuple(findings for _, findings in weighed(case, in_force, now=now)),
        quorum=group.quorum if group else 0,
        returned_because=case.returned_because,
        blocked_because=blocked_because,
        held_because=case.held_because or rules.unchecked(case),
    )


def weighed(case: Case, in_force: PolicyInForce, *, now: datetime) -> list[Weighed]:
    """The decisions of the case, as they count towards a verdict now; those on a closed case are a record."""
    if not case.evidence.decisions or case.state is not State.PENDING:
        return [(None, ()) for _ in case.evidence.decisions]
    anchor, spoilt = in_force.anchor, tuple(_spoilt(case, in_force))
    found = rules.weigh(case, _in_force(case), anchor, now=now)
    return [(decision, (*findings, *spoilt)) for decision, findings in found]


def _in_force(case: Case) -> VerifiedRevision:
    """What is decided on, as it is kept: before anything follows from a decision, its chain is verified."""
    return VerifiedRevision(rules.revision_in_force(case), case.revision, case.changed_at)


def _spoilt(case: Case, in_force: PolicyInForce) -> Iterator[Finding]:
    """Why no approval of this revision counts at all."""
    if rules.awaits_renewal(case, in_force.policy):
        text = "the policy has changed since: what is decided on must be renewed"
        yield finding("decision.outdated-revision", text, value=case.revision)
    edited = next((each for each in reversed(case.evidence.revisions) if each.edit is not None), None)
    if edited is not None and (link := link_of(edited)).edit is not None:
        yield from check_editor(link.edit, link.revision, in_force.anchor)
