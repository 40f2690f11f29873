"""The throw-away CA: roots, a public and a private intermediate, and real certificates."""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from tests.sandbox.catalogue import ORGANIZATION, PRIVATE_CA_CERT_ID, PUBLIC_CA_CERT_ID
from tests.sandbox.knobs import Mutation
from tests.sandbox.leaves import Leaf

HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_ORGANIZATION_VALIDATED = x509.ObjectIdentifier("2.23.140.1.2.2")


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


class Authority:
    """Signs for the account, with keys that outlive the process."""

    def __init__(self, folder: Path) -> None:
        """Load the CA from the folder, or make one there.

        Args:
            folder: holds `root.pem`, `intermediate.pem`, `private-intermediate.pem`, and the key beside each; and,
                once a chain was asked for that needs them, the older roots.
        """
        self._folder = folder
        self.root = self._load("root") or self._make("root", "Sandbox Global Root G1", None)
        self.issuers = {
            PUBLIC_CA_CERT_ID: self._load("intermediate")
            or self._make("intermediate", "Sandbox TLS RSA SHA256 CA1", self.root),
            PRIVATE_CA_CERT_ID: self._load("private-intermediate")
            or self._make("private-intermediate", "Sandbox Private TLS CA1", self.root),
        }

    def issue(self, leaf: Leaf, chain_length: int = 3) -> list[x509.Certificate]:
        """Sign a certificate; the chain, leaf first, of 2 to 5 certificates.

        2 end with the intermediate and 3 with the root. In 4 and 5 an older root has signed the root's key, and a
        still older one that root's.
        """
        mutated = leaf.mutated()
        if Mutation.FOREIGN_ISSUER in leaf.mutations:
            intermediate, root = self._foreign
            return [_signed(mutated, intermediate), intermediate.certificate, root.certificate]
        others = [ca for ca in self.issuers if ca != leaf.ca_cert_id]
        issuer = self.issuers[others[0] if Mutation.OTHER_INTERMEDIATE in leaf.mutations else leaf.ca_cert_id]
        return [_signed(mutated, issuer), issuer.certificate, *self._above(chain_length - 2)]

    def _above(self, count: int) -> list[x509.Certificate]:
        """So many certificates above an intermediate, the last of them a root, if any."""
        if count <= 1:
            return [self.root.certificate][:count]
        older = self._older_root
        if count == 2:
            return [_cross_signed(self.root, older), older.certificate]
        oldest = self._oldest_root
        return [_cross_signed(self.root, older), _cross_signed(older, oldest), oldest.certificate]

    @cached_property
    def _older_root(self) -> Issuer:
        return self._load("older-root") or self._make("older-root", "Sandbox Root CA", None)

    @cached_property
    def _oldest_root(self) -> Issuer:
        return self._load("oldest-root") or self._make("oldest-root", "Sandbox Assured ID Root", None)

    @cached_property
    def _foreign(self) -> tuple[Issuer, Issuer]:
        root = _new_issuer("Foreign Root", None)
        return _new_issuer("Foreign TLS CA1", root), root

    def _load(self, name: str) -> Issuer | None:
        if not self._certificate_file(name).exists():
            return None
        key = serialization.load_pem_private_key(self._key_file(name).read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{name}: the CA's keys are RSA")
        return Issuer(x509.load_pem_x509_certificate(self._certificate_file(name).read_bytes()), key)

    def _make(self, name: str, common_name: str, parent: Issuer | None) -> Issuer:
        """A new CA; its certificate is written last, so that a certificate file means a key file."""
        made = _new_issuer(common_name, parent)
        key = made.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomically(self._key_file(name), key)
        write_atomically(self._certificate_file(name), made.certificate.public_bytes(serialization.Encoding.PEM))
        return made

    def _certificate_file(self, name: str) -> Path:
        return self._folder / f"{name}.pem"

    def _key_file(self, name: str) -> Path:
        return self._folder / f"{name}.key"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file for the owner's eyes that is either not there or complete."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.chmod(0o600)
    scratch.replace(path)


def pem_of(certificate: x509.Certificate) -> str:
    """PEM with the line ends that DigiCert sends."""
    text = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return text.strip().replace("\n", "\r\n") + "\r\n"


def serial_of(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:032X}"


def thumbprint_of(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 -- DigiCert's thumbprints are SHA-1


def _new_issuer(common_name: str, parent: Issuer | None) -> Issuer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sandbox CA"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    if parent is None:
        return Issuer(_ca_builder(name, key.public_key(), name, None).sign(key, hashes.SHA256()), key)
    return Issuer(_subordinate(name, key.public_key(), parent, path_length=0), key)


def _cross_signed(root: Issuer, older: Issuer) -> x509.Certificate:
    """The root's name and key in a certificate of an older root."""
    return _subordinate(root.certificate.subject, root.key.public_key(), older, path_length=None)


def _subordinate(
    name: x509.Name, key: rsa.RSAPublicKey, parent: Issuer, *, path_length: int | None
) -> x509.Certificate:
    builder = _ca_builder(name, key, parent.certificate.subject, path_length)
    return builder.add_extension(_authority_key(parent), critical=False).sign(parent.key, hashes.SHA256())


def _ca_builder(
    name: x509.Name, key: rsa.RSAPublicKey, issuer: x509.Name, path_length: int | None
) -> x509.CertificateBuilder:
    today = datetime.combine(datetime.now(UTC).date(), time.min, UTC)
    years = 20 if name == issuer else 10
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=400))
        .not_valid_after(today + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed(leaf: Leaf, issuer: Issuer) -> x509.Certificate:
    is_ca = Mutation.CA_CERTIFICATE in leaf.mutations
    usages = [
        ExtendedKeyUsageOID.SERVER_AUTH,
        *([ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client_auth else []),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(leaf))
        .issuer_name(issuer.certificate.subject)
        .public_key(leaf.public_key)
        .serial_number(secrets.randbits(127) | 1)
        .not_valid_before(datetime.combine(leaf.not_before, time.min, UTC))
        .not_valid_after(datetime.combine(leaf.last_day, time(23, 59, 59), UTC) + timedelta(seconds=leaf.extra_seconds))
        .add_extension(_authority_key(issuer), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf.public_key), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in leaf.names]), critical=False)
        .add_extension(_key_usage(ca=is_ca, encipherment=isinstance(leaf.public_key, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_revocation_lists(), critical=False)
        .add_extension(_issuer_access(), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if leaf.ca_cert_id == PUBLIC_CA_CERT_ID:
        policy = x509.PolicyInformation(_ORGANIZATION_VALIDATED, None)
        builder = builder.add_extension(x509.CertificatePolicies([policy]), critical=False)
    certificate = builder.sign(issuer.key, HASHES[leaf.signature_hash])
    return _broken(certificate) if Mutation.BROKEN_SIGNATURE in leaf.mutations else certificate


def _broken(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate with a signature that does not fit: its last octet ends the DER."""
    der = bytearray(certificate.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_certificate(bytes(der))


def _subject(leaf: Leaf) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, ORGANIZATION.country),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, ORGANIZATION.state),
            x509.NameAttribute(NameOID.LOCALITY_NAME, ORGANIZATION.city),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization_name),
            *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in leaf.organization_units),
            x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_key(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _revocation_lists() -> x509.CRLDistributionPoints:
    location = x509.UniformResourceIdentifier("http://crl.example.com/sandbox-ca1.crl")
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint(full_name=[location], relative_name=None, reasons=None, crl_issuer=None)]
    )


def _issuer_access() -> x509.AuthorityInformationAccess:
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP,
                x509.UniformResourceIdentifier("http://ocsp.example.com"),
            ),
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier("http://cacerts.example.com/sandbox-ca1.crt"),
            ),
        ]
    )


def _key_usage(*, ca: bool, encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
