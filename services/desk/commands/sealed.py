"""`ra sealed`: which private keys the issuer holds, and how an operator erases them."""

from typing import Annotated

import typer

from services.desk.frame import Desk, RequestArgument, command, request_id
from shared.contracts.replies import SealedSummary

app = typer.Typer(
    help="See which private keys the issuer holds, not what is in them; erase them.", no_args_is_help=True
)
COLUMNS = ("Request", "Group", "What", "Since", "Erased by", "Opening key")


@command(app, "list")
def list_sealed(
    desk: Desk,
    *,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this approval group.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to younger ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List what is held for your groups: of which request, since when, and which opening key it needs."""
    page = desk.ask(lambda client: client.list_sealed(approval_group=group, after=after, limit=limit))
    desk.screen.result(page)
    desk.screen.listing(COLUMNS, map(_row, page.held), empty="Nothing is held.")
    if page.more:
        desk.screen.say(f"There are more: ra sealed list --after {page.held[-1].request_id}")


@command(app, "erase")
def erase(desk: Desk, *, request: RequestArgument) -> None:
    """Erase what is held of a request's private key, for good: nobody can get it again."""
    result = desk.ask(lambda client: client.erase_sealed(request))
    desk.screen.result(result)
    desk.screen.say(f"The {result.kind} of request {result.request_id} is erased.")


def _row(held: SealedSummary) -> tuple[str, ...]:
    erased = "" if held.erased_at is None else f"{held.erased_at:%Y-%m-%d %H:%M}"
    since = f"{held.since:%Y-%m-%d %H:%M}"
    return held.request_id, held.approval_group, str(held.kind), since, erased, held.opening_key
