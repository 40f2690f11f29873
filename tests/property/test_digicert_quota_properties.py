"""Whatever the windows, the network and the number of holders: the CA never sees too many calls, nor needlessly few."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.digicert import quota
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import Account, RateWindow, Use
from tests.fakes.virtual_time import VirtualClock, run_virtually

WINDOWS = st.lists(st.builds(RateWindow, st.integers(10, 60), st.floats(1.0, 20.0)), min_size=1, max_size=3).map(
    quota.by_length
)
USES = st.lists(st.builds(Use, until_ms=st.integers(-30_000, 5_000), calls=st.integers(1, 8)), max_size=20)
ACCOUNTS = st.builds(
    Account,
    id=st.just("ca"),
    uses=USES.map(tuple),
    held=st.dictionaries(st.sampled_from("abc"), st.builds(Use, until_ms=st.integers(0, 9_000), calls=st.just(3))),
    blocked_until_ms=st.integers(-1_000, 5_000),
)


@given(account=ACCOUNTS, windows=WINDOWS, now=st.integers(0, 1_000))
def test_a_call_may_go_from_the_instant_that_is_named_and_not_before(
    account: Account, windows: Sequence[RateWindow], now: int
) -> None:
    opens = quota.opens_at(account, windows, now)
    assert quota.room(account, windows, opens) >= 1
    assert opens == now or quota.room(account, windows, opens - 1) == 0


@given(account=ACCOUNTS, windows=WINDOWS, wanted=st.integers(0, 50), in_flight=st.integers(0, 5))
def test_what_is_granted_leaves_no_window_overdrawn(
    account: Account, windows: Sequence[RateWindow], wanted: int, in_flight: int
) -> None:
    known, granted = quota.reserved(
        account, windows, "a", ended=(), in_flight=in_flight, wanted=wanted, now_ms=0, until_ms=10_000
    )
    assert granted <= wanted
    for window in windows:
        counted = sum(use.calls for use in (*known.uses, *known.held.values()) if use.until_ms > -window.milliseconds)
        assert granted == 0 or counted <= window.calls


@given(account=ACCOUNTS, windows=WINDOWS, steps=st.lists(st.integers(0, 4_000), max_size=10))
@example(Account(id="ca", uses=(Use(until_ms=100, calls=8),)), quota.DOCUMENTED_WINDOWS, [5_101])
def test_remembering_calls_coarsely_never_frees_room_early_and_costs_a_hundredth_of_a_window_at_most(
    account: Account, windows: Sequence[RateWindow], steps: list[int]
) -> None:
    account = Account(id="ca", uses=account.uses)
    coarse, now = account, 0
    for step in steps:
        now += step
        coarse, _ = quota.reserved(coarse, windows, "a", ended=(), in_flight=0, wanted=0, now_ms=now, until_ms=now)
        assert len(coarse.uses) <= sum(use.calls for use in account.uses)
        for window in windows:
            late = window.milliseconds // 100 + 1
            for freed in (use.until_ms + window.milliseconds for use in account.uses):
                at = max(freed, now)
                assert quota.room(coarse, [window], at) <= quota.room(account, [window], at)
                assert quota.room(coarse, [window], at + late) >= quota.room(account, [window], at)


@dataclass
class Counter:
    """The CA: counts each call at some moment between its being sent and its end."""

    windows: Sequence[RateWindow]
    seed: int
    latency: float
    arrivals: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret

    async def call(self) -> None:
        loop = asyncio.get_running_loop()
        length = self.chance.uniform(0, self.latency)
        before = self.chance.uniform(0, length)
        await asyncio.sleep(before)
        self.arrivals.append(loop.time())
        await asyncio.sleep(length - before)

    def most_within(self, window: RateWindow) -> int:
        """The most calls that ever arrived within this window."""
        most, inside = 0, deque[float]()
        for instant in sorted(self.arrivals):
            inside.append(instant)
            while inside[0] <= instant - window.seconds:
                inside.popleft()
            most = max(most, len(inside))
        return most


def ideal(windows: Sequence[RateWindow], seconds: float) -> int:
    """How many calls fit into so much time if each is made, and counted, the moment that it may."""
    instants: list[float] = []
    while True:
        at = max((instants[-w.calls] + w.seconds for w in windows if len(instants) >= w.calls), default=0.0)
        at = max(at, instants[-1] if instants else 0.0)
        if at >= seconds:
            return len(instants)
        instants.append(at)


async def run_holders(ca: Counter, holders: int, seconds: float) -> None:
    """So many holders of one key, each with four calls at a time and no end of work, for so long."""
    accounts = MemoryAccounts()

    async def work(share: Quota) -> None:
        while True:
            async with share.permit("any", 1e6):
                await ca.call()

    shares = [
        Quota(accounts, key="ca", windows=ca.windows, call_seconds=3.0, clock=VirtualClock(), margin=timedelta(0))
        for _ in range(holders)
    ]
    tasks = [asyncio.ensure_future(work(share)) for share in shares for _ in range(4)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=40, deadline=None)
@given(windows=WINDOWS, holders=st.integers(1, 3), seed=st.integers(0, 2**32), latency=st.floats(0, 3.0))
def test_the_ca_never_sees_more_calls_than_a_window_allows(
    windows: Sequence[RateWindow], holders: int, seed: int, latency: float
) -> None:
    ca = Counter(windows, seed, latency)
    run_virtually(run_holders(ca, holders, 40.0))
    assert all(ca.most_within(window) <= window.calls for window in windows)


@settings(max_examples=40, deadline=None)
@given(windows=WINDOWS, holders=st.integers(1, 3), seed=st.integers(0, 2**32))
@example(windows=quota.DOCUMENTED_WINDOWS, holders=2, seed=1)
def test_at_least_95_percent_are_used_while_there_is_work(
    windows: Sequence[RateWindow], holders: int, seed: int
) -> None:
    """As many calls as fit into 95 % of the time, for calls that take a hundredth of the shortest window."""
    ca = Counter(windows, seed, latency=windows[0].seconds / 100)
    run_virtually(run_holders(ca, holders, 60.0))
    assert len(ca.arrivals) >= ideal(windows, 0.95 * 60.0)
