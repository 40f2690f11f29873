"""A statement by whoever holds a certificate's private key, in the spirit of RFC 8555 §7.6: that key is compromised.

What is signed begins with 64 spaces, a context and a zero byte, as RFC 8446 §4.4.3 has it: nothing that a server, a
client or a CSR signs with the same key can be taken for it, and it for none of these.
"""

from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from pydantic import Field, StringConstraints

from shared.vocabulary.model import Blob, Model, digest_of
from shared.vocabulary.names import Digest, DigestField, IdentityField

CONTEXT = b"Countersign revocation for key compromise, proof of possession v1"
_PADDING = b" " * 64
_LATEST = 4_102_444_800  # the year 2100: beyond it, no statement is believed
_HASH = hashes.SHA256()
_PSS = padding.PSS(mgf=padding.MGF1(_HASH), salt_length=padding.PSS.AUTO)


class PossessionStatement(Model):
    """Of one certificate, for one relaying identity, made at one moment: it serves nobody else and not for long."""

    certificate: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f-]{1,40}\z")]
    """The request id or the serial number by which the command names the certificate."""
    key: DigestField
    """Of the SubjectPublicKeyInfo, DER."""
    reason: Literal["keyCompromise"] = "keyCompromise"
    relayed_by: IdentityField
    signed_at: Annotated[int, Field(ge=0, le=_LATEST)]
    """POSIX seconds."""

    @property
    def signed_bytes(self) -> bytes:
        """What the private key signs."""
        return _PADDING + CONTEXT + b"\0" + self.canonical()


class PossessionProof(Model):
    """The statement with the signature of the certificate's key, by the one way of signing that goes with the key.

    RSA: PSS or PKCS#1 v1.5 with SHA-256; ECDSA with SHA-256; Ed25519, Ed448 and ML-DSA as they are.
    """

    statement: PossessionStatement
    signature: Annotated[Blob, Field(min_length=1, max_length=8_192)]


class Holder:
    """Whoever holds this private key; it does not print itself."""

    def __init__(self, private: PrivateKeyTypes) -> None:
        self._private = private

    @classmethod
    def of(cls, pem: bytes, passphrase: bytes | None = None) -> "Holder":
        """Read a private key in PEM.

        Raises:
            ValueError: it holds none, or the passphrase is missing or wrong.
        """
        try:
            return cls(load_pem_private_key(pem, passphrase))
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(str(error)) from error

    @property
    def key(self) -> Digest:
        """The digest of the public key's SubjectPublicKeyInfo."""
        public = self._private.public_key()
        return digest_of(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def prove(self, statement: PossessionStatement) -> PossessionProof:
        """This statement, signed.

        Raises:
            ValueError: a key of this kind does not sign.
        """
        return PossessionProof(statement=statement, signature=self._sign(statement.signed_bytes))

    def _sign(self, data: bytes) -> bytes:
        match self._private:
            case rsa.RSAPrivateKey() as key:
                return key.sign(data, padding.PSS(mgf=padding.MGF1(_HASH), salt_length=_HASH.digest_size), _HASH)
            case ec.EllipticCurvePrivateKey() as key:
                return key.sign(data, ec.ECDSA(_HASH))
            case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey() as key:
                return key.sign(data)
            case mldsa.MLDSA44PrivateKey() | mldsa.MLDSA65PrivateKey() | mldsa.MLDSA87PrivateKey() as key:
                return key.sign(data)
            case _:
                raise ValueError("a key of this kind does not sign")


def is_proven(spki: bytes, proof: PossessionProof) -> bool:
    """Whether the key of this SubjectPublicKeyInfo (DER) made this proof, and the proof names that key."""
    if proof.statement.key != digest_of(spki):
        return False
    try:
        _verify(spki, proof.signature, proof.statement.signed_bytes)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify(spki: bytes, signature: bytes, data: bytes) -> None:
    match load_der_public_key(spki):
        case rsa.RSAPublicKey() as key:
            try:
                key.verify(signature, data, _PSS, _HASH)
            except InvalidSignature:
                key.verify(signature, data, padding.PKCS1v15(), _HASH)
        case ec.EllipticCurvePublicKey() as key:
            key.verify(signature, data, ec.ECDSA(_HASH))
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() as key:
            key.verify(signature, data)
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey() as key:
            key.verify(signature, data)
        case _:
            raise ValueError("a key of this kind does not sign")
