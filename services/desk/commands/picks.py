"""The options by which a request picks what the policy offers."""

from typing import Annotated

import typer


def _pick(option: str, what: str) -> object:
    return typer.Option(option, metavar="NAME", help=f"{what}; not needed where there is only one to pick.")


SigningCertificatePick = Annotated[str | None, _pick("--signing-certificate", "The issuing CA configuration")]
ApprovalGroupPick = Annotated[str | None, _pick("--approval-group", "Who decides")]
ExtensionProfilePick = Annotated[str | None, _pick("--extension-profile", "The certificate's extensions")]
DnProfilePick = Annotated[str | None, _pick("--dn-profile", "The subject's form")]
