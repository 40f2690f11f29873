"""The certificate that a CA would make of a request, made beforehand so that a linter can judge it (BR 4.3.1.2)."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from shared.x509.certificate import IssuedCertificate
from shared.x509.comparison import TrustKind
from shared.x509.csr import VerifiedCsr
from shared.x509.decoding import refusing
from shared.x509.extensions import CERTIFICATE_POLICIES, CertificateExtension
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames

ORGANISATION_VALIDATED = ObjectIdentifier("2.23.140.1.2.2")
"""The policy of a certificate whose organisation was validated (BR 7.1.6.1)."""

_CRL = "http://crl.example.com/issuing.crl"
_OCSP = "http://ocsp.example.com/"
_ISSUER = "http://certificates.example.com/issuing.cer"
LEFT_OUT = frozenset({"OU"})
"""What a public CA leaves out of a subject (BR 7.1.2.7.4 forbids it)."""
_CA_BUSINESS = frozenset({CERTIFICATE_POLICIES})

# BR 7.1.4.2 prescribes this order, and a CA writes the subject itself, whatever the order in the request.
_ORDER = {
    kind: place
    for place, kind in enumerate(("DC", "C", "ST", "L", "postalCode", "STREET", "O", "SN", "GN", "OU", "CN"))
}
# A public CA takes these from the organisation that it validated (see `comparison.RULES`).
_ORGANISATION = {"C": "US", "O": "Organisation"}
_PLACE = Attribute(type="L", value="Locality")

_HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_CURVES = {curve.name: curve for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())}


def would_be_certificate(
    csr: VerifiedCsr,
    *,
    subject: DistinguishedName,
    names: SubjectAltNames,
    extensions: Iterable[CertificateExtension],
    issuer: IssuedCertificate,
    not_before: datetime,
    not_after: datetime,
    trust: TrustKind,
    names_critical: bool = False,
) -> bytes:
    """The DER of the certificate that `issuer` would make of this; it is good for linting and nothing else.

    The signature is by a key of the issuer's kind, made once for each process and thrown away. What the CA adds by
    itself is there in good form: basic constraints, key usage, identifiers, and as placeholders the addresses; for
    public trust also the policy of an organisation-validated certificate, and in the subject C, O and L where they
    are missing, in the order of BR 7.1.4.2. All that the request brings stands there as it is, good or bad.
    `not_after` is the last second of the validity. What `extensions` says takes the place of what the CA would add, but
    for the policies of a public CA, which are its own. In one process the same arguments give the same bytes.

    Raises:
        RefusedError: `template.unfit` or `name.attribute-unfit`, for what no certificate can hold.
    """
    with refusing("template.unfit", "no certificate can hold what this request asks for"):
        authority = x509.load_der_x509_certificate(issuer.der)
        key = x509.load_der_x509_csr(csr.der).public_key()
        public = trust is TrustKind.PUBLIC
        written = _as_a_public_ca_writes_it(subject) if public else subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(written.to_x509())
            .issuer_name(authority.subject)
            .public_key(key)
            .serial_number(_serial(csr))
            .not_valid_before(not_before)
            .not_valid_after(not_after)
        )
        if names.as_set():
            critical = names_critical or not written.attributes
            builder = builder.add_extension(x509.SubjectAlternativeName(names.to_x509()), critical)
        wanted = [(each.to_x509(), each.critical) for each in extensions if not public or each.type not in _CA_BUSINESS]
        brought = {extension.oid for extension, _ in wanted}
        added: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_for_signatures(), True),
            (_authority_key_identifier(authority), False),
            *((found, False) for found in _addresses()),
            (_policies(), False) if public else (x509.SubjectKeyIdentifier.from_public_key(key), False),
        ]
        for extension, critical in (*wanted, *(each for each in added if each[0].oid not in brought)):
            builder = builder.add_extension(extension, critical)
        return _sign(builder, authority).public_bytes(Encoding.DER)


def _as_a_public_ca_writes_it(subject: DistinguishedName) -> DistinguishedName:
    attributes = [attribute for attribute in subject.attributes if attribute.type not in LEFT_OUT]
    attributes += [
        Attribute(type=kind, value=value) for kind, value in _ORGANISATION.items() if not subject.values(kind)
    ]
    if not (subject.values("L") or subject.values("ST")):
        attributes.append(_PLACE)
    ordered = sorted(attributes, key=lambda attribute: _ORDER.get(attribute.type, len(_ORDER)))
    return DistinguishedName(attributes=tuple(ordered))


def _for_signatures() -> x509.KeyUsage:
    """What TLS 1.3 needs of any key, and all that is allowed for every one of them (RFC 8446 §4.4.2.2)."""
    return x509.KeyUsage(
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


def _authority_key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    for extension in authority.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
    key = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key)


@cache
def _addresses() -> tuple[x509.ExtensionType, ...]:
    crl = x509.DistributionPoint([x509.UniformResourceIdentifier(_CRL)], None, None, None)
    return (
        x509.CRLDistributionPoints([crl]),
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(kind, x509.UniformResourceIdentifier(url))
                for kind, url in (
                    (AuthorityInformationAccessOID.OCSP, _OCSP),
                    (AuthorityInformationAccessOID.CA_ISSUERS, _ISSUER),
                )
            ]
        ),
    )


def _policies() -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(ORGANISATION_VALIDATED, None)])


def _serial(csr: VerifiedCsr) -> int:
    """A number with as many bits as a good serial has, and the same one for the same request."""
    return int.from_bytes(hashlib.sha256(csr.der).digest()[:16]) | 1 << 126


def _sign(builder: x509.CertificateBuilder, authority: x509.Certificate) -> x509.Certificate:
    match authority.public_key():
        case rsa.RSAPublicKey():
            return builder.sign(_throw_away_key("rsa"), hashes.SHA256())
        case ec.EllipticCurvePublicKey(curve=curve):
            algorithm = _HASHES[curve.name]
            return builder.sign(_throw_away_key(curve.name), algorithm, ecdsa_deterministic=True)
        case ed25519.Ed25519PublicKey():
            return builder.sign(_throw_away_key("ed25519"), None)
        case ed448.Ed448PublicKey():
            return builder.sign(_throw_away_key("ed448"), None)
        case other:
            raise TypeError(f"a CA cannot sign with {type(other).__name__}")


@cache
def _throw_away_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ed448":
            return ed448.Ed448PrivateKey.generate()
        case curve:
            return ec.generate_private_key(_CURVES[curve])
