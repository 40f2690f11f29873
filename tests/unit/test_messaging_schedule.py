"""Work driven by time: each piece once in this process, a bounded number at a time, and none starves."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from shared.errors import ConflictError, UnavailableError
from shared.messaging import schedule as schedules
from shared.messaging.gate import Gate
from shared.messaging.schedule import Schedule, milliseconds
from tests.world import NOW, FixedClock


@dataclass(frozen=True)
class Piece:
    """A piece of work; those of a group begin with its letter and a hyphen, where they have one."""

    id: str

    @property
    def approval_group(self) -> str | None:
        return self.id.partition("-")[0] if "-" in self.id else None


class Works:
    """What is due, how each piece ends, and what was done."""

    def __init__(self, *ids: str, concurrency: int = 2) -> None:
        self.waiting = list(ids)
        self.ends: dict[str, BaseException] = {}
        self.stuck: set[str] = set()
        self.asked: list[int] = []
        self.away = False
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.inside = self.most_inside = 0
        self.done: list[str] = []
        self.failures = 0
        self.back: set[str] = set()
        """What was away and is there again."""
        self.clock = FixedClock()
        self.gate = Gate("database", self._probe, on_change=lambda _: None)
        self.before = Gate("mail", self._probe, on_change=lambda _: None)
        self.schedule = Schedule(
            self,
            self.advance,
            clock=self.clock,
            gate=self.gate,
            concurrency=concurrency,
            on_failure=self._failed,
            on_done=lambda: None,
            before=[self.before],
        )

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Piece]:
        self.asked.append(now_ms)
        if self.away:
            raise UnavailableError("database", "gone")
        return [Piece(id=each) for each in self.waiting][:limit]

    async def advance(self, piece: Piece) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.begun.put_nowait(piece.id)
        try:
            if piece.id in self.stuck:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            if piece.id in self.ends:
                raise self.ends[piece.id]
        finally:
            self.inside -= 1
        self.done.append(piece.id)
        if piece.id in self.waiting:
            self.waiting.remove(piece.id)

    async def _probe(self) -> None:
        if not self.back:
            raise UnavailableError("database", "gone")

    def _failed(self) -> None:
        self.failures += 1

    async def begin(self, times: int) -> list[str]:
        return [await self.begun.get() for _ in range(times)]


@pytest.fixture(autouse=True)
def _long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed rests until the end of the test; nothing here waits for time to pass."""
    monkeypatch.setattr(schedules, "POLL_SECONDS", 3600.0)


async def test_what_is_due_is_done_and_no_more_of_it_at_once_than_allowed() -> None:
    works = Works(*"abcdef")
    running = asyncio.create_task(works.schedule.run())
    await works.begin(6)
    await works.schedule.finish(10)
    running.cancel()
    assert sorted(works.done) == list("abcdef")
    assert works.most_inside == 2
    assert works.asked[0] == milliseconds(NOW.timestamp())


async def test_more_than_there_is_room_for_is_taken_up_as_soon_as_there_is() -> None:
    names = [f"piece{number}" for number in range(60)]
    works = Works(*names)
    running = asyncio.create_task(works.schedule.run())
    await works.begin(60)
    await works.schedule.finish(10)
    running.cancel()
    assert sorted(works.done) == sorted(names)


async def test_each_group_has_its_turn_however_much_another_has_waiting() -> None:
    """The one that came first fills what is found at a look; the others come after it, and one by one."""
    works = Works(*(f"a-{number}" for number in range(100)), concurrency=1)
    running = asyncio.create_task(works.schedule.run())
    await works.begin(3)
    for each in ("b-1", "b-2", "c-1", "b-3"):
        works.schedule.offer(Piece(each))
    begun = await works.begin(8)
    await works.begin(93)
    await works.schedule.finish(10)
    running.cancel()
    assert [each for each in begun if each[0] != "a"] == ["b-1", "c-1", "b-2", "b-3"]
    assert [each[0] for each in begun].count("a") == 4
    assert sorted(works.done) == sorted({*(f"a-{number}" for number in range(100)), "b-1", "b-2", "b-3", "c-1"})


async def test_a_piece_in_hand_is_not_taken_up_again() -> None:
    works = Works("a")
    works.stuck = {"a"}
    for _ in range(3):
        works.schedule.offer(Piece(id="a"))
        await works.schedule._look()
    assert await works.begin(1) == ["a"]
    await asyncio.sleep(0)
    assert works.begun.empty()
    await works.schedule.finish(0)


async def test_a_lost_race_is_no_failure() -> None:
    works = Works("a")
    works.ends = {"a": ConflictError("x")}
    works.schedule.offer(Piece(id="a"))
    await works.schedule.finish(10)
    assert works.failures == 0


async def test_a_database_that_is_away_closes_the_gate_and_nothing_more_is_looked_for() -> None:
    works = Works("a")
    works.away = True
    await works.schedule._look()
    assert not works.gate.is_open
    looking = asyncio.create_task(works.schedule._look())
    await asyncio.sleep(0)
    assert len(works.asked) == 1
    looking.cancel()
    await works.gate.aclose()


async def test_nothing_is_looked_for_while_a_gate_before_it_is_closed() -> None:
    works = Works("a")
    works.before.close(UnavailableError("mail", "gone"))
    running = asyncio.create_task(works.schedule.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert works.asked == []
    works.back.add("mail")
    await works.begin(1)
    await works.schedule.finish(10)
    running.cancel()
    assert works.done == ["a"]


@pytest.mark.parametrize(("dependency", "stays_open"), [("database", False), ("broker", True), ("the CA", True)])
async def test_a_piece_that_finds_something_away_waits_and_only_the_database_stops_all(
    dependency: str,
    stays_open: bool,  # noqa: FBT001 - a column of the table
) -> None:
    works = Works()
    works.ends = {"a": UnavailableError(dependency, "gone")}
    works.schedule.offer(Piece(id="a"))
    await works.begin(1)
    await works.schedule.finish(0.01)
    assert (works.gate.is_open, works.failures) == (stays_open, 0)
    await works.gate.aclose()


async def test_a_fault_of_ours_is_counted_and_the_next_piece_goes_on() -> None:
    works = Works("a", "b")
    works.ends = {"a": ValueError("a bug")}
    await works.schedule._look()
    await works.begin(2)
    await works.schedule.finish(0.01)
    assert (works.failures, works.done) == (1, ["b"])


async def test_pieces_that_always_fail_do_not_keep_the_others_out() -> None:
    """They are the longest due, and so they are found first each time."""
    poison = [f"poison{number}" for number in range(20)]
    works = Works(*poison, "good")
    works.ends = {each: ValueError("a bug") for each in poison}
    running = asyncio.create_task(works.schedule.run())
    await works.begin(21)
    await asyncio.sleep(0)
    running.cancel()
    await works.schedule.finish(0.01)
    assert (works.done, works.failures) == (["good"], 20)


async def test_at_the_end_work_in_hand_may_finish_and_what_does_not_is_cancelled() -> None:
    works = Works()
    works.stuck = {"a"}
    for each in "ab":
        works.schedule.offer(Piece(id=each))
    await works.begin(2)
    await works.schedule.finish(0.01)
    assert works.done == ["b"]
    assert works.inside == 0


async def test_time_is_looked_at_anew_each_time() -> None:
    works = Works()
    await works.schedule._look()
    works.clock.advance(timedelta(seconds=5))
    await works.schedule._look()
    assert works.asked[1] - works.asked[0] == 5000
