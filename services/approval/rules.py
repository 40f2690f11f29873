"""Approval's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from services.approval.model import Case
from shared.contracts.events import (
    MOST_REVISIONS,
    Evidence,
    ProductFactsTaken,
    RequestAccepted,
    RequestReturned,
    chain_fits,
)
from shared.contracts.replies import SigningCertificateStanding
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.compatibility import read_facts
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SKEW, payload_of
from shared.evidence.revisions import Link, link_of, values_of
from shared.evidence.steps import DecisionKind, Revision, Verdict
from shared.evidence.verification import (
    VerifiedDecision,
    VerifiedRevision,
    check_approver,
    check_decider,
    counting_people,
    judged_by,
    lapsed,
    verify_decision,
    verify_revision,
)
from shared.policy.compatibility import Known, ProductFacts, judge
from shared.policy.composition import compose
from shared.policy.policy import Policy
from shared.policy.resolution import resolve_again
from shared.screening import check_sender
from shared.vocabulary.findings import Finding, Severity, finding, refuses
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, IdentityName, SigningCertificateName
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State
from shared.x509.stand_ins import asked_with


def accepted_revision(event: RequestAccepted, anchor: Anchor, *, now: datetime) -> VerifiedRevision:
    """The revision that intake accepted.

    Raises:
        RefusedError: its evidence does not hold, or is about another request than the event.
    """
    _, verified = verify_revision(event.evidence, anchor, now=now)
    if verified.revision.request_id != event.request_id:
        raise RefusedError(finding("evidence.request-differs", "the event is about another request"))
    return verified


def said_revision(event: RequestAccepted) -> Link:
    """The revision as it says itself, when its evidence does not hold: only to say of which request that is so.

    Raises:
        RefusedError: it cannot be read, or is about another request than the event.
    """
    said = link_of(event.evidence.revisions[-1])
    if said.revision.request_id != event.request_id or said.revision.policy.approval_group != event.approval_group:
        raise RefusedError(finding("evidence.request-differs", "the event is about another request"))
    return said


def new_case(
    evidence: Evidence, verified: VerifiedRevision | Link, *, sequence: int, policy_serial: int, now: datetime
) -> Case:
    """The case of a request that intake accepted under the policy of this serial."""
    revision = verified.revision
    return Case(
        id=revision.request_id,
        state=State.PENDING,
        sequence=sequence,
        approval_group=revision.policy.approval_group,
        open_for=revision.policy.approval_group,
        requesters=revision.requesters,
        name=revision.name,
        subject=str(revision.subject),
        evidence=evidence,
        revision=verified.digest,
        policy_serial=policy_serial,
        accepted_at=now,
        changed_at=now,
        password_unchecked=revision.generated is not None,
    )


def renewal(case: Case, in_force: PolicyInForce, *, now: datetime) -> Revision | None:
    """The revision that a pending case needs under a newer policy; `None` while the one that it has will do.

    It says what the requester asked for, put together anew under that policy; of the findings none is left out.

    Raises:
        RefusedError: with every reason why nobody can approve this request under the policy in force.
    """
    if case.state is not State.PENDING or not _is_newer(in_force.policy, case):
        return None
    submission, verified = verify_revision(case.evidence, in_force.anchor, now=now)
    former = verified.revision
    barred = list(check_sender(submission.content, former.requesters[0], in_force.policy))
    if barred:
        raise RefusedError.of(barred)
    resolved = resolve_again(in_force.policy, former.policy)
    if resolved == former.policy:
        return None
    entered = submission.content.entered
    csr = asked_with(former.csr, former.wanted_key_type)
    composed = compose(csr, entered, resolved, values_of(verified.edit_in_force))
    changed = former.model_copy(
        update={"subject": composed.subject, "names": composed.names, "extensions": composed.extensions}
    )
    findings = [*composed.findings, *judged_by(resolved, changed, today=now.date())]
    if refuses(findings):
        raise RefusedError.of(findings)
    following = changed.model_copy(
        update={
            "number": former.number + 1,
            "predecessor": verified.digest,
            "policy": resolved,
            "policy_digest": in_force.policy.digest,
            "findings": (*former.findings, *(found for found in findings if found not in former.findings)),
        }
    )
    revisions = case.evidence.revisions
    if len(revisions) == MOST_REVISIONS or not chain_fits(case.evidence.submission, revisions, following):
        raise too_often_changed(len(revisions))
    return following


def out_of_date(case: Case, *, today: date) -> tuple[Finding, ...]:
    """What speaks against the revision in force on this day, as the issuer would say of an approval."""
    if case.state is not State.PENDING:
        return ()
    revision = revision_in_force(case)
    findings = judged_by(revision.policy, revision, today=today)
    return tuple(findings) if refuses(findings) else ()


def too_often_changed(revisions: int) -> RefusedError:
    """What is said of a request that can have no further revision."""
    text = "it was edited, or its policy has changed, too often: withdraw it, and submit it again"
    return RefusedError(finding("revision.too-many", text, value=revisions))


def renewed(case: Case, revision: Revision, token: str, *, policy_serial: int, now: datetime) -> Case:
    """The case with this renewal, signed by approval."""
    return revised(case, revision, RevisionStatement(jws=token), policy_serial=policy_serial, now=now)


def revised(case: Case, revision: Revision, made: RevisionStatement, *, policy_serial: int, now: datetime) -> Case:
    """The case with one more revision: who approved the former one must decide anew."""
    revisions = (*case.evidence.revisions, made)
    return case.model_copy(
        update={
            "evidence": case.evidence.model_copy(update={"revisions": revisions, "decisions": ()}),
            "subject": str(revision.subject),
            "revision": digest_of(revision.canonical()),
            "policy_serial": policy_serial,
            "deciders": (),
            "changed_at": now,
            "held_because": (),
        }
    )


def _is_newer(policy: Policy, case: Case) -> bool:
    """Of several copies of approval, one may still have an older policy: it takes nothing back."""
    return policy.serial > case.policy_serial


def awaits_renewal(case: Case, policy: Policy) -> bool:
    """Whether the decisions made so far on a pending case no longer count, as its part of the policy has changed."""
    if not _is_newer(policy, case):
        return False
    revision = revision_in_force(case)
    try:
        return resolve_again(policy, revision.policy) != revision.policy
    except RefusedError:
        return True


@dataclass(frozen=True)
class Decided:
    """A case after a decision, with the people who have approved and how many must."""

    case: Case
    approvals: int
    quorum: int

    @property
    def reached(self) -> bool:
        """Whether the quorum is reached, so that a verdict may follow."""
        return self.case.state is State.PENDING and self.approvals >= self.quorum


def decide(
    case: Case,
    statement: JwsStatement,
    *,
    sender: IdentityName,
    kind: DecisionKind,
    anchor: Anchor,
    until: datetime | None,
    now: datetime,
) -> Decided:
    """The case after this decision; one that completes the quorum leaves it pending until its verdict.

    A denial ends it, also one by somebody who has approved. `until` is when the time to decide is over.

    Raises:
        RefusedError: with every reason why the decision does not count.
    """
    revision = verify_revision(case.evidence, anchor, now=now)[1] if kind is DecisionKind.APPROVE else kept(case)
    new = _verified_decision(case, statement, sender, anchor, now=now)
    earlier = standing(case, revision, anchor, now=now)
    findings = [
        *_check_time(case, kind, until, now=now),
        *_check_decision(case, new, revision, sender=sender, kind=kind, anchor=anchor, now=now),
    ]
    if kind is DecisionKind.APPROVE:
        findings += _check_person(new, [decision for _, decision in earlier], anchor)
    if findings:
        raise RefusedError.of(findings)
    if kind is DecisionKind.DENY:
        denied = _with_decisions(case, [*earlier, (statement, new)], now=now)
        return Decided(close(denied, State.DENIED, now=now), approvals=0, quorum=quorum_of(case, revision, anchor))
    approvals = [*earlier, (statement, new)]
    return Decided(
        _with_decisions(case, approvals, now=now),
        approvals=len(counting_people([decision for _, decision in approvals], anchor)),
        quorum=quorum_of(case, revision, anchor),
    )


def _verified_decision(
    case: Case, statement: JwsStatement, sender: IdentityName, anchor: Anchor, *, now: datetime
) -> VerifiedDecision:
    """The sender's decision; who is no approver any more is told so, and not only that their key is not known."""
    try:
        return verify_decision(statement, anchor, about=case.id, now=now)
    except RefusedError as refused:
        raise RefusedError.of([*check_approver(sender, case.approval_group, anchor), *refused.findings]) from None


