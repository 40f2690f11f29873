"""What was published of a request's order, believed as far as the duties signed for it: pure, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.replies import Publication
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import approved_fields, check_term
from shared.evidence.jws import Typ, Verified, verify
from shared.evidence.revisions import check_chain, link_of
from shared.evidence.revocations import read_revocation
from shared.evidence.steps import Issuance, Revision, Verdict
from shared.evidence.verification import VerifiedRevision, read_issuance, read_revision
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.names import ApprovalGroupName, CertificateId, OrderId, RequestId
from shared.vocabulary.states import State
from shared.x509.certificate import CertificateIdentity, identify_certificate, parse_certificate
from shared.x509.comparison import compare_with_approved


@dataclass(frozen=True)
class PublishedCertificate:
    """A certificate that the issuer signed for."""

    certificate_id: CertificateId
    alternative_order_id: str
    serial: int
    not_after: datetime
    is_quarantined: bool = False
    """Whether it is not what was approved, and is held back; nothing else of it was checked then."""
    is_revoked: bool = False


@dataclass(frozen=True)
class Fact:
    """What was published of one request."""

    request_id: RequestId
    approval_group: ApprovalGroupName
    state: State
    """Intake's word."""
    csr: bytes | None = None
    """DER; none of a request that was refused."""
    names: frozenset[str] = frozenset()
    """DNS names and the common name, in small letters."""
    product: str | None = None
    changed_at: datetime | None = None
    """When intake last heard of it."""
    order_id: OrderId | None = None
    """Signed for where there is a certificate; else what the issuer announced."""
    certificate: PublishedCertificate | None = None


def fact_of(publication: Publication, anchor: Anchor, *, now: datetime) -> Fact:
    """What of this holds by the duties' signatures.

    A certificate must be the one that approval's verdict allows. Whether approvers stand behind the verdict is not
    judged, as they come and go: `ra audit verify` does that with the anchor of the time.

    Raises:
        RefusedError: `evidence.*` or `issued.*`, something does not hold.
    """
    revisions = [read_revision(statement.jws, anchor, now=now) for statement in publication.revisions]
    findings = list(check_chain([link_of(statement) for statement in publication.revisions]))
    if any(each.revision.request_id != publication.request_id for each in revisions):
        findings.append(_of_another())
    if findings:
        raise RefusedError.of(findings)
    fact = Fact(
        publication.request_id, publication.approval_group, publication.state, changed_at=publication.changed_at
    )
    if revisions:
        newest = revisions[-1].revision
        fact = replace(fact, csr=newest.csr, names=_names(newest), product=newest.policy.product)
    if publication.issuance is not None:
        return _with_certificate(fact, publication, revisions[-1:], anchor, now=now)
    return replace(fact, order_id=None if publication.order_id is None else OrderId(publication.order_id))


def _names(revision: Revision) -> frozenset[str]:
    return frozenset(name.lower() for name in (revision.subject.common_name or "", *revision.names.dns) if name)


def _with_certificate(
    fact: Fact, publication: Publication, newest: Sequence[VerifiedRevision], anchor: Anchor, *, now: datetime
) -> Fact:
    signed, issuance = read_issuance(publication.issuance or "", anchor, now=now)
    verdict_at = _check_approved(issuance, publication, newest, anchor, now=now)
    leaf = identify_certificate(issuance.chain[0])
    if issuance.outcome == "issued":
        _check_content(issuance, newest[0].revision, within=(verdict_at, signed.signed_at))
    certificate = PublishedCertificate(
        certificate_id=CertificateId(issuance.certificate_id),
        alternative_order_id=issuance.alternative_order_id,
        serial=int(leaf.serial_hex, 16),
        not_after=leaf.not_after,
        is_quarantined=issuance.outcome == "quarantined",
        is_revoked=_is_revoked(publication, signed, leaf, anchor, now=now),
    )
    return replace(fact, order_id=OrderId(issuance.order_id), certificate=certificate)


def _check_approved(
    issuance: Issuance, publication: Publication, newest: Sequence[VerifiedRevision], anchor: Anchor, *, now: datetime
) -> datetime:
    """When approval's verdict was signed; `RefusedError` unless this was issued for the revision that it is about."""
    if publication.verdict is None:
        raise RefusedError(finding("evidence.verdict-missing", "a certificate without approval's verdict"))
    signed = verify(publication.verdict, Typ.VERDICT, anchor.duties[Duty.APPROVAL], now=now)
    verdict = Verdict.read(signed.payload, code="evidence.verdict-invalid")
    if {issuance.request_id, verdict.request_id} != {publication.request_id}:
        raise RefusedError(_of_another())
    revised = [each.digest for each in newest]
    if issuance.verdict != signed.digest or [issuance.revision] != revised or [verdict.revision] != revised:
        raise RefusedError(finding("evidence.issuance-differs", "the certificate was issued for another approval"))
    return signed.signed_at


def _check_content(issuance: Issuance, revision: Revision, *, within: tuple[datetime, datetime]) -> None:
    """Raises `RefusedError` unless it is what was approved.

    Which CA issued it is left to the chain that the issuer signed for: an anchor of today need not have that CA.
    """
    approved = approved_fields(revision, issuance, issuance.chain[:2][-1])
    leaf = parse_certificate(issuance.chain[0])
    findings = [*check_term(issuance, revision, within), *compare_with_approved(leaf, approved)]
    if refuses(findings):
        raise RefusedError.of(findings)


def _is_revoked(
    publication: Publication, issuance: Verified, leaf: CertificateIdentity, anchor: Anchor, *, now: datetime
) -> bool:
    if publication.revocation is None:
        return False
    revocation = read_revocation(publication.revocation, anchor, now=now)
    if (revocation.issuance, revocation.certificate) != (issuance.digest, leaf.sha256):
        raise RefusedError(finding("evidence.revocation-differs", "another certificate was revoked"))
    return True


def _of_another() -> Finding:
    return finding("evidence.request-differs", "the evidence is about another request")
