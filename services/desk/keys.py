"""Key pairs that sign: made here, and never shown."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model


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
    """A new Ed25519 key, PKCS#8 PEM, encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
