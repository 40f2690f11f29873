"""Reading certs-only files."""

import warnings

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7


def pkcs7_certificates(data: bytes) -> list[x509.Certificate]:
    """The certificates in a PKCS#7 file, PEM or DER, in their order.

    `cryptography` warns where they are not sorted as DER has its sets, which is meant to be so.
    """
    load = pkcs7.load_pem_pkcs7_certificates if data.startswith(b"-----") else pkcs7.load_der_pkcs7_certificates
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PKCS#7 certificates could not be parsed as DER")
        return load(data)
