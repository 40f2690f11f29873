"""`ra desk summary`: how many requests stand where."""

import typer

from services.desk.frame import Desk, command
from services.desk.views import group_name, state_name
from shared.vocabulary.states import State


def register(app: typer.Typer) -> None:
    """Add this command to `ra desk`."""
    command(app, "summary")(show_summary)


def show_summary(desk: Desk) -> None:
    """Show how many requests of your groups stand in each state, at this moment."""
    result = desk.ask(lambda client: client.summary())
    desk.screen.result(result)
    columns = ("state", *(group_name(group) for group in result.groups))
    rows = [(state_name(state), *(str(group.counts.get(state, 0)) for group in result.groups)) for state in State]
    desk.screen.listing(columns, rows, empty="You have no groups.")
    for group in result.groups:
        if not group.complete:
            desk.screen.say(f"Not all requests of {group.approval_group} are counted yet: these are numbers so far.")
