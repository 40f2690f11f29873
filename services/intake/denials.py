"""What approval tells of a denial, believed as far as the approver signed for it: pure, no I/O."""

from datetime import datetime

from shared.contracts.content import RequestContent
from shared.contracts.events import Evidence, RequestDenied
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.decisions import claimed_decision
from shared.evidence.jws import payload_of
from shared.evidence.revisions import check_chain, check_contents, link_of
from shared.evidence.steps import Decision, DecisionKind
from shared.evidence.verification import follow_revisions, read_revision, verify_decision
from shared.vocabulary.findings import finding
from shared.vocabulary.names import Digest, RequestId


def denied_request(event: RequestDenied, known: Evidence, anchor: Anchor, *, now: datetime, is_past: bool) -> RequestId:
    """The request that was really denied; `known` is what intake has of it.

    Raises:
        RefusedError: the evidence does not hold, or nobody's denial is in it.
    """
    evidence = event.evidence
    said = [_decision(each, event.request_id, anchor, now=now, is_past=is_past) for each in evidence.decisions]
    denials = [each for each in said if each.decision is DecisionKind.DENY]
    if not denials:
        raise RefusedError(finding("evidence.denial-missing", "nobody's denial comes with this"))
    try:
        follow_revisions(evidence, anchor, now=now)
    except RefusedError:
        if not _begins_as(evidence, known):
            raise
        # What the policy has no keys for any more can still be denied: intake looked at it when it accepted it.
        signed: set[Digest] = set() if is_past else {each.revision for each in denials}
        _check_later(evidence, signed, anchor, now=now)
    return denials[0].request_id


def _decision(statement: JwsStatement, about: RequestId, anchor: Anchor, *, now: datetime, is_past: bool) -> Decision:
    if is_past:
        claimed, _ = claimed_decision(statement.jws, about)
        return claimed
    return verify_decision(statement, anchor, about=about, now=now).decision


def _begins_as(evidence: Evidence, known: Evidence) -> bool:
    return (evidence.submission, evidence.revisions[0]) == (known.submission, known.revisions[0])


def _check_later(evidence: Evidence, signed: set[Digest], anchor: Anchor, *, now: datetime) -> None:
    """Each revision after the first is approval's, or is under the approver's signature, as all before that one are.

    Raises:
        RefusedError: one is neither, or they don't follow from one another.
    """
    links = [link_of(statement) for statement in evidence.revisions]
    findings = [*check_chain(links), *check_contents(links, _asked(evidence.submission))]
    if findings:
        raise RefusedError.of(findings)
    vouched = max((number for number, link in enumerate(links) if link.digest in signed), default=0)
    for statement in evidence.revisions[vouched + 1 :]:
        read_revision(statement.jws, anchor, now=now)


def _asked(submission: JwsStatement | UnsignedSubmission) -> RequestContent:
    if isinstance(submission, UnsignedSubmission):
        return submission.content
    return RequestContent.read(payload_of(submission.jws), code="submission.invalid")
