"""The summary: each request counted where it stands, before and after it is tallied."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.intake import recount
from services.intake import summary as summary_module
from services.intake.recount import begin_anew
from services.intake.summary import ShowSummaryHandler
from services.intake.tally import Standing
from services.intake.tallying import BATCH, Changes, Tallying, TallyRounds
from shared.contracts import commands
from shared.contracts.replies import GroupSummary, SummaryResult
from shared.messaging.gate import Gate
from shared.observability.metrics import RequestMetrics
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Intake
from tests.fakes.lives import begin
from tests.fakes.stores import MemoryRequests
from tests.unit.test_intake_publications import with_mail

WEB, MAIL = ApprovalGroupName("web"), ApprovalGroupName("mail")


async def summary(intake: Intake, *, by: str = "alice") -> tuple[GroupSummary, ...]:
    result = (await intake.ask(commands.ShowSummary(), by=by)).result
    assert isinstance(result, SummaryResult)
    return result.groups


async def counts(intake: Intake) -> dict[State, int]:
    """The states of which there is any request in the group `web`."""
    (web,) = await summary(intake)
    assert (web.approval_group, web.complete) == (WEB, True)
    assert set(web.counts) == set(State)
    return {state: number for state, number in web.counts.items() if number}


async def submit(intake: Intake, **content: object) -> None:
    asked = world.content(**content)  # type: ignore[arg-type]  # whatever the content has
    await intake.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")


async def test_each_request_is_counted_where_it_stands_before_and_after_it_is_tallied() -> None:
    intake = Intake()
    tallying = Tallying(intake.requests, intake.tallies)
    await tallying.advance(WEB)
    assert await counts(intake) == {}
    life = begin()
    await intake.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    await submit(intake)
    await submit(intake, csr=world.make_csr("www.example.net"))
    expected = {State.PENDING: 2, State.REFUSED: 1}
    assert await counts(intake) == expected
    assert len((await tallying.advance(WEB)).batch) == 3
    assert await counts(intake) == expected
    for told in life.approved().issued().revoked().told:
        await intake.handle(told)
    expected = {State.PENDING: 1, State.REFUSED: 1, State.REVOKED: 1}
    assert await counts(intake) == expected
    assert len((await tallying.advance(WEB)).batch) == 1
    assert not (await tallying.advance(WEB)).batch
    assert await counts(intake) == expected
    assert await intake.requests.untallied(WEB, limit=10) == []


async def test_a_summary_is_for_those_who_view_decide_or_audit_and_of_their_groups_alone() -> None:
    intake = Intake()
    assert await intake.refused(commands.ShowSummary(), by="shop") == ["identity.not-permitted"]
    with_two = Intake(with_mail(audited=True))
    groups = await summary(with_two, by="olga")
    assert [each.approval_group for each in groups] == ["mail", "web"]
    only_mail = with_mail(audited=False)
    (web,) = await summary(Intake(only_mail), by="olga")
    assert web.approval_group == "web"


async def test_what_is_not_counted_yet_is_said_to_be_incomplete() -> None:
    intake = Intake()
    (web,) = await summary(intake, by="alice")
    assert (web.complete, web.counts) == (False, {})


async def test_of_a_backlog_one_answer_looks_at_a_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all are counted, the numbers are said to be incomplete, and never anything else is wrong with them."""
    monkeypatch.setattr(summary_module, "MOST_WAITING", 2)
    looked_at: list[int] = []

    class Watched(MemoryRequests):
        async def untallied(self, group: ApprovalGroupName, *, limit: int) -> Sequence[Standing]:
            found = await super().untallied(group, limit=limit)
            looked_at.append(len(found))
            return found

    intake = Intake()
    await Tallying(intake.requests, intake.tallies).advance(WEB)
    for number in range(1, 5):
        await submit(intake, csr=world.make_csr(f"www{number}.example.com"))
        watched = Watched()
        watched.documents = intake.requests.documents
        handler = ShowSummaryHandler(watched, intake.tallies, intake.in_force, intake.clock)
        (web,) = await handler._of([WEB])
        assert web.complete is (number <= 2)
        assert web.counts[State.PENDING] == min(number, 2)
    assert looked_at == [1, 2, 3, 3]
    await Tallying(intake.requests, intake.tallies).advance(WEB)
    assert await counts(intake) == {State.PENDING: 4}


async def test_a_database_from_before_the_tallies_is_counted_whole() -> None:
    intake = Intake()
    for _ in range(3):
        await submit(intake)
    for record in intake.requests.all():  # as they were stored then
        unmarked = record.model_copy(update={"untallied": None, "tallied": None, "tally": 0})
        intake.requests.documents[record.id] = unmarked.model_dump_json()
    await Tallying(intake.requests, intake.tallies).advance(WEB)
    assert await counts(intake) == {State.PENDING: 3}


async def test_counting_anew_gives_the_same_and_mends_numbers_that_are_wrong() -> None:
    intake = Intake()
    tallying = Tallying(intake.requests, intake.tallies)
    for _ in range(3):
        await submit(intake)
    await tallying.advance(WEB)
    (tally,) = intake.tallies.all()
    await intake.tallies.replace(tally.model_copy(update={"counts": {State.ISSUED: 7}}))
    for _ in range(2):
        await begin_anew(intake.tallies, [WEB, MAIL])
        (web,) = await summary(intake, by="alice")
        assert not web.complete
        while (await tallying.advance(WEB)).batch:
            pass
        assert await counts(intake) == {State.PENDING: 3}


async def test_many_changes_are_counted_at_once_and_few_after_a_while() -> None:
    changes = Changes()
    waiting = asyncio.ensure_future(changes.many(3600))
    for _ in range(BATCH - 1):
        changes.note()
    await asyncio.sleep(0)
    assert not waiting.done()
    changes.note()
    await waiting
    await changes.many(0.001)


class Telling(RequestMetrics):
    """Says when something was counted."""

    def __init__(self) -> None:
        self.registry, self.told = CollectorRegistry(), asyncio.Event()
        super().__init__(self.registry)

    def counted(self, group: str, counts: Mapping[State, int]) -> None:
        super().counted(group, counts)
        self.told.set()

    def of(self, state: State) -> float | None:
        return self.registry.get_sample_value("ra_requests", {"approval_group": "web", "state": state})


async def test_the_metric_tells_what_was_counted_even_if_the_database_was_away_meanwhile() -> None:
    intake, metrics, closed = Intake(), Telling(), asyncio.Event()
    await submit(intake)
    intake.requests.away = True

    async def probe() -> None:
        intake.requests.away = False

    gate = Gate("database", probe, on_change=lambda up: None if up else closed.set())
    tallying = Tallying(intake.requests, intake.tallies)
    rounds = TallyRounds(
        tallying, lambda: [WEB], Changes(), metrics, gate, every_seconds=0.001, on_failure=lambda: pytest.fail("failed")
    )
    running = asyncio.ensure_future(rounds.run())
    async with asyncio.timeout(30):
        await closed.wait()
        await metrics.told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await gate.aclose()
    assert (metrics.of(State.PENDING), metrics.of(State.ISSUED)) == (1, 0)


def test_who_asks_to_count_anew_with_settings_that_cant_be_read_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recount", "--config", str(tmp_path / "none.toml")])
    assert recount.main() == 78
    assert "config." in capsys.readouterr().err
