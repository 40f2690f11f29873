"""Certificates as files for the requester."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.vocabulary.formats import DownloadFormat
from shared.x509.certificate import is_self_issued, parse_certificate
from shared.x509.decoding import refusing


def render(chain: Sequence[bytes], format: DownloadFormat, *, with_chain: bool) -> bytes:  # noqa: A002 - the word users and the vocabulary have for it
    """The first certificate of `chain` (DER, leaf first) as a file, with its intermediates if `with_chain`.

    A root is left out: who trusts it has it. PEM keeps the order of the chain; PKCS#7 is a set without order
    (RFC 2315 §9.1). Raises `RefusedError` with `download.empty` without a certificate,
    `download.single-certificate` for `der-x509` with a chain, which that format cannot hold,
    `download.format-not-available` for `der-pkcs12`, and `certificate.unreadable`.
    """
    if not chain:
        raise RefusedError(finding("download.empty", "there is no certificate to deliver"))
    leaf, *issuers = chain
    intermediates = [der for der in issuers if not is_self_issued(der)] if with_chain else []
    match format:
        case DownloadFormat.PEM_X509:
            return "".join(parse_certificate(der).pem for der in [leaf, *intermediates]).encode("ascii")
        case DownloadFormat.DER_X509:
            return _single(leaf, with_chain=with_chain)
        case DownloadFormat.PEM_PKCS7:
            return _pkcs7([leaf, *intermediates], Encoding.PEM)
        case DownloadFormat.DER_PKCS7:
            return _pkcs7([leaf, *intermediates], Encoding.DER)
        case DownloadFormat.DER_PKCS12:
            message = "der-pkcs12 is there only for requests whose key was generated"
            raise RefusedError(finding("download.format-not-available", message, value=format))


def _single(leaf: bytes, *, with_chain: bool) -> bytes:
    if with_chain:
        message = "der-x509 holds one certificate: choose another format, or leave out the chain"
        raise RefusedError(finding("download.single-certificate", message))
    return parse_certificate(leaf).der


def _pkcs7(certificates: list[bytes], encoding: Encoding) -> bytes:
    with refusing("certificate.unreadable", "a certificate of the chain cannot be read"):
        return pkcs7.serialize_certificates([x509.load_der_x509_certificate(der) for der in certificates], encoding)
