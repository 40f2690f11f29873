"""`ra policy`: check a policy file before any duty reads it, and sign it as a policy officer."""

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.desk.choices import Choices
from services.desk.commands.picks import (
    ApprovalGroupPick,
    DnProfilePick,
    ExtensionProfilePick,
    SigningCertificatePick,
)
from services.desk.exits import Exit, usage
from services.desk.explaining import Explanation, content_of, explain
from services.desk.files import read_input
from services.desk.frame import Desk, command
from services.desk.passphrase import ask_passphrase
from services.desk.views import show_explanation
from shared.client.profile import read_key
from shared.clock import SystemClock
from shared.contracts.content import RequestContent
from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.evidence.dual_control import OFFICERS_NEEDED, sign_policy, with_signature
from shared.lint.worker import LintWorker
from shared.policy.policy import Policy, read_policy
from shared.signed_policy import read_signatures, signatures_file
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, IdentityName
from shared.x509.csr import parse_csr

LAST_YEAR = 2999

app = typer.Typer(help="Check policy files, and sign them as a policy officer.", no_args_is_help=True)


class PolicyReport(Model):
    """A policy without mistakes."""

    serial: int
    digest: DigestField
    """Of the file and of the certificates that it names."""
    identities: tuple[str, ...]
    approval_groups: tuple[str, ...]
    signing_certificates: tuple[str, ...]
    warnings: tuple[Finding, ...]


@command(app, "check")
def check(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy; it finds certificates beside itself.")],
) -> None:
    """Check a policy file and name every mistake in it, with its line. Offline.

    Warnings are about what is allowed and yet may not be meant; they do not keep a policy from being taken up.
    """
    policy = read_policy(file)
    report = PolicyReport(
        serial=policy.serial,
        digest=policy.digest,
        identities=tuple(sorted(policy.file.identities)),
        approval_groups=tuple(sorted(policy.file.approval_groups)),
        signing_certificates=tuple(sorted(policy.file.signing_certificates)),
        warnings=policy.warnings,
    )
    desk.screen.result(report)
    desk.screen.findings(report.warnings)
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


@command(app, "explain")
def explain_request(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy; it finds certificates beside itself.")],
    asked: Annotated[
        Path, typer.Argument(metavar="CSR|REQUEST|-", help="A CSR, or a whole request as JSON (see docs/messages.md).")
    ],
    sender: Annotated[
        str | None, typer.Option("--as", metavar="IDENTITY", help="Who asks; else that is not judged.")
    ] = None,
    on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="On which day; else today.")
    ] = None,
    signing_certificate: SigningCertificatePick = None,
    approval_group: ApprovalGroupPick = None,
    extension_profile: ExtensionProfilePick = None,
    dn_profile: DnProfilePick = None,
) -> None:
    """Say rule by rule what would happen to a request under a policy, and why. Offline.

    Not told, as only intake knows it: whether the key is known already. The status is 4 if it would be refused.
    """
    policy = read_policy(file)
    who = None if sender is None else IdentityName(sender)
    data = read_input(asked, limit=MAX_MESSAGE_BYTES)
    if data.lstrip().startswith(b"{"):
        if any((signing_certificate, approval_group, extension_profile, dn_profile)):
            raise usage("a whole request has its choices already: give them with a CSR only")
        content = RequestContent.read(data, code="submission.invalid")
    else:
        choices = Choices(signing_certificate, approval_group, extension_profile, dn_profile)
        content = content_of(parse_csr(data), choices, policy, who)
    if on is not None and on.year > LAST_YEAR:
        raise usage(f"--on {on.date()}: nothing is known of the time after {LAST_YEAR}")
    explanation = asyncio.run(_explain(content, policy, who, on.date() if on else SystemClock().now().date()))
    desk.screen.result(explanation)
    show_explanation(desk.screen, explanation)
    if not explanation.accepted:
        raise typer.Exit(Exit.REFUSED)


async def _explain(content: RequestContent, policy: Policy, sender: IdentityName | None, today: date) -> Explanation:
    linter = LintWorker()
    try:
        return await explain(content, policy, sender=sender, today=today, linter=linter)
    finally:
        await linter.aclose()


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
