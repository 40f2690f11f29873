"""What an evidence file proves: everything against an anchor, and without one only that it fits together."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from shared.contracts.content import RequestContent
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, key_of, verify_evidence
from shared.evidence.jws import payload_of
from shared.evidence.revisions import Link, check_chain, check_contents, link_of
from shared.evidence.steps import Decision, DecisionKind, Issuance, Revision, Revocation, Verdict
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import Digest, RequestIdField
from shared.x509.certificate import identify_certificate, parse_certificate, was_issued_by

StepT = TypeVar("StepT", bound=Model)

NOT_CHECKED = (
    "No signature was checked, as no key was given to check it with: who signed, when, and whether the quorum was "
    "reached is only what the file says. Give --anchor FILE to have all of it checked."
)


class Standing(StrEnum):
    """What can be said of an evidence file."""

    VERIFIED = "verified"
    SELF_CONSISTENT = "self-consistent"


class Report(Model):
    """What `ra audit verify` found."""

    request_id: RequestIdField
    standing: Standing
    steps: tuple[str, ...]
    issued: bool
    revoked: bool


def verify_against(file: EvidenceFile, anchor: Anchor, *, now: datetime) -> Report:
    """Check everything the file holds against the anchor.

    Raises:
        RefusedError: `evidence.*` and others, with what breaks it.
    """
    story = verify_evidence(file, anchor, now=now)
    return Report(
        request_id=story.request_id,
        standing=Standing.VERIFIED,
        steps=story.steps,
        issued=story.issued,
        revoked=story.revoked,
    )


def check_consistency(file: EvidenceFile) -> Report:
    """Check what can be checked without any key: that every step names the exact bytes of the one before it.

    Raises:
        RefusedError: `evidence.*`, with everything that contradicts itself.
    """
    evidence = file.evidence
    content, submission = _submission(evidence)
    chain = [link_of(statement) for statement in evidence.revisions]
    revision, revised = chain[-1].revision, chain[-1].digest
    steps = [f"submission {submission}", *map(_revision, chain)]
    findings = [
        *check_chain(chain),
        *_check_start(file, content, submission, revision),
        *check_contents(chain, content),
    ]
    decisions = [_step(statement.jws, Decision) for statement in evidence.decisions]
    for said, _ in decisions:
        steps.append(f"{said.approver}: {said.decision}")
        if not _is_about(said, chain) or said.request_id != file.request_id:
            findings.append(_contradiction("decision", "a decision is about another revision"))
    verdict = _step(evidence.verdict, Verdict) if evidence.verdict else None
    if verdict is not None:
        steps.append("approval: the quorum is reached")
        findings += _check_verdict(verdict[0], revised, [digest for _, digest in decisions], file)
    issuance = _step(evidence.issuance, Issuance) if evidence.issuance else None
    if issuance is not None:
        steps.append(f"issuer: {issuance[0].outcome}, order {issuance[0].order_id}")
        findings += _check_issuance(issuance[0], revision, revised, verdict and verdict[1], file)
    if evidence.revocation:
        revocation, _ = _step(evidence.revocation, Revocation)
        steps.append(f"revoker: revoked, {revocation.reason}")
        findings += _check_revocation(revocation, issuance, file)
    if findings:
        raise RefusedError.of(findings)
    return Report(
        request_id=file.request_id,
        standing=Standing.SELF_CONSISTENT,
        steps=tuple(steps),
        issued=issuance is not None and issuance[0].outcome == "issued",
        revoked=evidence.revocation is not None,
    )


def _submission(evidence: Evidence) -> tuple[RequestContent, Digest]:
    if isinstance(evidence.submission, JwsStatement):
        return _step(evidence.submission.jws, RequestContent)
    return evidence.submission.content, digest_of(evidence.submission.content.canonical())


def _step(token: str, model: type[StepT]) -> tuple[StepT, Digest]:
    payload = payload_of(token)
    return model.read(payload, code="evidence.payload-invalid"), digest_of(payload)


def _revision(link: Link) -> str:
    revision = link.revision
    by = "intake" if revision.number == 1 else "approval, a renewal"
    by = by if link.edit is None else f"approval, as {link.edit.editor} edited it"
    return f"revision {revision.number} by {by}: {revision.subject}, {link.digest}"


def _is_about(decision: Decision, chain: list[Link]) -> bool:
    """Whether a decision is about the revision in force; a denial may be about a former one."""
    counts_for = chain if decision.decision is DecisionKind.DENY else chain[-1:]
    return decision.revision in {link.digest for link in counts_for}


def _contradiction(step: str, message: str) -> Finding:
    return finding(f"evidence.{step}-differs", message)


def _check_start(
    file: EvidenceFile, content: RequestContent, submission: Digest, revision: Revision
) -> Iterator[Finding]:
    if len({file.request_id, content.request_id, revision.request_id}) != 1:
        yield _contradiction("request", "file, submission and revision name different requests")
    if revision.submission != submission:
        yield _contradiction("submission", "the revision was not made from this submission")


def _check_verdict(verdict: Verdict, revised: Digest, decisions: list[Digest], file: EvidenceFile) -> Iterator[Finding]:
    if verdict.revision != revised or verdict.request_id != file.request_id:
        yield _contradiction("verdict", "the verdict is about another revision")
    if list(verdict.decisions) != decisions:
        yield _contradiction("decisions", "the decisions are not those that the verdict names")


def _check_issuance(
    issuance: Issuance, revision: Revision, revised: Digest, verdict: Digest | None, file: EvidenceFile
) -> Iterator[Finding]:
    if (issuance.request_id, issuance.revision, issuance.verdict) != (file.request_id, revised, verdict):
        yield _contradiction("issuance", "the certificate was issued for another approval")
    if issuance.outcome == "quarantined":  # there may be anything in it
        return
    leaf, *issuers = [parse_certificate(der) for der in issuance.chain]
    if leaf.spki_sha256 != key_of(revision, issuance):
        yield _contradiction("certificate", "the certificate is for another key")
    if issuers and not was_issued_by(leaf, issuers[0]):
        yield _contradiction("certificate", "the certificate was not signed by the next one of its chain")


def _check_revocation(
    revocation: Revocation, issuance: tuple[Issuance, Digest] | None, file: EvidenceFile
) -> Iterator[Finding]:
    if issuance is None or revocation.issuance != issuance[1] or revocation.request_id != file.request_id:
        yield _contradiction("revocation", "another certificate was revoked")
        return
    leaf = identify_certificate(issuance[0].chain[0])
    if (revocation.certificate, revocation.serial_number) != (leaf.sha256, leaf.serial_hex):
        yield _contradiction("revocation", "another certificate was revoked")
