"""`ra policy`: check a policy file before any duty reads it."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.frame import Desk, command
from shared.policy.policy import read_policy
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField

app = typer.Typer(help="Check policy files.", no_args_is_help=True)


class PolicyReport(Model):
    """A policy without mistakes."""

    digest: DigestField
    """Of the file and of the certificates that it names."""
    identities: tuple[str, ...]
    approval_groups: tuple[str, ...]
    signing_certificates: tuple[str, ...]


@command(app, "check")
def check(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy; it finds certificates beside itself.")],
) -> None:
    """Check a policy file and name every mistake in it. Offline."""
    policy = read_policy(file)
    report = PolicyReport(
        digest=policy.digest,
        identities=tuple(sorted(policy.file.identities)),
        approval_groups=tuple(sorted(policy.file.approval_groups)),
        signing_certificates=tuple(sorted(policy.file.signing_certificates)),
    )
    desk.screen.result(report)
    desk.screen.sheet(
        f"{file} has no mistakes",
        [
            ("Digest", report.digest),
            ("Identities", ", ".join(report.identities)),
            ("Approval groups", ", ".join(report.approval_groups)),
            ("Signing certificates", ", ".join(report.signing_certificates)),
        ],
    )
