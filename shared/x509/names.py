"""Distinguished names and alternative names: frozen, canonical, and readable by people."""

import binascii
import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated, Self

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier
from pydantic import AfterValidator, StringConstraints

from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model
from shared.x509.decoding import refusing
from shared.x509.dns import normalise_dns

MAX_VALUE = 1024
MAX_ATTRIBUTES = 64

_OIDS = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "title": NameOID.TITLE,
    "pseudonym": NameOID.PSEUDONYM,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "jurisdictionC": NameOID.JURISDICTION_COUNTRY_NAME,
    "jurisdictionST": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
    "jurisdictionL": NameOID.JURISDICTION_LOCALITY_NAME,
}
_SHORT = {oid.dotted_string: short for short, oid in _OIDS.items()}
_SPELLINGS = {short.lower(): short for short in _OIDS}
_DOTTED = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,31}")
# Line breaks, terminal control, bidirectional overrides and what cannot be seen at all would show an approver what is
# not signed.
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff9-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")
_PRINTABLE_TYPES = frozenset({"C", "jurisdictionC", "serialNumber", "2.5.4.46"})
_UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C
_IA5_TYPES = frozenset({"DC", "emailAddress"})


def _canonical_type(text: str) -> str:
    if (short := _SPELLINGS.get(text.lower())) is not None:
        return short
    if not _DOTTED.fullmatch(text):
        raise ValueError("an attribute type is a known short name or a dotted OID")
    return _SHORT.get(text, text)


def _showable(text: str) -> str:
    if _UNSHOWABLE.search(text):
        raise ValueError("control, bidirectional and invisible characters are not allowed in names")
    return text


def _canonical_ip(text: str) -> str:
    address = ipaddress.ip_address(text)
    if "%" in text:
        raise ValueError("an address in a certificate has no zone")
    return str(address)


def _canonical_email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


_VISIBLE = StringConstraints(pattern=r"\A[\x21-\x7e]+\z", max_length=2048)
_Dns = Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(normalise_dns)]
_Ip = Annotated[str, StringConstraints(max_length=64), AfterValidator(_canonical_ip)]
_Email = Annotated[str, _VISIBLE, AfterValidator(_canonical_email)]
_Uri = Annotated[str, _VISIBLE]
_Upn = Annotated[str, _VISIBLE, StringConstraints(pattern=r"\A[^@]+@[^@]+\z"), AfterValidator(_canonical_email)]


AttributeType = Annotated[str, StringConstraints(max_length=128), AfterValidator(_canonical_type)]
"""A short name such as `CN`, in its own spelling, or else a dotted OID."""


class Attribute(Model):
    """One attribute of a name: a short name such as `CN`, or else a dotted OID, and its text."""

    type: AttributeType
    value: Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE), AfterValidator(_showable)]

    def __str__(self) -> str:
        return f"{self.type}={_escape(self.value)}"


