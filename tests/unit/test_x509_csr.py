import base64
import dataclasses
import json
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.x509.csr import MAX_CSR_BYTES, MAX_CSR_TEXT, VerifiedCsr, parse_csr
from shared.x509.extensions import CertificateExtension
from shared.x509.keys import KEY_TYPES, KeyAlgorithm, check_key, spki_digest
from shared.x509.names import DistinguishedName, SubjectAltNames
from tests.vectors.x509 import builders

VECTORS = Path(__file__).parents[1] / "vectors" / "x509"
EXPECTED: dict[str, str | None] = json.loads((VECTORS / "expected.json").read_text())


def vector(name: str) -> VerifiedCsr:
    return parse_csr((VECTORS / f"{name}.csr").read_bytes())


def refusal(data: bytes | str) -> list[str]:
    with pytest.raises(RefusedError) as caught:
        parse_csr(data)
    return [found.code for found in caught.value.findings]


@pytest.mark.parametrize(("name", "code"), EXPECTED.items())
def test_each_vector_is_accepted_or_refused_for_the_reason_in_its_name(name: str, code: str | None) -> None:
    data = (VECTORS / f"{name}.csr").read_bytes()
    if code is None:
        assert parse_csr(data).der
    else:
        assert refusal(data) == [code]


def test_every_vector_has_an_expectation_and_every_expectation_a_vector() -> None:
    assert {path.stem for path in VECTORS.glob("*.csr")} == EXPECTED.keys()


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("rsa-1024", ["key.rsa-too-small", "key.type-not-allowed"]),
        ("rsa-2047", ["key.rsa-too-small", "key.rsa-size", "key.type-not-allowed"]),
        ("rsa-exponent-3", ["key.rsa-exponent"]),
        ("ec-p192", ["key.curve", "key.type-not-allowed"]),
        ("ec-secp256k1", ["key.curve", "key.type-not-allowed"]),
        ("rsa-2048", []),
        ("rsa-3072", []),
        ("ec-p256", []),
        ("ec-p384", []),
        ("ec-p521", []),
        ("ed25519", []),
    ],
)
def test_a_weak_key_is_parsed_so_that_every_reason_against_it_can_be_told(name: str, codes: list[str]) -> None:
    assert [found.code for found in check_key(vector(name).key, KEY_TYPES)] == codes


def test_pem_der_and_old_pem_give_the_same_request() -> None:
    request = builders.csr()
    der, pem = request.public_bytes(Encoding.DER), request.public_bytes(Encoding.PEM)
    old = pem.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")
    windows = b"subject: www.example.com\r\n" + pem.replace(b"\n", b"\r\n") + b"\r\n"
    assert parse_csr(der) == parse_csr(pem) == parse_csr(pem.decode()) == parse_csr(old) == parse_csr(windows)


def test_a_parsed_request_says_what_it_holds() -> None:
    request = builders.csr()
    parsed = parse_csr(request.public_bytes(Encoding.DER))
    assert parsed.der == request.public_bytes(Encoding.DER)
    assert parsed.pem.encode() == request.public_bytes(Encoding.PEM)
    assert (parsed.subject, parsed.names) == (builders.SUBJECT, builders.NAMES)
    assert (parsed.key.algorithm, parsed.key.bits, parsed.key.curve) == (KeyAlgorithm.EC, 256, "secp256r1")
    assert parsed.spki_sha256 == spki_digest(builders.key("leaf").public_key())
    assert parsed.signature_hash == "sha256"
    assert parsed.requested_extensions == ()


def test_a_parsed_request_cannot_be_changed() -> None:
    parsed = parse_csr(builders.csr().public_bytes(Encoding.DER))
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed.der = b""  # type: ignore[misc]  # the assignment that must fail


def test_an_ed25519_request_has_no_signature_hash() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    parsed = parse_csr(request.public_bytes(Encoding.PEM))
    assert parsed.signature_hash is None
    assert parsed.subject == DistinguishedName()
    assert parsed.names == SubjectAltNames()


