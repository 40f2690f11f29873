from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from shared.vocabulary.findings import Severity
from shared.x509.certificate import parse_certificate
from shared.x509.comparison import RULES, ApprovedFields, CertificateKind, Rule, compare_with_approved
from shared.x509.extensions import USAGES, CertificateExtension
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames
from tests.vectors.x509.builders import LEAF, LOWER, NAMES, SIGNING, SUBJECT, UPPER, Plan

ISSUED = parse_certificate(LEAF.issue())
APPROVED = ApprovedFields(
    kind=CertificateKind.ORGANISATION_VALIDATED,
    spki_sha256=ISSUED.spki_sha256,
    subject=SUBJECT,
    names=NAMES,
    not_before_earliest=LEAF.not_before,
    not_after_latest=LEAF.not_after,
    eku_required=frozenset({"serverAuth"}),
    eku_allowed=frozenset({"clientAuth"}),
    extensions=(),
    signature_hash="sha256",
    issuer=LOWER.issue(),
)


def codes(plan: Plan = LEAF, approved: ApprovedFields = APPROVED) -> list[str]:
    return [found.code for found in compare_with_approved(parse_certificate(plan.issue()), approved)]


def with_dns(*dns: str) -> SubjectAltNames:
    return SubjectAltNames(dns=dns, ip=NAMES.ip)


@pytest.mark.parametrize("kind", CertificateKind)
def test_what_was_approved_may_be_delivered(kind: CertificateKind) -> None:
    assert codes(approved=replace(APPROVED, kind=kind)) == []


def test_another_key_is_found() -> None:
    assert codes(replace(LEAF, owner="thief")) == ["issued.key-differs"]


def test_a_missing_and_an_added_name_are_found() -> None:
    assert codes(replace(LEAF, names=with_dns("www.example.com"))) == ["issued.names-differ"]
    assert codes(replace(LEAF, names=with_dns(*NAMES.dns, "evil.example.com"))) == ["issued.names-differ"]
    assert codes(replace(LEAF, names=SubjectAltNames(dns=NAMES.dns))) == ["issued.names-differ"]
    assert codes(replace(LEAF, names=SubjectAltNames())) == ["issued.names-differ"] * 3


def test_the_order_of_names_does_not_matter() -> None:
    assert codes(replace(LEAF, names=with_dns(*reversed(NAMES.dns)))) == []


def test_a_public_ca_may_add_www_to_an_approved_name_and_a_private_one_may_not() -> None:
    plan = replace(LEAF, names=with_dns(*NAMES.dns, "www.shop.example.com"))
    assert codes(plan) == []
    assert codes(plan, replace(APPROVED, kind=CertificateKind.PRIVATE)) == ["issued.names-differ"]


@pytest.mark.parametrize("name", ["example.com", "www.www.example.com", "www.example.org", "www.shop.example.org"])
def test_no_other_name_may_be_added(name: str) -> None:
    assert codes(replace(LEAF, names=with_dns(*NAMES.dns, name))) == ["issued.names-differ"]


def test_a_public_ca_may_add_the_domain_of_an_approved_wildcard_and_a_private_one_may_not() -> None:
    approved = replace(APPROVED, names=with_dns("*.example.com"))
    plan = replace(LEAF, names=with_dns("*.example.com", "example.com"))
    assert codes(plan, approved) == []
    assert codes(plan, replace(approved, kind=CertificateKind.PRIVATE)) == ["issued.names-differ"]
    assert codes(replace(plan, names=with_dns("*.example.com", "com")), approved) == ["issued.names-differ"]


def test_a_certificate_that_the_ca_has_cut_short_is_delivered_with_a_warning() -> None:
    shorter = replace(LEAF, not_after=LEAF.not_after - timedelta(days=1))
    (found,) = compare_with_approved(parse_certificate(shorter.issue()), APPROVED)
    assert (found.code, found.severity) == ("issued.validity-shorter", Severity.WARNING)


def test_a_certificate_may_begin_at_the_first_second_that_was_approved_and_not_before() -> None:
    earlier = replace(APPROVED, not_before_earliest=LEAF.not_before + timedelta(seconds=1))
    assert codes(approved=earlier) == ["issued.backdated"]


def test_a_wildcard_gets_no_www() -> None:
    approved = replace(APPROVED, names=with_dns("*.example.com"))
    plan = replace(LEAF, names=with_dns("*.example.com", "www.*.example.com"))
    assert codes(plan, approved) == ["issued.names-differ"]


@pytest.mark.parametrize("kind", CertificateKind)
def test_the_common_name_may_appear_among_the_names(kind: CertificateKind) -> None:
    approved = replace(APPROVED, names=with_dns("shop.example.com"), kind=kind)
    assert codes(approved=approved) == []


