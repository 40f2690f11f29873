from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.x509.certificate import parse_certificate, verify_chain, was_issued_by
from shared.x509.keys import spki_digest
from tests.vectors.x509.builders import (
    LEAF,
    LOWER,
    NAMES,
    NOON,
    OTHER_ROOT,
    ROOT,
    SIGNING,
    SUBJECT,
    UPPER,
    Plan,
    key,
    named,
    sha1_root,
)

CHAIN = (LEAF, LOWER, UPPER, ROOT)


def codes(
    plans: Sequence[Plan], anchors: Sequence[Plan] = (ROOT,), at: datetime = NOON, compared: Sequence[str] = ()
) -> list[str]:
    issued = {plan: plan.issue() for plan in {*plans, *anchors}}
    chain, trusted = [issued[plan] for plan in plans], [issued[plan] for plan in anchors]
    return [found.code for found in verify_chain(chain, trusted, at, compared=compared)]


def test_a_certificate_says_what_it_holds() -> None:
    der = LEAF.issue()
    parsed = parse_certificate(der)
    assert parsed.der == der
    assert (parsed.subject, parsed.issuer, parsed.names) == (SUBJECT, LOWER.subject, NAMES)
    assert (parsed.serial, parsed.serial_hex) == (0x1234, "1234")
    assert (parsed.not_before, parsed.not_after) == (LEAF.not_before, LEAF.not_after)
    assert parsed.spki_sha256 == spki_digest(key("leaf").public_key())
    assert parsed.sha256 == f"sha256:{x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()}"
    assert (parsed.is_ca, parsed.eku, parsed.name_findings) == (False, ("serverAuth",), ())
    assert parse_certificate(LOWER.issue()).is_ca


def test_pem_and_der_give_the_same_certificate() -> None:
    parsed = parse_certificate(LEAF.issue())
    assert parse_certificate(parsed.pem) == parse_certificate(parsed.pem.encode()) == parsed


def test_the_validity_counts_its_last_second() -> None:
    plan = replace(LEAF, not_before=NOON, not_after=NOON + timedelta(days=90) - timedelta(seconds=1))
    assert parse_certificate(plan.issue()).validity == timedelta(days=90)


def test_a_certificate_that_may_sign_by_key_usage_alone_counts_as_a_ca() -> None:
    assert parse_certificate(replace(LEAF, usage=SIGNING).issue()).is_ca


def test_an_unknown_purpose_is_its_number() -> None:
    plan = replace(LEAF, eku=(x509.ObjectIdentifier("1.2.3.4"),))
    assert parse_certificate(plan.issue()).eku == ("1.2.3.4",)


def test_a_name_of_another_kind_is_reported() -> None:
    names = x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])
    parsed = parse_certificate(replace(LEAF, names=type(NAMES)(), critical=(names,)).issue())
    assert [found.value for found in parsed.name_findings] == ["RegisteredID"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "certificate.unreadable"),
        (b"0\x03\x02\x01\x05", "certificate.unreadable"),
        ("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", "certificate.unreadable"),
        (b"0" * (64 * 1024 + 1), "certificate.too-large"),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes | str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_certificate(data)
    assert [found.code for found in caught.value.findings] == [code]


def test_a_negative_serial_number_is_refused() -> None:
    der = LEAF.issue().replace(b"\x02\x02\x12\x34", b"\x02\x02\x92\x34")
    with pytest.raises(RefusedError):
        parse_certificate(der)


def test_an_issuer_is_told_by_its_signature_and_not_by_its_name() -> None:
    upper, real, false = (parse_certificate(plan.issue()) for plan in (UPPER, ROOT, OTHER_ROOT))
    assert real.subject == false.subject
    assert was_issued_by(upper, real)
    assert not was_issued_by(upper, false)
    assert not was_issued_by(real, upper)


def test_a_chain_up_to_an_anchor_holds_with_and_without_the_root() -> None:
    assert codes(CHAIN) == []
    assert codes(CHAIN[:-1]) == []
    assert codes((UPPER, ROOT)) == []
    assert codes((LEAF, LOWER), anchors=(UPPER,)) == []


def test_a_chain_may_go_on_beyond_an_anchor_to_an_older_root_and_must_hold_there_too() -> None:
    assert codes(CHAIN, anchors=(UPPER,)) == []
    assert codes((LEAF, LOWER, UPPER, OTHER_ROOT), anchors=(UPPER,)) == ["chain.signature"]
    cross_signed = replace(ROOT, signer="older root", issuer=named("older root"))
    older = replace(
        ROOT, owner="older root", signer="older root", subject=named("older root"), issuer=named("older root")
    )
    assert codes((LEAF, LOWER, UPPER, cross_signed, older)) == []
    assert codes((LEAF, LOWER, UPPER, cross_signed, older), anchors=(OTHER_ROOT,)) == ["chain.untrusted"]
    assert codes((LEAF, LOWER, UPPER, cross_signed, replace(older, not_after=NOON - timedelta(hours=1)))) == []


def test_the_limits_of_an_anchor_count_where_a_twin_of_another_issuer_stands_in_its_place() -> None:
    twin = replace(ROOT, signer="older root", issuer=named("older root"))
    assert codes((LEAF, LOWER, UPPER, twin), anchors=(replace(ROOT, path_length=0),)) == ["chain.path-length"]
    ended = replace(ROOT, not_after=NOON - timedelta(hours=1))
    assert codes((LEAF, LOWER, UPPER, twin), anchors=(ended,)) == ["chain.expired"]


