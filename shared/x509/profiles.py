"""Profiles: which subject and which extensions a certificate may have, and where each value comes from.

A value is fixed by the profile, taken from the CSR, entered (by whom the profile says), or the profile's default. What
is entered takes the place of what the CSR says.
"""

import ipaddress
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import SchemaError

from shared.vocabulary.model import Model
from shared.x509.extensions import (
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    CertificateExtension,
    ExtensionType,
    ExtensionValues,
)
from shared.x509.names import AttributeType, attribute_problem

Description = Annotated[str, StringConstraints(max_length=500)]

X520_BOUNDS: Mapping[str, int] = {
    "CN": 64,
    "O": 64,
    "OU": 64,
    "C": 2,
    "jurisdictionC": 2,
    "L": 128,
    "ST": 128,
    "jurisdictionL": 128,
    "jurisdictionST": 128,
    "STREET": 128,
    "postalCode": 40,
    "serialNumber": 64,
    "title": 64,
    "SN": 64,
    "GN": 64,
    "pseudonym": 128,
    "businessCategory": 128,
    "organizationIdentifier": 128,
    "emailAddress": 255,
    "UID": 256,
    "DC": 63,
}
"""The upper bounds of X.520 (RFC 5280 Appendix A.1, RFC 4519) in characters, by short name."""
BOUND_OF_OTHERS = 256
MAX_SUBJECT_VALUES = 16
THE_CAS_OWN = frozenset(
    {
        "2.5.29.14",  # subject key identifier
        "2.5.29.30",  # name constraints
        "2.5.29.31",  # CRL distribution points
        "2.5.29.33",  # policy mappings
        "2.5.29.35",  # authority key identifier
        "2.5.29.36",  # policy constraints
        "2.5.29.46",  # freshest CRL
        "2.5.29.54",  # inhibit anyPolicy
        "1.3.6.1.5.5.7.1.1",  # authority information access
        "1.3.6.1.4.1.11129.2.4.2",  # certificate transparency: embedded timestamps
        "1.3.6.1.4.1.11129.2.4.3",  # certificate transparency: poison
    }
)
"""Extensions that a CA writes by itself, or that only a CA's certificate has: no profile may speak of them."""


class Editor(StrEnum):
    """Who may enter a value."""

    REQUESTER = "requester"
    APPROVER = "approver"


class NameKind(StrEnum):
    """Kinds of subject alternative names (RFC 5280 §4.2.1.6); `upn` is Microsoft's user principal name."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"
    UPN = "upn"


InOrder = PlainSerializer(sorted, return_type=list[str], when_used="json")
"""Profiles are signed over: the same set has the same bytes in every process."""
Editors = Annotated[frozenset[Editor], InOrder]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class DnAttribute(Model):
    """One attribute of the subject, by short name or dotted OID."""

    type: AttributeType
    required: StrictBool = False
    fixed: Text | None = None
    """The only value there is; it stands in the subject whether or not the CSR has it."""
    default: Text | None = None
    """Stands in where neither the CSR nor anybody else gives a value."""
    pattern: Pattern | None = None
    """A regular expression that the whole value matches, without look-around and back-references."""
    allowed: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    """Where given, the value is one of these."""
    max_length: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None
    """In characters; without it X.520's upper bound."""
    max_values: Annotated[StrictInt, Field(ge=1, le=MAX_SUBJECT_VALUES)] = 1
    """How often it may stand in the subject."""
    from_csr: StrictBool = True
    """Whether what the CSR says counts."""
    editable_by: Editors = frozenset()
    """Who may enter it."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.fixed is not None and (self.default is not None or self.editable_by or self.allowed):
            raise ValueError("`fixed` goes with none of `default`, `allowed` and `editable_by`")
        if self.pattern is not None and not _is_pattern(self.pattern):
            text = "`pattern` is no regular expression, or has look-around or back-references"
            raise ValueError(f"{text}: {self.pattern}")
        if self.max_length is not None and self.max_length > self.bound:
            raise ValueError(f"X.520 grants {self.type} {self.bound} characters, less than `max_length`")
        for value in filter(None, (self.fixed, self.default, *self.allowed)):
            if (problem := self.problem(value)) is not None:
                raise ValueError(f"`{value}` does not fit its own profile: {problem}")
        if self.required and not self.obtainable:
            raise ValueError("it is required, but comes neither from the CSR nor from anybody who may enter it")
        return self

    @property
    def obtainable(self) -> bool:
        """Whether there is a way for a value to come into the subject."""
        entered = Editor.REQUESTER in self.editable_by
        return self.from_csr or entered or self.fixed is not None or self.default is not None

    @property
    def bound(self) -> int:
        """The most characters that X.520 grants."""
        return X520_BOUNDS.get(self.type, BOUND_OF_OTHERS)

    @property
    def longest(self) -> int:
        """The most characters that a value may have."""
        return self.max_length or self.bound

    def problem(self, value: str) -> str | None:
        """Why the value can't be one of this attribute, in a few words."""
        if self.fixed is not None and value != self.fixed:
            return f"it must be {self.fixed}"
        if self.allowed and value not in self.allowed:
            return f"it must be one of: {', '.join(self.allowed)}"
        if len(value) > self.longest:
            return f"it has at most {self.longest} characters"
        if self.pattern is not None and not _matches(self.pattern, value):
            return f"it must match {self.pattern}"
        return attribute_problem(self.type, value)


