"""Signatures: compact JWS (RFC 7515) with Ed25519 (RFC 8037) over the exact bytes decided on."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from shared.contracts.statement import MOST_JWS_BYTES
from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest

SKEW = timedelta(seconds=120)
"""How far two clocks may differ before a signature counts as being from the future."""

_REGISTRY = jws.JWSRegistry(algorithms=["Ed25519"], strict_check_header=False)
_HEADER_FIELDS = {"alg", "typ", "kid", "iat"}
_PARTS = 3
_LATEST = 4_102_444_800  # the year 2100: beyond it, no signature is believed


class Typ(StrEnum):
    """The `typ` of each step: a signature made for one can't serve as another."""

    POLICY = "ra-policy+jws"
    ATTESTATION = "ra-attestation+jws"
    PRODUCT_FACTS = "ra-product-facts+jws"
    SUBMISSION = "ra-submission+jws"
    REVISION = "ra-revision+jws"
    EDIT = "ra-edit+jws"
    DECISION = "ra-decision+jws"
    DECISIONS = "ra-decisions+jws"
    VERDICT = "ra-verdict+jws"
    INTENT = "ra-intent+jws"
    ISSUANCE = "ra-issuance+jws"
    CONFIRMATION = "ra-revocation-confirmation+jws"
    CAMPAIGN = "ra-campaign+jws"
    REVOCATION = "ra-revocation+jws"
    KEY_BLOCK = "ra-key-block+jws"
    CHECKPOINT = "ra-checkpoint+jws"
    DELIVERY = "ra-delivery+jws"
    ERASURE = "ra-erasure+jws"


@dataclass(frozen=True)
class Verified:
    """What a good signature says: these bytes, by the holder of this key, at this time."""

    payload: bytes
    kid: str
    signed_at: datetime

    @property
    def digest(self) -> Digest:
        """The name by which later steps refer to these bytes."""
        return digest_of(self.payload)


class SigningKey:
    """An Ed25519 private key that signs evidence; it does not print itself."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._key = OKPKey.import_key(pem)
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = PublicKey(x=_encode(raw))

    @classmethod
    def from_file(cls, path: Path, *, passphrase: bytes | None = None) -> "SigningKey":
        """Read a PKCS#8 PEM file.

        Raises:
            OSError: the file can't be read.
            ValueError: it holds no Ed25519 key, or the passphrase is missing or wrong.
        """
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), passphrase)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 private key")  # noqa: TRY004 - the file's content is wrong
        return cls(private)

    def sign(self, payload: bytes, typ: Typ, at: datetime) -> str:
        """The compact JWS over exactly these bytes; `at` is kept in whole seconds, as `iat`."""
        header = {"alg": "Ed25519", "typ": str(typ), "kid": self.public.kid, "iat": int(at.timestamp())}
        return jws.serialize_compact(header, payload, self._key, registry=_REGISTRY)


def verify(token: str, typ: Typ, keys: Iterable[PublicKey], *, now: datetime) -> Verified:
    """Check a compact JWS against these keys.

    Raises:
        RefusedError: `evidence.malformed`, `evidence.wrong-typ`, `evidence.unknown-key`,
            `evidence.signature-invalid` or `evidence.from-the-future`.
    """
    header = _header_of(token)
    if header["typ"] != typ:
        raise RefusedError(finding("evidence.wrong-typ", f"this signature is no {typ}", value=header["typ"]))
    key = next((key for key in keys if key.kid == header["kid"]), None)
    if key is None:
        raise RefusedError(
            finding("evidence.unknown-key", f"no key known for this signer made this {typ}", value=header["kid"])
        )
    try:
        signed = jws.deserialize_compact(token, OKPKey.import_key(key.model_dump()), registry=_REGISTRY)
    except (JoseError, ValueError):
        raise RefusedError(
            finding("evidence.signature-invalid", f"the signature of this {typ} does not verify")
        ) from None
    signed_at = datetime.fromtimestamp(header["iat"], UTC)
    if signed_at > now + SKEW:
        raise RefusedError(
            finding(
                "evidence.from-the-future",
                f"this {typ} was signed later than now",
                value=signed_at.isoformat(),
            )
        )
    return Verified(signed.payload, key.kid, signed_at)


def payload_of(token: str) -> bytes:
    """The payload of a compact JWS, not verified: for showing and for digests only.

    Raises:
        RefusedError: `evidence.malformed`.
    """
    _header_of(token)
    return _decode(token.split(".")[1])


def kid_of(token: str) -> str:
    """The `kid` of a compact JWS, not verified: for looking up whose key it may be.

    Raises:
        RefusedError: `evidence.malformed`.
    """
    return _header_of(token)["kid"]


def typ_of(token: str) -> str:
    """The `typ` of a compact JWS, not verified: for knowing how to read it.

    Raises:
        RefusedError: `evidence.malformed`.
    """
    return _header_of(token)["typ"]


class _Header(TypedDict):
    alg: str
    typ: str
    kid: str
    iat: int


def _header_of(token: str) -> _Header:
    if len(token) > MOST_JWS_BYTES:
        raise _malformed("it is too long")
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise _malformed("it has not three parts")
    decoded = [_decode(part) for part in parts]
    try:
        header = json.loads(decoded[0])
    except (ValueError, RecursionError):
        raise _malformed("its header is no JSON") from None
    if not isinstance(header, dict) or set(header) != _HEADER_FIELDS or header["alg"] != "Ed25519":
        raise _malformed("its header has other fields than alg, typ, kid and iat, or another algorithm")
    if not isinstance(header["iat"], int) or not 0 <= header["iat"] <= _LATEST:
        raise _malformed("its iat is no time")
    return _Header(alg="Ed25519", typ=str(header["typ"]), kid=str(header["kid"]), iat=header["iat"])


def _malformed(reason: str) -> RefusedError:
    return RefusedError(finding("evidence.malformed", f"this is no compact JWS of ours: {reason}"))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise _malformed("its parts are not base64url") from None
    if _encode(data) != segment:  # one encoding only: no character may change unnoticed
        raise _malformed("its parts are not canonical base64url")
    return data