def as_it_stands(case: Case, *, anchor: Anchor, now: datetime) -> Decided:
    """A pending case with the approvals that still count.

    Raises:
        RefusedError: its evidence does not hold.
    """
    _, revision = verify_revision(case.evidence, anchor, now=now)
    approvals = standing(case, revision, anchor, now=now)
    return Decided(
        _with_decisions(case, approvals, now=case.changed_at),
        approvals=len(counting_people([decision for _, decision in approvals], anchor)),
        quorum=quorum_of(case, revision, anchor),
    )


def approved(case: Case, *, policy_digest: Digest, now: datetime) -> tuple[Case, Verdict]:
    """The case with its quorum reached, closed, and the verdict to be signed."""
    verdict = Verdict(
        request_id=case.id,
        revision=case.revision,
        sequence=case.sequence + 1,
        decisions=tuple(digest_of(payload_of(statement.jws)) for statement in case.evidence.decisions),
        policy_digest=policy_digest,
    )
    return close(case, State.APPROVED, now=now), verdict


def held(case: Case, findings: tuple[Finding, ...], *, due: int) -> Case:
    """The case with its quorum reached and its verdict withheld, to be looked at again."""
    return case.model_copy(update={"held_because": findings, "due": due})


def released(case: Case) -> Case:
    """A case that is held no more."""
    return case.model_copy(update={"held_because": ()})