def test_a_name_of_a_kind_that_cannot_be_approved_is_found() -> None:
    extra = x509.SubjectAlternativeName([*NAMES.to_x509(), x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])
    assert codes(replace(LEAF, names=SubjectAltNames(), critical=(extra,))) == ["issued.names-differ"]


def subject(**changes: str) -> DistinguishedName:
    kept = {attribute.type: attribute.value for attribute in SUBJECT.attributes}
    return DistinguishedName.of(**(kept | changes))


def test_the_common_name_must_be_equal_up_to_the_case_of_a_host_name() -> None:
    assert codes(replace(LEAF, subject=subject(CN="shop.example.com"))) == ["issued.subject-differs"]
    assert codes(replace(LEAF, subject=subject(CN="WWW.example.com"))) == []


def test_the_case_of_a_common_name_that_is_no_host_name_matters() -> None:
    approved = replace(APPROVED, subject=subject(CN="Jane Doe"))
    assert codes(replace(LEAF, subject=subject(CN="Jane Doe")), approved) == []
    assert codes(replace(LEAF, subject=subject(CN="jane doe")), approved) == ["issued.subject-differs"]


def test_the_ca_takes_the_organisation_from_what_it_validated() -> None:
    plan = replace(LEAF, subject=subject(O="Example Limited", L="London", ST="London", C="UK", STREET="1 Lane"))
    assert codes(plan) == []


def test_a_public_ca_may_leave_out_a_unit_but_not_invent_one() -> None:
    approved = replace(APPROVED, subject=subject(OU="Web"))
    assert codes(LEAF, approved) == []
    assert codes(replace(LEAF, subject=subject(OU="Web")), approved) == []
    assert codes(replace(LEAF, subject=subject(OU="Bank")), approved) == ["issued.subject-differs"]
    assert codes(LEAF, replace(approved, kind=CertificateKind.PRIVATE)) == ["issued.subject-differs"]


def test_a_second_common_name_and_any_other_attribute_are_found() -> None:
    twice = DistinguishedName(attributes=(*SUBJECT.attributes, Attribute(type="CN", value="shop.example.com")))
    assert codes(replace(LEAF, subject=twice)) == ["issued.subject-differs"]
    assert codes(replace(LEAF, subject=subject(emailAddress="a@example.com"))) == ["issued.subject-differs"]
    assert codes(replace(LEAF, subject=subject(UID="root"))) == ["issued.subject-differs"]


SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def test_purposes_lie_between_what_is_required_and_what_is_allowed() -> None:
    assert codes(replace(LEAF, eku=(SERVER, CLIENT))) == []
    assert codes(replace(LEAF, eku=(CLIENT,))) == ["issued.eku-differs"]
    assert codes(replace(LEAF, eku=(SERVER, ExtendedKeyUsageOID.CODE_SIGNING))) == ["issued.eku-differs"]
    assert codes(replace(LEAF, eku=(SERVER, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))) == ["issued.eku-differs"]


def test_a_certificate_for_any_purpose_is_found_even_where_none_is_required() -> None:
    approved = replace(APPROVED, eku_required=frozenset())
    assert codes(replace(LEAF, eku=()), approved) == ["issued.eku-differs"]
    assert codes(replace(LEAF, eku=()), replace(approved, eku_allowed=frozenset())) == []


def test_a_ca_certificate_is_found() -> None:
    assert codes(replace(LEAF, ca=True)) == ["issued.is-ca"]
    assert set(codes(replace(LEAF, usage=SIGNING))) == {"issued.is-ca", "issued.usage-differs"}


def usage(*named: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{field: name in named for name, field in USAGES.items()})


def extension(kind: str, *values: str, critical: bool = False) -> CertificateExtension:
    return CertificateExtension(type=kind, critical=critical, values=values)


SIGNATURES = replace(APPROVED, extensions=(extension("keyUsage", "digitalSignature", critical=True),))


@pytest.mark.parametrize("named", [("digitalSignature",), ("keyEncipherment",), ("digitalSignature", "keyAgreement")])
def test_the_uses_of_a_tls_key_are_the_cas_own_business(named: tuple[str, ...]) -> None:
    assert codes(replace(LEAF, usage=usage(*named)), SIGNATURES) == []


@pytest.mark.parametrize("named", ["nonRepudiation", "dataEncipherment", "cRLSign"])
def test_another_key_usage_must_have_been_approved(named: str) -> None:
    plan = replace(LEAF, usage=usage("digitalSignature", named))
    assert codes(plan, SIGNATURES) == ["issued.usage-differs"]
    approved = replace(APPROVED, extensions=(extension("keyUsage", "digitalSignature", named, critical=True),))
    assert codes(plan, approved) == []


def test_a_key_that_is_good_for_any_use_is_found_where_its_use_was_limited() -> None:
    assert codes(replace(LEAF, usage=None), SIGNATURES) == ["issued.usage-differs"]
    assert codes(replace(LEAF, usage=None)) == []


NULL = b"\x05\x00"
PRIVATE_OID = "1.3.6.1.4.1.55555.1"


