"""What a requester does: see what can be picked, follow requests, take them back, and fetch certificates."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.case_view import longest_validity
from services.desk.exits import usage
from services.desk.fields import dn_rows, extension_rows
from services.desk.files import STANDARD, named_by_message, write_output
from services.desk.frame import Desk, RequestArgument, WaitLimitOption, command, request_id
from services.desk.render import Rows, listed, safe
from services.desk.views import REQUEST_COLUMNS, request_row, show_status
from shared.contracts.replies import ApprovalGroupOption
from shared.vocabulary.formats import FILE_SUFFIXES, DownloadFormat
from shared.vocabulary.states import State


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    command(app, "options")(show_options)
    command(app, "status")(show_request)
    command(app, "list")(list_requests)
    command(app, "withdraw")(withdraw)
    command(app, "download")(download)


def show_options(desk: Desk) -> None:
    """Show what you may pick when you submit."""
    options = desk.ask(lambda client: client.options())
    desk.screen.result(options)
    if not options.signing_certificates:
        desk.screen.say("There is nothing that you may submit for; ask an operator for the permission.")
    for signing in options.signing_certificates:
        desk.screen.sheet(
            f"Signing certificate {signing.name}",
            [
                ("Description", safe(signing.description)),
                ("Trust", safe(signing.trust)),
                ("Approval groups", listed(signing.approval_groups)),
                ("Extension profiles", listed(signing.extension_profiles)),
                ("DN profiles", listed(signing.dn_profiles)),
                ("Enrollment methods", listed(signing.enrollment_methods)),
                ("Key types", safe(", ".join(signing.key_types))),
                ("Signature hashes", safe(", ".join(signing.signature_hashes))),
                ("Valid for at most", longest_validity(signing.trust, signing.max_validity_days)),
            ],
        )
    for group in options.approval_groups:
        desk.screen.sheet(f"Approval group {group.name}", _group(group))
    for subject in options.dn_profiles:
        desk.screen.sheet(f"DN profile {subject.name}", dn_rows(subject))
    for profile in options.extension_profiles:
        desk.screen.sheet(f"Extension profile {profile.name}", extension_rows(profile))


def _group(group: ApprovalGroupOption) -> Rows:
    return [
        ("Description", safe(group.description)),
        ("Quorum", str(group.quorum)),
        ("Decides within", f"{group.decide_within_hours} hours"),
        ("On behalf of others", "yes" if group.on_behalf else "no"),
    ]


def show_request(
    desk: Desk,
    *,
    request: RequestArgument,
    wait: Annotated[
        list[State] | None,
        typer.Option(
            "--wait",
            metavar="STATE",
            help=f"Wait for this state; may be repeated, to wait for any of several: {', '.join(State)}.",
        ),
    ] = None,
    limit: WaitLimitOption = 600.0,
) -> None:
    """Show where a request stands and how it came there."""
    if wait:
        status = desk.ask(lambda client: client.wait_for_state(request, wait, limit))
    else:
        status = desk.ask(lambda client: client.status(request))
    desk.screen.result(status)
    show_status(desk.screen, status)


def list_requests(
    desk: Desk,
    *,
    before: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to older ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List the requests you made or that were made for you, newest first."""
    page = desk.ask(lambda client: client.list_requests(before=before, limit=limit))
    desk.screen.result(page)
    desk.screen.listing(REQUEST_COLUMNS, map(request_row, page.requests), empty="You have no requests.")
    if page.more:
        desk.screen.say(f"There are more: ra list --before {page.requests[-1].request_id}")


def withdraw(desk: Desk, *, request: RequestArgument) -> None:
    """Take back a request that is not yet ordered."""
    result = desk.ask(lambda client: client.withdraw(request))
    desk.screen.result(result)
    desk.screen.say(f"Request {result.request_id} is {result.state}.")


def download(
    desk: Desk,
    *,
    request: RequestArgument,
    form: Annotated[
        DownloadFormat, typer.Option("--format", metavar="FORMAT", help=f"One of: {', '.join(DownloadFormat)}.")
    ] = DownloadFormat.PEM_X509,
    chain: Annotated[bool, typer.Option(help="With the intermediates; der-x509 has no room for them.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE|-", help="Where to write it; else the name that comes with it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")] = False,
) -> None:
    """Fetch an issued certificate. With --json and without -o, nothing is written: the content is in the JSON."""
    if desk.machine and output == STANDARD:
        raise usage("--json and -o - would both write to standard output")
    with_chain = chain and form is not DownloadFormat.DER_X509
    private = form is DownloadFormat.DER_PKCS12
    if private and output is None and not desk.machine:
        output = Path(f"{request}{FILE_SUFFIXES[form]}")
    if private and output is not None and output != STANDARD and output.exists() and not force:
        # The issuer may hand it out once only: whether it can be kept is looked at before.
        raise usage(f"{output} exists already and is left as it is")
    result = desk.ask(lambda client: client.download(request, form, chain=with_chain))
    if output is not None or not desk.machine:
        target = output or named_by_message(result.file_name)
        write_output(target, result.content, force=force, mode=0o600 if private else 0o666)
        if target != STANDARD:
            desk.screen.say(f"{target} is written, {len(result.content)} bytes of {result.media_type}.")
    desk.screen.result(result)
