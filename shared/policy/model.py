"""The policy file as strict models; `deploy/policy/policy.toml` explains each field to operators."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from shared.password_policy import PasswordRules
from shared.vocabulary.duties import Duty
from shared.vocabulary.keys import OpeningPublicKey, PublicKey
from shared.vocabulary.model import Model, is_none
from shared.vocabulary.names import (
    ApprovalGroupField,
    DnProfileField,
    EmailAddress,
    ExtensionProfileField,
    IdentityField,
    PersonField,
    SigningCertificateField,
)
from shared.vocabulary.permissions import Permission
from shared.vocabulary.reasons import RevocationReason
from shared.x509.profiles import Description, DnProfile, ExtensionProfile

DUTY_NAMES = frozenset(str(duty) for duty in Duty)

FileName = Annotated[str, StringConstraints(pattern=r"\A[^\x00-\x1f\x7f]{1,500}\z")]


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


class SignatureHash(StrEnum):
    """The hash with which the CA signs."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class Identity(Model):
    """A system or a person, known to the broker by this name."""

    kind: IdentityKind
    description: Description = ""
    person: PersonField | None = None
    keys: tuple[PublicKey, ...] = ()
    must_sign: StrictBool = True
    """Whether its submissions must carry its signature; edits and decisions always must."""
    emails: Annotated[tuple[EmailAddress, ...], Field(max_length=10)] = ()
    """Where it is told by mail."""
    permissions: dict[ApprovalGroupField, frozenset[Permission]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.kind is IdentityKind.PERSON) != (self.person is not None):
            raise ValueError("`person` is given for identities of kind person, and only for these")
        held = frozenset(permission for permissions in self.permissions.values() for permission in permissions)
        decides = bool(held & {Permission.DECIDE, Permission.EDIT})
        if decides and self.kind is not IdentityKind.PERSON:
            raise ValueError("only an identity of kind person can have the permissions decide and edit")
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
    """How a request is decided. Who may do what for it stands with the identities, as their permissions."""

    description: Description = ""
    quorum: Annotated[StrictInt, Field(ge=1, le=20)]
    """How many distinct people must approve."""
    requester_counts: StrictBool = False
    """Whether a requester who may decide counts as an approver of the own request."""
    editor_may_approve: StrictBool = False
    """Whether whoever edited a request may approve it."""
    decide_within_hours: Annotated[StrictInt, Field(ge=1, le=24 * 90)] = 24 * 14
    """Without a quorum by then, a request expires."""
    reminders_hours: Annotated[tuple[Annotated[StrictInt, Field(ge=1)], ...], Field(max_length=10)] = ()
    """How long after a request came the approvers are reminded of it."""
    approvals_stay_good_hours: Annotated[StrictInt, Field(ge=1, le=24 * 90)] = 24 * 14

    revocation_approvals: dict[RevocationReason, Annotated[StrictInt, Field(ge=1, le=20)]] = Field(default_factory=dict)
    """How many people must confirm a revocation, by its reason, before it is sent; nobody for those not named."""

    @model_validator(mode="after")
    def _lets_no_key_wait(self) -> Self:
        if RevocationReason.KEY_COMPROMISE in self.revocation_approvals:
            raise ValueError("a revocation for keyCompromise waits for nobody: leave it out of `revocation_approvals`")
        return self

    @model_validator(mode="after")
    def _reminds_in_time(self) -> Self:
        if list(self.reminders_hours) != sorted(set(self.reminders_hours)):
            raise ValueError("`reminders_hours` rise from one to the next")
        if self.reminders_hours and self.reminders_hours[-1] >= self.decide_within_hours:
            raise ValueError("the last of `reminders_hours` comes before `decide_within_hours`")
        return self


class OpeningKey(Model):
    """A key with which the issuer opens sealed passwords."""

    key: OpeningPublicKey
    retired: StrictBool = False
    """Whether nothing is sealed to it any more; the issuer keeps it for as long as a request is open that was."""


