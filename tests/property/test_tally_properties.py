"""Whatever happens in whatever order, the summary is what a plain count would give.

Two copies count, requests come and change, all numbers are begun anew, and every one of them takes its steps in an
order that Hypothesis chooses, or dies between two of them. A step is one call of the store.
"""

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.intake.model import RequestRecord
from services.intake.recount import begin_anew
from services.intake.summary import ShowSummaryHandler
from services.intake.tallying import Tallying
from shared.clock import SystemClock
from shared.errors import ConflictError
from shared.vocabulary.names import ApprovalGroupName, RequestId
from shared.vocabulary.states import State
from tests import world
from tests.fakes.samples import sample_aggregates
from tests.fakes.stores import MemoryRequests, MemoryTallies

WEB = ApprovalGroupName("web")
STATES = st.sampled_from([State.PENDING, State.APPROVED])
COPIES = st.sampled_from(["one copy", "another copy"])
EVENTS = ("an event", "another event")
WHO = COPIES | COPIES | st.sampled_from([*EVENTS, "a summary", "a new beginning"])
STEPS = st.sampled_from([1, 1, 1, 2, 2, 3, 5, 50])
MOST_REQUESTS = 3
FINISHED = object()


SAMPLE = RequestRecord.model_validate(
    sample_aggregates()[RequestRecord].model_dump()
    | {"tallied": None, "tally": 0, "untallied": None, "evidence": None, "outcomes": {}}
)


def step(work: Coroutine[Any, Any, Any]) -> object:
    """Let it go on to its next call of a store; `FINISHED` when there is none."""
    try:
        return work.send(None)
    except (StopIteration, ConflictError):
        return FINISHED


def whole(work: Coroutine[Any, Any, Any]) -> Any:
    """All its steps, nobody else in between."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            return end.value


class Tallied(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.requests, self.tallies = MemoryRequests(), MemoryTallies()
        self.show = ShowSummaryHandler(self.requests, self.tallies, world.in_force(), SystemClock())
        self.copies: dict[str, Tallying] = {}
        self.working: dict[str, Coroutine[Any, Any, Any]] = {}

    def teardown(self) -> None:
        for work in self.working.values():
            work.close()

    # --- what goes on ---------------------------------------------------------------------------------------------

    @initialize(states=st.lists(STATES, min_size=1, max_size=2), counted=st.booleans())
    def some_are_there(self, states: list[State], counted: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        for state in states:
            self.come(state)
        if counted:
            self.all_is_counted_once_it_is_quiet()

    @rule(state=STATES)
    def come(self, state: State) -> None:
        number = len(self.requests.documents)
        if number < MOST_REQUESTS:
            new = {"id": RequestId(f"0190a0c0-1111-7000-8000-{number:012x}"), "state": state, "version": 1}
            whole(self.requests.insert(SAMPLE.model_copy(update=new)))

    @rule(who=WHO, steps=STEPS, number=st.integers(0, MOST_REQUESTS - 1), state=STATES)
    def go_on(self, who: str, steps: int, number: int, state: State) -> None:
        """One of them takes some steps, from the beginning if it is not at work."""
        if who not in self.working:
            self.working[who] = self._begin(who, number, state)
        for _ in range(steps):
            if step(self.working[who]) is FINISHED:
                del self.working[who]
                return

    @rule(who=COPIES)
    def die(self, who: str) -> None:
        """The process ends where it is, and is started again with nothing in its memory."""
        if who in self.working:
            self.working.pop(who).close()
        self.copies.pop(who, None)

    def _begin(self, who: str, number: int, state: State) -> Coroutine[Any, Any, Any]:
        match who:
            case _ if who in EVENTS:
                known = sorted(self.requests.documents)
                return self._change(known[number % len(known)], state)
            case "a summary":
                return self._ask()
            case "a new beginning":
                return begin_anew(self.tallies, [WEB])
            case _:
                return self.copies.setdefault(who, Tallying(self.requests, self.tallies)).advance(WEB)

    async def _change(self, request_id: str, state: State) -> None:
        """An event is handled: what it writes over must be what it has read."""
        record = await self.requests.load(request_id)
        assert record is not None
        await self.requests.replace(record.model_copy(update={"state": state}))

    async def _ask(self) -> None:
        """While others are at work, a summary still has each request once."""
        before = len(self.requests.documents)
        (web,) = await self.show._of([WEB])
        if web.complete:
            assert before <= sum(web.counts.values()) <= len(self.requests.documents)
            assert min(web.counts.values()) >= 0

    # --- what must hold -------------------------------------------------------------------------------------------

    def plain(self) -> dict[State, int]:
        return dict.fromkeys(State, 0) | Counter(record.state for record in self.requests.all())

    @invariant()
    def the_summary_is_a_plain_count_whenever_it_says_that_it_is_complete(self) -> None:
        (web,) = whole(self.show._of([WEB]))
        if web.complete:
            assert web.counts == self.plain()

    @rule()
    def all_is_counted_once_it_is_quiet(self) -> None:
        for who in list(self.working):
            self.die(who)
        one = Tallying(self.requests, self.tallies)
        while whole(one.advance(WEB)).batch:
            pass
        (tally,) = self.tallies.all()
        assert dict.fromkeys(State, 0) | tally.counts == self.plain()
        assert not [record.id for record in self.requests.all() if record.untallied is not None]


def test_the_summary_is_a_plain_count_however_steps_fall_and_wherever_they_end() -> None:
    run_state_machine_as_test(Tallied, settings=settings(max_examples=300, stateful_step_count=60, deadline=None))
