"""`ra desk summary`: how many requests stand where."""

import typer

from services.desk.frame import Desk, command
from shared.contracts.replies import GroupSummary
from shared.vocabulary.states import State

SHOWN_AS = {State.ISSUED: "issued (signed)"}
"""What a state is called here, where its own word does not say it."""


def register(app: typer.Typer) -> None:
    """Add this command to `ra desk`."""
    command(app, "summary")(show_summary)


def show_summary(desk: Desk) -> None:
    """Show how many requests of your groups stand in each state, at this moment."""
    result = desk.ask(lambda client: client.summary())
    desk.screen.result(result)
    columns = ("state", *(_headed(group) for group in result.groups))
    rows = [
        (SHOWN_AS.get(state, str(state)), *(str(group.counts.get(state, 0)) for group in result.groups))
        for state in State
    ]
    desk.screen.listing(columns, rows, empty="You have no groups.")
    for group in result.groups:
        if not group.complete:
            desk.screen.say(f"The requests of {group.approval_group} are being counted for the first time, or anew.")


def _headed(group: GroupSummary) -> str:
    return group.approval_group if group.complete else f"{group.approval_group} (so far)"