def unchecked(case: Case) -> tuple[Finding, ...]:
    """Why there is no verdict on it yet, if the issuer has still to say something of its password."""
    if case.state is not State.PENDING or not case.password_unchecked:
        return ()
    text = "the issuer has still to say whether it can open the sealed password, and whether it is good"
    return (finding("password.unchecked", text, severity=Severity.NOTE),)


def revision_in_force(case: Case) -> Revision:
    """What is decided on."""
    return Revision.read(payload_of(case.evidence.revisions[-1].jws), code="evidence.revision-invalid")


def kept(case: Case) -> VerifiedRevision:
    """What is decided on with all before it, as the case keeps them: good for a denial, and for nothing else.

    A denial has nothing ordered: it needs the approver's signature, and no one's under what they object to. An editor
    may have left, and the requester or a duty have another key or none.
    """
    links = [link_of(statement) for statement in case.evidence.revisions]
    *former, latest = [VerifiedRevision(link.revision, link.digest, case.changed_at, link.edit) for link in links]
    return replace(latest, former=tuple(former))


def _check_time(case: Case, kind: DecisionKind, until: datetime | None, *, now: datetime) -> Iterator[Finding]:
    """A case that is held was decided in time; until its verdict it can be denied."""
    if case.state is State.APPROVED and kind is DecisionKind.DENY:
        text = "the request is approved already; if nothing is ordered yet, the issuer gives it back for this denial"
        yield finding("decision.too-late", text, value=case.state)
    elif case.state is not State.PENDING:
        yield finding("decision.too-late", f"the request is {case.state} already", value=case.state)
    elif until is not None and now >= until and not (case.held_because and kind is DecisionKind.DENY):
        yield finding("decision.too-late", "the time to decide is over", value=until.isoformat())