def test_an_rsa_request_tells_size_and_exponent() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(builders.SUBJECT.to_x509())
    request = builder.sign(rsa.generate_private_key(65537, 2048), hashes.SHA384())
    parsed = parse_csr(request.public_bytes(Encoding.DER))
    assert (parsed.key.bits, parsed.key.exponent, parsed.signature_hash) == (2048, 65537, "sha384")


def test_one_key_has_one_digest_however_its_point_is_encoded() -> None:
    assert vector("ec-p256").spki_sha256 == vector("ec-p256-compressed").spki_sha256


def test_names_come_in_canonical_form() -> None:
    assert vector("names-of-all-kinds").names == SubjectAltNames(
        dns=("www.example.com",),
        ip=("192.0.2.1", "2001:db8::1"),
        email=("Jane@example.com",),
        uri=("https://example.com/",),
    )


def test_an_unknown_extension_is_handed_on_as_it_was_asked_for() -> None:
    (extension,) = vector("extension-unknown").requested_extensions
    assert extension == CertificateExtension(type="1.2.3.4", values=(base64.b64encode(b"\xff").decode(),))


def test_every_name_of_an_unsupported_kind_is_reported() -> None:
    names = [
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.DirectoryName(builders.SUBJECT.to_x509()),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    der = request.sign(builders.key("leaf"), hashes.SHA256()).public_bytes(Encoding.DER)
    assert refusal(der) == ["csr.name-kind-unsupported"] * 2


def test_size_limits_come_before_any_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.x509.csr.x509.load_der_x509_csr", None)
    too_much = base64.b64encode(b"0" * (MAX_CSR_BYTES + 1)).decode()
    block = f"-----BEGIN CERTIFICATE REQUEST-----\n{too_much}\n-----END CERTIFICATE REQUEST-----\n"
    assert refusal(b"0" * (MAX_CSR_BYTES + 1)) == ["csr.too-large"]
    assert refusal(" " * (MAX_CSR_TEXT + 1)) == ["csr.too-large"]
    assert refusal(b" " * (MAX_CSR_TEXT + 1)) == ["csr.too-large"]
    assert refusal(block) == ["csr.too-large"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        "",
        b"0",
        b"\xff\xfe",
        "hello",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4\n\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n\n-----END CERTIFICATE REQUEST-----\n",
    ],
)
def test_what_is_no_request_is_unreadable(data: bytes | str) -> None:
    assert refusal(data) == ["csr.unreadable"]


def test_a_certificate_or_two_requests_are_refused() -> None:
    pem = parse_csr(builders.csr().public_bytes(Encoding.DER)).pem
    assert refusal(pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")) == ["csr.unreadable"]
    assert refusal(pem + pem) == ["csr.unreadable"]
    assert refusal(builders.LEAF.issue()) == ["csr.unreadable"]


def test_a_panic_of_the_parser_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panic(_der: bytes) -> None:
        raise PanicException

    monkeypatch.setattr("shared.x509.csr.x509.load_der_x509_csr", panic)
    assert refusal(b"0") == ["csr.unreadable"]


def test_an_interrupt_is_never_taken_for_a_bad_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_der: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.x509.csr.x509.load_der_x509_csr", interrupt)
    with pytest.raises(KeyboardInterrupt):
        parse_csr(b"0")


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_the_outcome_does_not_depend_on_the_process_s_warning_filters(action: str) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "GB")])
    der = x509.CertificateSigningRequestBuilder().subject_name(name).sign(builders.key("leaf"), hashes.SHA256())
    long = (VECTORS / "subject-country-of-three.csr").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]  # a plain str stands for the Literal
        filters = list(warnings.filters)
        assert parse_csr(der.public_bytes(Encoding.DER)).subject.values("C") == ("GB",)
        assert refusal(long) == ["name.attribute-unfit"]
        assert list(warnings.filters) == filters
