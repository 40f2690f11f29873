"""`ra desk`: what an approver does."""

from collections.abc import Sequence
from typing import Annotated

import typer

from services.desk.case_view import show_case
from services.desk.exits import DeskError, Exit, Failure, ending, usage
from services.desk.frame import Desk, RequestArgument, RequestArguments, command, request_id
from services.desk.render import Screen
from services.desk.views import PENDING_COLUMNS, pending_row
from shared.client.case import ShownCase
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.contracts.replies import CaseResult, DecisionResult
from shared.errors import RefusedError
from shared.evidence.steps import DecisionKind
from shared.vocabulary.names import Digest

app = typer.Typer(help="Decide on requests.", no_args_is_help=True)

NoteOption = Annotated[str, typer.Option("--note", help="Why; it is signed with the decision.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
RevisionOption = Annotated[
    str | None,
    typer.Option(metavar="DIGEST", help="Decide only on this revision, as `show` printed it; for one request."),
]


@command(app, "list")
def list_pending(
    desk: Desk,
    *,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this approval group.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to younger ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List the requests that wait for a decision, oldest first."""
    page = desk.ask(lambda client: client.list_pending(approval_group=group, after=after, limit=limit))
    desk.screen.result(page)
    desk.screen.listing(PENDING_COLUMNS, map(pending_row, page.cases), empty="No request waits for a decision.")
    if page.more:
        desk.screen.say(f"There are more: ra desk list --after {page.cases[-1].request.request_id}")


@command(app, "show")
def show(desk: Desk, *, request: RequestArgument) -> None:
    """Show exactly what a decision on this request is signed for."""
    case, _ = _shown(desk, request, desk.screen)
    desk.screen.result(case)


@command(app, "approve")
def approve(
    desk: Desk,
    *,
    requests: RequestArguments,
    note: NoteOption = "",
    yes: YesOption = False,
    revision: RevisionOption = None,
) -> None:
    """Approve requests with your signature, each after having been shown and confirmed."""
    _decide_each(desk, requests, DecisionKind.APPROVE, note, yes=yes, revision=revision)


@command(app, "deny")
def deny(
    desk: Desk,
    *,
    requests: RequestArguments,
    note: NoteOption = "",
    yes: YesOption = False,
    revision: RevisionOption = None,
) -> None:
    """Deny requests with your signature, each after having been shown and confirmed. One denial is enough."""
    _decide_each(desk, requests, DecisionKind.DENY, note, yes=yes, revision=revision)


def _shown(desk: Desk, request: str, screen: Screen) -> tuple[CaseResult, Digest]:
    """The case, shown to the person, and the digest of what was shown."""

    async def look(client: RaClient) -> tuple[CaseResult, ShownCase]:
        case = await client.show_case(request)
        return case, client.read(case)

    case, shown = desk.ask(look)
    show_case(screen, case, shown)
    return case, shown.digest


def _decide_each(
    desk: Desk, requests: Sequence[str], kind: DecisionKind, note: str, *, yes: bool, revision: str | None
) -> None:
    """Each on its own: one that is refused keeps the next from nothing, and the first refusal is the exit status."""
    if revision is not None and len(requests) != 1:
        raise usage("--revision goes with exactly one request")
    refused: list[DeskError] = []
    for request in dict.fromkeys(requests):
        try:
            _decide(desk, request, kind, note, yes=yes, revision=revision)
        except (RefusedError, CommandRefusedError, DeskError) as error:
            end = ending(error)
            if end.status is not Exit.REFUSED or len(requests) == 1:
                raise
            desk.screen.failure(end.failure.model_copy(update={"message": f"{request}: {end.failure.message}"}))
            refused.append(end)
    if refused:
        raise typer.Exit(refused[0].status)


def _decide(desk: Desk, request: str, kind: DecisionKind, note: str, *, yes: bool, revision: str | None) -> None:
    desk.require_signer()
    case, digest = _shown(desk, request, desk.aside)
    if revision is not None and revision != digest:
        message = "The revision in force is another one than --revision says: look at the request again."
        raise DeskError(Exit.REFUSED, Failure(code="revision-differs", message=message))
    if not yes and not _confirmed(f"Sign that you {kind} this?"):
        desk.screen.say(f"Request {request} is left as it is.")
        return
    if kind is DecisionKind.APPROVE:
        result = desk.ask(lambda client: client.approve(case, note), signing=True)
    else:
        result = desk.ask(lambda client: client.deny(case, note), signing=True)
    desk.screen.result(result)
    desk.screen.say(_told(result, kind))


def _confirmed(question: str) -> bool:
    """The person's answer, asked for on standard error."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise usage("nothing was signed: there was no answer to the question; --yes does without it") from None


def _told(result: DecisionResult, kind: DecisionKind) -> str:
    if kind is DecisionKind.DENY:
        return f"Request {result.request_id} is {result.state}."
    told = f"Request {result.request_id} is {result.state}: {result.approvals} of {result.quorum} approvals."
    if not result.held_because:
        return told
    reasons = "; ".join(found.message for found in result.held_because)
    return f"{told} It waits, and goes on by itself: {reasons}."
