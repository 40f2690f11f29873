"""`ra policy`: check a policy file before any duty reads it, and sign it as a policy officer."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.frame import Desk, command
from services.desk.passphrase import ask_passphrase
from shared.client.profile import read_key
from shared.clock import SystemClock
from shared.evidence.dual_control import OFFICERS_NEEDED, sign_policy, with_signature
from shared.policy.policy import read_policy
from shared.signed_policy import read_signatures, signatures_file
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField

app = typer.Typer(help="Check policy files, and sign them as a policy officer.", no_args_is_help=True)


class PolicyReport(Model):
    """A policy without mistakes."""

    serial: int
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
        serial=policy.serial,
        digest=policy.digest,
        identities=tuple(sorted(policy.file.identities)),
        approval_groups=tuple(sorted(policy.file.approval_groups)),
        signing_certificates=tuple(sorted(policy.file.signing_certificates)),
    )
    desk.screen.result(report)
    desk.screen.sheet(
        f"{file} has no mistakes",
        [
            ("Serial", str(report.serial)),
            ("Digest", report.digest),
            ("Identities", ", ".join(report.identities)),
            ("Approval groups", ", ".join(report.approval_groups)),
            ("Signing certificates", ", ".join(report.signing_certificates)),
        ],
    )


class SigningReport(Model):
    """What was signed, and by how many keys this version is signed now."""

    serial: int
    digest: DigestField
    kid: str
    signatures: int


@command(app, "sign")
def sign(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy; it finds certificates beside itself.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Your own key as a policy officer, PKCS#8 PEM.")],
) -> None:
    """Sign a policy as a policy officer. Offline. Duties take it up once two officers have signed the same bytes.

    The signatures are kept beside the policy, in a file with .signatures at the end of its name.
    """
    policy = read_policy(file)
    signer = read_key(key, ask_passphrase)
    token = sign_policy(policy, signer, at=SystemClock().now())
    signatures = with_signature(read_signatures(file), policy, token, key=signer.public)
    signatures_file(file).write_bytes(signatures.canonical())
    report = SigningReport(
        serial=policy.serial, digest=policy.digest, kid=signer.public.kid, signatures=len(signatures.signatures)
    )
    desk.screen.result(report)
    missing = max(0, OFFICERS_NEEDED - report.signatures)
    desk.screen.say(f"{file}, serial {report.serial}, is signed by {report.signatures}.")
    desk.screen.say(
        f"{missing} more must sign it before a duty takes it up."
        if missing
        else "Put both files where the duties read them, and send each duty SIGHUP."
    )
