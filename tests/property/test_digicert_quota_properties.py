"""Whatever the windows, the network and the number of holders: the CA never sees too many calls, nor needlessly few."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.digicert import quota
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import Account, RateWindow, Share, Use
from tests.fakes.virtual_time import run_virtually

WINDOWS = st.lists(st.builds(RateWindow, st.integers(10, 60), st.floats(1.0, 20.0)), min_size=1, max_size=3).map(
    quota.by_length
)
USES = st.lists(st.builds(Use, until_ms=st.integers(-30_000, 5_000), calls=st.integers(1, 8)), max_size=20)
SHARES = st.builds(
    Share,
    told_ms=st.just(0),
    uses=USES.map(tuple),
    held=st.none() | st.builds(Use, until_ms=st.integers(0, 9_000), calls=st.just(3)),
    blocked_until_ms=st.none() | st.integers(-1_000, 5_000),
)
ACCOUNTS = st.builds(Account, id=st.just("ca"), shares=st.dictionaries(st.sampled_from("abc"), SHARES))
HOLDERS = st.lists(st.floats(-120.0, 120.0), min_size=1, max_size=3)
"""By how much the clock of each holder is ahead of the true time."""
AHEAD = st.fixed_dictionaries({"b": st.integers(-20_000, 20_000), "c": st.integers(-20_000, 20_000)})


@given(account=ACCOUNTS, ahead=AHEAD, windows=WINDOWS, now=st.integers(0, 1_000))
def test_a_call_may_go_from_the_instant_that_is_named_and_not_before(
    account: Account, ahead: quota.Ahead, windows: Sequence[RateWindow], now: int
) -> None:
    view = quota.viewed(account, ahead)
    opens = quota.opens_at(view, windows, now)
    assert quota.room(view, windows, opens) >= 1
    assert opens == now or quota.room(view, windows, opens - 1) == 0


@given(account=ACCOUNTS, ahead=AHEAD, windows=WINDOWS, wanted=st.integers(0, 50), in_flight=st.integers(0, 5))
def test_what_is_granted_leaves_no_window_overdrawn(
    account: Account, ahead: quota.Ahead, windows: Sequence[RateWindow], wanted: int, in_flight: int
) -> None:
    known, granted = quota.reserved(
        account, windows, "a", ahead=ahead, ended=(), in_flight=in_flight, wanted=wanted, now_ms=0, until_ms=10_000
    )
    assert granted <= wanted
    before = quota.viewed(account.model_copy(update={"shares": {**account.shares, "a": known.shares["a"]}}), ahead)
    for window in windows:
        counted = sum(use.calls for use in before.uses if use.until_ms > -window.milliseconds)
        assert granted == 0 or counted <= window.calls


@given(uses=USES, windows=WINDOWS, steps=st.lists(st.integers(0, 4_000), max_size=10))
@example([Use(until_ms=100, calls=8)], quota.DOCUMENTED_WINDOWS, [5_101])
def test_remembering_calls_coarsely_never_frees_room_early_and_costs_a_hundredth_of_a_window_at_most(
    uses: list[Use], windows: Sequence[RateWindow], steps: list[int]
) -> None:
    account = Account(id="ca", shares={"a": Share(told_ms=0, uses=tuple(uses))})
    exact = quota.viewed(account, {})
    now = 0
    for step in steps:
        now += step
        account, _ = quota.reserved(
            account, windows, "a", ahead={}, ended=(), in_flight=0, wanted=0, now_ms=now, until_ms=now
        )
        coarse = quota.viewed(account, {})
        assert len(coarse.uses) <= sum(use.calls for use in uses)
        for window in windows:
            late = window.milliseconds // 100 + 1
            for freed in (use.until_ms + window.milliseconds for use in uses):
                at = max(freed, now)
                assert quota.room(coarse, [window], at) <= quota.room(exact, [window], at)
                assert quota.room(coarse, [window], at + late) >= quota.room(exact, [window], at)


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


class FarAccounts(MemoryAccounts):
    """Accounts that are read and written over a network: calls begin and end meanwhile."""

    async def load(self, aggregate_id: str) -> Account | None:
        await asyncio.sleep(0.002)
        account = await super().load(aggregate_id)
        await asyncio.sleep(0.002)
        return account

    async def replace(self, aggregate: Account) -> Account:
        await asyncio.sleep(0.002)
        written = await super().replace(aggregate)
        await asyncio.sleep(0.002)
        return written


@dataclass(frozen=True)
class Clock:
    """A clock that has begun with another instant than the loop's."""

    ahead: float

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


async def run_holders(
    ca: Counter, ahead: Sequence[float], seconds: float, *, rests: float = 0.0, far: bool = False
) -> None:
    """Holders of one key with these clocks, each with four calls at a time and no end of work, for so long.

    All but the first begin after a rest.
    """
    accounts = FarAccounts() if far else MemoryAccounts()

    async def work(share: Quota) -> None:
        await asyncio.sleep(0 if share is shares[0] else rests)
        while True:
            async with share.permit("any", 1e6):
                await ca.call()

    shares = [
        Quota(accounts, key="ca", windows=ca.windows, call_seconds=3.0, seconds=Clock(by), margin=timedelta(0))
        for by in ahead
    ]
    tasks = [asyncio.ensure_future(work(share)) for share in shares for _ in range(4)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=40, deadline=None)
@given(windows=WINDOWS, ahead=HOLDERS, seed=st.integers(0, 2**32), latency=st.floats(0, 3.0), far=st.booleans())
@example(windows=(RateWindow(10, 1.0),), ahead=[0.0, 1.0], seed=1, latency=0.01, far=True)
def test_the_ca_never_sees_more_calls_than_a_window_allows(
    windows: Sequence[RateWindow], ahead: Sequence[float], seed: int, latency: float, *, far: bool
) -> None:
    ca = Counter(windows, seed, latency)
    run_virtually(run_holders(ca, ahead, 40.0, far=far))
    assert all(ca.most_within(window) <= window.calls for window in windows)


@settings(max_examples=40, deadline=None)
@given(windows=WINDOWS, ahead=HOLDERS, seed=st.integers(0, 2**32))
@example(windows=quota.DOCUMENTED_WINDOWS, ahead=[0.0, 120.0], seed=1)
def test_at_least_95_percent_are_used_while_there_is_work(
    windows: Sequence[RateWindow], ahead: Sequence[float], seed: int
) -> None:
    """As many calls as fit into 95 % of the time, for calls that take a hundredth of the shortest window."""
    ca = Counter(windows, seed, latency=windows[0].seconds / 100)
    run_virtually(run_holders(ca, ahead, 60.0))
    assert len(ca.arrivals) >= ideal(windows, 0.95 * 60.0)


@pytest.mark.parametrize(("apart", "rests"), [(0.0, 0.0), (1.0, 60.0), (-120.0, 60.0)])
def test_holders_whose_clocks_differ_use_what_the_ca_grants_and_not_more(apart: float, rests: float) -> None:
    """With DigiCert's own windows. Where one begins later, it knows nothing yet of the other's clock."""
    ca = Counter(quota.DOCUMENTED_WINDOWS, seed=1, latency=0.05)
    run_virtually(run_holders(ca, [0.0, apart], 240.0, rests=rests))
    assert [ca.most_within(window) for window in ca.windows] == [100, 1000]
    assert len(ca.arrivals) >= ideal(ca.windows, 0.95 * 240.0)
