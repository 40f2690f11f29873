import re
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from shared.lint import linter
from shared.lint.kinds import LintKind
from shared.lint.linter import MAX_FINDINGS, lint, rules_of
from shared.vocabulary.findings import Finding, Severity, refuses
from shared.x509.certificate import parse_certificate
from shared.x509.comparison import TrustKind
from shared.x509.csr import VerifiedCsr, parse_csr
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.template import would_be_certificate
from tests.vectors.x509 import builders
from tests.vectors.x509.builders import patient
from tests.world import shared_ca

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
TRUST = dict.fromkeys(LintKind, TrustKind.PUBLIC) | {LintKind.PRIVATE: TrustKind.PRIVATE}
REQUESTED = [LintKind.PUBLIC_TLS, LintKind.PRIVATE]
"""What a would-be certificate can be judged as."""
SUBJECT = DistinguishedName.of(C="GB", O="Example Ltd", CN="www.example.com")
NAMES = SubjectAltNames(dns=("www.example.com", "*.shop.example.com"))
KEYS: dict[str, CertificateIssuerPrivateKeyTypes] = {
    "rsa-2048": rsa.generate_private_key(65537, 2048),
    "ecdsa-p256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@cache
def request(key: str = "ecdsa-p256") -> VerifiedCsr:
    algorithm = None if key == "ed25519" else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT.to_x509())
    return parse_csr(builder.sign(KEYS[key], algorithm).public_bytes(Encoding.DER))


def would_be(
    kind: LintKind,
    *,
    key: str = "ecdsa-p256",
    subject: DistinguishedName = SUBJECT,
    names: SubjectAltNames = NAMES,
    eku: tuple[str, ...] = ("serverAuth",),
    days: int = 199,
) -> bytes:
    return would_be_certificate(
        request(key),
        subject=subject,
        names=names,
        extensions=(CertificateExtension(type="extendedKeyUsage", values=eku),),
        issuer=parse_certificate(shared_ca().intermediate),
        not_before=BEGIN,
        not_after=BEGIN + timedelta(days=days) - timedelta(seconds=1),
        trust=TRUST[kind],
    )


def changed(der: bytes, *added: tuple[x509.ExtensionType, bool], without: type[x509.ExtensionType]) -> bytes:
    """The certificate with another extension in the place of one."""
    old = x509.load_der_x509_certificate(der)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, old.not_valid_before_utc, old.not_valid_after_utc
    )
    for kept in old.extensions:
        if not isinstance(kept.value, without):
            builder = builder.add_extension(kept.value, kept.critical)
    for extension, critical in added:
        builder = builder.add_extension(extension, critical)
    return builder.sign(builders.key("lower"), hashes.SHA256()).public_bytes(Encoding.DER)


def codes(found: list[Finding], severity: Severity = Severity.ERROR) -> list[str]:
    return [finding.code for finding in found if finding.severity is severity]


@pytest.mark.parametrize("key", ["rsa-2048", "ecdsa-p256", "ecdsa-p384"])
@pytest.mark.parametrize("kind", REQUESTED)
def test_a_good_request_of_each_kind_gives_nothing_but_notes(kind: LintKind, key: str) -> None:
    found = lint(would_be(kind, key=key), kind)
    assert {finding.severity for finding in found} <= {Severity.NOTE}, found


@pytest.mark.parametrize("kind", REQUESTED)
def test_a_certificate_for_client_and_server_is_good(kind: LintKind) -> None:
    assert not refuses(lint(would_be(kind, eku=("serverAuth", "clientAuth")), kind))


@pytest.mark.parametrize(
    ("flaw", "code"),
    [
        ({"names": SubjectAltNames(dns=("shop.example.com",))}, "subscriber-common-name-unknown-source"),
        ({"names": SubjectAltNames(dns=("www.example.com", "a_b.example.com"))}, "invalid-dnsname-syntax"),
        ({"names": SubjectAltNames(dns=("www.example.com",), email=("a@example.com",))}, "prohibited-san-type"),
        ({"days": 300}, "certificate-validity-period-exceeds-200-days"),
        ({"eku": ("serverAuth", "2.5.29.37.0")}, "subscriber.anyeku-eku-present"),
        ({"eku": ("clientAuth",)}, "subscriber.serverauth-eku-absent"),
        ({"key": "ed25519"}, "prohibited-subject-public-key-algorithm-encoding"),
    ],
)
def test_each_flaw_of_a_public_request_is_an_error(flaw: dict[str, object], code: str) -> None:
    found = codes(lint(would_be(LintKind.PUBLIC_TLS, **flaw), LintKind.PUBLIC_TLS))  # type: ignore[arg-type]  # one at a time
    assert any(error.startswith(f"lint.cabf.serverauth.{code}") for error in found), found


def usage(**bits: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: bits.get(name, False) for name in (*names, *rest)})


@pytest.mark.parametrize("kind", list(LintKind))
def test_a_leaf_that_may_sign_certificates_is_an_error(kind: LintKind) -> None:
    wrong = changed(would_be(kind), (usage(key_cert_sign=True), True), without=x509.KeyUsage)
    assert refuses(lint(wrong, kind))


def test_an_elliptic_key_cannot_encipher() -> None:
    kind = LintKind.PUBLIC_TLS
    both = usage(digital_signature=True, key_encipherment=True)
    wrong = changed(would_be(kind), (both, True), without=x509.KeyUsage)
    assert "lint.cabf.serverauth.subscriber-prohibited-ku-present" in codes(lint(wrong, kind))


