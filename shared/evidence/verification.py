"""Verification of the chain. It raises with every reason; it never answers "false".

The issuer runs this against its own policy before anything is ordered; `ra audit verify` runs the same code offline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from shared.contracts.content import RequestContent
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.decisions import claimed_decision
from shared.evidence.jws import SKEW, Typ, Verified, kid_of, payload_of, verify
from shared.evidence.revisions import check_chain, check_contents, link_of
from shared.evidence.steps import (
    Decision,
    DecisionKind,
    Edit,
    Issuance,
    Revision,
    Verdict,
    proposal_of,
)
from shared.policy.fitness import check_request
from shared.policy.resolution import ResolvedPolicy, check_pkcs12
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, Digest, IdentityName


@dataclass(frozen=True)
class VerifiedSubmission:
    """Step 0: what was asked for, and by whose signature, if it has one."""

    content: RequestContent
    digest: Digest
    signer: IdentityName | None
    signed_at: datetime | None


@dataclass(frozen=True)
class VerifiedRevision:
    """Steps 1 and 2: the content in force, its digest, and when it was signed."""

    revision: Revision
    digest: Digest
    signed_at: datetime
    edit: Edit | None = None
    """What came with it, if it was edited; known when the whole chain was read."""
    former: "tuple[VerifiedRevision, ...]" = ()
    """Those before it, from the first on; known when the whole chain was read."""

    @property
    def edit_in_force(self) -> Edit | None:
        """The latest edit, of which this follows; none while nobody edited it."""
        return next((each.edit for each in (self, *reversed(self.former)) if each.edit is not None), None)


@dataclass(frozen=True)
class VerifiedEdit:
    """Step 2: an edit, its digest, and when it was signed."""

    edit: Edit
    digest: Digest
    signed_at: datetime


@dataclass(frozen=True)
class VerifiedDecision:
    """Step 3: a decision, its digest, and when it was signed."""

    decision: Decision
    digest: Digest
    signed_at: datetime


@dataclass(frozen=True)
class VerifiedApproval:
    """Steps 0 to 4, all of them good together."""

    submission: VerifiedSubmission
    revision: VerifiedRevision
    decisions: tuple[VerifiedDecision, ...]
    verdict: Verdict
    verdict_digest: Digest
    verdict_signed_at: datetime


def verify_submission(
    statement: JwsStatement | UnsignedSubmission,
    anchor: Anchor,
    *,
    signers: Sequence[IdentityName],
    now: datetime,
) -> VerifiedSubmission:
    """Step 0, signed by one of `signers` if it is signed at all.

    Raises:
        RefusedError: the signature does not hold, or the content is malformed.
    """
    if isinstance(statement, UnsignedSubmission):
        return VerifiedSubmission(statement.content, digest_of(statement.content.canonical()), None, None)
    kid = kid_of(statement.jws)
    owner = next((name for name in signers if any(key.kid == kid for key in anchor.keys_of(name))), None)
    verified = verify(statement.jws, Typ.SUBMISSION, anchor.keys_of(owner) if owner else (), now=now)
    content = RequestContent.read(verified.payload, code="submission.invalid")
    return VerifiedSubmission(content, verified.digest, owner, verified.signed_at)


def verify_revision(
    evidence: Evidence, anchor: Anchor, *, now: datetime
) -> tuple[VerifiedSubmission, VerifiedRevision]:
    """Steps 0 to 2: the submission, and the revision in force that follows from it and from who edited it.

    Raises:
        RefusedError: with the first finding that breaks the chain, or all that the contents give.
    """
    submission, revision = follow_revisions(evidence, anchor, now=now)
    findings = list(_check_edits(evidence, revision, anchor, now=now))
    if findings:
        raise RefusedError.of(findings)
    return submission, revision


def follow_revisions(
    evidence: Evidence, anchor: Anchor, *, now: datetime
) -> tuple[VerifiedSubmission, VerifiedRevision]:
    """Steps 0 to 2 as far as the duties and the requester vouch for them: whether editors do, is not looked at.

    Good for what ends a request and for records of the past; never for what is to be ordered.

    Raises:
        RefusedError: with the first finding that breaks the chain, or all that the contents give.
    """
    links = [link_of(statement) for statement in evidence.revisions]
    chain = [
        replace(read_revision(statement.jws, anchor, now=now), edit=link.edit)
        for statement, link in zip(evidence.revisions, links, strict=True)
    ]
    submission = verify_submission(evidence.submission, anchor, signers=chain[0].revision.requesters, now=now)
    findings = [
        *check_chain(links),
        *_check_times(submission, chain),
        *_check_requesters(chain[0].revision, submission, anchor),
        *check_contents(links, submission.content),
    ]
    if findings:
        raise RefusedError.of(findings)
    return submission, replace(chain[-1], former=tuple(chain[:-1]))


def _check_edits(evidence: Evidence, revision: VerifiedRevision, anchor: Anchor, *, now: datetime) -> Iterator[Finding]:
    """Whether editors vouch for what is in force, and may edit now.

    Nothing of an edit counts that was edited again: it is a record, and its editor may have left since.
    """
    chain = (*revision.former, revision)
    for number, (statement, each) in enumerate(zip(evidence.revisions, chain, strict=True)):
        if statement.edit is None or each.edit is None:
            continue
        is_in_force = each.edit is revision.edit_in_force
        if not is_in_force and each.edit.editor not in anchor.identities:
            continue
        edit = verify_edit(statement.edit, anchor, now=now)
        if edit.signed_at + SKEW < chain[number - 1].signed_at or each.signed_at + SKEW < edit.signed_at:
            yield finding("evidence.order", "an edit was not made between the revision it edits and what came of it")
        if is_in_force:
            yield from check_editor(edit.edit, each.revision, anchor)


def verify_edit(statement: JwsStatement, anchor: Anchor, *, now: datetime) -> VerifiedEdit:
    """Step 2, an edit on its own: signed with a key of the editor it names.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    claimed = Edit.read(payload_of(statement.jws), code="edit.invalid")
    verified = verify(statement.jws, Typ.EDIT, anchor.keys_of(claimed.editor), now=now)
    return VerifiedEdit(claimed, verified.digest, verified.signed_at)


