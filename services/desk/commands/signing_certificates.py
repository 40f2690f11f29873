"""`ra signing-certificates`: whether they go together with their products, and a policy officer's word that they do."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.desk.frame import Desk, command
from services.desk.passphrase import ask_passphrase
from services.desk.views import show_signing_certificate
from shared.attestations import attestations_file, read_attestations
from shared.client.profile import read_key
from shared.clock import SystemClock
from shared.errors import RefusedError
from shared.evidence.compatibility import attest, with_attestation
from shared.policy.compatibility import Combination
from shared.policy.policy import read_policy
from shared.vocabulary.findings import finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import SigningCertificateName


class _ListedByDefault(TyperGroup):
    """Without a command of its own, `ra signing-certificates` lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer has the type for itself
        """The arguments, with the command that is meant."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListedByDefault, help="See whether signing certificates go together with their products, and attest it."
)


@command(app, "list")
def list_signing_certificates(desk: Desk) -> None:
    """Show of each signing certificate whether it goes together with its product, why, and when the CA was asked."""
    result = desk.ask(lambda client: client.list_signing_certificates())
    desk.screen.result(result)
    for standing in result.signing_certificates:
        show_signing_certificate(desk.screen, standing)


class AttestingReport(Model):
    """What was attested."""

    combination: Combination
    until: date
    kid: str


@command(app, "attest")
def attest_combination(
    desk: Desk,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signing certificate.")],
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day; at most 92 days ahead.")
    ],
    file: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="The policy; it finds certificates beside itself.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Your own key as a policy officer, PKCS#8 PEM.")],
) -> None:
    """Attest, as a policy officer, that certificate, intermediate and product go together where the CA is silent.

    Offline. It counts for exactly this combination: what the CA says against it still counts more. It is kept beside
    the policy, in a file with .attestations at the end of its name, and counts as soon as approval and issuer have it.
    """
    policy, signing = read_policy(file), SigningCertificateName(name)
    if policy.signing_certificate(name) is None:
        text = "the policy has no such signing certificate"
        raise RefusedError(finding("attestation.signing-certificate-unknown", text, value=name))
    combination = Combination.of(policy, signing)
    signer = read_key(key, ask_passphrase)
    last = until.replace(tzinfo=UTC).date()
    token = attest(combination, last, signer, at=SystemClock().now())
    attestations = with_attestation(read_attestations(file), combination, token)
    attestations_file(file).write_bytes(attestations.canonical())
    report = AttestingReport(combination=combination, until=last, kid=signer.public.kid)
    desk.screen.result(report)
    desk.screen.say(f"{name} is attested until {last}: {combination.product} from {combination.ca_cert_id}.")
    desk.screen.say(f"Put {attestations_file(file).name} beside the policy where approval and issuer read it.")
