"""Whether the CA issued what was approved (BR 4.3.1.2): field by field, and every difference is a finding."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.names import Digest
from shared.x509.certificate import CarriedExtension, IssuedCertificate, parse_certificate, was_issued_by
from shared.x509.dns import check_dns_name, normalise_dns
from shared.x509.extensions import (
    BASIC_CONSTRAINTS,
    CERTIFICATE_POLICIES,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    SUBJECT_ALT_NAME,
    CertificateExtension,
)
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames


class TrustKind(StrEnum):
    """Whether strangers' software trusts the issuing CA; the CA treats the two differently."""

    PUBLIC = "public"
    PRIVATE = "private"


class CertificateKind(StrEnum):
    """What a product's certificates are, as far as it decides on what stands in them."""

    DOMAIN_VALIDATED = "domain-validated"
    ORGANISATION_VALIDATED = "organisation-validated"
    EXTENDED_VALIDATION = "extended-validation"
    PRIVATE = "private"


class Rule(StrEnum):
    """How an issued field relates to the approved one."""

    EQUAL = "equal"
    SUBSET = "subset"
    """The CA may leave values out, and add none."""
    CA_BUSINESS = "ca-business"
    """The CA's own: it takes it from the organisation that it validated itself, or from its own practice."""


@dataclass(frozen=True)
class FieldRules:
    """The rules for certificates of one kind.

    A subject attribute or an extension that is not named must be equal: neither changed nor left out nor added.
    """

    subject: Mapping[str, Rule]
    extensions: Mapping[str, Rule]
    """By name or dotted OID; names, usages and being a CA are compared apart."""
    usages: frozenset[str]
    """Key usages that are the CA's own business; of any other it may leave out what was approved, and add none."""
    adds_names: bool
    """Whether the CA may add `www.` in front of an approved name, and the domain of an approved wildcard.

    The same person controls those.
    """


_ORGANISATION = ("O", "L", "ST", "C", "STREET", "postalCode")
_EXTENDED_VALIDATION = ("serialNumber", "businessCategory", "jurisdictionC", "jurisdictionST", "jurisdictionL")

# RFC 5280 §4.2.1.1, 4.2.1.2, 4.2.1.13 and 4.2.2.1: how to find the issuer and what it says of the certificate. An
# order has no place for them, nor for policies; basic constraints are judged by what they allow.
_IDENTIFIERS = ("2.5.29.35", "2.5.29.14", "2.5.29.31", "1.3.6.1.5.5.7.1.1")
_OWN = dict.fromkeys((*_IDENTIFIERS, CERTIFICATE_POLICIES, BASIC_CONSTRAINTS), Rule.CA_BUSINESS)
_TIMESTAMPS = {"1.3.6.1.4.1.11129.2.4.2": Rule.CA_BUSINESS}
"""Of Certificate Transparency (RFC 6962 §3.3)."""
_ORGANISATION_IDENTIFIER = {"2.23.140.3.1": Rule.CA_BUSINESS}
"""Of the CA/Browser Forum (EV Guidelines 9.8.2)."""
# An order has no place for key usages either: the CA goes by the key and by BR 7.1.2.7.11.
_USAGES = frozenset({"digitalSignature", "keyEncipherment", "keyAgreement"})


def _subject(rule: Rule, *kinds: str) -> dict[str, Rule]:
    return dict.fromkeys(kinds, rule)


RULES: Mapping[CertificateKind, FieldRules] = {
    # A DV certificate says nothing of the organisation but perhaps its country (BR 7.1.2.7.2).
    CertificateKind.DOMAIN_VALIDATED: FieldRules(
        subject=_subject(Rule.SUBSET, *_ORGANISATION, "OU") | _subject(Rule.CA_BUSINESS, "C"),
        extensions=_OWN | _TIMESTAMPS,
        usages=_USAGES,
        adds_names=True,
    ),
    # DigiCert leaves OU out of public TLS certificates (BR 7.1.2.7.4 forbids it).
    CertificateKind.ORGANISATION_VALIDATED: FieldRules(
        subject=_subject(Rule.CA_BUSINESS, *_ORGANISATION) | _subject(Rule.SUBSET, "OU"),
        extensions=_OWN | _TIMESTAMPS,
        usages=_USAGES,
        adds_names=True,
    ),
    CertificateKind.EXTENDED_VALIDATION: FieldRules(
        subject=_subject(Rule.CA_BUSINESS, *_ORGANISATION, *_EXTENDED_VALIDATION) | _subject(Rule.SUBSET, "OU"),
        extensions=_OWN | _TIMESTAMPS | _ORGANISATION_IDENTIFIER,
        usages=_USAGES,
        adds_names=True,
    ),
    CertificateKind.PRIVATE: FieldRules(
        subject=_subject(Rule.CA_BUSINESS, *_ORGANISATION), extensions=_OWN, usages=_USAGES, adds_names=False
    ),
}
"""Key, EKU, not being a CA, the end of validity, the issuer and its hash have no leeway and so no entry."""

_COMPARED_APART = frozenset({SUBJECT_ALT_NAME, EXTENDED_KEY_USAGE, KEY_USAGE})