def _check_decision(
    case: Case,
    new: VerifiedDecision,
    revision: VerifiedRevision,
    *,
    sender: IdentityName,
    kind: DecisionKind,
    anchor: Anchor,
    now: datetime,
) -> Iterator[Finding]:
    decision = new.decision
    if decision.approver != sender:
        yield finding("decision.foreign", "this decision was signed by somebody else", value=decision.approver)
    if decision.decision is not kind:
        yield finding("decision.contradicts", f"the command says {kind}, the signature {decision.decision}")
    yield from check_decider(decision, revision, anchor)
    if kind is DecisionKind.DENY:  # it counts whatever its date, as it does for the issuer
        return
    yield from _check_age(case, new, anchor, now=now)
    if new.signed_at + SKEW < revision.signed_at:
        yield finding("decision.before-revision", "this decision is older than what it decides on")


def _check_person(new: VerifiedDecision, earlier: Sequence[VerifiedDecision], anchor: Anchor) -> Iterator[Finding]:
    """One person approves a revision once; an approval that no longer counts may be given again."""
    person = anchor.person_of(new.decision.approver)
    if person is not None and person in counting_people(earlier, anchor):
        yield finding("decision.already-made", "you have approved this revision before", value=person)


def standing(
    case: Case, revision: VerifiedRevision, anchor: Anchor, *, now: datetime
) -> list[tuple[JwsStatement, VerifiedDecision]]:
    """The approvals that still count: signature, person, group, revision and age are looked at again.

    Of several by people who have turned out to be one person, the first counts.
    """
    weighed = zip(case.evidence.decisions, weigh(case, revision, anchor, now=now), strict=True)
    return [(statement, decision) for statement, (decision, findings) in weighed if decision and not findings]


def weigh(
    case: Case, revision: VerifiedRevision, anchor: Anchor, *, now: datetime
) -> Iterator[tuple[VerifiedDecision | None, tuple[Finding, ...]]]:
    """Each decision of the case in its order, if its signature holds, and why it does not count now."""
    people: set[str | None] = set()
    for statement in case.evidence.decisions:
        try:
            decision = verify_decision(statement, anchor, about=case.id, now=now)
        except RefusedError as refused:
            yield None, refused.findings
            continue
        person = anchor.person_of(decision.decision.approver)
        findings = [*check_decider(decision.decision, revision, anchor), *_check_age(case, decision, anchor, now=now)]
        if person in people:
            findings.append(finding("decision.already-made", "the same person has approved it before", value=person))
        if not findings:
            people.add(person)
        yield decision, tuple(findings)


def _check_age(case: Case, decision: VerifiedDecision, anchor: Anchor, *, now: datetime) -> Iterator[Finding]:
    if lapsed(decision.signed_at, case.approval_group, anchor, now=now):
        yield finding("decision.stale", "this decision was signed too long ago", value=decision.signed_at.isoformat())


def quorum_of(case: Case, revision: VerifiedRevision, anchor: Anchor) -> int:
    """How many people must approve: the larger of what was demanded at submission and what is demanded now."""
    rules = anchor.approval_groups.get(case.approval_group)
    return max(revision.revision.policy.quorum, rules.quorum if rules else 0)