def test_what_digicert_always_does_warns_nobody() -> None:
    kind = LintKind.PUBLIC_TLS
    key = KEYS["rsa-2048"].public_key()
    habits = ((usage(digital_signature=True, key_encipherment=True), True),)
    identifier = (x509.SubjectKeyIdentifier.from_public_key(key), False)
    found = lint(changed(would_be(kind, key="rsa-2048"), *habits, identifier, without=x509.KeyUsage), kind)
    assert codes(found) == codes(found, Severity.WARNING) == []
    assert {
        "lint.cabf.serverauth.ov.common-name-attribute-present",
        "lint.cabf.serverauth.subscriber.subject-key-identifier-extension-present",
        "lint.cabf.serverauth.subscriber-rsa-digitalsignature-and-keyencipherment-present",
    } <= set(codes(found, Severity.NOTE))


def test_the_habits_are_rules_that_the_linter_knows() -> None:
    known = {rule.code for kind in LintKind for rule in rules_of(kind).validators.validations}
    assert known >= linter._HABITS


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (LintKind.PUBLIC_TLS_DV, "serverauth.dv.unknown-attribute-present"),
        (LintKind.PUBLIC_TLS_EV, "ev-guidelines.business-category-attribute-absent"),
    ],
)
def test_what_is_good_for_one_kind_of_validation_is_not_for_another(kind: LintKind, code: str) -> None:
    assert f"lint.cabf.{code}" in codes(lint(would_be(LintKind.PUBLIC_TLS), kind))


def test_a_public_certificate_without_revocation_addresses_is_an_error() -> None:
    der = changed(would_be(LintKind.PUBLIC_TLS), without=x509.AuthorityInformationAccess)
    assert "lint.cabf.serverauth.subscriber.authority-info-access-extension-absent" in codes(
        lint(der, LintKind.PUBLIC_TLS)
    )


@pytest.mark.parametrize("name", ["server", "*.lan.internal", "*.example.com", "host.corp"])
def test_a_private_network_may_name_its_hosts_as_it_does(name: str) -> None:
    subject = DistinguishedName.of(CN=name)
    found = lint(would_be(LintKind.PRIVATE, subject=subject, names=SubjectAltNames(dns=(name,))), LintKind.PRIVATE)
    assert not refuses(found)


@pytest.mark.parametrize("name", ["a..b", "-a.example.com", "a b.example.com"])
@pytest.mark.parametrize("kind", list(LintKind))
def test_what_is_no_host_name_is_an_error_everywhere(kind: LintKind, name: str) -> None:
    found = lint(would_be(kind, names=SubjectAltNames(dns=(name,))), kind)
    assert refuses(found)


def test_a_message_says_what_and_where_and_the_value_what_the_linter_remarked() -> None:
    names = SubjectAltNames(dns=("www.example.com", "a_b.example.com"))
    (found,) = (
        finding
        for finding in lint(would_be(LintKind.PUBLIC_TLS, names=names), LintKind.PUBLIC_TLS)
        if finding.severity is Severity.ERROR
    )
    assert found.code == "lint.cabf.serverauth.invalid-dnsname-syntax"
    assert "subjectAltName" in found.message
    assert "a_b.example.com" in (found.value or "")


@pytest.mark.parametrize("kind", list(LintKind))
def test_the_same_certificate_gives_the_same_findings_errors_first(kind: LintKind) -> None:
    names = SubjectAltNames(dns=("b_b.example.com", "a_a.example.com", "local"), uri=("x",))
    der = would_be(kind, names=names, days=300)
    found = lint(der, kind)
    assert found == lint(der, kind)
    assert len(found) == len(set(found))
    ranks = [list(Severity).index(finding.severity) for finding in found]
    assert ranks == sorted(ranks)


def test_of_very_many_findings_the_first_are_told_and_how_many_more_there_are() -> None:
    names = SubjectAltNames(dns=tuple(f"a_{number}.example.com" for number in range(150)))
    found = lint(would_be(LintKind.PUBLIC_TLS, names=names), LintKind.PUBLIC_TLS)
    assert len(found) == MAX_FINDINGS + 1
    assert (found[-1].code, found[-1].severity) == ("lint.more", Severity.NOTE)
    assert refuses(found)


def test_every_code_of_the_linter_makes_a_code_of_ours() -> None:
    for kind in LintKind:
        for rule in rules_of(kind).validators.validations:
            code = f"lint.{linter._UNFIT.sub('-', rule.code.lower())}"
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", code)


def test_every_severity_of_the_linter_has_one_of_ours() -> None:
    for kind in LintKind:
        assert {rule.severity for rule in rules_of(kind).validators.validations} <= set(linter._SEVERITIES)


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x00", b"\x30\x80" * 5000, b"not a certificate", b"\x30\x84\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("kind", list(LintKind))
def test_what_is_no_certificate_is_one_failure(kind: LintKind, der: bytes) -> None:
    assert codes(lint(der, kind)) == ["lint.failed"]


@pytest.mark.parametrize("kind", list(LintKind))
def test_a_crash_of_the_linter_is_a_finding(kind: LintKind, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(rules_of(kind).validators, "validate", crash)
    found = lint(would_be(kind), kind)
    assert codes(found) == ["lint.failed"]


@patient
@given(st.data())
def test_no_damage_to_a_certificate_makes_the_linter_raise(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(LintKind))
    der = bytearray(would_be(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(lint(bytes(der), kind), list)
