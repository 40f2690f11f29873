"""The two slow jobs themselves, as plain functions."""

from collections.abc import Sequence

from services.issuer.making.ports import Made
from shared.password import Password
from shared.x509 import pkcs12
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.keypairs import decrypted_pkcs8, encrypted_pkcs8, generate, public_key_der, request_for
from shared.x509.names import DistinguishedName, SubjectAltNames


def make(
    password: Password,
    key_type: str,
    subject: DistinguishedName,
    names: SubjectAltNames,
    extensions: Sequence[CertificateExtension],
) -> Made:
    """See `ports.KeyMaker.make`."""
    key = generate(key_type)
    csr = request_for(key, subject, names, extensions)
    return Made(encrypted_pkcs8(key, password), csr, public_key_der(key))


def pack(
    pkcs8: bytes,
    password: Password,
    leaf: bytes,
    chain: Sequence[bytes],
    *,
    friendly_name: str,
    encryption: Pkcs12Encryption,
) -> bytes:
    """See `ports.KeyMaker.pack`."""
    return pkcs12.build(
        decrypted_pkcs8(pkcs8, password), leaf, chain, password, friendly_name=friendly_name, encryption=encryption
    )
