"""Key pairs of generated requests: made, encrypted under the password, and asked to be certified."""

from collections.abc import Callable, Iterable
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from shared.password import Password
from shared.x509.decoding import refusing
from shared.x509.encryption import Pkcs12Encryption, encrypted_private_key_info
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
"""A key that this module makes."""

_EXPONENT = 65537
_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "rsa-2048": partial(rsa.generate_private_key, _EXPONENT, 2048),
    "rsa-3072": partial(rsa.generate_private_key, _EXPONENT, 3072),
    "rsa-4096": partial(rsa.generate_private_key, _EXPONENT, 4096),
    "ecdsa-p256": partial(ec.generate_private_key, ec.SECP256R1()),
    "ecdsa-p384": partial(ec.generate_private_key, ec.SECP384R1()),
    "ecdsa-p521": partial(ec.generate_private_key, ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}
_HASHES: dict[int, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    256: hashes.SHA256(),
    384: hashes.SHA384(),
    521: hashes.SHA512(),
}


def generate(key_type: str) -> PrivateKey:
    """A new key of one of `keys.KEY_TYPES`. RSA takes up to several seconds. Raises `ValueError` for another type."""
    maker = _MAKERS.get(key_type)
    if maker is None:
        raise ValueError(f"no key of type {key_type} is made here")
    return maker()


def private_key_der(key: PrivateKey) -> bytes:
    """The bare key as PKCS#8 DER: for encrypting, and for nothing else."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encrypted_pkcs8(key: PrivateKey, password: Password) -> bytes:
    """The key as EncryptedPrivateKeyInfo, DER: PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA-256 of `ROUNDS` rounds."""
    return encrypted_private_key_info(private_key_der(key), password.reveal(), Pkcs12Encryption.PBES2_AES_256)


def decrypted_pkcs8(pkcs8: bytes, password: Password) -> PrivateKey:
    """The key in such a file.

    Raises:
        RefusedError: `key.unopenable`: the password is not the one that it was encrypted under, or it is damaged.
    """
    with refusing("key.unopenable", "the private key can't be decrypted with this password"):
        key = load_der_private_key(pkcs8, password.reveal().encode())
        if not isinstance(key, PrivateKey):
            raise TypeError("the key is of another kind than any that is made here")
        return key


def public_key_der(key: PrivateKey) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5280 §4.1), DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def request_for(
    key: PrivateKey, subject: DistinguishedName, names: SubjectAltNames, extensions: Iterable[CertificateExtension]
) -> bytes:
    """The certificate request (PKCS#10, DER) for this key, signed with it.

    The alternative names are critical where the subject is empty (RFC 5280 §4.2.1.6).

    Raises:
        RefusedError: `csr.unfit` or `name.attribute-unfit`, for what no request can hold.
    """
    with refusing("csr.unfit", "no certificate request can hold this"):
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject.to_x509())
        if names.as_set():
            alternatives = x509.SubjectAlternativeName(names.to_x509())
            builder = builder.add_extension(alternatives, critical=not subject.attributes)
        for extension in extensions:
            builder = builder.add_extension(extension.to_x509(), extension.critical)
        return builder.sign(key, signature_hash(key)).public_bytes(Encoding.DER)


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """With which hash this key signs; None where the algorithm has its own."""
    match key:
        case rsa.RSAPrivateKey():
            return hashes.SHA256()
        case ec.EllipticCurvePrivateKey():
            return _HASHES[key.key_size]
        case _:
            return None
