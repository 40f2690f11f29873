from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.x509.certificate import parse_certificate
from shared.x509.comparison import RULES, ApprovedFields, Rule, TrustKind, compare_with_approved
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames
from tests.vectors.x509.builders import LEAF, LOWER, NAMES, NOON, SIGNING, SUBJECT, UPPER, Plan

ISSUED = parse_certificate(LEAF.issue())
APPROVED = ApprovedFields(
    trust=TrustKind.PUBLIC,
    spki_sha256=ISSUED.spki_sha256,
    subject=SUBJECT,
    names=NAMES,
    not_after_latest=LEAF.not_after,
    eku_required=frozenset({"serverAuth"}),
    eku_allowed=frozenset({"clientAuth"}),
    issuer=LOWER.issue(),
)


def codes(plan: Plan = LEAF, approved: ApprovedFields = APPROVED) -> list[str]:
    return [found.code for found in compare_with_approved(parse_certificate(plan.issue()), approved)]


def with_dns(*dns: str) -> SubjectAltNames:
    return SubjectAltNames(dns=dns, ip=NAMES.ip)


@pytest.mark.parametrize("trust", TrustKind)
def test_what_was_approved_may_be_delivered(trust: TrustKind) -> None:
    assert codes(approved=replace(APPROVED, trust=trust)) == []


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
    assert codes(plan, replace(APPROVED, trust=TrustKind.PRIVATE)) == ["issued.names-differ"]


@pytest.mark.parametrize("name", ["example.com", "www.www.example.com", "www.example.org", "www.shop.example.org"])
def test_no_other_name_may_be_added(name: str) -> None:
    assert codes(replace(LEAF, names=with_dns(*NAMES.dns, name))) == ["issued.names-differ"]


def test_a_wildcard_gets_no_www() -> None:
    approved = replace(APPROVED, names=with_dns("*.example.com"))
    plan = replace(LEAF, names=with_dns("*.example.com", "www.*.example.com"))
    assert codes(plan, approved) == ["issued.names-differ"]


@pytest.mark.parametrize("trust", TrustKind)
def test_the_common_name_may_appear_among_the_names(trust: TrustKind) -> None:
    approved = replace(APPROVED, names=with_dns("shop.example.com"), trust=trust)
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
    assert codes(LEAF, replace(approved, trust=TrustKind.PRIVATE)) == ["issued.subject-differs"]


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
    assert codes(replace(LEAF, usage=SIGNING)) == ["issued.is-ca"]


def test_validity_may_end_at_the_last_second_and_no_later() -> None:
    assert codes(replace(LEAF, not_after=NOON)) == []
    assert codes(replace(LEAF, not_after=LEAF.not_after + timedelta(seconds=1))) == ["issued.validity-too-long"]


def test_another_issuer_is_found_by_name_and_by_signature() -> None:
    assert codes(replace(LEAF, signer="other root")) == ["issued.issuer-differs"]
    assert codes(replace(LEAF, issuer=UPPER.subject, signer="upper")) == ["issued.issuer-differs"]


def test_every_trust_kind_has_its_rules_and_none_loosens_the_common_name() -> None:
    assert RULES.keys() == set(TrustKind)
    assert all(rules.subject.get("CN", Rule.EQUAL) is Rule.EQUAL for rules in RULES.values())
