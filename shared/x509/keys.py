"""Public keys: what they are and whether they are strong enough (BR 6.1.5 and 6.1.6)."""

from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import Digest

MIN_RSA_BITS = 2048
MIN_RSA_EXPONENT = 65537
CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
"""The curves that are accepted, by their SEC 2 names, and what a key type calls them."""
PUBLIC_KEY_TYPES = frozenset({"rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"})
"""The key types that a public CA may certify (BR 6.1.5)."""
KEY_TYPES = PUBLIC_KEY_TYPES | {"ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"}
"""The key types that a policy may allow."""


class KeyAlgorithm(StrEnum):
    """The kind of a public key."""

    RSA = "RSA"
    EC = "EC"
    ED25519 = "Ed25519"
    ED448 = "Ed448"
    ML_DSA_44 = "ML-DSA-44"
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"


_ML_DSA = {1312: KeyAlgorithm.ML_DSA_44, 1952: KeyAlgorithm.ML_DSA_65, 2592: KeyAlgorithm.ML_DSA_87}
"""By the size of the public key in bytes (FIPS 204, table 2)."""


class KeyFacts(Model):
    """A public key as people talk about it: `curve` (SEC 2 name) only for EC, `exponent` only for RSA.

    `bits` is the size of the modulus or of the field, and with ML-DSA (FIPS 204) that of the public key itself.
    """

    algorithm: KeyAlgorithm
    bits: int
    curve: str | None = None
    exponent: int | None = None


def key_facts(key: CertificatePublicKeyTypes) -> KeyFacts:
    """What there is to say about a public key. Raises `ValueError` for an algorithm that is not supported."""
    match key:
        case rsa.RSAPublicKey():
            return KeyFacts(algorithm=KeyAlgorithm.RSA, bits=key.key_size, exponent=key.public_numbers().e)
        case ec.EllipticCurvePublicKey():
            return KeyFacts(algorithm=KeyAlgorithm.EC, bits=key.key_size, curve=key.curve.name)
        case ed25519.Ed25519PublicKey():
            return KeyFacts(algorithm=KeyAlgorithm.ED25519, bits=256)
        case ed448.Ed448PublicKey():
            return KeyFacts(algorithm=KeyAlgorithm.ED448, bits=456)
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey():
            size = len(key.public_bytes_raw())
            return KeyFacts(algorithm=_ML_DSA[size], bits=8 * size)
        case _:
            raise ValueError(f"{type(key).__name__} is not supported")


def spki_digest(key: CertificatePublicKeyTypes) -> Digest:
    """The SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280 §4.1) in its canonical encoding.

    One key has one digest, however its bearer encoded it: an EC point counts as uncompressed.
    """
    return digest_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def key_type(key: KeyFacts) -> str:
    """The key's type in one word, such as `rsa-2048`, `ecdsa-p256`, `ed25519` or `ml-dsa-65`."""
    match key.algorithm:
        case KeyAlgorithm.RSA:
            return f"rsa-{key.bits}"
        case KeyAlgorithm.EC:
            return f"ecdsa-{CURVES.get(key.curve or '', key.curve)}"
        case _:
            return key.algorithm.lower()


def check_key(key: KeyFacts, allowed: frozenset[str]) -> list[Finding]:
    """Every reason why this key may not be certified; `allowed` holds key types."""
    findings = [*_check_rsa(key), *_check_curve(key)]
    if key_type(key) not in allowed:
        choice = ", ".join(sorted(allowed)) or "none"
        findings.append(
            finding("key.type-not-allowed", f"the key types allowed here are: {choice}", value=key_type(key))
        )
    return findings


def _check_rsa(key: KeyFacts) -> list[Finding]:
    if key.algorithm is not KeyAlgorithm.RSA:
        return []
    findings = []
    if key.bits < MIN_RSA_BITS:
        message = f"an RSA key needs at least {MIN_RSA_BITS} bits"
        findings.append(finding("key.rsa-too-small", message, value=key.bits))
    if key.bits % 8:
        message = "the size of an RSA modulus must be a multiple of 8 bits"
        findings.append(finding("key.rsa-size", message, value=key.bits))
    exponent = key.exponent or 0
    if exponent < MIN_RSA_EXPONENT or exponent % 2 == 0:
        message = f"an RSA public exponent must be odd and at least {MIN_RSA_EXPONENT}"
        findings.append(finding("key.rsa-exponent", message, value=hex(exponent)))
    return findings


def _check_curve(key: KeyFacts) -> list[Finding]:
    if key.algorithm is not KeyAlgorithm.EC or key.curve in CURVES:
        return []
    return [finding("key.curve", "an EC key must be on P-256, P-384 or P-521", value=key.curve)]
