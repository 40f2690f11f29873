"""The evidence file: the whole chain of one request, as `ra audit export` writes it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from pydantic import ValidationError

from shared.contracts.events import Evidence
from shared.errors import RefusedError
from shared.evidence.afterwards import afterwards
from shared.evidence.anchor import Anchor
from shared.evidence.jws import SKEW
from shared.evidence.revocations import verify_revocation
from shared.evidence.steps import DecisionKind, Issuance, Revision, Revocation
from shared.evidence.verification import (
    VerifiedDecision,
    VerifiedRevision,
    verify_approval,
    verify_decisions,
    verify_issuance,
    verify_revision,
)
from shared.policy.fitness import last_day, purposes_of
from shared.policy.products import product_of
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.model import Model, mistakes
from shared.vocabulary.names import Digest, RequestIdField
from shared.x509.certificate import CertificateIdentity, identify_certificate, parse_certificate, verify_chain
from shared.x509.comparison import ApprovedFields, compare_with_approved
from shared.x509.csr import parse_csr
from shared.x509.keys import key_type
from shared.x509.possession import is_proven

MOST_BACKDATED = timedelta(hours=48)
"""How long before its issue a certificate may begin (BR 7.1.2.7)."""


class EvidenceFile(Model):
    """The content of an evidence file; the file itself is its canonical JSON."""

    format: Literal["countersign-evidence/1"] = "countersign-evidence/1"
    request_id: RequestIdField
    evidence: Evidence


class Story(Model):
    """What a verified evidence file tells, step by step."""

    request_id: RequestIdField
    steps: tuple[str, ...]
    issued: bool
    revoked: bool


def read_evidence(data: bytes) -> EvidenceFile:
    """The file's content.

    Raises:
        RefusedError: `evidence.file-invalid`, or `evidence.file-not-canonical` when a byte was added or reordered.
    """
    try:
        file = EvidenceFile.model_validate_json(data)
    except ValidationError as error:
        raise RefusedError.of(mistakes(error, code="evidence.file-invalid")) from None
    if file.canonical() != data:
        raise RefusedError(finding("evidence.file-not-canonical", "the file is not in its canonical form"))
    return file


def verify_evidence(file: EvidenceFile, anchor: Anchor, *, now: datetime) -> Story:
    """Check everything the file holds against the anchor.

    Raises:
        RefusedError: with the findings that break it.
    """
    evidence = file.evidence
    _, revision = verify_revision(evidence, anchor, now=now)
    if revision.revision.request_id != file.request_id:
        raise RefusedError(finding("evidence.request-differs", "the file names another request than its evidence"))
    steps = _beginning(file, revision, anchor)
    if evidence.verdict is None:
        if evidence.issuance is not None or evidence.revocation is not None:
            raise RefusedError(finding("evidence.verdict-missing", "a certificate without approval's verdict"))
        steps += [_decided(decision) for decision in verify_decisions(evidence, revision, anchor, now=now)]
        return Story(request_id=file.request_id, steps=(*steps, "not approved"), issued=False, revoked=False)
    approval = verify_approval(evidence, anchor, now=now, as_of_verdict=True)
    steps += [_decided(decision) for decision in approval.decisions]
    steps.append(f"{approval.verdict_signed_at.isoformat()}  approval found the quorum reached")
    if evidence.issuance is None:
        if evidence.revocation is not None:
            raise RefusedError(finding("evidence.issuance-missing", "a revocation without a certificate"))
        steps += afterwards(evidence, file.request_id, None, anchor, now=now)
        return Story(request_id=file.request_id, steps=tuple(steps), issued=False, revoked=False)
    issuance, signed = verify_issuance(evidence, approval, anchor, now=now)
    if issuance.outcome == "issued":
        findings = [
            *check_term(issuance, approval.revision.revision, (approval.verdict_signed_at, signed.signed_at)),
            *check_issued(issuance, approval.revision.revision, anchor, issued_at=signed.signed_at),
        ]
        if refuses(findings):
            raise RefusedError.of(findings)
    leaf = identify_certificate(issuance.chain[0])
    steps.append(
        f"{signed.signed_at.isoformat()}  issuer {'obtained' if issuance.outcome == 'issued' else 'quarantined'} "
        f"certificate {leaf.serial_hex} (order {issuance.order_id})"
    )
    steps += afterwards(evidence, file.request_id, (issuance, signed), anchor, now=now)
    revocation = verify_revocation(evidence, signed, anchor, now=now)
    if revocation is not None:
        _check_revoked(revocation, leaf)
        steps.append(_revoked(revocation))
    return Story(
        request_id=file.request_id,
        steps=tuple(steps),
        issued=issuance.outcome == "issued",
        revoked=revocation is not None,
    )


def approved_fields(revision: Revision, issuance: Issuance, intermediate: bytes) -> ApprovedFields:
    """What the certificate that comes back is compared with."""
    resolved = revision.policy
    usages = frozenset(purposes_of(revision.extensions))
    return ApprovedFields(
        kind=product_of(resolved.product, resolved.trust).kind,
        spki_sha256=key_of(revision, issuance),
        subject=revision.subject,
        names=revision.names,
        not_before_earliest=datetime.combine(issuance.ordered_on, time.min, UTC) - MOST_BACKDATED,
        not_after_latest=datetime.combine(issuance.expires_on, time(23, 59, 59), UTC),
        eku_required=usages,
        eku_allowed=usages,
        extensions=revision.extensions,
        signature_hash=resolved.signature_hash,
        issuer=intermediate,
    )


def key_of(revision: Revision, issuance: Issuance) -> Digest:
    """The key that was approved or, where the issuer was to make one, the one that it says it made.

    Raises:
        RefusedError: `csr.*`, what it says is no certificate request, or `evidence.key-differs`.
    """
    if revision.public_key is not None:
        return revision.public_key
    made = parse_csr(issuance.csr or b"")
    if key_type(made.key) != revision.wanted_key_type:
        raise RefusedError(finding("evidence.key-differs", "a key of another type was made than was approved"))
    return made.spki_sha256


def last_day_of(revision: Revision, *, ordered_on: date) -> date:
    """The last day to ask the CA for, on this day."""
    return revision.expires_on or last_day(revision.policy, today=ordered_on)


def check_term(issuance: Issuance, revision: Revision, within: tuple[datetime, datetime]) -> Iterator[Finding]:
    """Whether what the issuer says it asked for is what was approved; it ordered between these two times."""
    verdict_at, issued_at = within
    if not (verdict_at - SKEW).date() <= issuance.ordered_on <= (issued_at + SKEW).date():
        text = "it was ordered before its approval or after its issue"
        yield finding("evidence.order", text, value=issuance.ordered_on)
    if issuance.expires_on != last_day_of(revision, ordered_on=issuance.ordered_on):
        text = "the issuer ordered another end of validity than was approved"
        yield finding("issued.term-differs", text, value=issuance.expires_on)


def check_issued(issuance: Issuance, revision: Revision, anchor: Anchor, *, issued_at: datetime) -> list[Finding]:
    """The CA's certificate against the approved bytes and the intermediate that the anchor names."""
    intermediate = anchor.intermediate(revision.policy.signing_certificate)
    leaf = parse_certificate(issuance.chain[0])
    fields = approved_fields(revision, issuance, intermediate)
    at, compared = max(issued_at, leaf.not_before), [extension.type for extension in revision.extensions]
    return [
        *verify_chain((issuance.chain[0], intermediate), [intermediate], at=at, compared=compared),
        *compare_with_approved(leaf, fields),
    ]


