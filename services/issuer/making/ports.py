"""What the issuer may ask for when a request brings no key of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.password import Password
from shared.vocabulary.model import Blob
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames


@dataclass(frozen=True)
class Made:
    """A key pair, of which the private half is there under its password only."""

    pkcs8: Blob
    """EncryptedPrivateKeyInfo, DER."""
    csr: Blob
    """The certificate request, DER."""
    public_key: Blob
    """SubjectPublicKeyInfo, DER."""


class KeyMaker(Protocol):
    """Makes key pairs, and packs them once they are certified; both take seconds, and the event loop none of them."""

    async def make(
        self,
        password: Password,
        key_type: str,
        subject: DistinguishedName,
        names: SubjectAltNames,
        extensions: Sequence[CertificateExtension],
    ) -> Made:
        """A new key pair of this type (see `keys.KEY_TYPES`) and the request for its certificate.

        Raises:
            RefusedError: `csr.unfit` or `name.attribute-unfit`: no request can hold this.
            UnavailableError: of `key maker`: it died, is busy or is closed; the same call works later.
        """
        ...

    async def pack(
        self,
        pkcs8: bytes,
        password: Password,
        leaf: bytes,
        chain: Sequence[bytes],
        *,
        friendly_name: str,
        encryption: Pkcs12Encryption,
    ) -> bytes:
        """The PKCS#12 file with the key in `pkcs8`, its certificate and the others of the chain (DER).

        Raises:
            RefusedError: `key.unopenable`, `pkcs12.other-key` or `pkcs12.unfit`.
            UnavailableError: of `key maker`: it died, is busy or is closed; the same call works later.
        """
        ...