def check_editor(edit: Edit, revision: Revision, anchor: Anchor) -> Iterator[Finding]:
    """Why the editor may not edit a request of this group now."""
    group = revision.policy.approval_group
    editor = anchor.identities.get(edit.editor)
    if editor is None or editor.person is None or group not in editor.edits:
        yield finding("edit.not-an-editor", f"may not edit for {group}", value=edit.editor)


def read_revision(token: str, anchor: Anchor, *, now: datetime) -> VerifiedRevision:
    """A revision on its own: the first one is signed by intake, each later one by approval.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    claimed = Revision.read(payload_of(token), code="evidence.revision-invalid")
    duty = Duty.INTAKE if claimed.number == 1 else Duty.APPROVAL
    signed = verify(token, Typ.REVISION, anchor.duties[duty], now=now)
    return VerifiedRevision(claimed, signed.digest, signed.signed_at)


def _check_times(submission: VerifiedSubmission, chain: Sequence[VerifiedRevision]) -> Iterator[Finding]:
    if submission.signed_at is not None and chain[0].signed_at + SKEW < submission.signed_at:
        yield finding("evidence.order", "the revision is older than the submission it was made from")
    if any(renewal.signed_at + SKEW < former.signed_at for former, renewal in pairwise(chain)):
        yield finding("evidence.order", "a revision is older than the one before it")


def _check_requesters(revision: Revision, submission: VerifiedSubmission, anchor: Anchor) -> Iterator[Finding]:
    content = submission.content
    if revision.submission != submission.digest:
        yield finding("evidence.submission-differs", "the revision was not made from this submission")
    for requester in revision.requesters:
        identity = anchor.identities.get(requester)
        if identity is None:
            yield finding("evidence.requester-unknown", "a requester is not known", value=requester)
        elif identity.must_sign and submission.signer is None and requester == revision.requesters[0]:
            yield finding("evidence.submission-unsigned", "this requester must sign submissions", value=requester)
    if content.on_behalf_of is not None and content.on_behalf_of not in revision.requesters:
        yield finding("evidence.requesters-differ", "who the request is for is not among its requesters")


def judged_by(resolved: ResolvedPolicy, revision: Revision, *, today: date) -> list[Finding]:
    """What speaks against this revision's content under this part of a policy, at this date."""
    wanted = () if revision.generated is None else check_pkcs12(revision.generated.pkcs12, resolved)
    return [*check_request(proposal_of(revision, resolved, today=today)), *wanted]


def verify_decision(statement: JwsStatement, anchor: Anchor, *, about: str, now: datetime) -> VerifiedDecision:
    """Step 3: an approver's decision, signed with a key of the approver it names.

    Of several that were signed together it is the one on the request `about`; one that was signed alone says itself
    which request it is on.

    Raises:
        RefusedError: the signature does not hold, the payload is malformed, or it decides on other requests.
    """
    claimed, typ = claimed_decision(statement.jws, about)
    verified = verify(statement.jws, typ, anchor.keys_of(claimed.approver), now=now)
    return VerifiedDecision(claimed, verified.digest, verified.signed_at)


