from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from shared.errors import RefusedError
from shared.password import Password
from shared.x509.csr import parse_csr
from shared.x509.encryption import ROUNDS, Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.keypairs import (
    PrivateKey,
    decrypted_pkcs8,
    encrypted_pkcs8,
    generate,
    private_key_der,
    public_key_der,
    request_for,
    signature_hash,
)
from shared.x509.keys import check_key, key_facts, key_type
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.pkcs12 import build
from shared.x509.weakness import check_weakness
from tests.golden.recipes import elements

PASSWORD = Password("Grünkohl-über-Zäune-7")
WRONG = Password("Grünkohl-über-Zäune-8")
SUBJECT = DistinguishedName.of(C="GB", O="Example Ltd", CN="www.example.com")
NAMES = SubjectAltNames(dns=("www.example.com", "example.com"), ip=("192.0.2.1",))
PURPOSES = CertificateExtension(type="extendedKeyUsage", values=("serverAuth", "clientAuth"))
USAGE = CertificateExtension(type="keyUsage", critical=True, values=("digitalSignature",))
QUICK = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")


@cache
def key(kind: str) -> PrivateKey:
    return generate(kind)


@cache
def certificate(kind: str, serial: int = 7) -> bytes:
    name = SUBJECT.to_x509()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key(kind).public_key())
    builder = builder.serial_number(serial).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    return builder.sign(key(kind), signature_hash(key(kind))).public_bytes(Encoding.DER)


