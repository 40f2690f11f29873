"""What `ra desk` tells at a glance and by itself: summary and watch."""

import json
from collections.abc import AsyncIterator

import pytest

from services.desk.exits import Exit
from shared.client.client import RaClient
from shared.client.watching import ConnectionNews, News
from shared.contracts import commands, replies
from shared.contracts.notices import Awaited, DecisionAwaited
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId
from shared.vocabulary.states import State
from tests.unit.test_desk_commands import HOSTILE, REQUEST, Desk, _always, desk

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
    assert "Not all requests of mail are counted yet" in result.stdout


def test_the_summary_is_for_programs_too(desk: Desk) -> None:
    desk.broker.answers[commands.ShowSummary] = _always(SUMMARY)
    shown = json.loads(desk.run("desk", "summary", "--json").stdout)
    assert shown["groups"][1] == {"approval_group": "web", "complete": True, "counts": {"pending": 4711, "issued": 3}}


def awaited(group: str) -> DecisionAwaited:
    return DecisionAwaited(
        request_id=RequestId(REQUEST),
        approval_group=ApprovalGroupName(group),
        name=HOSTILE,
        subject=HOSTILE,
        requesters=(IdentityName("shop"),),
        why=Awaited.SUBMITTED,
        message="a new request",
    )


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def news(_: RaClient) -> AsyncIterator[News]:
        yield awaited("web")
        yield awaited("mail")
        yield ConnectionNews(connection="lost")
        raise KeyboardInterrupt

    monkeypatch.setattr(RaClient, "watch", news)


@pytest.mark.usefixtures("watched")
def test_what_is_watched_comes_in_lines_that_do_nothing_to_the_terminal_until_it_is_interrupted(desk: Desk) -> None:
    result = desk.run("desk", "watch", "--group", "web")
    assert result.exit_code == Exit.INTERRUPTED
    first, new, lost = result.stdout.splitlines()
    assert "Control-C" in first
    assert f"submitted  {REQUEST}  web" in new
    assert "connection to the broker is lost" in lost
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("watched")
def test_what_is_watched_comes_as_a_document_a_line_for_programs(desk: Desk) -> None:
    result = desk.run("desk", "watch", "--json")
    assert result.exit_code == Exit.INTERRUPTED
    web, mail, lost = [json.loads(line) for line in result.stdout.splitlines()]
    assert (web["approval_group"], mail["approval_group"], web["why"]) == ("web", "mail", "submitted")
    assert lost == {"connection": "lost"}
