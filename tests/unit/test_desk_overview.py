"""What `ra desk` tells at a glance: the summary."""

import json

from services.desk.exits import Exit
from shared.contracts import commands, replies
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.states import State
from tests.unit.test_desk_commands import Desk, _always, desk

__all__ = ["desk"]

SUMMARY = replies.SummaryResult(
    groups=(
        replies.GroupSummary(approval_group=ApprovalGroupName("mail"), complete=False, counts={}),
        replies.GroupSummary(
            approval_group=ApprovalGroupName("web"), complete=True, counts={State.PENDING: 4711, State.ISSUED: 3}
        ),
    )
)


def test_the_summary_shows_every_state_of_every_group_and_what_is_not_counted_yet(desk: Desk) -> None:
    desk.broker.answers[commands.ShowSummary] = _always(SUMMARY)
    result = desk.run("desk", "summary")
    assert result.exit_code == Exit.OK
    lines = dict(line.split("\t", 1) for line in result.stdout.splitlines() if "\t" in line)
    assert lines["state"] == "mail (so far)\tweb"
    assert (lines["pending"], lines["issued (signed)"], lines["revoked"]) == ("0\t4711", "0\t3", "0\t0")
    assert len(lines) == 1 + len(State)
    assert "mail are being counted" in result.stdout


def test_the_summary_is_for_programs_too(desk: Desk) -> None:
    desk.broker.answers[commands.ShowSummary] = _always(SUMMARY)
    shown = json.loads(desk.run("desk", "summary", "--json").stdout)
    assert shown["groups"][1] == {"approval_group": "web", "complete": True, "counts": {"pending": 4711, "issued": 3}}
