"""Requests, certificates and chains made on the spot, for tests; keys are made once for each process."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, settings

from shared.x509.names import DistinguishedName, SubjectAltNames

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis without a clock: a busy machine fails no test."""
NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
SUBJECT = DistinguishedName.of(C="GB", O="Example Ltd", CN="www.example.com")
NAMES = SubjectAltNames(dns=("www.example.com", "shop.example.com"), ip=("192.0.2.1",))
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
NO_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
SIGNING = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of this name: the same one whenever it is asked for."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def csr(
    *, subject: DistinguishedName = SUBJECT, names: SubjectAltNames = NAMES, owner: str = "leaf"
) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject.to_x509())
    if names.as_set():
        builder = builder.add_extension(x509.SubjectAlternativeName(names.to_x509()), critical=False)
    return builder.sign(key(owner), hashes.SHA256())


@dataclass(frozen=True)
class Plan:
    """What a certificate is to hold; `usage` None leaves the extension out."""

    owner: str
    signer: str
    subject: DistinguishedName
    issuer: DistinguishedName
    ca: bool = False
    path_length: int | None = None
    usage: x509.KeyUsage | None = None
    eku: tuple[x509.ObjectIdentifier, ...] = ()
    names: SubjectAltNames = field(default_factory=SubjectAltNames)
    not_before: datetime = NOON - timedelta(days=1)
    not_after: datetime = NOON + timedelta(days=90)
    serial: int = 0x1234
    critical: tuple[x509.ExtensionType, ...] = ()
    """Further extensions, all of them critical."""
    others: tuple[x509.ExtensionType, ...] = ()
    """Further extensions, none of them critical."""
    sha384: bool = False
    """Signed with SHA-384 instead of SHA-256."""

    def issue(self) -> bytes:
        """The certificate's DER."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject.to_x509())
            .issuer_name(self.issuer.to_x509())
            .public_key(key(self.owner).public_key())
            .serial_number(self.serial)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=self.ca, path_length=self.path_length), critical=True)
        )
        if self.usage is not None:
            builder = builder.add_extension(self.usage, critical=True)
        if self.eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.eku), critical=False)
        if self.names.as_set():
            builder = builder.add_extension(x509.SubjectAlternativeName(self.names.to_x509()), critical=False)
        for extension in self.critical:
            builder = builder.add_extension(extension, critical=True)
        for extension in self.others:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(key(self.signer), hashes.SHA384() if self.sha384 else hashes.SHA256()).public_bytes(
            Encoding.DER
        )


def sha1_root() -> bytes:
    """A root as they were made long ago: its own signature, on which nothing rests, is made with SHA-1."""
    maker = rsa.generate_private_key(65537, 2048)
    name = named("old root").to_x509()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(maker.public_key())
    builder = builder.serial_number(1).not_valid_before(ROOT.not_before).not_valid_after(ROOT.not_after)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    modern = builder.sign(maker, hashes.SHA256())
    with_sha256, with_sha1 = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))
    signed = modern.tbs_certificate_bytes.replace(with_sha256, with_sha1)
    signature = maker.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the broken hash is the point
    old = modern.public_bytes(Encoding.DER).replace(with_sha256, with_sha1)
    return old.removesuffix(modern.signature) + signature


def named(common_name: str) -> DistinguishedName:
    return DistinguishedName.of(O="Throw-away CA", CN=common_name)


ROOT = Plan("root", "root", named("root"), named("root"), ca=True, usage=SIGNING)
OTHER_ROOT = Plan("other root", "other root", named("root"), named("root"), ca=True, usage=SIGNING)
UPPER = Plan("upper", "root", named("upper"), named("root"), ca=True, usage=SIGNING)
LOWER = Plan("lower", "upper", named("lower"), named("upper"), ca=True, path_length=0, usage=SIGNING)
LEAF = Plan("leaf", "lower", SUBJECT, named("lower"), usage=NO_USAGE, eku=SERVER, names=NAMES)