@dataclass(frozen=True)
class ApprovedFields:
    """What the approvers agreed to, as far as a certificate shows it.

    `not_before_earliest` and `not_after_latest` are the first and the last second at which the certificate may be
    valid, both included. The issued EKU must
    hold all of `eku_required` and nothing beyond that and `eku_allowed`. `issuer` is the intermediate's DER.
    """

    kind: CertificateKind
    spki_sha256: Digest
    subject: DistinguishedName
    names: SubjectAltNames
    not_before_earliest: datetime
    not_after_latest: datetime
    eku_required: frozenset[str]
    eku_allowed: frozenset[str]
    extensions: tuple[CertificateExtension, ...]
    signature_hash: str
    issuer: bytes


def compare_with_approved(issued: IssuedCertificate, approved: ApprovedFields) -> list[Finding]:
    """Every difference between the two, as findings `issued.…`; without an error among them it may be delivered.

    Raises `RefusedError` with `certificate.unreadable` when the approved issuer is no certificate.
    """
    rules = RULES[approved.kind]
    return [
        *_compare_key(issued, approved),
        *_compare_names(issued, approved, rules),
        *_compare_subject(issued.subject, approved, rules),
        *_compare_eku(issued, approved),
        *_compare_usages(issued.usages, approved, rules),
        *_compare_extensions(issued.extensions, approved.extensions, rules),
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
    """The DNS names that the CA may add: the approved CN itself, `www.` of an approved name, a wildcard's domain."""
    common_name = approved.subject.common_name
    own = {normalise_dns(common_name)} if common_name is not None else set()
    names = own.union(approved.names.dns)
    www = {f"www.{name}" for name in names if not name.startswith(("*.", "www."))}
    domains = {name.removeprefix("*.") for name in names if name.startswith("*.")}
    return frozenset(("dns", name) for name in (own | www | domains if rules.adds_names else own))


def _compare_subject(issued: DistinguishedName, approved: ApprovedFields, rules: FieldRules) -> Iterator[Finding]:
    wanted = approved.subject
    name = issued.common_name or ""
    if wanted.common_name is None and normalise_dns(name) in approved.names.dns:
        wanted = _with_common_name(wanted, name)  # the CA needs one, and orders name an approved name
    kinds = dict.fromkeys(attribute.type for attribute in (*wanted.attributes, *issued.attributes))
    for kind in kinds:
        if not _attribute_fits(kind, issued.values(kind), wanted.values(kind), rules):
            message = f"the subject's {kind} is not what was approved"
            yield finding("issued.subject-differs", message, value=", ".join(issued.values(kind)) or "(none)")


def _with_common_name(subject: DistinguishedName, name: str) -> DistinguishedName:
    return DistinguishedName(attributes=(*subject.attributes, Attribute(type="CN", value=name)))


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


def _compare_usages(issued: tuple[str, ...], approved: ApprovedFields, rules: FieldRules) -> Iterator[Finding]:
    wanted = {usage for each in approved.extensions if each.type == KEY_USAGE for usage in each.values}
    for usage in issued:
        if usage not in wanted | rules.usages:
            yield finding("issued.usage-differs", "a key usage was not approved", value=usage)
    if wanted and not issued:
        # Without the extension the key is good for any use (RFC 5280 §4.2.1.3).
        yield finding("issued.usage-differs", "the certificate does not limit the use of its key")


def _compare_extensions(
    issued: Iterable[CarriedExtension], approved: Iterable[CertificateExtension], rules: FieldRules
) -> Iterator[Finding]:
    def must_be_equal(kind: str) -> bool:
        return kind not in _COMPARED_APART and rules.extensions.get(kind, Rule.EQUAL) is Rule.EQUAL

    wanted = {e.type: (e.critical, e.to_x509().public_bytes()) for e in approved if must_be_equal(e.type)}
    got = {e.type: (e.critical, e.der) for e in issued if must_be_equal(e.type)}
    for kind in sorted(wanted.keys() | got.keys()):
        if wanted.get(kind) != got.get(kind):
            what = "was not approved" if kind not in wanted else "is missing" if kind not in got else "differs"
            yield finding("issued.extension-differs", f"an extension {what}", value=kind)


def _compare_authority(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    if issued.is_ca:
        yield finding("issued.is-ca", "the certificate may sign certificates")
    if not was_issued_by(issued, parse_certificate(approved.issuer)):
        yield finding("issued.issuer-differs", "the approved intermediate did not issue it", value=issued.issuer)
    if issued.signature_hash not in (None, approved.signature_hash):
        message = f"it is not signed with {approved.signature_hash}"
        yield finding("issued.hash-differs", message, value=issued.signature_hash)


def _compare_validity(issued: IssuedCertificate, approved: ApprovedFields) -> Iterator[Finding]:
    if issued.not_after > approved.not_after_latest:
        message = f"it is valid beyond {approved.not_after_latest.isoformat()}"
        yield finding("issued.validity-too-long", message, value=issued.not_after.isoformat())
    elif issued.not_after.date() < approved.not_after_latest.date():
        message = f"the CA has cut it short: it was ordered until {approved.not_after_latest.date()}"
        cut = issued.not_after.isoformat()
        yield finding("issued.validity-shorter", message, value=cut, severity=Severity.WARNING)
    if issued.not_before < approved.not_before_earliest:
        message = f"it is valid before {approved.not_before_earliest.isoformat()}"
        yield finding("issued.backdated", message, value=issued.not_before.isoformat())
