"""What to submit with: the choices that were made, and those that there is only one way to make."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.desk.exits import usage
from shared.contracts.replies import OptionsResult
from shared.x509.csr import VerifiedCsr

MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Choices:
    """The four choices of a submission; None where none was made."""

    signing_certificate: str | None
    approval_group: str | None
    extension_profile: str | None
    dn_profile: str | None

    @property
    def complete(self) -> bool:
        """Whether all four are made."""
        return None not in (self.signing_certificate, self.approval_group, self.extension_profile, self.dn_profile)


def completed(made: Choices, options: OptionsResult) -> Choices:
    """The choices made, and where the options leave exactly one, that one.

    Raises:
        DeskError: there are several, or none; the message lists them.
    """
    offered = {str(option.name): option for option in options.signing_certificates}
    name = made.signing_certificate or _only("--signing-certificate", list(offered))
    if name not in offered:
        raise usage(f"you may not pick signing certificate {name}; it is one of: {_all(list(offered))}")
    signing = offered[name]
    return Choices(
        signing_certificate=name,
        approval_group=made.approval_group or _only("--approval-group", signing.approval_groups),
        extension_profile=made.extension_profile or _only("--extension-profile", signing.extension_profiles),
        dn_profile=made.dn_profile or _only("--dn-profile", signing.dn_profiles),
    )


def name_of(csr: VerifiedCsr) -> str:
    """What the request is called unless somebody says otherwise: its CN, or else its first name.

    Raises:
        DeskError: it has neither.
    """
    names = [csr.subject.common_name, *csr.names.dns, *csr.names.ip, *csr.names.email, *csr.names.uri]
    for name in names:
        if name:
            return name[:MAX_NAME_LENGTH]
    raise usage("the CSR has no name that the request could be called by: give it one with --name")


def _only(option: str, offered: Sequence[str]) -> str:
    if len(offered) == 1:
        return offered[0]
    if not offered:
        raise usage(f"{option}: there is nothing that you may pick; ask an operator for the permission to submit")
    raise usage(f"{option} is needed; it is one of: {_all(offered)}")


def _all(offered: Sequence[str]) -> str:
    return ", ".join(offered) or "none"
