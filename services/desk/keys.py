"""Key pairs that sign: made here, and never shown."""

import base64
import textwrap

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.password import Password
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model
from shared.x509.keypairs import encrypted_pkcs8, private_key_der


class KeyDescription(Model):
    """The public half of a key pair, as others need it."""

    public: PublicKey
    kid: str
    policy: str
    """The line with which the policy knows this key."""


def describe(public: PublicKey) -> KeyDescription:
    """What to say of a public key."""
    line = f'keys = [{{ kty = "{public.kty}", crv = "{public.crv}", x = "{public.x}" }}]'
    return KeyDescription(public=public, kid=public.kid, policy=line)


def new_key_pem(passphrase: str | None) -> bytes:
    """A new Ed25519 key, PKCS#8 PEM; if there is a passphrase, encrypted under it as the keys of requests are."""
    key = Ed25519PrivateKey.generate()
    if passphrase is None:
        return _pem("PRIVATE KEY", private_key_der(key))
    return _pem("ENCRYPTED PRIVATE KEY", encrypted_pkcs8(key, Password(passphrase)))


def _pem(label: str, der: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
