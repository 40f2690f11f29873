"""`ra revoke` and `ra revocations`: have certificates revoked, see what waits, and confirm it."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.commands.campaigns import Wishes, carry_out
from services.desk.exits import usage
from services.desk.frame import Desk, RequestArgument, WaitLimitOption, certificate_name, command, request_id
from services.desk.passphrase import ask_passphrase
from services.desk.render import Rows, safe
from shared.contracts.replies import Revocation
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import OPEN_REVOCATIONS, CertificateState, Confirmation
from shared.vocabulary.states import State
from shared.x509.possession import Holder

app = typer.Typer(help="See which revocations are under way, and confirm those that wait.", no_args_is_help=True)
CAMPAIGNS = "Campaigns"
COLUMNS = ("Request", "State", "Reason", "Asked by", "Deadline", "Confirmed")
NoteOption = Annotated[str, typer.Option(help="Why; it is signed too.")]


CertificateArgument = Annotated[
    str,
    typer.Argument(metavar="REQUEST|SERIAL", parser=certificate_name, help="The request's id, or the serial number."),
]


def register(top: typer.Typer) -> None:
    """Add `ra revoke` to the program."""
    command(top, "revoke")(revoke)


def revoke(
    desk: Desk,
    *,
    certificate: Annotated[
        str | None,
        typer.Argument(
            metavar="REQUEST|SERIAL", parser=certificate_name, help="The request's id, or the serial number."
        ),
    ] = None,
    reason: Annotated[
        RevocationReason | None,
        typer.Option(
            case_sensitive=False,
            metavar="REASON",
            help=f"Why (RFC 5280 §5.3.1): {', '.join(RevocationReason)}. A CA may not take each of them.",
        ),
    ] = None,
    notes: Annotated[str, typer.Option(help="For the record, and for the CA.")] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The certificate's private key, if that is your right to this; it stays here. For keyCompromise only.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until the CA has revoked it; with --key, nothing is waited for.")
    ] = True,
    limit: WaitLimitOption = 120.0,
    campaign: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|QUERY",
            help="Many at once. With --dry-run: a file of request ids or serial numbers, one a line, or field=value "
            "pairs (group, issuer, key, requester, issued-after, issued-before). Else the campaign's own file.",
            rich_help_panel=CAMPAIGNS,
        ),
    ] = None,
    cap: Annotated[
        int | None, typer.Option(min=1, help="So many at most are meant.", rich_help_panel=CAMPAIGNS)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count, and with -o write the list.", rich_help_panel=CAMPAIGNS)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The campaign's file.", rich_help_panel=CAMPAIGNS),
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign it, as one of two people.", rich_help_panel=CAMPAIGNS)
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.", rich_help_panel=CAMPAIGNS)] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show how far it has come, to its end.", rich_help_panel=CAMPAIGNS)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what became of each, JSON lines.", rich_help_panel=CAMPAIGNS),
    ] = None,
) -> None:
    """Have an issued certificate revoked, for good; or many, on a list that two people sign."""
    if campaign is not None:
        if certificate is not None or key is not None:
            raise usage("a campaign goes by its list: name no certificate and no key besides")
        carry_out(desk, Wishes(campaign, reason, notes, cap, dry_run, output, sign, yes, watch, report))
        return
    if certificate is None or reason is None:
        raise usage("name a certificate and a --reason, or a --campaign")
    if cap is not None or dry_run or output or sign or yes or watch or report:
        raise usage("these options are for a --campaign; nothing was sent")
    _revoke_one(desk, certificate, reason, notes, key, wait=wait, limit=limit)


def _revoke_one(
    desk: Desk, certificate: str, reason: RevocationReason, notes: str, key: Path | None, *, wait: bool, limit: float
) -> None:
    holder = None if key is None else _holder(key)
    result = desk.ask(lambda client: client.revoke(certificate, reason, notes, holder=holder))
    desk.screen.say(f"The revocation of {result.certificate} is accepted: {result.reason}.")
    for other in result.same_key:
        text = f"{other.request_id} has the same key and is good until {other.not_after:%Y-%m-%d}: have it revoked too:"
        desk.screen.say(f"{text} ra revoke {other.request_id} --reason keyCompromise")
    request = result.request_id
    if result.awaits:
        desk.screen.result(result)
        desk.screen.say(f"It waits for {result.awaits} to confirm it: ra revocations confirm {request}")
        return
    if not wait or holder is not None or result.state is State.REVOKED:
        desk.screen.result(result)
        desk.screen.say(f"Request {request} is {result.state}.")
        return
    status = desk.ask(lambda client: client.wait_for_state(request, {State.REVOKED}, limit))
    desk.screen.result(result.model_copy(update={"state": status.request.state}))
    desk.screen.say(f"Request {request} is {status.request.state}.")


def _holder(path: Path) -> Holder:
    try:
        pem = path.expanduser().read_bytes()
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from None
    try:
        return Holder.of(pem, ask_passphrase(path).encode() if b"ENCRYPTED" in pem else None)
    except ValueError as error:
        raise usage(f"{path} holds no private key that can be read: {error}") from None


@command(app, "list")
def list_revocations(
    desk: Desk,
    *,
    state: Annotated[
        list[CertificateState] | None,
        typer.Option(metavar="STATE", help="Those in this state; may be repeated. Else those that are not done."),
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this approval group.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to younger ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List the revocations of your groups, by default those that are not done."""
    page = desk.ask(
        lambda client: client.list_revocations(
            approval_group=group, states=state or OPEN_REVOCATIONS, after=after, limit=limit
        )
    )
    desk.screen.result(page)
    desk.screen.listing(COLUMNS, map(_row, page.revocations), empty="There are no such revocations.")
    if page.more and page.revocations:
        desk.screen.say(f"There are more: ra revocations list --after {page.revocations[-1].request_id}")


