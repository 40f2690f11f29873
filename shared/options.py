"""What an identity may pick when it submits, and what it may fill in."""

from shared.contracts.replies import (
    ApprovalGroupOption,
    DnProfileOption,
    ExtensionProfileOption,
    GeneratedOption,
    OptionsResult,
    SigningCertificateOption,
)
from shared.policy.policy import Policy
from shared.vocabulary.names import ApprovalGroupName, IdentityName
from shared.vocabulary.permissions import Permission


def options_for(sender: IdentityName | None, policy: Policy) -> OptionsResult:
    """What this identity may pick; for `None`, everything that there is to pick."""
    file, identity = policy.file, None if sender is None else policy.identity(sender)

    def may(permission: Permission, group: ApprovalGroupName) -> bool:
        return sender is None or (identity is not None and identity.may(permission, group))

    groups = {name for name in file.approval_groups if may(Permission.SUBMIT, name)}
    signing = {
        name: certificate
        for name, certificate in sorted(file.signing_certificates.items())
        if certificate.approval_groups & groups and (sender is None or certificate.takes(sender))
    }
    extensions = {name for certificate in signing.values() for name in certificate.extension_profiles}
    dns = {name for certificate in signing.values() for name in certificate.dn_profiles}
    return OptionsResult(
        signing_certificates=tuple(
            SigningCertificateOption(
                name=name,
                description=certificate.description,
                trust=certificate.trust,
                approval_groups=tuple(sorted(certificate.approval_groups & groups)),
                extension_profiles=tuple(sorted(certificate.extension_profiles)),
                dn_profiles=tuple(sorted(certificate.dn_profiles)),
                enrollment_methods=tuple(sorted(certificate.enrollment_methods)),
                key_types=tuple(sorted(certificate.key_types)),
                signature_hashes=certificate.signature_hashes,
                max_validity_days=certificate.max_validity_days,
                generated=None
                if certificate.generates is None
                else GeneratedOption(**certificate.generates.model_dump()),
            )
            for name, certificate in signing.items()
        ),
        extension_profiles=tuple(
            ExtensionProfileOption(name=name, profile=file.extension_profiles[name]) for name in sorted(extensions)
        ),
        dn_profiles=tuple(DnProfileOption(name=name, profile=file.dn_profiles[name]) for name in sorted(dns)),
        approval_groups=tuple(
            ApprovalGroupOption(
                name=name,
                description=file.approval_groups[name].description,
                quorum=file.approval_groups[name].quorum,
                decide_within_hours=file.approval_groups[name].decide_within_hours,
                on_behalf=may(Permission.SUBMIT_ON_BEHALF, name),
            )
            for name in sorted(groups)
        ),
    )
