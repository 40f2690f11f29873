"""The part of the policy that applies to one request, as it is signed with it."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from shared.errors import RefusedError
from shared.policy.model import GeneratedRules, SigningCertificate, Trust
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model, is_none
from shared.vocabulary.names import (
    ApprovalGroupField,
    DigestField,
    DnProfileField,
    ExtensionProfileField,
    SigningCertificateField,
)
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.profiles import DnProfile, ExtensionProfile


class ResolvedPolicy(Model):
    """Everything that the policy says about one request, by value: two equal ones demand the same."""

    signing_certificate: SigningCertificateField
    approval_group: ApprovalGroupField
    extension_profile: ExtensionProfileField
    dn_profile: DnProfileField
    quorum: Annotated[int, Field(ge=1)]
    requester_counts: bool
    editor_may_approve: bool
    trust: Trust
    product: str
    organization_id: int
    container_id: int | None
    ca_cert_id: str
    intermediate: DigestField
    """Of the issuing CA certificate, DER."""
    key_types: tuple[str, ...]
    generated: GeneratedRules | None = Field(default=None, exclude_if=is_none)
    """For a key pair that the issuer makes; none for a CSR."""
    signature_hash: str
    max_validity_days: int
    extensions: ExtensionProfile
    dn: DnProfile


def resolve(
    policy: Policy,
    *,
    signing_certificate: SigningCertificateField,
    approval_group: ApprovalGroupField,
    extension_profile: ExtensionProfileField,
    dn_profile: DnProfileField,
    signature_hash: str | None = None,
    generated: bool = False,
) -> ResolvedPolicy:
    """The part of `policy` that these choices bring together; no hash means the signing certificate's first.

    `generated` says that the issuer is to make the key pair.

    Raises:
        RefusedError: a choice is unknown, or does not go with the signing certificate.
    """
    signing = policy.signing_certificate(signing_certificate)
    group = policy.group(approval_group)
    extensions = policy.extension_profile(extension_profile)
    dn = policy.dn_profile(dn_profile)
    choices = (
        ("signing-certificate", signing_certificate, signing, None),
        ("approval-group", approval_group, group, signing and signing.approval_groups),
        ("extension-profile", extension_profile, extensions, signing and signing.extension_profiles),
        ("dn-profile", dn_profile, dn, signing and signing.dn_profiles),
    )
    findings = [
        finding(f"request.unknown-{kind}", f"there is no {kind.replace('-', ' ')} of this name", value=name)
        if found is None
        else finding(
            f"request.{kind}-not-allowed",
            f"this {kind.replace('-', ' ')} does not go with signing certificate {signing_certificate}",
            value=name,
        )
        for kind, name, found, allowed in choices
        if found is None or (allowed is not None and name not in allowed)
    ]
    if signing is not None and signature_hash is not None and signature_hash not in signing.signature_hashes:
        text = f"{signing_certificate} is signed for with: {', '.join(signing.signature_hashes)}"
        findings.append(finding("request.signature-hash-not-allowed", text, value=signature_hash))
    rules = signing.generates if signing is not None and generated else None
    if signing is not None and generated and rules is None:
        findings.append(method_not_allowed(signing_certificate, signing, "generated"))
    if findings or signing is None or group is None or extensions is None or dn is None:
        raise RefusedError.of(findings)
    return ResolvedPolicy(
        signing_certificate=signing_certificate,
        approval_group=approval_group,
        extension_profile=extension_profile,
        dn_profile=dn_profile,
        quorum=group.quorum,
        requester_counts=group.requester_counts,
        editor_may_approve=group.editor_may_approve,
        trust=signing.trust,
        product=signing.product,
        organization_id=signing.organization_id,
        container_id=signing.container_id,
        ca_cert_id=signing.ca_cert_id,
        intermediate=policy.intermediates[signing_certificate].sha256,
        key_types=tuple(sorted(signing.key_types)),
        generated=rules,
        signature_hash=signature_hash or signing.signature_hashes[0],
        max_validity_days=signing.max_validity_days,
        extensions=extensions,
        dn=dn,
    )


def resolve_again(policy: Policy, signed: ResolvedPolicy) -> ResolvedPolicy:
    """What `policy` says of the choices that brought this about.

    Raises:
        RefusedError: a choice is not there any more, or does not go with the signing certificate any more.
    """
    return resolve(
        policy,
        signing_certificate=signed.signing_certificate,
        approval_group=signed.approval_group,
        extension_profile=signed.extension_profile,
        dn_profile=signed.dn_profile,
        signature_hash=signed.signature_hash,
        generated=signed.generated is not None,
    )


def method_not_allowed(name: str, signing: SigningCertificate, method: str) -> Finding:
    """Why a request of this method cannot be made to a signing certificate."""
    text = f"{name} allows: {', '.join(sorted(signing.enrollment_methods))}"
    return finding("request.method-not-allowed", text, value=method)


def check_pkcs12(encryption: Pkcs12Encryption, resolved: ResolvedPolicy) -> Iterator[Finding]:
    """Whether the PKCS#12 may be encrypted like this."""
    if encryption is Pkcs12Encryption.TRIPLE_DES and (resolved.generated is None or not resolved.generated.pkcs12_3des):
        text = "a PKCS#12 for old readers is not allowed here: leave the encryption as it is"
        yield finding("password.pkcs12-not-allowed", text, value=encryption)
