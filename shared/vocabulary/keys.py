"""Public keys of the evidence and of sealed passwords, as JSON Web Keys (RFC 7517, RFC 8037)."""

import hashlib
from base64 import urlsafe_b64encode
from typing import Annotated, Literal

from pydantic import StringConstraints

from shared.vocabulary.model import Model, canonical_json

_Coordinate = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{43}\z")]


class PublicKey(Model):
    """An Ed25519 public key."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: _Coordinate

    @property
    def kid(self) -> str:
        """The key's id: its JWK thumbprint (RFC 7638)."""
        return _thumbprint(self)


class OpeningPublicKey(Model):
    """The X25519 public key to which passwords are sealed; its holder alone can open them."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["X25519"] = "X25519"
    x: _Coordinate

    @property
    def kid(self) -> str:
        """The key's id: its JWK thumbprint (RFC 7638)."""
        return _thumbprint(self)


def _thumbprint(key: Model) -> str:
    thumbprint = hashlib.sha256(canonical_json(key.model_dump())).digest()
    return urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
