"""Certificates as files for the requester."""

from collections.abc import Sequence

from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.vocabulary.formats import DownloadFormat
from shared.x509.certificate import is_self_issued, parse_certificate
from shared.x509.decoding import pem_text
from shared.x509.der import explicit, integer, oid, sequence, set_of

_DATA = "1.2.840.113549.1.7.1"
_SIGNED_DATA = "1.2.840.113549.1.7.2"


def render(chain: Sequence[bytes], format: DownloadFormat, *, with_chain: bool) -> bytes:  # noqa: A002 - the word users and the vocabulary have for it
    """The first certificate of `chain` (DER, leaf first) as a file, with its intermediates if `with_chain`.

    A root is left out: who trusts it has it. PEM and PKCS#7 keep the order of the chain.

    Raises `RefusedError` with `download.empty` without a certificate, `download.single-certificate` for `der-x509` with
    a chain, which that format cannot hold, `download.format-not-available` for `der-pkcs12`, and
    `certificate.unreadable`.
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
            return pem_text(_pkcs7([leaf, *intermediates]), "PKCS7").encode("ascii")
        case DownloadFormat.DER_PKCS7:
            return _pkcs7([leaf, *intermediates])
        case DownloadFormat.DER_PKCS12:
            message = "der-pkcs12 is there only for requests whose key was generated"
            raise RefusedError(finding("download.format-not-available", message, value=format))


def _single(leaf: bytes, *, with_chain: bool) -> bytes:
    if with_chain:
        message = "der-x509 holds one certificate: choose another format, or leave out the chain"
        raise RefusedError(finding("download.single-certificate", message))
    return parse_certificate(leaf).der


def _pkcs7(certificates: list[bytes]) -> bytes:
    """Certs-only SignedData (RFC 5652 §5.1, as RFC 8551 §3.8 has it), with the certificates in their order.

    In DER a set is sorted, and the shortest certificate came first; but there are readers that take the first one for
    the requested one (NSS does), and OpenSSL keeps the order, too.
    """
    parsed = [parse_certificate(der).der for der in certificates]
    signed = sequence(integer(1), set_of(), sequence(oid(_DATA)), explicit(0, b"".join(parsed)), set_of())
    return sequence(oid(_SIGNED_DATA), explicit(0, signed))