def test_an_anchor_is_known_by_its_fingerprint_and_not_by_its_name() -> None:
    assert codes(CHAIN, anchors=(OTHER_ROOT,)) == ["chain.untrusted"]
    assert codes(CHAIN[:-1], anchors=(OTHER_ROOT,)) == ["chain.untrusted"]
    assert codes(CHAIN[:-1], anchors=(OTHER_ROOT, ROOT)) == []
    assert codes(CHAIN, anchors=()) == ["chain.untrusted"]


@pytest.mark.parametrize("plans", [(), (LEAF,), (LEAF, LOWER, UPPER, ROOT, ROOT, ROOT)])
def test_a_chain_has_two_to_five_certificates(plans: tuple[Plan, ...]) -> None:
    assert codes(plans) == ["chain.length"]


def test_a_gap_in_the_chain_is_found() -> None:
    assert codes((LEAF, UPPER, ROOT)) == ["chain.signature"]
    assert "chain.signature" in codes((LOWER, LEAF, UPPER, ROOT))


def test_a_signature_of_another_key_under_the_right_name_is_found() -> None:
    assert codes((replace(LEAF, signer="other root"), *CHAIN[1:])) == ["chain.signature"]


def test_an_issuer_must_be_a_ca_that_may_sign_certificates() -> None:
    assert codes((LEAF, replace(LOWER, ca=False, path_length=None), UPPER, ROOT)) == ["chain.not-a-ca"]
    assert codes((LEAF, replace(LOWER, usage=LEAF.usage), UPPER, ROOT)) == ["chain.key-usage"]
    assert codes((LEAF, replace(LOWER, usage=None), UPPER, ROOT)) == []


def test_an_anchor_outside_the_chain_must_be_a_ca_as_well() -> None:
    anchor = replace(ROOT, ca=False)
    assert codes(CHAIN[:-1], anchors=(anchor,)) == ["chain.not-a-ca"]


def test_a_path_length_counts_the_cas_between_an_issuer_and_the_leaf() -> None:
    assert codes((LEAF, LOWER, replace(UPPER, path_length=1), ROOT)) == []
    assert codes((LEAF, LOWER, replace(UPPER, path_length=0), ROOT)) == ["chain.path-length"]
    tight = replace(ROOT, path_length=1)
    assert codes((LEAF, LOWER, UPPER), anchors=(tight,)) == ["chain.path-length"]


def test_validity_includes_its_first_and_its_last_second() -> None:
    first, last = LEAF.not_before, LEAF.not_after
    second = timedelta(seconds=1)
    assert codes(CHAIN, at=first) == codes(CHAIN, at=last + second / 2) == []
    assert set(codes(CHAIN, at=first - second)) == {"chain.not-yet-valid"}
    assert set(codes(CHAIN, at=last + second)) == {"chain.expired"}
    assert codes((LEAF, replace(LOWER, not_after=NOON - second), UPPER, ROOT)) == ["chain.expired"]


def test_the_zone_of_the_time_does_not_matter_but_must_be_known() -> None:
    assert codes(CHAIN, at=NOON.astimezone(timezone(timedelta(hours=9)))) == []
    with pytest.raises(ValueError, match="zone"):
        codes(CHAIN, at=datetime(2027, 1, 1))  # noqa: DTZ001 - the naive time that must be refused
    assert NOON.tzinfo is UTC


def test_a_critical_extension_that_nobody_evaluates_is_found() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    for extension in (constraints, unknown):
        constrained = replace(LOWER, critical=(extension,))
        assert codes((LEAF, constrained, UPPER, ROOT)) == ["chain.critical-extension"]


def test_a_critical_extension_that_was_compared_is_none_of_the_chains_business_on_the_leaf_only() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    leaf, constrained = replace(LEAF, critical=(unknown,)), replace(LOWER, critical=(unknown,))
    assert codes((leaf, LOWER, UPPER, ROOT)) == ["chain.critical-extension"]
    assert codes((leaf, LOWER, UPPER, ROOT), compared=["1.2.3.4"]) == []
    assert codes((leaf, constrained, UPPER, ROOT), compared=["1.2.3.4"]) == ["chain.critical-extension"]


def test_an_unreadable_certificate_in_a_chain_is_a_finding() -> None:
    findings = verify_chain([LEAF.issue(), b"junk"], [ROOT.issue()], NOON)
    assert [found.code for found in findings] == ["chain.unreadable"]


def test_a_signature_with_sha1_counts_as_none() -> None:
    root = sha1_root()
    assert [found.code for found in verify_chain([root, root], [root], NOON)] == ["chain.signature"]


def test_every_reason_against_a_chain_is_told_at_once() -> None:
    bad = replace(LOWER, ca=False, path_length=None, not_after=NOON - timedelta(hours=1))
    assert set(codes((LEAF, bad, UPPER), anchors=(OTHER_ROOT,))) == {
        "chain.untrusted",
        "chain.expired",
        "chain.not-a-ca",
    }


def test_a_certificate_with_the_longest_serial_number_is_read() -> None:
    serial = 2**159 - 1
    assert parse_certificate(replace(LEAF, serial=serial).issue()).serial_hex == f"{serial:x}"
    assert len(f"{serial:x}") == 40


def test_the_pem_of_a_certificate_is_what_cryptography_writes() -> None:
    der = LEAF.issue()
    assert parse_certificate(der).pem.encode() == x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
