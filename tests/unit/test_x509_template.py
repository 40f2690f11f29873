from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from shared.errors import RefusedError
from shared.x509.certificate import IssuedCertificate, parse_certificate, was_issued_by
from shared.x509.comparison import TrustKind
from shared.x509.csr import VerifiedCsr, parse_csr
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.template import ORGANISATION_VALIDATED, would_be_certificate
from tests.vectors.x509 import builders

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
END = BEGIN + timedelta(days=199) - timedelta(seconds=1)
SUBJECT = DistinguishedName.of(CN="www.example.com", O="Example Ltd")
NAMES = SubjectAltNames(dns=("www.example.com", "shop.example.com"), ip=("192.0.2.1",))


@cache
def request() -> VerifiedCsr:
    return parse_csr(builders.csr().public_bytes(Encoding.DER))


def issuer_with(key: PrivateKeyTypes, *, identifier: bool = True) -> IssuedCertificate:
    """A CA with this key, signed by another one, which matters to nobody."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(builders.named("issuing").to_x509())
        .issuer_name(builders.named("root").to_x509())
        .public_key(key.public_key())  # type: ignore[arg-type]  # any key can be certified
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    if identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(b"the issuer's own choice"), critical=False)
    return parse_certificate(builder.sign(builders.key("root"), hashes.SHA256()).public_bytes(Encoding.DER))


def made(
    *,
    issuer: IssuedCertificate | None = None,
    trust: TrustKind = TrustKind.PUBLIC,
    subject: DistinguishedName = SUBJECT,
    names: SubjectAltNames = NAMES,
    eku: tuple[str, ...] = ("serverAuth",),
) -> bytes:
    return would_be_certificate(
        request(),
        subject=subject,
        names=names,
        extensions=(CertificateExtension(type="extendedKeyUsage", values=eku),),
        issuer=issuer or issuer_with(builders.key("lower")),
        not_before=BEGIN,
        not_after=END,
        trust=trust,
    )


def extension(der: bytes, oid: x509.ObjectIdentifier) -> x509.Extension[x509.ExtensionType]:
    return x509.load_der_x509_certificate(der).extensions.get_extension_for_oid(oid)


def has(der: bytes, oid: x509.ObjectIdentifier) -> bool:
    return any(found.oid == oid for found in x509.load_der_x509_certificate(der).extensions)


@pytest.mark.parametrize("trust", list(TrustKind))
def test_what_was_asked_for_stands_in_the_certificate(trust: TrustKind) -> None:
    issuer = issuer_with(builders.key("lower"))
    parsed = parse_certificate(made(issuer=issuer, trust=trust, eku=("serverAuth", "clientAuth", "1.2.3.4")))
    assert parsed.spki_sha256 == request().spki_sha256
    assert parsed.names == NAMES
    assert parsed.eku == ("serverAuth", "clientAuth", "1.2.3.4")
    assert (parsed.not_before, parsed.not_after) == (BEGIN, END)
    assert parsed.issuer == issuer.subject
    assert not parsed.is_ca
    assert set(SUBJECT.attributes) <= set(parsed.subject.attributes)


def test_a_private_ca_leaves_the_subject_as_it_is() -> None:
    assert parse_certificate(made(trust=TrustKind.PRIVATE)).subject == SUBJECT


def test_a_public_ca_writes_its_organisation_and_its_own_order() -> None:
    subject = parse_certificate(made()).subject
    assert [attribute.type for attribute in subject.attributes] == ["C", "L", "O", "CN"]
    assert subject.values("O") == ("Example Ltd",)


@pytest.mark.parametrize("place", ["L", "ST"])
def test_a_place_that_is_given_needs_no_other(place: str) -> None:
    subject = DistinguishedName.of(CN="www.example.com", O="Example Ltd", C="GB", **{place: "Leeds"})
    assert set(parse_certificate(made(subject=subject)).subject.attributes) == set(subject.attributes)


def test_only_a_public_certificate_names_the_policy_of_validated_organisations() -> None:
    policies = extension(made(), ExtensionOID.CERTIFICATE_POLICIES).value
    assert policies == x509.CertificatePolicies([x509.PolicyInformation(ORGANISATION_VALIDATED, None)])
    assert not has(made(trust=TrustKind.PRIVATE), ExtensionOID.CERTIFICATE_POLICIES)


def test_the_issuer_is_identified_as_it_identifies_itself() -> None:
    found = extension(made(), ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value
    assert isinstance(found, x509.AuthorityKeyIdentifier)
    assert found.key_identifier == b"the issuer's own choice"


def test_an_issuer_without_an_identifier_has_that_of_its_key() -> None:
    key = builders.key("lower")
    found = extension(made(issuer=issuer_with(key, identifier=False)), ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value
    assert isinstance(found, x509.AuthorityKeyIdentifier)
    assert found.key_identifier == x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 3072), "sha256WithRSAEncryption"),
        (ec.generate_private_key(ec.SECP256R1()), "ecdsa-with-SHA256"),
        (ec.generate_private_key(ec.SECP384R1()), "ecdsa-with-SHA384"),
        (ec.generate_private_key(ec.SECP521R1()), "ecdsa-with-SHA512"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (ed448.Ed448PrivateKey.generate(), "ed448"),
    ],
)
def test_the_signature_is_of_the_issuers_kind_and_not_the_issuers(
    key: CertificateIssuerPrivateKeyTypes, algorithm: str
) -> None:
    issuer = issuer_with(key)
    der = made(issuer=issuer)
    assert x509.load_der_x509_certificate(der).signature_algorithm_oid._name == algorithm
    assert not was_issued_by(parse_certificate(der), issuer)


@pytest.mark.parametrize("key", [dsa.generate_private_key(2048), ec.generate_private_key(ec.SECP256K1())])
def test_a_ca_with_a_key_of_no_use_is_refused(key: PrivateKeyTypes) -> None:
    with pytest.raises(RefusedError, match=r"template\.unfit"):
        made(issuer=issuer_with(key))


def test_the_same_request_gives_the_same_bytes() -> None:
    issuer = issuer_with(builders.key("lower"))
    assert made(issuer=issuer) == made(issuer=issuer)


def test_the_serial_number_is_long_and_positive() -> None:
    serial = parse_certificate(made()).serial
    assert 126 < serial.bit_length() <= 159


def test_without_a_subject_the_names_are_critical() -> None:
    nobody = DistinguishedName()
    assert extension(made(subject=nobody, trust=TrustKind.PRIVATE), ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical
    assert not extension(made(trust=TrustKind.PRIVATE), ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (
            {"names": SubjectAltNames(dns=("\N{LATIN SMALL LETTER U WITH DIAERESIS}_\N{SNOWMAN}.com",))},
            "template.unfit",
        ),
        ({"subject": DistinguishedName.of(C="GBR")}, "name.attribute-unfit"),
    ],
)
def test_what_no_certificate_can_hold_is_refused(arguments: dict[str, object], code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        made(**arguments)  # type: ignore[arg-type]  # one of them at a time
    assert [found.code for found in refused.value.findings] == [code]


def test_a_reversed_validity_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"template\.unfit"):
        would_be_certificate(
            request(),
            subject=SUBJECT,
            names=NAMES,
            extensions=(CertificateExtension(type="extendedKeyUsage", values=("serverAuth",)),),
            issuer=issuer_with(builders.key("lower")),
            not_before=END,
            not_after=BEGIN,
            trust=TrustKind.PUBLIC,
        )
