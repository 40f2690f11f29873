"""A case as an approver is shown it: read from the very bytes that are going to be signed for."""

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.replies import CaseResult
from shared.contracts.statement import DecisionStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.decisions import claimed_decision
from shared.evidence.jws import payload_of
from shared.evidence.steps import Decision, Revision
from shared.evidence.verification import read_revision, verify_decision
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, RequestId
from shared.x509.csr import VerifiedCsr, parse_csr


@dataclass(frozen=True)
class EarlierDecision:
    """What another approver decided; `signed_at` is None where no anchor vouches for the signature."""

    decision: Decision
    signed_at: datetime | None
    applies: bool
    """Whether it is about this revision."""


@dataclass(frozen=True)
class ShownCase:
    """A revision with the CSR inside it, the digest of its bytes, and what was decided on it so far."""

    revision: Revision
    digest: Digest
    """Computed here, from the payload itself: what a decision signs for."""
    csr: VerifiedCsr
    signed_at: datetime | None
    """When its duty signed the revision; None where there is no anchor to verify that with."""
    decisions: tuple[EarlierDecision, ...]
    doubtful: int
    """How many decisions came with it whose signatures do not hold; they are not among `decisions`."""


def read_case(case: CaseResult, anchor: Anchor | None, *, now: datetime) -> ShownCase:
    """What the case really holds; with an anchor, the duty's signature and the approvers' are verified.

    A revision is signed by intake, a renewal by approval.

    Raises:
        RefusedError: `case.*` when what would be shown and what would be signed differ, `evidence.*` when its
            duty's signature does not hold, `csr.*` when the CSR is none.
    """
    payload = payload_of(case.revision.jws)
    signed_at = None
    if anchor is not None:
        signed_at = read_revision(case.revision.jws, anchor, now=now).signed_at
    revision = Revision.read(payload, code="case.unreadable")
    csr = parse_csr(revision.csr)
    _check(case, revision, payload, csr)
    digest = digest_of(payload)
    decisions = [_decision(statement, revision.request_id, digest, anchor, now=now) for statement in case.decisions]
    good = tuple(decision for decision in decisions if decision is not None)
    return ShownCase(revision, digest, csr, signed_at, good, doubtful=len(decisions) - len(good))


def _check(case: CaseResult, revision: Revision, payload: bytes, csr: VerifiedCsr) -> None:
    same = {
        "case.request-differs": (revision.request_id == case.request_id, "the revision is of another request"),
        "case.not-canonical": (revision.canonical() == payload, "the revision's bytes say more than can be shown"),
        "case.key-differs": (csr.spki_sha256 == revision.public_key, "the key is not the CSR's"),
    }
    findings = [finding(code, message) for code, (holds, message) in same.items() if not holds]
    if findings:
        raise RefusedError.of(findings)


def _decision(
    statement: DecisionStatement, about: RequestId, digest: Digest, anchor: Anchor | None, *, now: datetime
) -> EarlierDecision | None:
    try:
        if anchor is None:
            said, signed_at = claimed_decision(statement.jws, about)[0], None
        else:
            verified = verify_decision(statement, anchor, about=about, now=now)
            said, signed_at = verified.decision, verified.signed_at
    except RefusedError:
        return None
    return EarlierDecision(said, signed_at, applies=said.revision == digest)