class GeneratedRules(Model):
    """What applies to key pairs that the issuer makes."""

    password_min_length: Annotated[StrictInt, Field(ge=8, le=128)] = 16
    password_min_score: Annotated[StrictInt, Field(ge=0, le=4)] = 3
    """How hard a password must be to guess, by zxcvbn: from 0 to 4."""
    pkcs12_3des: StrictBool = False
    """Whether a requester may ask for the weak encryption that old readers need."""
    erase_after_download: StrictBool = True
    """Whether the PKCS#12 is handed out once only, and erased then."""
    erase_after_hours: Annotated[StrictInt, Field(ge=1, le=24 * 365)] | None = 24 * 14
    """How long after the issue it is erased at the latest."""

    @model_validator(mode="after")
    def _erases(self) -> Self:
        if not self.erase_after_download and self.erase_after_hours is None:
            raise ValueError("the PKCS#12 is erased after its download, or after some hours, or both")
        return self

    @property
    def password(self) -> PasswordRules:
        """What a password must be."""
        return PasswordRules(min_length=self.password_min_length, min_score=self.password_min_score)


class SigningCertificate(Model):
    """The issuing CA configuration that a requester picks."""

    description: Description = ""
    ca: Literal["digicert"]
    trust: Trust
    certificate_file: FileName
    """The certificate imported from DigiCert: the proof that this product and intermediate go together."""
    intermediate_file: FileName
    product: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9_]{1,64}\z")]
    organization_id: Annotated[StrictInt, Field(ge=1, lt=10**18)]
    container_id: Annotated[StrictInt, Field(ge=1, lt=10**18)] | None = None
    """The CA's container (division) under which it is ordered; without it the API key's own."""
    ca_cert_id: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9]{1,64}\z")]
    enrollment_methods: frozenset[EnrollmentMethod] = frozenset({EnrollmentMethod.CSR})
    generated: GeneratedRules | None = Field(default=None, exclude_if=is_none)
    """For enrollment method `generated`; without it, the usual rules."""
    key_types: Annotated[frozenset[str], Field(min_length=1)]
    signature_hashes: Annotated[tuple[SignatureHash, ...], Field(min_length=1, max_length=3)] = (SignatureHash.SHA256,)
    """With which the CA may sign; the first is what a request gets that names none."""
    max_validity_days: Annotated[StrictInt, Field(ge=1, le=3650)]
    approval_groups: Annotated[frozenset[ApprovalGroupField], Field(min_length=1)]
    extension_profiles: Annotated[frozenset[ExtensionProfileField], Field(min_length=1)]
    dn_profiles: Annotated[frozenset[DnProfileField], Field(min_length=1)]
    submitters: frozenset[IdentityField] | None = None
    """Where given, only these identities may submit to it."""

    @property
    def generates(self) -> GeneratedRules | None:
        """The rules for key pairs that the issuer makes; none where it makes none."""
        if EnrollmentMethod.GENERATED not in self.enrollment_methods:
            return None
        return self.generated or GeneratedRules()

    def takes(self, sender: str) -> bool:
        """Whether this identity may submit to it, as far as it has a say."""
        return self.submitters is None or sender in self.submitters


class PolicyFile(Model):
    """`policy.toml`, whole."""

    version: Literal[1]
    """Of the file's format."""
    serial: Annotated[StrictInt, Field(ge=1, lt=10**18)]
    """Rises with every change: a duty never goes back to a policy of a lower one."""
    operated_by_subscriber: StrictBool = False
    """Whether those who run this RA are the subscriber of its certificates themselves: nobody else may make the key
    pairs of publicly trusted ones (BR 6.1.1.3)."""
    duties: dict[Duty, DutyKeys]
    opening_keys: Annotated[tuple[OpeningKey, ...], Field(max_length=20)] = ()
    """To which passwords are sealed for the issuer."""
    identities: dict[IdentityField, Identity]
    approval_groups: dict[ApprovalGroupField, ApprovalGroup]
    dn_profiles: dict[DnProfileField, DnProfile]
    extension_profiles: dict[ExtensionProfileField, ExtensionProfile]
    signing_certificates: dict[SigningCertificateField, SigningCertificate]
