"""X.509 v3 extensions (RFC 5280 §4.2) as people write them: a type, whether it is critical, and values as text.

The alternative names are a matter of their own, see `names.SubjectAltNames`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import ObjectIdentifier
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.vocabulary.model import Model

SUBJECT_ALT_NAME = "subjectAltName"
KEY_USAGE = "keyUsage"
EXTENDED_KEY_USAGE = "extendedKeyUsage"
BASIC_CONSTRAINTS = "basicConstraints"
CERTIFICATE_POLICIES = "certificatePolicies"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
"""Computed by the CA from the key, so that what a request says of it is of no interest."""

OIDS = {
    SUBJECT_ALT_NAME: "2.5.29.17",
    KEY_USAGE: "2.5.29.15",
    EXTENDED_KEY_USAGE: "2.5.29.37",
    BASIC_CONSTRAINTS: "2.5.29.19",
    CERTIFICATE_POLICIES: "2.5.29.32",
}
"""The extensions that are written with values of their own; any other is a dotted OID with its DER."""

ANY_PURPOSE = "anyExtendedKeyUsage"
PURPOSES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    ANY_PURPOSE: "2.5.29.37.0",
    "smartcardLogon": "1.3.6.1.4.1.311.20.2.2",
}
"""Extended key usages with a name (RFC 5280 §4.2.1.12); others are dotted OIDs."""

USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}
"""Key usages in the order of their bits (RFC 5280 §4.2.1.3), and what `cryptography` calls them."""
DELICATE_PURPOSES = frozenset({ANY_PURPOSE, "OCSPSigning"})
"""Those with which a certificate is good for all the others, or may answer for its CA (RFC 6960 §4.2.2.2)."""
CA_USAGES = frozenset({"keyCertSign", "cRLSign"})
NO_CA, CA = "CA:FALSE", "CA:TRUE"
"""The values of basic constraints."""

MAX_EXTENSIONS = 32
MAX_VALUES = 32
MAX_DER_TEXT = 8192

_TYPE_OF = {oid: name for name, oid in OIDS.items()}
_PURPOSE_OF = {oid: name for name, oid in PURPOSES.items()}
_SPELLINGS = {name.lower(): name for name in OIDS}
_DOTTED = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,31}")


def extension_name(oid: str) -> str:
    """The name of an extension that has one, or else the OID itself."""
    return _TYPE_OF.get(oid, oid)


def purpose_name(oid: str) -> str:
    """The name of an extended key usage that has one, or else the OID itself."""
    return _PURPOSE_OF.get(oid, oid)


def canonical_extension_type(text: str) -> str:
    """The name of an extension in its own spelling, or else its dotted OID. Raises `ValueError`."""
    name = _SPELLINGS.get(text.lower()) or _TYPE_OF.get(text)
    if name is not None:
        return name
    return _oid(text, "an extension is one of " + ", ".join(OIDS) + ", or a dotted OID")


def _oid(text: str, otherwise: str) -> str:
    if not _DOTTED.fullmatch(text):
        raise ValueError(otherwise)
    try:
        return ObjectIdentifier(text).dotted_string
    except ValueError:
        raise ValueError(f"{text} is no object identifier") from None


def _purpose(text: str) -> str:
    return (
        text
        if text in PURPOSES
        else _PURPOSE_OF.get(text)
        or _oid(text, "an extended key usage is one of " + ", ".join(PURPOSES) + ", or a dotted OID")
    )


def _usage(text: str) -> str:
    if text not in USAGES:
        raise ValueError("a key usage is one of " + ", ".join(USAGES))
    return text


def _constraint(text: str) -> str:
    if text not in (NO_CA, CA):
        raise ValueError(f"basic constraints are {NO_CA} or {CA}")
    return text


def _policy(text: str) -> str:
    return _oid(text, "a certificate policy is a dotted OID")


def _der(text: str) -> str:
    data = b64decode(text, validate=True)
    if not data or b64encode(data).decode() != text:
        raise ValueError("the content of an extension is DER in canonical base64")
    return text


_VALUE: Mapping[str, Callable[[str], str]] = {
    KEY_USAGE: _usage,
    EXTENDED_KEY_USAGE: _purpose,
    BASIC_CONSTRAINTS: _constraint,
    CERTIFICATE_POLICIES: _policy,
}
_ALONE = frozenset({BASIC_CONSTRAINTS})


def canonical_values(kind: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of an extension of this type, each in its one spelling and once; key usages in the order of bits.

    Raises `ValueError` for what such an extension can't hold.
    """
    if kind == SUBJECT_ALT_NAME:
        raise ValueError("alternative names are given apart from the other extensions")
    read = tuple(dict.fromkeys(_VALUE.get(kind, _der)(value) for value in values))
    if kind == KEY_USAGE:
        return tuple(usage for usage in USAGES if usage in read)
    if len(read) > 1 and (kind in _ALONE or kind not in OIDS):
        raise ValueError(f"{kind} has one value")
    return read


