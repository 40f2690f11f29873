"""The roots that a certificate's chain must end in."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.vocabulary.findings import finding


def read_roots(path: Path) -> list[bytes]:
    """The certificates of a PEM file, DER.

    Raises:
        RefusedError: `config.roots-unreadable`.
    """
    try:
        return [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(path.read_bytes())]
    except (OSError, ValueError) as error:
        raise RefusedError(finding("config.roots-unreadable", f"{path}: {error}")) from None
