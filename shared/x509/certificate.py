"""Certificates as the CA returns them, and the chains above them (RFC 5280)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest
from shared.x509.decoding import Kind, pem_text, read_one, refusing
from shared.x509.extensions import extension_name, purpose_name, usages_of
from shared.x509.keys import spki_digest
from shared.x509.names import DistinguishedName, SubjectAltNames, read_general_names

ReadT = TypeVar("ReadT")

MAX_CERTIFICATE_BYTES = 64 * 1024
MAX_SERIAL_BITS = 160
MIN_CHAIN = 2
MAX_CHAIN = 5

_LABEL = "CERTIFICATE"
_KIND = Kind(
    code="certificate",
    noun="certificate",
    labels=frozenset({_LABEL}),
    max_text=2 * MAX_CERTIFICATE_BYTES,
    max_der=MAX_CERTIFICATE_BYTES,
)
# The critical extensions that a chain may carry: they are checked here or, being about the leaf's names and
# purposes, by `compare_with_approved`. Any other one must be refused (RFC 5280 §6.1.4 (o) and §6.1.5 (f)).
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


@dataclass(frozen=True)
class CarriedExtension:
    """An extension as a certificate has it: by its name or else its dotted OID, with its DER."""

    type: str
    critical: bool
    der: bytes


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate, read but not trusted: `verify_chain` and `compare_with_approved` judge it.

    Times are UTC; `not_after` is the last second of the validity. `eku` holds the short names of RFC 5280
    §4.2.1.12 (`serverAuth`) or dotted OIDs; it is empty where the extension is absent, which permits all. So is
    `usages`, which holds those of RFC 5280 §4.2.1.3. `is_ca` is also true for a certificate that may sign
    certificates by its key usage alone. `name_findings` says which alternative names are of a kind that `names`
    cannot hold. `signature_hash` is what the issuer signed with, such as `sha256`; none where the algorithm has it
    built in. `extensions` are all of them, those that other fields tell of included.
    """

    der: bytes
    subject: DistinguishedName
    issuer: DistinguishedName
    names: SubjectAltNames
    name_findings: tuple[Finding, ...]
    serial: int
    not_before: datetime
    not_after: datetime
    spki_sha256: Digest
    sha256: Digest
    is_ca: bool
    eku: tuple[str, ...]
    usages: tuple[str, ...] = ()
    signature_hash: str | None = None
    extensions: tuple[CarriedExtension, ...] = ()

    @property
    def serial_hex(self) -> str:
        """The serial number in lower-case hexadecimal digits, without leading zeros."""
        return f"{self.serial:x}"

    @property
    def validity(self) -> timedelta:
        """How long it is valid, first and last second included (BR 1.6.1, "Validity Period")."""
        return self.not_after - self.not_before + timedelta(seconds=1)

    @property
    def pem(self) -> str:
        """The certificate as PEM (RFC 7468 §5)."""
        return pem_text(self.der, _LABEL)