def take_back(case: Case, event: RequestReturned, *, anchor: Anchor, sequence: int, now: datetime) -> Case | None:
    """The case after the issuer returned its approval; `None` when the event is about no approval of ours."""
    if case.state is not State.APPROVED or event.verdict != case.verdict:
        return None
    if event.denial is not None and _is_denial(case, event.denial, anchor, now=now):
        denial = verify_decision(event.denial, anchor, about=case.id, now=now)
        decisions = [*standing(case, kept(case), anchor, now=now), (event.denial, denial)]
        denied = _with_decisions(case, decisions, now=now)
        return close(denied, State.DENIED, now=now).model_copy(
            update={
                "sequence": sequence + 1,
                "evidence": denied.evidence.model_copy(update={"verdict": None}),  # it names other decisions
                "verdict": None,
                "returned_because": event.findings,
            }
        )
    return case.model_copy(
        update={
            "state": State.PENDING,
            "sequence": sequence,
            "open_for": case.approval_group,
            "evidence": case.evidence.model_copy(update={"decisions": (), "verdict": None}),
            "deciders": (),
            "verdict": None,
            "returned_because": event.findings,
            "returned_at": now,
            "reminded_at": None,
            "changed_at": now,
            "held_because": (),
        }
    )


def _is_denial(case: Case, statement: JwsStatement, anchor: Anchor, *, now: datetime) -> bool:
    try:
        decision = verify_decision(statement, anchor, about=case.id, now=now)
    except RefusedError:
        return False
    return decision.decision.decision is DecisionKind.DENY and not list(
        check_decider(decision.decision, kept(case), anchor)
    )


def may_see(case: Case, identity: IdentityName, permissions: Sequence[Permission], policy: Policy) -> bool:
    """Whether this identity asked for the request or holds one of the permissions for its group."""
    known = policy.identity(identity)
    return identity in case.requesters or (
        known is not None and any(known.may(permission, case.approval_group) for permission in permissions)
    )


def unknown_request(request_id: str) -> RefusedError:
    """What somebody is told who may not see a request, or asks for one that there is not."""
    return RefusedError(finding("request.unknown", "there is no such request that you may see", value=request_id))


def told_facts(news: ProductFactsTaken, anchor: Anchor, *, now: datetime) -> ProductFacts:
    """The facts in this event.

    Raises:
        RefusedError: they are not the issuer's, or of another signing certificate than the event.
    """
    facts = read_facts(news.facts, anchor, now=now)
    if facts.combination.signing_certificate != news.signing_certificate:
        raise RefusedError(finding("evidence.facts-differ", "these facts are of another signing certificate"))
    return facts


def signing_certificates_of(identity: IdentityName, policy: Policy) -> list[SigningCertificateName]:
    """The signing certificates for one of whose groups this identity may view, audit or decide."""
    known = policy.identity(identity)
    if known is None:
        return []
    return sorted(
        name
        for name, signing in policy.file.signing_certificates.items()
        if any(
            known.may(permission, group)
            for permission in (Permission.VIEW, Permission.AUDIT, Permission.DECIDE)
            for group in signing.approval_groups
        )
    )


def standing_of(known: Known) -> SigningCertificateStanding:
    """What is known of a signing certificate, and what that comes to."""
    signing, verdict = known.policy.file.signing_certificates[known.name], judge(known)
    return SigningCertificateStanding(
        name=known.name,
        product=signing.product,
        ca_cert_id=signing.ca_cert_id,
        fit=verdict.fit,
        findings=verdict.findings,
        facts_taken_at=known.facts.taken_at if known.facts else None,
        attested_until=known.attested_until,
    )


def _with_decisions(case: Case, decisions: Sequence[tuple[JwsStatement, VerifiedDecision]], *, now: datetime) -> Case:
    statements = tuple(statement for statement, _ in decisions)
    return case.model_copy(
        update={
            "evidence": case.evidence.model_copy(update={"decisions": statements}),
            "deciders": tuple(decision.decision.approver for _, decision in decisions),
            "changed_at": now,
        }
    )


def close(case: Case, state: State, *, now: datetime) -> Case:
    """The case at its end; what is not known to be published yet is still due."""
    closed = {"state": state, "open_for": None, "sequence": case.sequence + 1, "changed_at": now}
    due = case.due if case.unpublished else None
    return case.model_copy(update={**closed, "held_because": (), "due": due})
