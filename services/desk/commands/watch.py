"""`ra desk watch`: requests as they come."""

from typing import Annotated

import typer

from services.desk.frame import Desk, command
from services.desk.render import moment
from shared.client.client import RaClient
from shared.client.watching import ConnectionNews, News
from shared.clock import SystemClock
from shared.contracts.notices import DecisionAwaited

GroupOption = Annotated[str | None, typer.Option("--group", metavar="NAME", help="Only this approval group.")]


def register(app: typer.Typer) -> None:
    """Add this command to `ra desk`."""
    command(app, "watch")(watch)


def watch(desk: Desk, *, group: GroupOption = None) -> None:
    """Show what awaits your decision as it comes, until Control-C. What waits already is in `list`."""

    async def follow(client: RaClient) -> None:
        desk.screen.say("Watching for what awaits your decision; Control-C ends it.")
        async for news in client.watch():
            if isinstance(news, ConnectionNews) or group in (None, news.approval_group):
                desk.screen.result(news)
                desk.screen.say(told(news))

    desk.ask(follow)


def told(news: News) -> str:
    """A piece of news in one line."""
    now = moment(SystemClock().now())
    if isinstance(news, ConnectionNews):
        return f"{now}  The connection to the broker is {news.connection}."
    return f"{now}  {_request(news)}"


def _request(news: DecisionAwaited) -> str:
    by = ", ".join(news.requesters)
    return f"{news.why}  {news.request_id}  {news.approval_group}  {news.name}  {news.subject}  by {by}: {news.message}"
