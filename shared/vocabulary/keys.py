"""Public keys of the evidence, as JSON Web Keys (RFC 7517, RFC 8037)."""

import hashlib
from base64 import urlsafe_b64encode
from typing import Annotated, Literal

from pydantic import StringConstraints

from shared.vocabulary.model import Model, canonical_json


class PublicKey(Model):
    """An Ed25519 public key."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{43}\z")]

    @property
    def kid(self) -> str:
        """The key's id: its JWK thumbprint (RFC 7638)."""
        thumbprint = hashlib.sha256(canonical_json(self.model_dump())).digest()
        return urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
