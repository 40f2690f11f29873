"""Encryption under a password: PBES2 (RFC 8018 §6.2), and 3DES for old readers (RFC 7292, appendix C).

`cryptography` counts 2,048 rounds where it encrypts a private key and where it authenticates a PKCS#12 file, which
somebody who guesses passwords would thank it for.
"""

import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from shared.x509.der import NULL, algorithm, integer, octets, sequence

ROUNDS = 600_000
"""Of every derivation of a key: what OWASP recommends for PBKDF2 with HMAC-SHA-256."""

SALT_BYTES = 16
_AES_KEY_BYTES, _AES_BLOCK_BYTES = 32, 16
_DES_KEY_BYTES, _DES_BLOCK_BYTES = 24, 8
_PBES2 = "1.2.840.113549.1.5.13"
_PBKDF2 = "1.2.840.113549.1.5.12"
_HMAC_SHA256 = "1.2.840.113549.2.9"
_AES_256_CBC = "2.16.840.1.101.3.4.1.42"
_SHA1_3DES = "1.2.840.113549.1.12.1.3"


class Pkcs12Encryption(StrEnum):
    """How a PKCS#12 file is encrypted."""

    PBES2_AES_256 = "pbes2-aes-256"
    """PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA-256; the file is authenticated with HMAC-SHA-256."""
    TRIPLE_DES = "3des"
    """For readers that know nothing better: 3DES-CBC and HMAC-SHA-1."""


@dataclass(frozen=True)
class Encrypted:
    """A ciphertext, and the AlgorithmIdentifier (DER) that says how to decrypt it with the password."""

    algorithm: bytes
    content: bytes


def encrypt(content: bytes, password: str, encryption: Pkcs12Encryption) -> Encrypted:
    """The content under this password, with a salt of its own."""
    match encryption:
        case Pkcs12Encryption.PBES2_AES_256:
            return _pbes2(content, password.encode())
        case Pkcs12Encryption.TRIPLE_DES:
            return _triple_des(content, password)


def encrypted_private_key_info(pkcs8: bytes, password: str, encryption: Pkcs12Encryption) -> bytes:
    """A PKCS#8 private key as EncryptedPrivateKeyInfo (RFC 5958 §3), DER."""
    encrypted = encrypt(pkcs8, password, encryption)
    return sequence(encrypted.algorithm, octets(encrypted.content))


def pkcs12_key(password: str, salt: bytes, *, purpose: int, size: int, hash_name: str) -> bytes:
    """Key material of this size from a password, the way of PKCS#12 (RFC 7292, appendix B.2)."""
    block = hashlib.new(hash_name).block_size
    secret = password.encode("utf-16-be") + b"\0\0"
    diversifier = bytes([purpose]) * block
    seed = bytearray(_filled(salt, block) + _filled(secret, block))
    derived = b""
    while len(derived) < size:
        digest = hashlib.new(hash_name, diversifier + seed).digest()
        for _ in range(ROUNDS - 1):
            digest = hashlib.new(hash_name, digest).digest()
        derived += digest
        addend = int.from_bytes(_filled(digest, block)[:block]) + 1
        for start in range(0, len(seed), block):
            added = (int.from_bytes(seed[start : start + block]) + addend) % (1 << 8 * block)
            seed[start : start + block] = added.to_bytes(block)
    return derived[:size]


def _filled(content: bytes, block: int) -> bytes:
    """Copies of the content, as many whole blocks as it begins."""
    size = -(-len(content) // block) * block
    return (content * (size // len(content) + 1))[:size] if content else b""


def _pbes2(content: bytes, password: bytes) -> Encrypted:
    salt, vector = os.urandom(SALT_BYTES), os.urandom(_AES_BLOCK_BYTES)
    derivation = PBKDF2HMAC(hashes.SHA256(), _AES_KEY_BYTES, salt, ROUNDS)
    key = derivation.derive(password)
    derived = sequence(octets(salt), integer(ROUNDS), algorithm(_HMAC_SHA256, NULL))
    parameters = sequence(algorithm(_PBKDF2, derived), algorithm(_AES_256_CBC, octets(vector)))
    return Encrypted(algorithm(_PBES2, parameters), _cbc(AES(key), vector, content))


def _triple_des(content: bytes, password: str) -> Encrypted:
    salt = os.urandom(SALT_BYTES)
    key = pkcs12_key(password, salt, purpose=1, size=_DES_KEY_BYTES, hash_name="sha1")
    vector = pkcs12_key(password, salt, purpose=2, size=_DES_BLOCK_BYTES, hash_name="sha1")
    parameters = sequence(octets(salt), integer(ROUNDS))
    return Encrypted(algorithm(_SHA1_3DES, parameters), _cbc(TripleDES(key), vector, content))


def _cbc(cipher: algorithms.AES | TripleDES, vector: bytes, content: bytes) -> bytes:
    padder = padding.PKCS7(cipher.block_size).padder()
    encryptor = Cipher(cipher, modes.CBC(vector)).encryptor()
    return encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
