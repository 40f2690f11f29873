"""What time does to a case that is to be decided: reminders, and its end when no quorum comes. Pure, no I/O."""

from datetime import datetime, timedelta

from services.approval import rules
from services.approval.model import Case
from shared.contracts.events import MOST_AWAITED, RequestExpired, RequestReminded
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.steps import Decision, DecisionKind
from shared.evidence.verification import check_decider, follow_revisions
from shared.messaging.schedule import milliseconds
from shared.policy.model import ApprovalGroup
from shared.policy.policy import Policy
from shared.vocabulary.names import IdentityName
from shared.vocabulary.states import State

NO_GROUP = ApprovalGroup(quorum=1)
"""By what a case ends whose group is not in the policy any more: nobody can decide on it."""


def group_of(case: Case, policy: Policy) -> ApprovalGroup:
    """The rules of the case's group under this policy."""
    return policy.file.approval_groups.get(case.approval_group, NO_GROUP)


def expires_at(case: Case, group: ApprovalGroup) -> datetime:
    """When the time to decide is over."""
    return case.waits_since + timedelta(hours=group.decide_within_hours)


def ends_at(case: Case, policy: Policy) -> datetime:
    """When the time to decide is over under this policy."""
    return expires_at(case, group_of(case, policy))


def reminds_at(case: Case, group: ApprovalGroup) -> datetime | None:
    """When the approvers are to be reminded next; reminders that were missed are made up for by one."""
    known = case.reminded_at or case.waits_since
    times = (case.waits_since + timedelta(hours=hours) for hours in group.reminders_hours)
    return next((time for time in times if time > known), None)


def timed(case: Case, policy: Policy) -> Case:
    """The case with the time at which there is something to do next, as this policy has it."""
    if case.state is not State.PENDING:
        return case.model_copy(update={"due": None})
    if case.timed_by > policy.serial:  # another copy has a newer policy: it is to look at once, if nobody would
        return case.model_copy(update={"due": 0}) if case.due is None else case
    group, due = group_of(case, policy), case.due
    if not case.held_because:
        times = (expires_at(case, group), reminds_at(case, group))
        due = min(milliseconds(time.timestamp()) for time in times if time is not None)
    return case.model_copy(update={"due": due, "timed_by": policy.serial})


def expired(case: Case, standing: rules.Decided, *, now: datetime) -> tuple[Case, RequestExpired]:
    """The case whose time is over, closed, and the event that tells of it."""
    event = RequestExpired(
        request_id=case.id,
        approval_group=case.approval_group,
        approvals=standing.approvals,
        quorum=standing.quorum,
    )
    return rules.close(case, State.EXPIRED, now=now), event


def reminded(
    case: Case, standing: rules.Decided, group: ApprovalGroup, anchor: Anchor, *, now: datetime
) -> tuple[Case, RequestReminded | None]:
    """The case after a reminder, and the event that is one; none when nobody is left who might decide."""
    done = case.model_copy(update={"reminded_at": now})
    awaits = awaited(standing.case, anchor, now=now)[:MOST_AWAITED]
    if not awaits:
        return done, None
    event = RequestReminded(
        request_id=case.id,
        approval_group=case.approval_group,
        awaits=awaits,
        approvals=standing.approvals,
        quorum=standing.quorum,
        until=expires_at(case, group),
    )
    return done.model_copy(update={"sequence": case.sequence + 1}), event


def standing_now(case: Case, group: ApprovalGroup, anchor: Anchor, *, now: datetime) -> rules.Decided:
    """The case with the approvals that still count; with none where its evidence does not hold under this policy."""
    try:
        return rules.as_it_stands(case, anchor=anchor, now=now)
    except RefusedError:
        return rules.Decided(case, approvals=0, quorum=group.quorum)


def awaited(case: Case, anchor: Anchor, *, now: datetime) -> tuple[IdentityName, ...]:
    """The identities that may approve, or deny, and whose owners' approvals are not among those of the case."""
    try:
        _, revision = follow_revisions(case.evidence, anchor, now=now)
    except RefusedError:
        return ()
    decided = {anchor.person_of(decider) for decider in case.deciders}
    found = []
    for name, identity in sorted(anchor.identities.items()):
        if identity.person in decided:
            continue
        said = Decision(request_id=case.id, revision=case.revision, decision=DecisionKind.APPROVE, approver=name)
        if not list(check_decider(said, revision, anchor)):
            found.append(name)
    return tuple(found)