@pytest.mark.parametrize("kind", ["rsa-2048", *QUICK])
def test_a_request_carries_the_key_the_name_and_the_extensions(kind: str) -> None:
    csr = x509.load_der_x509_csr(request_for(key(kind), SUBJECT, NAMES, (PURPOSES, USAGE)))
    assert csr.is_signature_valid
    assert public_key_der(key(kind)) == csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert DistinguishedName.from_x509(csr.subject) == SUBJECT
    assert list(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == NAMES.to_x509()
    assert csr.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == PURPOSES.to_x509()
    assert csr.extensions.get_extension_for_class(x509.KeyUsage).critical


def test_the_names_are_critical_where_there_is_no_subject() -> None:
    csr = x509.load_der_x509_csr(request_for(key("ecdsa-p256"), DistinguishedName(), NAMES, ()))
    assert csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_what_no_request_can_hold_is_refused() -> None:
    bad = CertificateExtension(type="keyUsage", values=("encipherOnly",))
    with pytest.raises(RefusedError, match=r"csr\.unfit"):
        request_for(key("ecdsa-p256"), SUBJECT, NAMES, (bad,))


def test_two_keys_of_a_type_are_different() -> None:
    assert len({public_key_der(generate("ecdsa-p256")) for _ in range(3)}) == 3


@pytest.mark.parametrize("kind", ["rsa-2048", *QUICK])
def test_a_key_is_of_the_type_that_was_asked_for_and_strong(kind: str) -> None:
    facts = key_facts(key(kind).public_key())
    assert key_type(facts) == kind
    assert check_key(facts, frozenset({kind})) == []
    assert check_weakness(public_key_der(key(kind))) == []


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_a_request_with_an_ml_dsa_key_is_read_with_its_possession_proved(kind: str) -> None:
    der = request_for(key(kind), SUBJECT, NAMES, (PURPOSES,))
    csr = parse_csr(der)
    assert (key_type(csr.key), csr.subject, csr.names, csr.signature_hash) == (kind, SUBJECT, NAMES, None)
    assert csr.key.bits == 8 * len(key(kind).public_key().public_bytes_raw())  # type: ignore[union-attr]
    with pytest.raises(RefusedError, match=r"csr\.signature-invalid"):
        parse_csr(der[:-1] + bytes([der[-1] ^ 1]))


@pytest.mark.parametrize("kind", ["rsa-1024", "dsa-2048", "", "ed448"])
def test_no_key_of_another_type_is_made(kind: str) -> None:
    with pytest.raises(ValueError, match="no key of type"):
        generate(kind)


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-p521", "ed25519", "ml-dsa-87"])
def test_an_encrypted_key_opens_with_its_password_alone(kind: str) -> None:
    encrypted = encrypted_pkcs8(key(kind), PASSWORD)
    assert private_key_der(key(kind)) not in encrypted
    assert public_key_der(decrypted_pkcs8(encrypted, PASSWORD)) == public_key_der(key(kind))
    with pytest.raises(RefusedError, match=r"key\.unopenable"):
        decrypted_pkcs8(encrypted, WRONG)
    with pytest.raises(RefusedError, match=r"key\.unopenable"):
        decrypted_pkcs8(encrypted[:-1], PASSWORD)


def test_every_encryption_has_a_salt_of_its_own_and_many_rounds() -> None:
    first, second = (encrypted_pkcs8(key("ed25519"), PASSWORD) for _ in range(2))
    assert first != second
    assert ROUNDS >= 600_000
    assert ROUNDS.to_bytes(3) in first


@pytest.mark.parametrize(
    ("kind", "encryption"),
    [
        ("rsa-2048", Pkcs12Encryption.PBES2_AES_256),
        ("ecdsa-p256", Pkcs12Encryption.PBES2_AES_256),
        ("ed25519", Pkcs12Encryption.PBES2_AES_256),
        ("ecdsa-p521", Pkcs12Encryption.TRIPLE_DES),
    ],
)
def test_a_pkcs12_file_holds_the_pair_the_chain_and_the_name(kind: str, encryption: Pkcs12Encryption) -> None:
    chain = [certificate("ecdsa-p384"), certificate("ed25519", serial=8)]
    made = build(key(kind), certificate(kind), chain, PASSWORD, friendly_name="Zürich", encryption=encryption)
    read = load_pkcs12(made, PASSWORD.reveal().encode())
    assert read.cert is not None
    assert read.cert.friendly_name == "Zürich".encode()
    assert read.cert.certificate.public_bytes(Encoding.DER) == certificate(kind)
    assert [each.certificate.public_bytes(Encoding.DER) for each in read.additional_certs] == chain
    assert isinstance(read.key, type(key(kind)))
    assert public_key_der(read.key) == public_key_der(key(kind))
    with pytest.raises(ValueError, match="password"):
        load_pkcs12(made, WRONG.reveal().encode())


def test_nothing_of_the_content_is_readable_in_a_pkcs12_file() -> None:
    made = build(
        key("rsa-2048"),
        certificate("rsa-2048"),
        [certificate("ecdsa-p384")],
        PASSWORD,
        friendly_name="x",
        encryption=Pkcs12Encryption.PBES2_AES_256,
    )
    for secret in (private_key_der(key("rsa-2048"))[40:80], certificate("rsa-2048")[40:80], b"example"):
        assert secret not in made
    # Each of the two encryptions and the authentication count their rounds.
    assert made.count(b"\x02\x03" + ROUNDS.to_bytes(3)) == 3


def test_a_certificate_of_another_key_is_not_packed() -> None:
    with pytest.raises(RefusedError, match=r"pkcs12\.other-key"):
        build(
            key("ecdsa-p256"),
            certificate("ecdsa-p384"),
            [],
            PASSWORD,
            friendly_name="x",
            encryption=Pkcs12Encryption.PBES2_AES_256,
        )


def test_what_no_file_can_hold_is_not_packed() -> None:
    with pytest.raises(RefusedError, match=r"pkcs12\.unfit"):
        build(
            key("ecdsa-p256"),
            certificate("ecdsa-p256"),
            [],
            PASSWORD,
            friendly_name="\N{GRINNING FACE}",
            encryption=Pkcs12Encryption.PBES2_AES_256,
        )


def test_an_ml_dsa_key_is_kept_as_its_seed() -> None:
    made = key("ml-dsa-65")
    assert isinstance(made, mldsa.MLDSA65PrivateKey)
    assert len(private_key_der(made)) < 100


@pytest.mark.parametrize("encryption", Pkcs12Encryption)
def test_a_pkcs12_file_with_an_ml_dsa_key_holds_it_in_the_common_form(encryption: Pkcs12Encryption) -> None:
    """`cryptography` reads no such file, but the bag in it."""
    kind = "ml-dsa-44"
    made = build(key(kind), certificate(kind), [], PASSWORD, friendly_name="x", encryption=encryption)
    _, contents, _ = elements(made)
    _, bags = elements(_within(_within(contents)))
    _, shrouded, _ = elements(elements(_within(_within(bags)))[0])
    read = load_der_private_key(content(shrouded), PASSWORD.reveal().encode())
    assert isinstance(read, mldsa.MLDSA44PrivateKey)
    assert public_key_der(read) == public_key_der(key(kind))


def content(tlv: bytes) -> bytes:
    more = tlv[1] & 0x7F if tlv[1] & 0x80 else 0
    return tlv[2 + more :]


def _within(holder: bytes) -> bytes:
    """The content of the last element: of a ContentInfo its `[0]`, of that its OCTET STRING."""
    return content(elements(holder)[-1]) if holder[0] == 0x30 else content(holder)