def parse_certificate(data: bytes | str) -> IssuedCertificate:
    """The certificate in one PEM block or in DER.

    Raises `RefusedError` with `certificate.too-large` or `certificate.unreadable`, whatever the bytes are.
    """
    der = read_one(data, _KIND)
    with refusing("certificate.unreadable", "this is not an X.509 certificate that can be read (RFC 5280)"):
        certificate = x509.load_der_x509_certificate(der)
        extensions = {type(found.value): found.value for found in certificate.extensions}
        names, name_findings = read_general_names(_general_names(extensions))
        return IssuedCertificate(
            der=der,
            subject=DistinguishedName.from_x509(certificate.subject),
            issuer=DistinguishedName.from_x509(certificate.issuer),
            names=names,
            name_findings=tuple(name_findings),
            serial=_serial(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            spki_sha256=spki_digest(certificate.public_key()),
            sha256=digest_of(der),
            is_ca=_may_sign_certificates(extensions),
            eku=_purposes(extensions),
            usages=_usages(extensions),
            signature_hash=hash_used.name if (hash_used := certificate.signature_hash_algorithm) else None,
            extensions=tuple(_carried(found) for found in certificate.extensions),
        )


@dataclass(frozen=True)
class CertificateIdentity:
    """What tells a certificate from all others, and when it ends: enough to hold it back and to have it revoked."""

    serial_hex: str
    sha256: Digest
    not_after: datetime
    issuer: str
    """The issuer's name (RFC 4514); empty if it can't be read."""
    spki: bytes
    """The SubjectPublicKeyInfo, DER; empty if it can't be read."""


def identify_certificate(der: bytes) -> CertificateIdentity:
    """The same for one that has contents that `parse_certificate` refuses to read.

    Raises `RefusedError` with `certificate.unreadable` for what is no certificate at all.
    """
    with refusing("certificate.unreadable", "this is not an X.509 certificate that can be read (RFC 5280)"):
        certificate = x509.load_der_x509_certificate(der)
        serial, ends = f"{_serial(certificate):x}", certificate.not_valid_after_utc
    issuer = _if_readable(certificate.issuer.rfc4514_string)
    spki = _if_readable(lambda: certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return CertificateIdentity(serial, digest_of(der), ends, issuer or "", spki or b"")


def _if_readable(read: Callable[[], ReadT]) -> ReadT | None:
    try:
        with refusing("certificate.unreadable", "a part of this certificate can't be read"):
            return read()
    except RefusedError:
        return None


def was_issued_by(certificate: IssuedCertificate, intermediate: IssuedCertificate) -> bool:
    """Whether `intermediate` bears the issuer's name and its key made the signature; no more is judged."""
    return _signed_by(_load(certificate.der), _load(intermediate.der))


def verify_chain(
    chain: Sequence[bytes], anchors: Sequence[bytes], at: datetime, *, compared: Collection[str] = ()
) -> list[Finding]:
    """Every reason not to trust the first certificate of `chain` at the time `at` (RFC 5280 §6.1).

    `chain` holds the DER of two to five certificates, leaf first, each followed by its issuer. One of them
    is one of `anchors`, byte by byte, or was issued by one, whose own limits count as well if it follows the
    last. What follows an anchor in the chain is another way to trust it, of which only the signatures count. `at`
    must know its zone. `compared` are extensions, by name or OID, that the first certificate may have critical:
    somebody else judges them. Name constraints are not evaluated: a critical one is a finding. Policies, revocation
    and what an issuer's extended key usages allow are not looked at.
    """
    if at.tzinfo is None:
        raise ValueError("the time of verification must know its zone")
    if not MIN_CHAIN <= len(chain) <= MAX_CHAIN:
        message = f"a chain has {MIN_CHAIN} to {MAX_CHAIN} certificates, the leaf and its issuers"
        return [finding("chain.length", message, value=len(chain))]
    try:
        path = [_load(der) for der in chain]
        trusted = [_load(der) for der in anchors]
    except RefusedError as refused:
        return [finding("chain.unreadable", found.message, value=found.value) for found in refused.findings]
    path, beyond, findings = _up_to_anchor(path, trusted)
    return [
        *findings,
        *_check_path(path, at.astimezone(UTC), compared),
        *(found for below, above in pairwise(beyond) for found in _check_signature(below, above)),
    ]


def is_self_issued(der: bytes) -> bool:
    """Whether subject and issuer are the same, as in a root (RFC 5280 §3.2).

    The signature is not looked at: nothing rests on that of a root, and old ones still have SHA-1.
    """
    certificate = _load(der)
    return certificate.subject == certificate.issuer


def _load(der: bytes) -> x509.Certificate:
    """A certificate of which everything that is read lazily has been read once."""
    with refusing("certificate.unreadable", "this is not an X.509 certificate that can be read (RFC 5280)"):
        certificate = x509.load_der_x509_certificate(der)
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        return certificate


def _up_to_anchor(
    path: list[x509.Certificate], anchors: list[x509.Certificate]
) -> tuple[list[x509.Certificate], list[x509.Certificate], list[Finding]]:
    """The path up to the anchor, what goes on beyond it, and a finding if it meets none.

    Of a cross-signed root, a chain may hold its twin in place of the anchor, and go on to an older one.
    """
    trusted = {_fingerprint(anchor) for anchor in anchors}
    for depth, certificate in enumerate(path):
        if _fingerprint(certificate) in trusted:
            return path[: depth + 1], path[depth:], []
        for anchor in anchors:
            if _signed_by(certificate, anchor):
                return [*path[: depth + 1], anchor], path[depth:], []
    untrusted = finding("chain.untrusted", "no trust anchor ends or signed this chain", value=_title(path[-1]))
    return path, [], [untrusted]


def _check_path(path: list[x509.Certificate], at: datetime, compared: Collection[str]) -> Iterator[Finding]:
    for depth, certificate in enumerate(path):
        yield from _check_validity(certificate, at)
        yield from _check_criticals(certificate, () if depth else compared)
        if depth:
            yield from _check_issuer(certificate, below=path[:depth])
        if depth < len(path) - 1:
            yield from _check_signature(certificate, path[depth + 1])


def _check_validity(certificate: x509.Certificate, at: datetime) -> Iterator[Finding]:
    if at < certificate.not_valid_before_utc:
        yield finding("chain.not-yet-valid", "a certificate is not valid yet", value=_title(certificate))
    if at >= certificate.not_valid_after_utc + timedelta(seconds=1):
        yield finding("chain.expired", "a certificate has expired", value=_title(certificate))


def _check_criticals(certificate: x509.Certificate, compared: Collection[str]) -> Iterator[Finding]:
    for extension in certificate.extensions:
        known = extension.oid in _UNDERSTOOD or extension_name(extension.oid.dotted_string) in compared
        if extension.critical and not known:
            message = "a certificate has a critical extension that is not understood here"
            yield finding("chain.critical-extension", message, value=extension.oid.dotted_string)


def _check_issuer(issuer: x509.Certificate, *, below: list[x509.Certificate]) -> Iterator[Finding]:
    extensions = {type(found.value): found.value for found in issuer.extensions}
    constraints = extensions.get(x509.BasicConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        yield finding("chain.not-a-ca", "an issuer in the chain is not a CA", value=_title(issuer))
        return
    usage = extensions.get(x509.KeyUsage)
    # An absent key usage permits everything (RFC 5280 §6.1.4 (n)).
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        yield finding("chain.key-usage", "an issuer's key may not sign certificates", value=_title(issuer))
    # The leaf and self-issued certificates do not count (RFC 5280 §4.2.1.9).
    between = sum(certificate.subject != certificate.issuer for certificate in below[1:])
    if constraints.path_length is not None and between > constraints.path_length:
        yield finding("chain.path-length", "there are more CAs below an issuer than it may have", value=_title(issuer))


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[Finding]:
    if not _signed_by(certificate, issuer):
        message = "a certificate was not issued by the one that follows it"
        yield finding("chain.signature", message, value=_title(certificate))


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether names and signature match; with a broken hash (MD5, SHA-1) a signature counts as none."""
    try:
        with refusing("certificate.unreadable", "the signature cannot be checked"):
            certificate.verify_directly_issued_by(issuer)
    except RefusedError:
        return False
    return True


def _fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(SHA256())


def _title(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _serial(certificate: x509.Certificate) -> int:
    serial = certificate.serial_number
    if serial < 0 or serial.bit_length() > MAX_SERIAL_BITS:
        raise ValueError("a serial number is positive and has at most 20 octets (RFC 5280 §4.1.2.2)")
    return serial


_Extensions = dict[type[x509.ExtensionType], x509.ExtensionType]


def _general_names(extensions: _Extensions) -> list[x509.GeneralName]:
    names = extensions.get(x509.SubjectAlternativeName)
    return list(names) if isinstance(names, x509.SubjectAlternativeName) else []


def _may_sign_certificates(extensions: _Extensions) -> bool:
    constraints, usage = extensions.get(x509.BasicConstraints), extensions.get(x509.KeyUsage)
    by_constraints = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    return by_constraints or (isinstance(usage, x509.KeyUsage) and usage.key_cert_sign)


def _purposes(extensions: _Extensions) -> tuple[str, ...]:
    purposes = extensions.get(x509.ExtendedKeyUsage)
    if not isinstance(purposes, x509.ExtendedKeyUsage):
        return ()
    return tuple(purpose_name(oid.dotted_string) for oid in purposes)


def _usages(extensions: _Extensions) -> tuple[str, ...]:
    usage = extensions.get(x509.KeyUsage)
    return usages_of(usage) if isinstance(usage, x509.KeyUsage) else ()


def _carried(found: x509.Extension[x509.ExtensionType]) -> CarriedExtension:
    return CarriedExtension(extension_name(found.oid.dotted_string), found.critical, found.value.public_bytes())