def check_decider(decision: Decision, revision: VerifiedRevision, anchor: Anchor) -> Iterator[Finding]:
    """Why this decision would not count for this revision.

    An approval counts for exactly the revision that it names, and not from whoever edited the request. A denial counts
    for every later revision, too: neither a change of the policy nor somebody else's edit takes an objection away.
    """
    group = revision.revision.policy.approval_group
    yield from check_approver(decision.approver, group, anchor)
    asks = _is_or_owns(decision.approver, revision.revision.requesters, anchor)
    if asks and not _requesters_count(revision.revision, anchor):
        denies = decision.decision is DecisionKind.DENY
        text = "who asks doesn't decide; withdraw it instead" if denies else "who asks can't agree"
        yield finding("decision.by-requester", text, value=decision.approver)
    edited = _has_edited(decision.approver, revision.revision, anchor)
    if edited and decision.decision is DecisionKind.APPROVE and not _editors_count(revision.revision, anchor):
        yield finding("decision.by-editor", "who edited it can't approve it", value=decision.approver)
    counts_for = {revision.digest}
    if decision.decision is DecisionKind.DENY:
        counts_for |= {former.digest for former in revision.former}
    if decision.request_id != revision.revision.request_id or decision.revision not in counts_for:
        yield finding(
            "decision.outdated-revision",
            "this was decided on another revision than the one in force; look at the request again",
            value=decision.revision,
        )


def check_approver(identity: IdentityName, group: ApprovalGroupName, anchor: Anchor) -> Iterator[Finding]:
    """Why nothing that this identity decides counts in this group now."""
    approver = anchor.identities.get(identity)
    if approver is None or group not in approver.decides or approver.person is None:
        yield finding("decision.not-an-approver", f"does not decide for {group}, or not any more", value=identity)


def _has_edited(approver: IdentityName, revision: Revision, anchor: Anchor) -> bool:
    """Whether the person behind the approver edited it, by the policy of now or by that of then."""
    return _is_or_owns(approver, revision.editors, anchor) or anchor.person_of(approver) in revision.editor_people


def _is_or_owns(approver: IdentityName, identities: Sequence[IdentityName], anchor: Anchor) -> bool:
    """Whether the approver is one of these, or the person behind one."""
    people = {anchor.person_of(identity) for identity in identities} - {None}
    return approver in identities or anchor.person_of(approver) in people


def _requesters_count(revision: Revision, anchor: Anchor) -> bool:
    """Whether the group lets requesters agree, by the policy that was signed and by the verifier's own."""
    group = anchor.approval_groups.get(revision.policy.approval_group)
    return revision.policy.requester_counts and group is not None and group.requester_counts


def _editors_count(revision: Revision, anchor: Anchor) -> bool:
    """Whether the group lets editors approve, by the policy that was signed and by the verifier's own."""
    group = anchor.approval_groups.get(revision.policy.approval_group)
    return revision.policy.editor_may_approve and group is not None and group.editor_may_approve


def verify_decisions(
    evidence: Evidence, revision: VerifiedRevision, anchor: Anchor, *, now: datetime
) -> tuple[VerifiedDecision, ...]:
    """Step 3 of a request that has no verdict: every decision on its own.

    Raises:
        RefusedError: with every finding.
    """
    about = revision.revision.request_id
    decisions = tuple(verify_decision(statement, anchor, about=about, now=now) for statement in evidence.decisions)
    findings = [found for each in decisions for found in check_decider(each.decision, revision, anchor)]
    if findings:
        raise RefusedError.of(findings)
    return decisions


def counting_people(decisions: Sequence[VerifiedDecision], anchor: Anchor) -> frozenset[str]:
    """The distinct people behind these decisions."""
    people = (anchor.person_of(decision.decision.approver) for decision in decisions)
    return frozenset(person for person in people if person is not None)


def lapsed(signed_at: datetime, group: str, anchor: Anchor, *, now: datetime) -> bool:
    """Whether an approval of this time no longer stays good."""
    rules = next((rules for name, rules in anchor.approval_groups.items() if name == group), None)
    return rules is None or signed_at + timedelta(hours=rules.approvals_stay_good_hours) < now


def verify_approval(
    evidence: Evidence, anchor: Anchor, *, now: datetime, as_of_verdict: bool = False
) -> VerifiedApproval:
    """Steps 0 to 4: exactly this revision was approved by the quorum that the anchor demands now.

    With `as_of_verdict`, whether an approval had lapsed is judged at the time of the verdict: for records of the past.

    Raises:
        RefusedError: with every finding.
    """
    submission, revision = verify_revision(evidence, anchor, now=now)
    signed, verdict = _read_verdict(evidence, anchor, now=now)
    about = revision.revision.request_id
    decisions = tuple(verify_decision(statement, anchor, about=about, now=now) for statement in evidence.decisions)
    judged_at = signed.signed_at if as_of_verdict else now
    findings = [
        *_check_verdict(verdict, revision, [decision.digest for decision in decisions]),
        *_check_decisions(signed, revision, decisions, anchor, now=judged_at),
    ]
    if findings:
        raise RefusedError.of(findings)
    return VerifiedApproval(submission, revision, decisions, verdict, signed.digest, signed.signed_at)


