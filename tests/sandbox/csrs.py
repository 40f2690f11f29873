"""Keys and certificate signing requests for tests and demonstrations."""

from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID


class KeyAndCsr(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    pem: str


def new_csr(common_name: str) -> KeyAndCsr:
    """A fresh P-256 key and its PKCS#10 in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return KeyAndCsr(key, csr.public_bytes(serialization.Encoding.PEM).decode("ascii"))
