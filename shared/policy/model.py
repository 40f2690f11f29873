"""The policy file as strict models; `deploy/policy/policy.toml` explains each field to operators."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.vocabulary.duties import Duty
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    DnProfileField,
    ExtensionProfileField,
    IdentityField,
    PersonField,
    SigningCertificateField,
)
from shared.vocabulary.permissions import Permission

DUTY_NAMES = frozenset(str(duty) for duty in Duty)

Description = Annotated[str, StringConstraints(max_length=500)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Pem = Annotated[str, StringConstraints(max_length=65_536)]


class IdentityKind(StrEnum):
    """A `system` asks; a `person` may also decide, and counts once however many identities they own."""

    SYSTEM = "system"
    PERSON = "person"


class EnrollmentMethod(StrEnum):
    """Who makes the key pair."""

    CSR = "csr"
    GENERATED = "generated"


class Trust(StrEnum):
    """Whether strangers' software trusts the issuing CA."""

    PUBLIC = "public"
    PRIVATE = "private"


class Identity(Model):
    """A system or a person, known to the broker by this name."""

    kind: IdentityKind
    description: Description = ""
    person: PersonField | None = None
    keys: tuple[PublicKey, ...] = ()
    must_sign: bool = True
    """Whether its submissions must carry its signature; decisions always must."""
    permissions: dict[ApprovalGroupField, frozenset[Permission]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.kind is IdentityKind.PERSON) != (self.person is not None):
            raise ValueError("`person` is given for identities of kind person, and only for these")
        decides = any(Permission.DECIDE in permissions for permissions in self.permissions.values())
        if decides and self.kind is not IdentityKind.PERSON:
            raise ValueError("only an identity of kind person can have the permission decide")
        if (decides or (self.must_sign and self.submits)) and not self.keys:
            raise ValueError("it must sign, so it needs at least one key")
        return self

    @property
    def submits(self) -> bool:
        """Whether there is a group for which it may submit."""
        return any(Permission.SUBMIT in permissions for permissions in self.permissions.values())

    def may(self, permission: Permission, group: ApprovalGroupField) -> bool:
        """Whether it holds this permission for this approval group."""
        return permission in self.permissions.get(group, frozenset())


class DutyKeys(Model):
    """The public keys with which a duty signs evidence; several while one replaces another."""

    keys: Annotated[tuple[PublicKey, ...], Field(min_length=1)]


class ApprovalGroup(Model):
    """How a request is decided."""

    description: Description = ""
    quorum: Annotated[int, Field(ge=1, le=20)]
    """How many distinct people must approve."""
    approvals_stay_good_hours: Annotated[int, Field(ge=1, le=24 * 90)] = 24 * 14


class NameKinds(StrEnum):
    """Kinds of subject alternative names (RFC 5280 §4.2.1.6)."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"


class SubjectAltNameRules(Model):
    """Which subject alternative names a request may ask for."""

    kinds: Annotated[tuple[NameKinds, ...], Field(min_length=1)] = (NameKinds.DNS,)
    max_names: Annotated[int, Field(ge=1, le=250)] = 100
    dns_suffixes: tuple[str, ...] = ()
    """Where given, each DNS name equals one of these or ends in a dot and one of these."""


class ExtensionProfile(Model):
    """The X.509 v3 extensions of a certificate."""

    description: Description = ""
    extended_key_usage: Annotated[tuple[Literal["serverAuth", "clientAuth"], ...], Field(min_length=1)]
    subject_alternative_names: SubjectAltNameRules = SubjectAltNameRules()


class DnAttribute(Model):
    """One attribute of the subject, by short name or dotted OID."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    required: bool = False
    fixed: str | None = None
    pattern: str | None = None
    max_length: Annotated[int, Field(ge=1, le=32_768)] = 64


class DnProfile(Model):
    """The attributes that a subject may have, in their order."""

    description: Description = ""
    attributes: Annotated[tuple[DnAttribute, ...], Field(min_length=1)]


class SigningCertificate(Model):
    """The issuing CA configuration that a requester picks."""

    description: Description = ""
    ca: Literal["digicert"]
    trust: Trust
    certificate_file: FileName
    """The certificate imported from DigiCert: the proof that this product and intermediate go together."""
    intermediate_file: FileName
    product: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9_]{1,64}\z")]
    organization_id: Annotated[int, Field(ge=1)]
    ca_cert_id: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9]{1,64}\z")]
    enrollment_methods: frozenset[EnrollmentMethod] = frozenset({EnrollmentMethod.CSR})
    key_types: Annotated[frozenset[str], Field(min_length=1)]
    signature_hash: Literal["sha256", "sha384", "sha512"] = "sha256"
    max_validity_days: Annotated[int, Field(ge=1, le=3650)]
    approval_groups: Annotated[frozenset[ApprovalGroupField], Field(min_length=1)]
    extension_profiles: Annotated[frozenset[ExtensionProfileField], Field(min_length=1)]
    dn_profiles: Annotated[frozenset[DnProfileField], Field(min_length=1)]


class PolicyFile(Model):
    """`policy.toml`, whole."""

    version: Literal[1]
    """Of the file's format."""
    serial: Annotated[int, Field(ge=1)]
    """Rises with every change: a duty never goes back to a policy of a lower one."""
    duties: dict[Duty, DutyKeys]
    identities: dict[IdentityField, Identity]
    approval_groups: dict[ApprovalGroupField, ApprovalGroup]
    dn_profiles: dict[DnProfileField, DnProfile]
    extension_profiles: dict[ExtensionProfileField, ExtensionProfile]
    signing_certificates: dict[SigningCertificateField, SigningCertificate]