class DistinguishedName(Model):
    """A subject or issuer: attributes in the order of the certificate, one in each RDN (BR 7.1.4.1).

    As text it is written as in RFC 4514, last attribute first: `CN=www.example.com,O=Example,C=GB`.
    """

    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def of(cls, **values: str) -> Self:
        """A name from short names and texts, in this order: `of(C="GB", CN="www.example.com")`."""
        return cls(attributes=tuple(Attribute(type=kind, value=value) for kind, value in values.items()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that an RFC 4514 text denotes; spaces after a comma are forgiven.

        Raises `RefusedError` with `name.dn-syntax`, also for multi-valued RDNs (`+`) and `#hex` values.
        """
        with refusing("name.dn-syntax", "this is not a distinguished name such as CN=www.example.com,O=Example"):
            return cls(attributes=tuple(reversed(_parsed(text))))

    @classmethod
    def from_x509(cls, name: x509.Name) -> Self:
        """The same name as read from a certificate or request.

        Raises `ValueError` (pydantic's included) for multi-valued RDNs, binary or unshowable values.
        """
        if len(name.rdns) > MAX_ATTRIBUTES:
            raise ValueError(f"a name has at most {MAX_ATTRIBUTES} attributes")
        return cls(attributes=tuple(_from_rdn(rdn) for rdn in name.rdns))

    def to_x509(self) -> x509.Name:
        """The same name for `cryptography`.

        Raises `RefusedError` with `name.attribute-unfit` for each value that its attribute cannot hold.
        """
        findings = [problem for attribute in self.attributes for problem in _check_attribute(attribute)]
        if findings:
            raise RefusedError.of(findings)
        return x509.Name([_to_x509(attribute) for attribute in self.attributes])

    def values(self, kind: str) -> tuple[str, ...]:
        """The texts of all attributes of this type, in order."""
        return tuple(attribute.value for attribute in self.attributes if attribute.type == kind)

    @property
    def common_name(self) -> str | None:
        """The last CN, which is the most specific one; None where there is none."""
        names = self.values("CN")
        return names[-1] if names else None

    def __str__(self) -> str:
        return ",".join(str(attribute) for attribute in reversed(self.attributes))


class SubjectAltNames(Model):
    """Alternative names (RFC 5280 §4.2.1.6), each canonical and once, in the order in which they came.

    `dns` is normalised but not checked (see `check_dns_name`); addresses are in their shortest form.
    Order is kept for people. To compare, use `as_set()`.
    """

    dns: Annotated[tuple[_Dns, ...], AfterValidator(_distinct)] = ()
    ip: Annotated[tuple[_Ip, ...], AfterValidator(_distinct)] = ()
    email: Annotated[tuple[_Email, ...], AfterValidator(_distinct)] = ()
    uri: Annotated[tuple[_Uri, ...], AfterValidator(_distinct)] = ()
    upn: Annotated[tuple[_Upn, ...], AfterValidator(_distinct)] = ()
    """User principal names: an otherName of Microsoft's, by which Windows knows who logs on."""

    def as_set(self) -> frozenset[tuple[str, str]]:
        """All names as pairs of kind and value."""
        return frozenset((kind, value) for kind, values in self for value in values)

    def to_x509(self) -> list[x509.GeneralName]:
        """The same names for `cryptography`. Raises `ValueError` for a DNS name that is not ASCII."""
        return [
            *(x509.DNSName(name) for name in self.dns),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in self.ip),
            *(x509.RFC822Name(address) for address in self.email),
            *(x509.UniformResourceIdentifier(uri) for uri in self.uri),
            *(x509.OtherName(_UPN, _utf8_string(name)) for name in self.upn),
        ]


def read_general_names(names: Iterable[x509.GeneralName]) -> tuple[SubjectAltNames, list[Finding]]:
    """The names, and a finding `csr.name-kind-unsupported` for each of another kind.

    Raises `ValueError` (pydantic's included) for what no name can be, such as an address with a newline.
    """
    read: dict[str, list[str]] = {kind: [] for kind in SubjectAltNames.model_fields}
    findings = []
    for name in names:
        match name:
            case x509.DNSName():
                read["dns"].append(_ascii(name.value))
            case x509.IPAddress(value=ipaddress.IPv4Address() | ipaddress.IPv6Address()):
                read["ip"].append(str(name.value))
            case x509.RFC822Name():
                read["email"].append(name.value)
            case x509.UniformResourceIdentifier():
                read["uri"].append(name.value)
            case x509.OtherName(type_id=oid) if oid == _UPN:
                read["upn"].append(_utf8_text(name.value))
            case _:
                message = "only DNS names, addresses, e-mail addresses, URIs and user principal names are supported"
                findings.append(finding("csr.name-kind-unsupported", message, value=type(name).__name__))
    return SubjectAltNames.model_validate(read), findings


def _ascii(text: str) -> str:
    """The text of an IA5String, which has no other letters, though parsers read them. Raises `ValueError`."""
    if not text.isascii():
        raise ValueError("a DNS name stands in a request or certificate as ASCII (RFC 5280 §7.2)")
    return text


def _utf8_string(text: str) -> bytes:
    """The text as a DER UTF8String."""
    content = text.encode()
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1)
    return bytes([_UTF8_STRING, *(size if len(content) < 0x80 else (0x80 | len(size), *size))]) + content  # noqa: PLR2004 - X.690 §8.1.3


def _utf8_text(der: bytes) -> str:
    """The text of a DER UTF8String. Raises `ValueError` for anything else."""
    short = len(der) > 1 and der[1] < 0x80  # noqa: PLR2004 - X.690 §8.1.3
    text = der[2:] if short else der[2 + (der[1] & 0x7F) :] if len(der) > 1 else b""
    decoded = text.decode()
    if _utf8_string(decoded) != der:
        raise ValueError("a user principal name is a UTF8String in DER")
    return decoded


def _from_rdn(rdn: x509.RelativeDistinguishedName) -> Attribute:
    attributes = list(rdn)
    if len(attributes) != 1:
        raise ValueError("a relative distinguished name must have exactly one attribute")
    (attribute,) = attributes
    if not isinstance(attribute.value, str):
        raise TypeError("the values of a name must be text")
    return Attribute(type=attribute.oid.dotted_string, value=attribute.value)


def _to_x509(attribute: Attribute) -> x509.NameAttribute[str]:
    oid = _OIDS.get(attribute.type)
    return x509.NameAttribute(oid or ObjectIdentifier(attribute.type), attribute.value)


def _check_attribute(attribute: Attribute) -> list[Finding]:
    unfit = attribute.type in _PRINTABLE_TYPES and not _PRINTABLE.fullmatch(attribute.value)
    unfit = unfit or (attribute.type in _IA5_TYPES and not attribute.value.isascii())
    try:
        _to_x509(attribute)
    except ValueError:
        unfit = True
    message = f"the attribute {attribute.type} cannot hold this value (RFC 5280 appendix A)"
    return [finding("name.attribute-unfit", message, value=attribute.value)] if unfit else []


def attribute_problem(kind: str, value: str) -> str | None:
    """Why an attribute of this type can't hold this text; None when it can."""
    try:
        unfit = _check_attribute(Attribute(type=kind, value=value))
    except ValueError:
        return "control characters, empty and oversized texts are no values"
    return unfit[0].message if unfit else None


# RFC 4514 §2.4 and §3. An escaped pair is one special character or two hexadecimal digits of UTF-8.
# Possessive quantifiers keep the time to refuse a hostile text linear.
_SPECIAL = '"+,;<>\\'
_PAIR = r"\\(?:[\\ #=\"+,;<>]|[0-9A-Fa-f]{2})"
_TEXT_ATTRIBUTE = re.compile(rf" *+([A-Za-z][A-Za-z0-9-]*+|[0-9.]++) *+= *+((?:[^\\\"+,;<>]|{_PAIR})*+)(,|\Z)")
_PAIRS = re.compile(r"\\([\\ #=\"+,;<>])|((?:\\[0-9A-Fa-f]{2})+)")


def _escape(value: str) -> str:
    text = "".join(f"\\{character}" if character in _SPECIAL else character for character in value)
    text = f"\\{text}" if text[0] in " #" else text
    return f"{text[:-1]}\\ " if len(value) > 1 and value[-1] == " " else text


def _parsed(text: str) -> list[Attribute]:
    attributes: list[Attribute] = []
    position, open_ended = 0, False
    while position < len(text) or open_ended:
        match = _TEXT_ATTRIBUTE.match(text, position)
        if match is None or len(attributes) == MAX_ATTRIBUTES:
            raise ValueError(f"cannot read on from character {position + 1}")
        attributes.append(Attribute(type=match[1], value=_unescape(match[2])))
        position, open_ended = match.end(), match[3] == ","
    return attributes


def _unescape(text: str) -> str:
    if text.startswith("#"):
        raise ValueError("values in hexadecimal BER (#) are not supported")
    trimmed = text.rstrip(" ")
    if trimmed.endswith("\\") and len(trimmed) < len(text) and _PAIRS.sub("", trimmed).endswith("\\"):
        trimmed += " "
    return _PAIRS.sub(lambda pair: pair[1] or binascii.unhexlify(pair[2].replace("\\", "")).decode("utf-8"), trimmed)
