"""PKCS#12 files (RFC 7292): a private key, its certificate and the chain under one password."""

import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import RefusedError
from shared.password import Password
from shared.vocabulary.findings import finding
from shared.x509.decoding import refusing
from shared.x509.der import (
    NULL,
    algorithm,
    bmp_string,
    explicit,
    implicit,
    integer,
    octets,
    oid,
    sequence,
    set_of,
)
from shared.x509.encryption import (
    ROUNDS,
    SALT_BYTES,
    Pkcs12Encryption,
    encrypt,
    encrypted_private_key_info,
    pkcs12_key,
)
from shared.x509.keypairs import PrivateKey, private_key_der, public_key_der

_VERSION = 3
_DATA = "1.2.840.113549.1.7.1"
_ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
_SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2"
_CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3"
_X509_CERTIFICATE = "1.2.840.113549.1.9.22.1"
_FRIENDLY_NAME = "1.2.840.113549.1.9.20"
_LOCAL_KEY_ID = "1.2.840.113549.1.9.21"
_MAC_PURPOSE = 3
_MACS = {
    Pkcs12Encryption.PBES2_AES_256: ("sha256", "2.16.840.1.101.3.4.2.1"),
    Pkcs12Encryption.TRIPLE_DES: ("sha1", "1.3.14.3.2.26"),
}


def build(
    key: PrivateKey,
    leaf: bytes,
    chain: Sequence[bytes],
    password: Password,
    *,
    friendly_name: str,
    encryption: Pkcs12Encryption,
) -> bytes:
    """The file with the key, its certificate and the others of the chain (DER, in their order).

    Certificates and key are encrypted each with a salt of its own, and the whole is authenticated, all with
    `encryption.ROUNDS` rounds. It takes about a second.

    Raises:
        RefusedError: `pkcs12.other-key`, `pkcs12.unfit`.
    """
    with refusing("pkcs12.unfit", "no PKCS#12 file can hold this"):
        certified = x509.load_der_x509_certificate(leaf).public_key()
        if certified.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public_key_der(key):
            raise RefusedError(finding("pkcs12.other-key", "the certificate is for another key"))
        secret = password.reveal()
        about_pair = set_of(
            _attribute(_FRIENDLY_NAME, bmp_string(friendly_name)),
            _attribute(_LOCAL_KEY_ID, octets(hashlib.sha256(leaf).digest()[:20])),
        )
        bags = [_certificate_bag(leaf, about_pair), *(_certificate_bag(der) for der in chain)]
        shrouded = encrypted_private_key_info(private_key_der(key), secret, encryption)
        key_bag = sequence(oid(_SHROUDED_KEY_BAG), explicit(0, shrouded), about_pair)
        safe = sequence(_encrypted_contents(sequence(*bags), secret, encryption), _contents(sequence(key_bag)))
        return sequence(integer(_VERSION), _contents(safe), _mac(safe, secret, encryption))


def _certificate_bag(der: bytes, attributes: bytes = b"") -> bytes:
    content = sequence(oid(_X509_CERTIFICATE), explicit(0, octets(der)))
    return sequence(oid(_CERTIFICATE_BAG), explicit(0, content), attributes)


def _attribute(dotted: str, value: bytes) -> bytes:
    return sequence(oid(dotted), set_of(value))


def _contents(content: bytes) -> bytes:
    return sequence(oid(_DATA), explicit(0, octets(content)))


def _encrypted_contents(content: bytes, password: str, encryption: Pkcs12Encryption) -> bytes:
    encrypted = encrypt(content, password, encryption)
    info = sequence(oid(_DATA), encrypted.algorithm, implicit(0, encrypted.content))
    return sequence(oid(_ENCRYPTED_DATA), explicit(0, sequence(integer(0), info)))


def _mac(safe: bytes, password: str, encryption: Pkcs12Encryption) -> bytes:
    name, dotted = _MACS[encryption]
    salt = os.urandom(SALT_BYTES)
    size = hashlib.new(name).digest_size
    key = pkcs12_key(password, salt, purpose=_MAC_PURPOSE, size=size, hash_name=name)
    digest = sequence(algorithm(dotted, NULL), octets(hmac.digest(key, safe, name)))
    return sequence(digest, octets(salt), integer(ROUNDS))
