"""Passwords on their way to the issuer: compact JWE (RFC 7516) that the holder of an opening key alone can read.

ECDH-ES+A256KW (RFC 7518 §4.6) over X25519 (RFC 8037 §3.2) with A256GCM. The request's id is inside, so that what was
sealed for one request is of no use for another; the size is always the same, so that it says nothing of the
password's. Whoever sealed it could be anybody: it hides the password, and proves nothing about its sender.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from joserfc import jwe
from joserfc.jwk import OKPKey

from shared.errors import RefusedError
from shared.password import Password
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.keys import OpeningPublicKey
from shared.vocabulary.model import canonical_json
from shared.vocabulary.names import RequestId

MOST_PASSWORD_BYTES = 1024
"""In UTF-8."""
MOST_SEALED_CHARACTERS = 16 * 1024
"""What is longer is not looked at."""

_TYP = "ra-sealed-password+jwe"
_ALG, _ENC = "ECDH-ES+A256KW", "A256GCM"
_REGISTRY = jwe.JWERegistry(algorithms=[_ALG, _ENC])
_PARTS = 5
_HEADER_FIELDS = {"alg", "enc", "typ", "kid", "epk"}
_EPHEMERAL_FIELDS = {"kty", "crv", "x"}
_CONTENT_FIELDS = {"request_id", "password"}
_CONTENT_BYTES = 2304  # enough for any password, with each of its characters escaped in JSON


class OpeningKey:
    """An X25519 private key that opens sealed passwords; it does not print itself."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = OpeningPublicKey(x=_encode(raw))

    @classmethod
    def generate(cls) -> "OpeningKey":
        """A new key."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_file(cls, path: Path) -> "OpeningKey":
        """Read a PKCS#8 PEM file.

        Raises:
            OSError: the file can't be read.
            ValueError: it holds no X25519 key, or one under a passphrase.
        """
        try:
            private = load_pem_private_key(path.read_bytes(), None)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if not isinstance(private, X25519PrivateKey):
            raise ValueError(f"{path} holds no X25519 private key")  # noqa: TRY004 - the file's content is wrong
        return cls(private)

    @property
    def kid(self) -> str:
        """The id of its public half."""
        return self.public.kid

    def pem(self) -> bytes:
        """The private key as PKCS#8 PEM, for the file that `from_file` reads."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def seal(password: str, request_id: RequestId, key: OpeningPublicKey) -> str:
    """The password as a compact JWE for the holder of this key, good for this request only.

    Raises:
        RefusedError: `password.empty`, `password.too-long` or `password.characters`.
    """
    if found := _unfit(password):
        raise RefusedError(found)
    content = canonical_json({"request_id": request_id, "password": password})
    header = {"alg": _ALG, "enc": _ENC, "typ": _TYP, "kid": key.kid}
    return jwe.encrypt_compact(
        header, content.ljust(_CONTENT_BYTES), OKPKey.import_key(key.model_dump()), registry=_REGISTRY
    )


def open_sealed(sealed: str, request_id: RequestId, keys: Iterable[OpeningKey]) -> Password:
    """The password that was sealed to one of these keys for this request.

    Raises:
        RefusedError: `password.unreadable`, `password.unknown-key`, `password.other-request`, `password.empty`,
            `password.too-long` or `password.characters`.
    """
    kid = kid_of_sealed(sealed)
    key = next((key for key in keys if key.kid == kid), None)
    if key is None:
        message = "the password is sealed to a key that is not one of the issuer's: seal it by the policy in force"
        raise RefusedError(finding("password.unknown-key", message, value=kid))
    content = _content(_decrypted(sealed, key))
    if content["request_id"] != request_id:
        raise RefusedError(finding("password.other-request", "this password was sealed for another request"))
    if found := _unfit(content["password"]):
        raise RefusedError(found)
    return Password(content["password"])


def kid_of_sealed(sealed: str) -> str:
    """To which key a password is sealed, as anybody can see; whether it can be opened is not known from that.

    Raises:
        RefusedError: `password.unreadable`: it has not the form that `seal` gives.
    """
    if len(sealed) > MOST_SEALED_CHARACTERS:
        raise _unreadable("it is too long")
    parts = sealed.split(".")
    if len(parts) != _PARTS:
        raise _unreadable("it has not five parts")
    decoded = [_decode(part) for part in parts]
    try:
        header = json.loads(decoded[0])
    except (ValueError, RecursionError):
        raise _unreadable("its header is no JSON") from None
    if not isinstance(header, dict) or set(header) != _HEADER_FIELDS:
        raise _unreadable("its header has other fields than alg, enc, typ, kid and epk")
    if (header["alg"], header["enc"], header["typ"]) != (_ALG, _ENC, _TYP):
        raise _unreadable(f"it is not {_TYP} with {_ALG} and {_ENC}")
    ephemeral = header["epk"]
    if not isinstance(ephemeral, dict) or set(ephemeral) != _EPHEMERAL_FIELDS or ephemeral["crv"] != "X25519":
        raise _unreadable("its ephemeral key is not on X25519")
    return str(header["kid"])


def _decrypted(sealed: str, key: OpeningKey) -> bytes:
    try:
        # joserfc and what it rests on raise many kinds of exceptions here, and none of them tells more than this.
        opened = jwe.decrypt_compact(sealed, OKPKey.import_key(key.pem()), registry=_REGISTRY).plaintext
    except Exception:  # noqa: BLE001 - whatever the bytes are, the answer is the same
        raise _unreadable("it can't be opened with the key that it names") from None
    return opened or b""


def _content(opened: bytes) -> dict[str, str]:
    try:
        content = json.loads(opened)
    except (ValueError, RecursionError):
        raise _unreadable("its content is no JSON") from None
    if not isinstance(content, dict) or set(content) != _CONTENT_FIELDS:
        raise _unreadable("its content has other fields than request_id and password")
    if not all(isinstance(value, str) for value in content.values()):
        raise _unreadable("its content is no text")
    return content


def _unfit(password: str) -> Finding | None:
    if not password:
        return finding("password.empty", "a password is needed")
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return finding("password.characters", "the password is no Unicode text")
    if size > MOST_PASSWORD_BYTES:
        return finding("password.too-long", f"a password has at most {MOST_PASSWORD_BYTES} bytes in UTF-8")
    if any(character < " " for character in password):
        return finding("password.characters", "a password has no control characters")
    return None


def _unreadable(reason: str) -> RefusedError:
    return RefusedError(finding("password.unreadable", f"this is no sealed password of ours: {reason}"))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise _unreadable("its parts are not base64url") from None
    if _encode(data) != segment:  # one encoding only
        raise _unreadable("its parts are not canonical base64url")
    return data