@command(app, "show")
def show(desk: Desk, *, certificate: CertificateArgument) -> None:
    """Show where the revocation of a certificate stands, and why."""
    revocation = desk.ask(lambda client: client.show_revocation(certificate))
    desk.screen.result(revocation)
    desk.screen.sheet("Revocation", _rows(revocation))


@command(app, "confirm")
def confirm(
    desk: Desk,
    *,
    request: RequestArgument,
    note: NoteOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
) -> None:
    """Confirm a revocation that waits for this."""
    _say_of(desk, request, Confirmation.CONFIRM, note, yes=yes)


@command(app, "deny")
def deny(
    desk: Desk,
    *,
    request: RequestArgument,
    note: NoteOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
) -> None:
    """End a revocation that waits to be confirmed; the certificate stays good."""
    _say_of(desk, request, Confirmation.DENY, note, yes=yes)


def _say_of(desk: Desk, request: str, kind: Confirmation, note: str, *, yes: bool) -> None:
    desk.require_signer()
    shown = desk.ask(lambda client: client.show_revocation(request))
    desk.aside.sheet("Revocation", _rows(shown))
    if not yes and not typer.confirm(f"{kind.capitalize()} this revocation?", err=True):
        raise typer.Abort
    after = desk.ask(lambda client: client.confirm_revocation(shown, kind, note), signing=True)
    desk.screen.result(after)
    desk.screen.say(f"The revocation of {request} is {_state(after)}.")


def _state(revocation: Revocation) -> str:
    return "ended" if revocation.state is CertificateState.LIVE else str(revocation.state)


def _row(revocation: Revocation) -> tuple[str, ...]:
    return (
        revocation.request_id,
        str(revocation.state),
        str(revocation.reason),
        safe(revocation.by),
        f"{revocation.deadline:%Y-%m-%d %H:%M} UTC",
        f"{len(revocation.confirmed_by)}/{revocation.needed}",
    )


def _rows(revocation: Revocation) -> Rows:
    return [
        ("Request", revocation.request_id),
        ("Certificate", f"{revocation.serial_number}, {revocation.certificate}"),
        ("State", str(revocation.state)),
        ("Reason", f"{revocation.reason}: {revocation.reason.meaning}"),
        ("Notes", safe(revocation.notes) or "none"),
        ("Asked", f"{revocation.asked_at:%Y-%m-%d %H:%M} UTC by {safe(revocation.by)}"),
        ("Deadline", f"{revocation.deadline:%Y-%m-%d %H:%M} UTC"),
        (
            "Confirmed",
            f"{len(revocation.confirmed_by)} of {revocation.needed} {safe(', '.join(revocation.confirmed_by))}",
        ),
        *((found.code, safe(found.message)) for found in revocation.findings),
    ]