class DnProfile(Model):
    """The attributes that a subject may have, in their order."""

    description: Description = ""
    attributes: Annotated[tuple[DnAttribute, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        _each_once("attribute", [attribute.type for attribute in self.attributes])
        return self


def _domain(text: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}", text):
        raise ValueError("a domain is written in small letters and A-labels, without a leading dot or a wildcard")
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


Domains = tuple[Annotated[str, AfterValidator(_domain)], ...]


class NamesRule(Model):
    """The subject alternative names."""

    type: Literal["subjectAltName"] = "subjectAltName"
    critical: StrictBool = False
    required: StrictBool = True
    from_csr: StrictBool = True
    editable_by: Editors = frozenset()
    kinds: Annotated[tuple[NameKind, ...], Field(min_length=1)] = (NameKind.DNS,)
    max_names: Annotated[StrictInt, Field(ge=1, le=250)] = 100
    wildcards: StrictBool = True
    """Whether DNS names may begin with `*.`."""
    dns_suffixes: Domains = ()
    """Where given, each DNS name equals one of these or ends in a dot and one of these."""
    ip_networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Where given, each address is in one of these (CIDR)."""
    email_domains: Domains = ()
    """Where given, what follows the @ of an e-mail address or user principal name is one of these."""
    uri_prefixes: tuple[Text, ...] = ()
    """Where given, each URI begins with one of these."""

    @property
    def fixed(self) -> None:
        """Names are never fixed by a profile."""


class ExtensionRule(Model):
    """Any other extension, by name or dotted OID."""

    type: ExtensionType
    critical: StrictBool = False
    required: StrictBool = False
    fixed: ExtensionValues | None = None
    """The only values there are; they stand in the certificate whether or not the CSR has them."""
    default: ExtensionValues | None = None
    allowed: ExtensionValues | None = None
    """Where given, each value is one of these."""
    from_csr: StrictBool = False
    editable_by: Editors = frozenset()

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.fixed is not None and (self.default is not None or self.allowed is not None or self.editable_by):
            raise ValueError("`fixed` goes with none of `default`, `allowed` and `editable_by`")
        for field in ("fixed", "default"):
            values = getattr(self, field)
            if values is not None:
                if not values:
                    raise ValueError(f"`{field}` holds at least one value")
                object.__setattr__(self, field, _holdable(self.type, values, alone=True))
        if self.allowed is not None:
            each = (_holdable(self.type, (value,), alone=False) for value in self.allowed)
            object.__setattr__(self, "allowed", tuple(value for values in each for value in values))
        if self.default is not None and self.allowed is not None and not set(self.default) <= set(self.allowed):
            raise ValueError("`default` holds values that are not among `allowed`")
        if not (self.from_csr or self.editable_by or self.fixed or self.default):
            raise ValueError("it comes neither from the CSR nor from the profile nor from anybody who may enter it")
        return self


def _holdable(kind: str, values: tuple[str, ...], *, alone: bool) -> tuple[str, ...]:
    """The values in their one spelling; they are all that the extension holds if they stand in it `alone`.

    Raises `ValueError` for what no certificate of an RA can hold.
    """
    extension = CertificateExtension(type=kind, values=values)
    if extension.asks_for_a_ca:
        raise ValueError("no certificate of this RA may sign others")
    if not extension.is_der:
        raise ValueError("the content of this extension is not DER")
    if alone:
        extension.to_x509()
    return extension.values


def _which(value: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "names" if isinstance(kind, str) and kind.lower() in (SUBJECT_ALT_NAME.lower(), "2.5.29.17") else "values"


def _spelled(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    if isinstance(value, dict) and _which(value) == "names":
        return {**value, "type": SUBJECT_ALT_NAME}
    return value


Rule = Annotated[
    Annotated[NamesRule, Tag("names")] | Annotated[ExtensionRule, Tag("values")],
    Discriminator(_which),
]


class ExtensionProfile(Model):
    """The X.509 v3 extensions of a certificate."""

    description: Description = ""
    extensions: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=32)]
    user_defined_extensions: Annotated[frozenset[ExtensionType], InOrder] = frozenset()
    """Further extensions, by OID, that a requester may ask for as it likes: the approvers see them."""

    @model_validator(mode="before")
    @classmethod
    def _spells_names(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        if isinstance(value, dict) and isinstance(value.get("extensions"), list):
            return {**value, "extensions": [_spelled(rule) for rule in value["extensions"]]}
        return value

    @model_validator(mode="after")
    def _leaves_the_cas_own(self) -> Self:
        types = {*(rule.type for rule in self.extensions), *self.user_defined_extensions}
        if own := sorted(types & THE_CAS_OWN):
            raise ValueError(f"the CA alone writes: {', '.join(own)}")
        return self

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        _each_once("extension", [*(rule.type for rule in self.extensions), *self.user_defined_extensions])
        return self

    @property
    def names(self) -> NamesRule | None:
        """The rule for alternative names; without one a certificate has none."""
        return next((rule for rule in self.extensions if isinstance(rule, NamesRule)), None)

    @property
    def others(self) -> tuple[ExtensionRule, ...]:
        """The rules for everything else."""
        return tuple(rule for rule in self.extensions if isinstance(rule, ExtensionRule))

    def values_possible(self, kind: str) -> frozenset[str] | None:
        """Every value that an extension of this type may have; None where it may have any."""
        if kind in self.user_defined_extensions:
            return None
        rule = next((rule for rule in self.others if rule.type == kind), None)
        if rule is None:
            return frozenset()
        if rule.fixed is not None:
            return frozenset(rule.fixed)
        if rule.allowed is not None:
            return frozenset(rule.allowed)
        return None if rule.from_csr or rule.editable_by else frozenset(rule.default or ())

    def values_certain(self, kind: str) -> frozenset[str]:
        """The values that an extension of this type has in any case."""
        rule = next((rule for rule in self.others if rule.type == kind), None)
        return frozenset(rule.fixed or ()) if rule else frozenset()

    @property
    def serves(self) -> bool:
        """Whether a certificate may be a TLS server's."""
        possible = self.values_possible(EXTENDED_KEY_USAGE)
        return possible is None or "serverAuth" in possible


def _each_once(what: str, types: list[str]) -> None:
    twice = sorted({kind for kind in types if types.count(kind) > 1})
    if twice:
        raise ValueError(f"each {what} has one rule only, but there are more of: {', '.join(twice)}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> TypeAdapter[str]:
    """By the engine of `pydantic`, whose time grows with the text alone: the values to be matched are strangers'."""
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])


def _matches(pattern: str, value: str) -> bool:
    try:
        _compiled(rf"\A(?:{pattern})\z").validate_python(value)
    except ValidationError:
        return False
    return True


def _is_pattern(pattern: str) -> bool:
    try:
        _compiled(pattern)  # on its own as well: `a)|(?:b` would be one in parentheses only
        _matches(pattern, "")
    except SchemaError:
        return False
    return True
