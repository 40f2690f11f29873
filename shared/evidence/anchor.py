"""The anchor: whom a verifier trusts. Without one, evidence can only be self-consistent."""

import operator
from base64 import b64decode, b64encode
from typing import Literal, Self

from pydantic import Field

from shared.errors import RefusedError
from shared.policy.model import Identity
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.keys import OpeningPublicKey, PublicKey
from shared.vocabulary.model import Model
from shared.vocabulary.names import (
    ApprovalGroupField,
    ApprovalGroupName,
    IdentityField,
    IdentityName,
    PersonField,
    PersonName,
    SigningCertificateField,
    SigningCertificateName,
)
from shared.vocabulary.permissions import Permission


class AnchoredIdentity(Model):
    """An identity, the person behind it, its keys, and the groups for which it may decide and edit."""

    person: PersonField | None = None
    keys: tuple[PublicKey, ...] = ()
    must_sign: bool = True
    decides: tuple[ApprovalGroupField, ...] = ()
    edits: tuple[ApprovalGroupField, ...] = ()


class AnchoredGroup(Model):
    """A group's quorum, whether requesters and editors count in it, and how long approvals stay good."""

    quorum: int
    requester_counts: bool = False
    editor_may_approve: bool = False
    approvals_stay_good_hours: int


class Anchor(Model):
    """Keys, people, groups and issuing CAs that a verifier takes for given."""

    format: Literal["countersign-anchor/1"] = "countersign-anchor/1"
    duties: dict[Duty, tuple[PublicKey, ...]]
    identities: dict[IdentityField, AnchoredIdentity]
    approval_groups: dict[ApprovalGroupField, AnchoredGroup]
    intermediates: dict[SigningCertificateField, str]
    """Of each signing certificate: the issuing CA certificate, DER in base64."""
    opening_keys: tuple[OpeningPublicKey, ...] = Field(default=(), exclude_if=operator.not_)
    """To which passwords are sealed for the issuer."""

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """What this policy lets a verifier trust."""
        return cls(
            opening_keys=policy.opening_keys,
            duties={duty: keys.keys for duty, keys in policy.file.duties.items()},
            identities={
                name: AnchoredIdentity(
                    person=identity.person,
                    keys=identity.keys,
                    must_sign=identity.must_sign,
                    decides=_groups(identity, Permission.DECIDE),
                    edits=_groups(identity, Permission.EDIT),
                )
                for name, identity in policy.file.identities.items()
            },
            approval_groups={
                name: AnchoredGroup(
                    quorum=group.quorum,
                    requester_counts=group.requester_counts,
                    editor_may_approve=group.editor_may_approve,
                    approvals_stay_good_hours=group.approvals_stay_good_hours,
                )
                for name, group in policy.file.approval_groups.items()
            },
            intermediates={
                name: b64encode(certificate.der).decode() for name, certificate in policy.intermediates.items()
            },
        )

    def keys_of(self, identity: str) -> tuple[PublicKey, ...]:
        """The keys with which this identity may sign."""
        known = self.identities.get(IdentityName(identity)) if identity else None
        return known.keys if known else ()

    def person_of(self, identity: str) -> PersonName | None:
        """The person who owns this identity."""
        known = self.identities.get(IdentityName(identity))
        return known.person if known else None

    def intermediate(self, signing_certificate: str) -> bytes:
        """The issuing CA certificate of a signing certificate, DER.

        Raises:
            RefusedError: `evidence.signing-certificate-unknown`.
        """
        encoded = self.intermediates.get(SigningCertificateName(signing_certificate))
        if encoded is None:
            raise RefusedError(
                finding(
                    "evidence.signing-certificate-unknown",
                    "the anchor has no signing certificate of this name",
                    value=signing_certificate,
                )
            )
        return b64decode(encoded)


def _groups(identity: Identity, permission: Permission) -> tuple[ApprovalGroupName, ...]:
    return tuple(sorted(group for group, permissions in identity.permissions.items() if permission in permissions))