def _decided(decision: VerifiedDecision) -> str:
    verb = "denied" if decision.decision.decision is DecisionKind.DENY else "approved"
    return f"{decision.signed_at.isoformat()}  {decision.decision.approver} {verb} it"


def _beginning(file: EvidenceFile, revision: VerifiedRevision, anchor: Anchor) -> list[str]:
    content = revision.revision
    signed = "signed" if file.evidence.submission.kind == "jws" else "unsigned"
    return [
        f"{signed} submission by {', '.join(content.requesters)}: {content.subject}",
        *(_revised(each, anchor) for each in (*revision.former, revision)),
    ]


def _revised(revision: VerifiedRevision, anchor: Anchor) -> str:
    number = revision.revision.number
    who = "intake accepted it" if number == 1 else "approval renewed it under another policy"
    if revision.edit is not None:
        known = "" if revision.edit.editor in anchor.identities else " (whom the anchor does not know)"
        who = f"{revision.edit.editor}{known} edited it, and approval accepted that"
    return f"{revision.signed_at.isoformat()}  {who} as revision {number}, {revision.digest}"


def _check_revoked(revocation: Revocation, leaf: CertificateIdentity) -> None:
    if revocation.certificate != leaf.sha256 or revocation.serial_number != leaf.serial_hex:
        raise RefusedError(finding("evidence.revocation-differs", "another certificate was revoked"))
    if revocation.proof is not None and not is_proven(leaf.spki, revocation.proof):
        raise RefusedError(finding("evidence.proof-differs", "nobody showed that they hold this private key"))


def _revoked(revocation: Revocation) -> str:
    by = f"asked by {revocation.requested_by}" + (", who held its private key" if revocation.proof else "")
    confirmed = f", confirmed by {len(revocation.confirmations)}" if revocation.confirmations else ""
    return f"{revocation.revoked_at.isoformat()}  revoker revoked it: {revocation.reason}, {by}{confirmed}"
