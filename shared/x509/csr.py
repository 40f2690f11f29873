"""Certificate signing requests (PKCS#10, RFC 2986): parsed and verified in one step, at the edge."""

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.vocabulary.names import Digest
from shared.x509.decoding import Kind, pem_text, read_one, refusing
from shared.x509.extensions import MAX_EXTENSIONS, CertificateExtension, read_extension
from shared.x509.keys import KeyFacts, key_facts, spki_digest
from shared.x509.names import DistinguishedName, SubjectAltNames, read_general_names

MAX_CSR_BYTES = 16 * 1024
MAX_CSR_TEXT = 64 * 1024
MAX_NAMES = 250
MAX_RSA_BITS = 8192
"""Beyond this, verifying costs more than any requester needs."""

_LABEL = "CERTIFICATE REQUEST"
_KIND = Kind(
    code="csr",
    noun="certificate request",
    labels=frozenset({_LABEL, f"NEW {_LABEL}"}),
    max_text=MAX_CSR_TEXT,
    max_der=MAX_CSR_BYTES,
)
# extensionRequest of PKCS#9 (RFC 2985 §5.4.2) and Microsoft's own number for the same thing.
_EXTENSION_REQUESTS = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})


@dataclass(frozen=True)
class VerifiedCsr:
    """A request whose sender holds the private key; only `parse_csr` makes one.

    `names` is what the subjectAltName extension asks for: a CN in `subject` is not added to it. All other extensions
    are `requested_extensions`.
    `signature_hash` is None for keys that hash by themselves (Ed25519, ML-DSA).
    """

    der: bytes
    key: KeyFacts
    spki_sha256: Digest
    subject: DistinguishedName
    names: SubjectAltNames
    signature_hash: str | None
    requested_extensions: tuple[CertificateExtension, ...]

    @cached_property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""
        return (
            x509.load_der_x509_csr(self.der).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    @property
    def pem(self) -> str:
        """The request as PEM (RFC 7468 §7)."""
        return pem_text(self.der, _LABEL)


def parse_csr(data: bytes | str) -> VerifiedCsr:
    """The request in one PEM block or in DER, with its proof of possession verified.

    Raises `RefusedError`, whatever the bytes are, with `csr.too-large`, `csr.unreadable`,
    `csr.key-unsupported`, `csr.signature-invalid`, `csr.extensions-unreadable`, `csr.too-many-names`,
    `csr.name-kind-unsupported` or `name.attribute-unfit`.
    """
    der = read_one(data, _KIND)
    with refusing("csr.unreadable", "this is not a PKCS#10 certificate request (RFC 2986)"):
        csr = x509.load_der_x509_csr(der)
    key, spki_sha256 = _key(csr)
    _verify_possession(csr)
    with refusing("csr.unreadable", "the subject of this request cannot be read"):
        subject = DistinguishedName.from_x509(csr.subject)
        subject.to_x509()
    extensions = _extensions(csr)
    return VerifiedCsr(
        der=der,
        key=key,
        spki_sha256=spki_sha256,
        subject=subject,
        names=_names(extensions),
        signature_hash=_signature_hash(csr),
        requested_extensions=_requested(extensions),
    )


def _key(csr: x509.CertificateSigningRequest) -> tuple[KeyFacts, Digest]:
    with refusing("csr.key-unsupported", "the public key in this request is of an unsupported kind"):
        key = csr.public_key()
        facts = key_facts(key)
        if facts.exponent is not None and facts.bits > MAX_RSA_BITS:
            raise ValueError(f"RSA keys have at most {MAX_RSA_BITS} bits")
        return facts, spki_digest(key)


def _verify_possession(csr: x509.CertificateSigningRequest) -> None:
    message = "the request is not signed with the private key that belongs to it (RFC 2986 §4.2)"
    with refusing("csr.signature-invalid", message):
        if not csr.is_signature_valid:
            raise RefusedError(finding("csr.signature-invalid", message))


def _signature_hash(csr: x509.CertificateSigningRequest) -> str | None:
    with refusing("csr.signature-invalid", "the signature's algorithm is unsupported"):
        algorithm = csr.signature_hash_algorithm
        return None if algorithm is None else algorithm.name


def _extensions(csr: x509.CertificateSigningRequest) -> x509.Extensions:
    with refusing("csr.extensions-unreadable", "the requested extensions cannot be read"):
        asking = [found for found in csr.attributes if found.oid.dotted_string in _EXTENSION_REQUESTS]
        if len(asking) > 1:
            # Parsers differ in which one they heed: what is approved must be what everybody reads.
            raise ValueError("extensions may be requested once only")
        return csr.extensions


def _requested(extensions: x509.Extensions) -> tuple[CertificateExtension, ...]:
    with refusing("csr.extensions-unreadable", "a requested extension cannot be read"):
        asked = [found for found in extensions if not isinstance(found.value, x509.SubjectAlternativeName)]
        if len(asked) > MAX_EXTENSIONS:
            raise ValueError(f"a request may ask for at most {MAX_EXTENSIONS} extensions")
        return tuple(read_extension(found) for found in asked)


def _names(extensions: x509.Extensions) -> SubjectAltNames:
    with refusing("csr.extensions-unreadable", "the requested alternative names cannot be read"):
        found = [found.value for found in extensions if isinstance(found.value, x509.SubjectAlternativeName)]
        general_names = [name for names in found for name in names]
        if len(general_names) > MAX_NAMES:
            message = f"a request may ask for at most {MAX_NAMES} names"
            raise RefusedError(finding("csr.too-many-names", message, value=len(general_names)))
        names, findings = read_general_names(general_names)
    if findings:
        raise RefusedError.of(findings)
    return names
