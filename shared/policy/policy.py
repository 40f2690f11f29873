"""The policy in force: parsed, cross-checked, with the certificates it names."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from shared.errors import RefusedError
from shared.policy.model import (
    DUTY_NAMES,
    ApprovalGroup,
    DnProfile,
    EnrollmentMethod,
    ExtensionProfile,
    Identity,
    IdentityKind,
    NameKinds,
    PolicyFile,
    SigningCertificate,
)
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import digest_of, mistakes
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
from shared.x509.keys import KEY_TYPES

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

    def person_of(self, name: str) -> PersonName | None:
        """The person who owns this identity; `None` for systems and strangers."""
        identity = self.identity(name)
        return identity.person if identity else None

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
        RefusedError: with every mistake found, each saying where it is.
    """
    try:
        parsed = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(finding("policy.not-toml", str(error))) from None
    try:
        file = PolicyFile.model_validate(parsed, strict=False)
    except ValidationError as error:
        raise RefusedError.of(mistakes(error, code="policy.invalid")) from None
    findings = list(_cross_check(file))
    certificates, unreadable = _certificates(file, read_file)
    findings += unreadable
    if findings:
        raise RefusedError.of(findings)
    seen = b"".join(pair[0].der + pair[1].der for pair in certificates.values())
    return Policy(
        file=file,
        digest=digest_of(text + seen),
        imported={name: pair[0] for name, pair in certificates.items()},
        intermediates={name: pair[1] for name, pair in certificates.items()},
    )


def _certificates(
    file: PolicyFile, read_file: ReadFile
) -> tuple[dict[SigningCertificateName, tuple[IssuedCertificate, IssuedCertificate]], list[Finding]]:
    pairs = {}
    findings: list[Finding] = []
    for name, signing in file.signing_certificates.items():
        where = f"signing_certificates.{name}"
        imported = _certificate(f"{where}.certificate_file", signing.certificate_file, read_file, findings)
        intermediate = _certificate(f"{where}.intermediate_file", signing.intermediate_file, read_file, findings)
        if imported is None or intermediate is None:
            continue
        if not intermediate.is_ca:
            findings.append(finding("policy.not-a-ca", f"{where}.intermediate_file: this is no CA certificate"))
        elif not was_issued_by(imported, intermediate):
            findings.append(
                finding(
                    "policy.imported-not-issued-by-intermediate",
                    f"{where}: the imported certificate was not signed by the intermediate given with it",
                )
            )
        pairs[name] = (imported, intermediate)
    return pairs, findings


def _certificate(where: str, name: str, read_file: ReadFile, findings: list[Finding]) -> IssuedCertificate | None:
    try:
        return parse_certificate(read_file(name))
    except RefusedError as error:
        findings += [finding(found.code, f"{where}: {found.message}") for found in error.findings]
        return None


def _cross_check(file: PolicyFile) -> Iterator[Finding]:
    yield from _check_duties(file)
    for name, identity in file.identities.items():
        where = f"identities.{name}"
        if name in DUTY_NAMES:
            yield finding("policy.identity-named-as-duty", f"{where}: this name belongs to a duty")
        yield from _unknown(where + ".permissions", identity.permissions, file.approval_groups, "approval group")
    for group, rules in file.approval_groups.items():
        people = {
            identity.person
            for identity in file.identities.values()
            if identity.kind is IdentityKind.PERSON and identity.may(Permission.DECIDE, group)
        }
        if len(people) < rules.quorum:
            yield finding(
                "policy.quorum-out-of-reach",
                f"approval_groups.{group}: {len(people)} people may decide, but the quorum is {rules.quorum}",
            )
    for profile_name, profile in file.dn_profiles.items():
        for attribute in profile.attributes:
            if attribute.pattern is not None and not _compiles(attribute.pattern):
                yield finding(
                    "policy.pattern-invalid",
                    f"dn_profiles.{profile_name}.{attribute.type}: this pattern is no regular expression",
                    value=attribute.pattern,
                )
    for certificate, signing in file.signing_certificates.items():
        yield from _check_signing_certificate(f"signing_certificates.{certificate}", signing, file)


def _check_duties(file: PolicyFile) -> Iterator[Finding]:
    for duty in Duty:
        if duty not in file.duties:
            yield finding("policy.duty-without-key", f"duties.{duty}: its public key is missing")
    owners: dict[str, str] = {}
    everyone: list[tuple[str, tuple[PublicKey, ...]]] = [
        *((f"duties.{duty}", keys.keys) for duty, keys in file.duties.items()),
        *((f"identities.{name}", identity.keys) for name, identity in file.identities.items()),
    ]
    for owner, keys in everyone:
        for key in keys:
            if owners.setdefault(key.kid, owner) != owner:
                yield finding("policy.key-shared", f"{owner}: this key is also that of {owners[key.kid]}", value=key.x)


def _check_signing_certificate(where: str, signing: SigningCertificate, file: PolicyFile) -> Iterator[Finding]:
    yield from _unknown(where, signing.approval_groups, file.approval_groups, "approval group")
    yield from _unknown(where, signing.extension_profiles, file.extension_profiles, "extension profile")
    yield from _unknown(where, signing.dn_profiles, file.dn_profiles, "DN profile")
    yield from _unknown(where + ".key_types", signing.key_types, KEY_TYPES, "key type")
    for name in sorted(signing.extension_profiles & file.extension_profiles.keys()):
        profile = file.extension_profiles[name]
        if "serverAuth" not in profile.extended_key_usage:
            yield finding(
                "policy.usage-not-deliverable",
                f"{where}: the CA puts serverAuth into every TLS certificate, but extension profile {name} has it not",
                value=", ".join(profile.extended_key_usage),
            )
        kinds = profile.subject_alternative_names.kinds
        if set(kinds) != {NameKinds.DNS}:
            yield finding(
                "policy.names-not-deliverable",
                f"{where}: only DNS names can be ordered, but extension profile {name} allows others",
                value=", ".join(kinds),
            )
    if signing.enrollment_methods != {EnrollmentMethod.CSR}:
        yield finding("policy.method-not-available", f"{where}: this version knows the enrollment method csr only")


def _unknown(where: str, names: Iterable[str], known: Iterable[str], kind: str) -> Iterator[Finding]:
    for name in sorted(set(names) - set(known)):
        yield finding("policy.unknown-reference", f"{where}: there is no {kind} of this name", value=name)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


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