def verify_verdict(evidence: Evidence, anchor: Anchor, *, now: datetime) -> Verdict:
    """Step 4: approval's own word that these decisions reached the quorum, whatever they are worth under this anchor.

    Raises:
        RefusedError: with every finding.
    """
    _, revision = follow_revisions(evidence, anchor, now=now)
    _, verdict = _read_verdict(evidence, anchor, now=now)
    decisions = [digest_of(payload_of(statement.jws)) for statement in evidence.decisions]
    findings = list(_check_verdict(verdict, revision, decisions))
    if findings:
        raise RefusedError.of(findings)
    return verdict


def _read_verdict(evidence: Evidence, anchor: Anchor, *, now: datetime) -> tuple[Verified, Verdict]:
    if evidence.verdict is None:
        raise RefusedError(finding("evidence.verdict-missing", "approval's verdict is missing"))
    signed = verify(evidence.verdict, Typ.VERDICT, anchor.duties[Duty.APPROVAL], now=now)
    return signed, Verdict.read(signed.payload, code="evidence.verdict-invalid")


def _check_verdict(verdict: Verdict, revision: VerifiedRevision, decisions: Sequence[Digest]) -> Iterator[Finding]:
    if verdict.revision != revision.digest or verdict.request_id != revision.revision.request_id:
        yield finding("evidence.verdict-differs", "the verdict is about another revision")
    if verdict.decisions != tuple(decisions):
        yield finding("evidence.decisions-differ", "the decisions are not those that the verdict names")


def _check_decisions(
    signed: Verified,
    revision: VerifiedRevision,
    decisions: tuple[VerifiedDecision, ...],
    anchor: Anchor,
    *,
    now: datetime,
) -> Iterator[Finding]:
    """Why these decisions don't make a quorum; `signed` is the verdict on them."""
    group = revision.revision.policy.approval_group
    for decision in decisions:
        yield from check_decider(decision.decision, revision, anchor)
        if decision.decision.decision is DecisionKind.DENY:
            yield finding("evidence.denied", "an approver denied it", value=decision.decision.approver)
        if decision.signed_at + SKEW < revision.signed_at or signed.signed_at + SKEW < decision.signed_at:
            yield finding("evidence.order", "the times of revision, decision and verdict contradict one another")
        if lapsed(decision.signed_at, group, anchor, now=now):
            yield finding("evidence.approval-lapsed", "an approval is too old", value=decision.decision.approver)
    people = counting_people(decisions, anchor)
    if len(people) != len(decisions):
        yield finding("evidence.person-twice", "one person decided more than once, or is not known")
    rules = next((rules for name, rules in anchor.approval_groups.items() if name == group), None)
    if rules is None:
        yield finding("evidence.group-unknown", "there is no such approval group any more", value=group)
    elif len(people) < max(rules.quorum, revision.revision.policy.quorum):
        yield finding(
            "evidence.quorum-missing",
            f"{len(people)} people approved, {max(rules.quorum, revision.revision.policy.quorum)} are needed",
        )


def verify_issuance(
    evidence: Evidence, approval: VerifiedApproval, anchor: Anchor, *, now: datetime
) -> tuple[Issuance, Verified]:
    """Step 6: what the issuer says it obtained for this approval.

    Raises:
        RefusedError: with every finding.
    """
    if evidence.issuance is None:
        raise RefusedError(finding("evidence.issuance-missing", "no certificate was issued yet"))
    signed, issuance = read_issuance(evidence.issuance, anchor, now=now)
    if (issuance.request_id, issuance.revision, issuance.verdict) != (
        approval.revision.revision.request_id,
        approval.revision.digest,
        approval.verdict_digest,
    ):
        raise RefusedError(finding("evidence.issuance-differs", "the certificate was issued for another approval"))
    return issuance, signed


def read_issuance(token: str, anchor: Anchor, *, now: datetime) -> tuple[Verified, Issuance]:
    """The issuer's signed word on what it obtained, on its own.

    Raises:
        RefusedError: the signature does not hold or the payload is malformed.
    """
    signed = verify(token, Typ.ISSUANCE, anchor.duties[Duty.ISSUER], now=now)
    return signed, Issuance.read(signed.payload, code="evidence.issuance-invalid")