def private_extension(content: bytes = NULL) -> x509.ExtensionType:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(PRIVATE_OID), content)


@pytest.mark.parametrize("added", [private_extension(), x509.TLSFeature([x509.TLSFeatureType.status_request])])
@pytest.mark.parametrize("kind", CertificateKind)
def test_an_extension_that_nobody_approved_is_found_critical_or_not(
    added: x509.ExtensionType, kind: CertificateKind
) -> None:
    approved = replace(APPROVED, kind=kind)
    assert codes(replace(LEAF, others=(added,)), approved) == ["issued.extension-differs"]
    assert codes(replace(LEAF, critical=(added,)), approved) == ["issued.extension-differs"]


def test_an_approved_extension_must_come_back_as_it_is() -> None:
    approved = replace(APPROVED, extensions=(extension(PRIVATE_OID, b64encode(NULL).decode()),))
    assert codes(replace(LEAF, others=(private_extension(),)), approved) == []
    assert codes(LEAF, approved) == ["issued.extension-differs"]
    assert codes(replace(LEAF, others=(private_extension(b"\x01\x01\xff"),)), approved) == ["issued.extension-differs"]
    assert codes(replace(LEAF, critical=(private_extension(),)), approved) == ["issued.extension-differs"]


def test_a_certificate_that_is_only_a_promise_of_one_is_found() -> None:
    assert codes(replace(LEAF, critical=(x509.PrecertPoison(),))) == ["issued.extension-differs"]


@pytest.mark.parametrize("kind", CertificateKind)
def test_identifiers_addresses_and_policies_are_the_cas_own_business(kind: CertificateKind) -> None:
    link = x509.UniformResourceIdentifier("http://ca.example.com/")
    others = (
        x509.SubjectKeyIdentifier(b"some"),
        x509.AuthorityKeyIdentifier(b"other", None, None),
        x509.CRLDistributionPoints([x509.DistributionPoint([link], None, None, None)]),
        x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, link)]),
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.2"), [link.value])]),
    )
    assert codes(replace(LEAF, others=others), replace(APPROVED, kind=kind)) == []
    asked = replace(APPROVED, kind=kind, extensions=(extension("certificatePolicies", "1.2.3"),))
    assert codes(replace(LEAF, others=others), asked) == []


def test_only_a_public_ca_logs_its_certificates() -> None:
    timestamps = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), b"\x04\x02\x00\x00")
    plan = replace(LEAF, others=(timestamps,))
    assert codes(plan) == []
    assert codes(plan, replace(APPROVED, kind=CertificateKind.PRIVATE)) == ["issued.extension-differs"]


def test_another_hash_than_the_approved_one_is_found() -> None:
    plan = replace(LEAF, sha384=True)
    assert codes(plan) == ["issued.hash-differs"]
    assert codes(plan, replace(APPROVED, signature_hash="sha384")) == []


def test_only_a_certificate_with_extended_validation_tells_more_of_the_organisation() -> None:
    plan = replace(LEAF, subject=subject(businessCategory="Private Organization", jurisdictionC="GB"))
    assert codes(plan) == ["issued.subject-differs"] * 2
    assert codes(plan, replace(APPROVED, kind=CertificateKind.EXTENDED_VALIDATION)) == []


def test_a_certificate_whose_domain_alone_was_validated_may_leave_the_organisation_out() -> None:
    approved = replace(APPROVED, kind=CertificateKind.DOMAIN_VALIDATED)
    assert codes(replace(LEAF, subject=DistinguishedName.of(CN="www.example.com")), approved) == []
    assert codes(replace(LEAF, subject=subject(L="London")), approved) == ["issued.subject-differs"]


def test_without_an_approved_common_name_the_ca_may_take_an_approved_name_for_it() -> None:
    approved = replace(APPROVED, subject=DistinguishedName.of(O="Example Ltd"))
    assert codes(approved=approved) == []
    plan = replace(LEAF, subject=subject(CN="evil.example.com"))
    assert codes(plan, approved) == ["issued.subject-differs"]


def test_validity_may_end_at_the_last_second_and_no_later() -> None:
    assert codes(replace(LEAF, not_after=LEAF.not_after)) == []
    assert codes(replace(LEAF, not_after=LEAF.not_after + timedelta(seconds=1))) == ["issued.validity-too-long"]


def test_another_issuer_is_found_by_name_and_by_signature() -> None:
    assert codes(replace(LEAF, signer="other root")) == ["issued.issuer-differs"]
    assert codes(replace(LEAF, issuer=UPPER.subject, signer="upper")) == ["issued.issuer-differs"]


def test_every_kind_has_its_rules_and_none_loosens_the_common_name() -> None:
    assert RULES.keys() == set(CertificateKind)
    assert all(rules.subject.get("CN", Rule.EQUAL) is Rule.EQUAL for rules in RULES.values())
