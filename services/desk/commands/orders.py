"""`ra orders`: what an operator sees of the orders at the CA, and decides where nobody else can."""

from typing import Annotated

import typer

from services.desk.commands.reconcile import reconcile
from services.desk.exits import usage
from services.desk.frame import Desk, RequestArgument, command, request_id
from services.desk.views import ORDER_COLUMNS, order_row, show_order
from shared.vocabulary.orders import OPEN_ORDERS, OrderState

app = typer.Typer(help="See what was ordered from the CA, settle what is unclear, and compare.", no_args_is_help=True)
command(app, "reconcile")(reconcile)


@command(app, "list")
def list_orders(
    desk: Desk,
    *,
    state: Annotated[
        list[OrderState] | None,
        typer.Option(
            metavar="STATE",
            help=f"Those in this state; may be repeated. One of: {', '.join(OrderState)}. Else those not at their end.",
        ),
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this approval group.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to younger ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List the orders of your groups, by default those that are not at their end."""
    page = desk.ask(
        lambda client: client.list_orders(approval_group=group, states=state or OPEN_ORDERS, after=after, limit=limit)
    )
    desk.screen.result(page)
    desk.screen.listing(ORDER_COLUMNS, map(order_row, page.orders), empty="There are no such orders.")
    if page.more:
        desk.screen.say(f"There are more: ra orders list --after {page.orders[-1].request_id}")


@command(app, "show")
def show(desk: Desk, *, request: RequestArgument) -> None:
    """Show where the order for a request stands, why, and what is to be done."""
    result = desk.ask(lambda client: client.show_order(request))
    desk.screen.result(result)
    show_order(desk.screen, result)


@command(app, "settle")
def settle(
    desk: Desk,
    *,
    request: RequestArgument,
    adopt: Annotated[
        int | None, typer.Option(metavar="ORDER", min=1, help="The CA's number of the order that is this request's.")
    ] = None,
    none: Annotated[
        bool, typer.Option("--none", help="None of the CA's orders is this request's: have it ordered again.")
    ] = False,
) -> None:
    """Settle an unclear order: say which one at the CA is the request's, or that none is."""
    if (adopt is None) is not none:
        raise usage("give exactly one of --adopt and --none")
    result = desk.ask(lambda client: client.settle_order(request, adopt=adopt))
    desk.screen.result(result)
    desk.screen.say(f"Accepted. The CA is asked once more and then it is done: ra orders show {result.request_id}")


@command(app, "fail")
def fail(
    desk: Desk,
    *,
    request: RequestArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; its requesters read this.")],
) -> None:
    """End a request for good that is approved and not issued, unless the CA has a live order of it."""
    result = desk.ask(lambda client: client.fail_order(request, reason=reason))
    desk.screen.result(result)
    desk.screen.say(f"Accepted. It ends unless the CA has a live order of it: ra orders show {result.request_id}")


@command(app, "resend")
def resend(desk: Desk, *, request: RequestArgument) -> None:
    """Have the issuer told once more of an approved request that its ledger does not know, after it was restored."""
    result = desk.ask(lambda client: client.resend_verdict(request))
    desk.screen.result(result)
    desk.screen.say(f"The issuer is told again. See what comes of it: ra orders show {result.request_id}")
