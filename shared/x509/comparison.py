"""Whether the CA issued what was approved (BR 4.3.1.2): field by field, and every difference is a finding."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import Digest
from shared.x509.certificate import IssuedCertificate, parse_certificate, was_issued_by
from shared.x509.dns import check_dns_name, normalise_dns
from shared.x509.names import DistinguishedName, SubjectAltNames


class TrustKind(StrEnum):
    """Whether strangers' software trusts the issuing CA; the CA treats the two differently."""

    PUBLIC = "public"
    PRIVATE = "private"


class Rule(StrEnum):
    """How an issued field relates to the approved one."""

    EQUAL = "equal"
    SUBSET = "subset"
    """The CA may leave values out, and add none."""
    CA_BUSINESS = "ca-business"
    """The CA takes it from the organisation that it validated itself."""


@dataclass(frozen=True)
class FieldRules:
    """The rules for certificates of one trust kind; a subject attribute that is not named must be equal."""

    subject: dict[str, Rule]
    adds_www: bool
    """Whether the CA may add `www.` in front of an approved name, which the same person controls."""


_ORGANISATION = dict.fromkeys(("O", "L", "ST", "C", "STREET", "postalCode"), Rule.CA_BUSINESS)
_EXTENDED_VALIDATION = dict.fromkeys(
    ("serialNumber", "businessCategory", "jurisdictionC", "jurisdictionST", "jurisdictionL"), Rule.CA_BUSINESS
)

RULES: dict[TrustKind, FieldRules] = {
    # DigiCert leaves OU out of public TLS certificates (BR 7.1.2.7.4 forbids it).
    TrustKind.PUBLIC: FieldRules(subject=_ORGANISATION | _EXTENDED_VALIDATION | {"OU": Rule.SUBSET}, adds_www=True),
    TrustKind.PRIVATE: FieldRules(subject=_ORGANISATION, adds_www=False),
}
"""Key, EKU, not being a CA, the end of validity and the issuer have no leeway and so no entry."""


@dataclass(frozen=True)
class ApprovedFields:
    """What the approvers agreed to, as far as a certificate shows it.

    `not_after_latest` is the last second at which the certificate may be valid, included. The issued EKU must
    hold all of `eku_required` and nothing beyond that and `eku_allowed`. `issuer` is the intermediate's DER.
    """

    trust: TrustKind
    spki_sha256: Digest
    subject: DistinguishedName
    names: SubjectAltNames
    not_after_latest: datetime
    eku_required: frozenset[str]
    eku_allowed: frozenset[str]
    issuer: bytes


def compare_with_approved(issued: IssuedCertificate, approved: ApprovedFields) -> list[Finding]:
    """Every difference between the two, as findings `issued.…`; an empty list means that it may be delivered.

    Raises `RefusedError` with `certificate.unreadable` when the approved issuer is no certificate.
    """
    rules = RULES[approved.trust]
    return [
        *_compare_key(issued, approved),
        *_compare_names(issued, approved, rules),
        *_compare_subject(issued.subject, approved.subject, rules),
        *_compare_eku(issued, approved),
        *_compare_authority(issued, approved),
        *_compare_validity(issued, approved),
    ]


def _compare_key(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    if issued.spki_sha256 != approved.spki_sha256:
        yield finding("issued.key-differs", "the certificate is for another key", value=issued.spki_sha256)


def _compare_names(issued: IssuedCertificate, approved: ApprovedFields, rules: FieldRules) -> Iterator[Finding]:
    wanted, got = approved.names.as_set(), issued.names.as_set()
    for kind, name in sorted(wanted - got):
        yield finding("issued.names-differ", f"an approved name ({kind}) is missing", value=name)
    for kind, name in sorted(got - wanted - _addable(approved, rules)):
        yield finding("issued.names-differ", f"a name ({kind}) was not approved", value=name)
    for found in issued.name_findings:
        yield finding("issued.names-differ", "a name is of a kind that cannot be approved", value=found.value)


def _addable(approved: ApprovedFields, rules: FieldRules) -> frozenset[tuple[str, str]]:
    """The DNS names that the CA may add: the approved CN itself and `www.` of an approved name."""
    common_name = approved.subject.common_name
    own = {normalise_dns(common_name)} if common_name is not None else set()
    www = {f"www.{name}" for name in own.union(approved.names.dns) if not name.startswith(("*.", "www."))}
    return frozenset(("dns", name) for name in (own | www if rules.adds_www else own))


def _compare_subject(issued: DistinguishedName, approved: DistinguishedName, rules: FieldRules) -> Iterator[Finding]:
    kinds = dict.fromkeys(attribute.type for attribute in (*approved.attributes, *issued.attributes))
    for kind in kinds:
        if not _attribute_fits(kind, issued.values(kind), approved.values(kind), rules):
            message = f"the subject's {kind} is not what was approved"
            yield finding("issued.subject-differs", message, value=", ".join(issued.values(kind)) or "(none)")


def _attribute_fits(kind: str, issued: tuple[str, ...], approved: tuple[str, ...], rules: FieldRules) -> bool:
    match rules.subject.get(kind, Rule.EQUAL):
        case Rule.CA_BUSINESS:
            return True
        case Rule.SUBSET:
            return set(issued) <= set(approved)
        case Rule.EQUAL:
            return _comparable(kind, issued) == _comparable(kind, approved)


def _comparable(kind: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values themselves; a CN that is a DNS name counts in its canonical form, as a CA may write it."""
    if kind != "CN":
        return values
    canonical = {value: normalise_dns(value) for value in values}
    return tuple(value if check_dns_name(canonical[value], public=False) else canonical[value] for value in values)


def _compare_eku(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    got, most = set(issued.eku), approved.eku_required | approved.eku_allowed
    for purpose in sorted(approved.eku_required - got):
        yield finding("issued.eku-differs", "an approved extended key usage is missing", value=purpose)
    for purpose in sorted(got - most):
        yield finding("issued.eku-differs", "an extended key usage was not approved", value=purpose)
    if most and not got:
        # Without the extension the certificate is good for any purpose (RFC 5280 §4.2.1.12).
        yield finding("issued.eku-differs", "the certificate does not limit its extended key usage")


def _compare_authority(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    if issued.is_ca:
        yield finding("issued.is-ca", "the certificate may sign certificates")
    if not was_issued_by(issued, parse_certificate(approved.issuer)):
        yield finding("issued.issuer-differs", "the approved intermediate did not issue it", value=issued.issuer)


def _compare_validity(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    if issued.not_after > approved.not_after_latest:
        message = f"it is valid beyond {approved.not_after_latest.isoformat()}"
        yield finding("issued.validity-too-long", message, value=issued.not_after.isoformat())
