"""The policy in force: parsed, cross-checked, with the certificates it names."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import RefusedError
from shared.policy.checking import Draft, Places, cross_check, draft_of
from shared.policy.model import ApprovalGroup, Identity, PolicyFile, SigningCertificate
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding, refuses
from shared.vocabulary.keys import OpeningPublicKey, PublicKey
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import (
    ApprovalGroupName,
    Digest,
    DnProfileName,
    ExtensionProfileName,
    IdentityName,
    PersonName,
    SigningCertificateName,
)
from shared.vocabulary.permissions import Permission
from shared.x509.certificate import IssuedCertificate, parse_certificate, was_issued_by
from shared.x509.profiles import DnProfile, ExtensionProfile

ReadFile = Callable[[str], bytes]
"""Gives the bytes of a file that the policy names."""


@dataclass(frozen=True)
class Policy:
    """The policy in force and the certificates it names, by signing certificate."""

    file: PolicyFile
    digest: Digest
    """Of the policy file's own bytes and of the certificates it names."""
    imported: Mapping[SigningCertificateName, IssuedCertificate]
    intermediates: Mapping[SigningCertificateName, IssuedCertificate]
    warnings: tuple[Finding, ...] = ()
    """What an operator should know of, though the policy is good."""

    @property
    def serial(self) -> int:
        """Rises with every change."""
        return self.file.serial

    def identity(self, name: str) -> Identity | None:
        """The identity of this name, if the policy has one."""
        return self.file.identities.get(IdentityName(name))

    def group(self, name: str) -> ApprovalGroup | None:
        """The approval group of this name."""
        return self.file.approval_groups.get(ApprovalGroupName(name))

    def signing_certificate(self, name: str) -> SigningCertificate | None:
        """The signing certificate of this name."""
        return self.file.signing_certificates.get(SigningCertificateName(name))

    def extension_profile(self, name: str) -> ExtensionProfile | None:
        """The extension profile of this name."""
        return self.file.extension_profiles.get(ExtensionProfileName(name))

    def dn_profile(self, name: str) -> DnProfile | None:
        """The DN profile of this name."""
        return self.file.dn_profiles.get(DnProfileName(name))

    def duty_keys(self, duty: Duty) -> tuple[PublicKey, ...]:
        """The keys with which this duty may sign."""
        return self.file.duties[duty].keys

    @property
    def opening_keys(self) -> tuple[OpeningPublicKey, ...]:
        """Those to which passwords are sealed now."""
        return tuple(each.key for each in self.file.opening_keys if not each.retired)

    def person_of(self, name: str) -> PersonName | None:
        """The person who owns this identity; `None` for systems and strangers."""
        identity = self.identity(name)
        return identity.person if identity else None

    def groups_of(self, name: str, *permissions: Permission) -> list[ApprovalGroupName]:
        """The approval groups for which this identity holds at least one of these permissions, sorted."""
        known = self.identity(name)
        if known is None:
            return []
        groups = sorted(self.file.approval_groups)
        return [group for group in groups if any(known.may(permission, group) for permission in permissions)]

    def deciders(self, group: str) -> frozenset[IdentityName]:
        """The identities that may decide for this approval group today."""
        return frozenset(
            name
            for name, identity in self.file.identities.items()
            if identity.may(Permission.DECIDE, ApprovalGroupName(group))
        )


def parse_policy(text: bytes, read_file: ReadFile) -> Policy:
    """The policy that this TOML text and the certificate files it names make.

    Raises:
        RefusedError: with every mistake found, each saying where it is; warnings are among the findings too.
    """
    try:
        decoded = text.decode()
        parsed = tomllib.loads(decoded)
    except (ValueError, RecursionError) as error:  # also of a number, or of nesting, beyond all measure
        raise RefusedError(finding("policy.not-toml", str(error))) from None
    draft, findings = draft_of(parsed, Places(decoded))
    findings += cross_check(draft)
    certificates, unreadable = _certificates(draft, read_file)
    findings += unreadable
    if refuses(findings):
        raise RefusedError.of(findings)
    seen = b"".join(pair[0].der + pair[1].der for pair in certificates.values())
    return Policy(
        file=PolicyFile.model_validate(parsed),
        digest=digest_of(text + seen),
        imported={name: pair[0] for name, pair in certificates.items()},
        intermediates={name: pair[1] for name, pair in certificates.items()},
        warnings=tuple(findings),
    )


def _certificates(
    draft: Draft, read_file: ReadFile
) -> tuple[dict[SigningCertificateName, tuple[IssuedCertificate, IssuedCertificate]], list[Finding]]:
    pairs = {}
    findings: list[Finding] = []
    for name, signing in draft.entries["signing_certificates"].items():
        path = ("signing_certificates", name)
        imported, intermediate = (
            _certificate(draft.places.of(*path, field), getattr(signing, field), read_file, findings)
            for field in ("certificate_file", "intermediate_file")
        )
        if imported is None or intermediate is None:
            continue
        if not intermediate.is_ca:
            text = f"{draft.places.of(*path, 'intermediate_file')}: this is no CA certificate"
            findings.append(finding("policy.not-a-ca", text, value=signing.intermediate_file))
        elif not was_issued_by(imported, intermediate):
            text = f"{draft.places.of(*path)}: the intermediate given with it did not sign the imported certificate"
            findings.append(finding("policy.imported-not-issued-by-intermediate", text, value=name))
        pairs[SigningCertificateName(name)] = (imported, intermediate)
    return pairs, findings


def _certificate(where: str, name: str, read_file: ReadFile, findings: list[Finding]) -> IssuedCertificate | None:
    try:
        return parse_certificate(read_file(name))
    except RefusedError as error:
        findings += [finding(found.code, f"{where}: {found.message}") for found in error.findings]
        return None


def read_policy(path: Path) -> Policy:
    """The policy in this file, with the certificate files it names, relative to its own folder.

    Raises:
        RefusedError: with every mistake found, each saying where it is.
    """
    return parse_policy(_read(path), lambda name: _read(path.parent / name))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RefusedError(finding("policy.unreadable", f"{path.name}: {error.strerror}")) from None