ExtensionType = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(canonical_extension_type)
]
ExtensionValue = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DER_TEXT)]
ExtensionValues = Annotated[tuple[ExtensionValue, ...], Field(max_length=MAX_VALUES)]


class CertificateExtension(Model):
    """One extension with its values.

    `keyUsage` and `extendedKeyUsage` hold names, or OIDs of purposes without one; `certificatePolicies` OIDs without
    qualifiers; `basicConstraints` `CA:FALSE` or `CA:TRUE`; any other, which is called by its dotted OID, the DER inside
    its OCTET STRING as base64.
    """

    type: ExtensionType
    critical: bool = False
    values: Annotated[ExtensionValues, Field(min_length=1)]

    @model_validator(mode="after")
    def _is_canonical(self) -> Self:
        canonical = canonical_values(self.type, self.values)
        if canonical != self.values:
            object.__setattr__(self, "values", canonical)
        return self

    @property
    def asks_for_a_ca(self) -> bool:
        """Whether a certificate with this could sign certificates."""
        return (self.type == BASIC_CONSTRAINTS and CA in self.values) or (
            self.type == KEY_USAGE and not CA_USAGES.isdisjoint(self.values)
        )

    @property
    def is_der(self) -> bool:
        """Whether the content, where it is given as such, is one DER structure and nothing besides."""
        if self.type in OIDS:
            return True
        try:
            asn1.decode_der(asn1.TLV, b64decode(self.values[0]))
        except ValueError:
            return False
        return True

    def to_x509(self) -> x509.ExtensionType:
        """The same extension for `cryptography`. Raises `ValueError` for a combination that no certificate can have."""
        match self.type:
            case "keyUsage":
                return x509.KeyUsage(**{field: usage in self.values for usage, field in USAGES.items()})
            case "extendedKeyUsage":
                return x509.ExtendedKeyUsage([ObjectIdentifier(PURPOSES.get(value, value)) for value in self.values])
            case "basicConstraints":
                return x509.BasicConstraints(ca=CA in self.values, path_length=None)
            case "certificatePolicies":
                return x509.CertificatePolicies(
                    [x509.PolicyInformation(ObjectIdentifier(value), None) for value in self.values]
                )
            case oid:
                return x509.UnrecognizedExtension(ObjectIdentifier(oid), b64decode(self.values[0]))

    def __str__(self) -> str:
        critical = " (critical)" if self.critical else ""
        return f"{self.type}{critical}: {', '.join(self.values)}"


def read_extension(found: x509.Extension[x509.ExtensionType]) -> CertificateExtension:
    """What an extension says. A path length is left out: what may sign certificates is refused anyway.

    Raises `ValueError` (pydantic's included) for an empty or oversized one, and for policies with qualifiers.
    """
    return CertificateExtension(type=found.oid.dotted_string, critical=found.critical, values=_values(found.value))


def _values(value: x509.ExtensionType) -> tuple[str, ...]:
    match value:
        case x509.KeyUsage():
            return usages_of(value)
        case x509.ExtendedKeyUsage():
            return tuple(oid.dotted_string for oid in value)
        case x509.BasicConstraints():
            return (CA if value.ca else NO_CA,)
        case x509.CertificatePolicies():
            if any(each.policy_qualifiers for each in value):
                raise ValueError("certificate policies with qualifiers are not supported")
            return tuple(each.policy_identifier.dotted_string for each in value)
        case _:
            return (b64encode(value.public_bytes()).decode(),)


def usages_of(usage: x509.KeyUsage) -> tuple[str, ...]:
    """The key usages that are set, in the order of their bits."""
    return tuple(name for name, field in USAGES.items() if _bit(usage, field))


def _bit(usage: x509.KeyUsage, field: str) -> bool:
    """Whether a key usage is set; the last two may only be asked for where keyAgreement is."""
    return (usage.key_agreement or field not in ("encipher_only", "decipher_only")) and bool(getattr(usage, field))
