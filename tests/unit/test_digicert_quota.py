"""The quota of an API key: who may call when, what a refusal changes, and what it costs to share."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest

from shared.digicert.clocks import Clocks
from shared.digicert.errors import CaQuotaError
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import (
    DOCUMENTED_WINDOWS,
    HORIZON_MS,
    Account,
    RateWindow,
    Share,
    Use,
    refused,
    reserved,
    room,
    viewed,
)
from shared.errors import UnavailableError
from tests.fakes.virtual_time import run_virtually

TEN = (RateWindow(10, 5.0),)
Story = Callable[..., Coroutine[Any, Any, None]]


def virtual(story: Story) -> Callable[..., None]:
    """Tell this story in virtual time."""

    @wraps(story)
    def told(*args: Any, **kwargs: Any) -> None:
        run_virtually(story(*args, **kwargs))

    return told


class CountedAccounts(MemoryAccounts):
    """Counts writes; `away` makes it unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.away = False

    async def load(self, aggregate_id: str) -> Account | None:
        if self.away:
            raise UnavailableError("database", "the test took it away")
        await asyncio.sleep(0)
        return await super().load(aggregate_id)

    async def insert(self, aggregate: Account) -> bool:
        self.writes += 1
        return await super().insert(aggregate)

    async def replace(self, aggregate: Account) -> Account:
        self.writes += 1
        return await super().replace(aggregate)


def a_quota(accounts: MemoryAccounts, **settings: Any) -> Quota:
    given = {"windows": TEN, "margin": timedelta(0), "call_seconds": 1.0, **settings}
    return Quota(accounts, key="ca", **given)


async def call(share: Quota, seconds: float = 0.0, patience: float = 1000.0) -> float:
    """Make a call that lasts so long; when it began."""
    async with share.permit("any", patience):
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
    return begun


@virtual
async def test_calls_go_at_once_until_the_window_is_full_and_then_as_it_empties() -> None:
    share = a_quota(MemoryAccounts())
    begun = [await call(share) for _ in range(21)]
    assert begun[:10] == [0.0] * 10
    assert all(5.0 < instant < 5.1 for instant in begun[10:20])
    assert 10.0 < begun[20] < 10.2


@virtual
async def test_a_call_counts_until_a_window_after_its_end() -> None:
    share = a_quota(MemoryAccounts())
    await asyncio.gather(*(call(share, 0.9) for _ in range(10)))
    assert 5.9 < await call(share) < 6.1


@virtual
async def test_two_holders_share_one_quota() -> None:
    accounts = MemoryAccounts()
    shares = [a_quota(accounts) for _ in range(2)]
    begun = sorted([await call(share) for _ in range(7) for share in shares])
    assert begun[9] == 0.0
    assert begun[10] >= 5.0


@virtual
async def test_another_key_has_another_quota() -> None:
    accounts = MemoryAccounts()
    ours = a_quota(accounts)
    theirs = Quota(accounts, key="revoker", windows=TEN)
    assert [await call(ours) for _ in range(10)] + [await call(theirs) for _ in range(10)] == [0.0] * 20


@virtual
async def test_who_cannot_wait_so_long_is_told_how_long_it_would_be() -> None:
    share = a_quota(MemoryAccounts())
    for _ in range(10):
        await call(share)
    with pytest.raises(CaQuotaError) as caught:
        await call(share, patience=4.0)
    assert asyncio.get_running_loop().time() == 0.0
    assert not caught.value.maybe_done
    assert caught.value.retry_after == pytest.approx(5.0, abs=0.1)


@virtual
async def test_who_waits_too_long_behind_others_is_told_so() -> None:
    share = a_quota(MemoryAccounts())
    for _ in range(10):
        await call(share)
    first, second = await asyncio.gather(call(share, patience=100), call(share, patience=2.0), return_exceptions=True)
    assert isinstance(first, float)
    assert isinstance(second, CaQuotaError)


@virtual
async def test_a_refusal_of_the_ca_stops_every_holder_for_as_long_as_it_says() -> None:
    accounts = MemoryAccounts()
    shares = [a_quota(accounts) for _ in range(2)]
    await call(shares[0])
    await shares[0].refused(7.0)
    assert 7.0 <= await call(shares[1]) < 7.1


@virtual
async def test_refusals_without_a_word_stop_for_longer_each_time_and_are_forgotten_again() -> None:
    share = a_quota(MemoryAccounts(), windows=(RateWindow(100, 5.0), RateWindow(1000, 180.0)))
    waits = []
    for pause in (0, 0, 0, 0, 0, 0, 0, 500):
        await asyncio.sleep(pause)
        before = asyncio.get_running_loop().time()
        await share.refused(None)
        waits.append(round(await call(share) - before))
    assert waits == [5, 10, 20, 40, 80, 160, 180, 5]


def test_a_call_that_was_under_way_when_the_ca_began_to_refuse_is_no_further_refusal() -> None:
    once = refused(Account(id="ca"), TEN, "a", ahead={}, now_ms=1_000)
    twice = refused(once, TEN, "a", ahead={}, now_ms=1_001)
    assert (viewed(once, {}).blocked_until_ms, twice) == (6_000, once)
    longer = refused(once, TEN, "a", ahead={}, now_ms=1_001, retry_after_ms=60_000)
    assert (viewed(longer, {}).blocked_until_ms, longer.refusals) == (61_001, 1)


@virtual
async def test_a_busy_holder_writes_once_in_several_calls() -> None:
    accounts = CountedAccounts()
    share = a_quota(accounts, windows=DOCUMENTED_WINDOWS)
    for _ in range(95):
        await call(share, 0.01)
    assert accounts.writes <= 12


@virtual
async def test_a_quiet_holder_reserves_no_more_than_it_needs() -> None:
    accounts = CountedAccounts()
    share = a_quota(accounts, windows=DOCUMENTED_WINDOWS)
    for _ in range(5):
        await call(share)
        await asyncio.sleep(60)
        account = await accounts.load("ca")
        assert account is not None
        assert [share.held.calls for share in account.shares.values() if share.held] == [1]


@virtual
async def test_who_asks_whether_a_call_may_go_is_told_when_and_takes_nothing_from_whoever_makes_it() -> None:
    accounts = CountedAccounts()
    share, other = a_quota(accounts), a_quota(accounts)
    await share.ready("any", 1.0)
    writes = accounts.writes
    assert await call(share) == 0.0
    assert accounts.writes == writes, "the permit was there already"
    for _ in range(9):
        await call(other)
    await share.ready("any", 60.0)
    assert 5.0 <= asyncio.get_running_loop().time() < 6.0


@virtual
async def test_who_asks_waits_as_long_as_its_patience_however_long_it_takes() -> None:
    share = a_quota(MemoryAccounts())
    await share.refused(600.0)
    with pytest.raises(CaQuotaError):
        await share.ready("any", 30.0)
    assert asyncio.get_running_loop().time() == 30.0
    with pytest.raises(CaQuotaError):
        async with share.permit("any", 30.0):
            """It is not made, and said so at once."""
    assert asyncio.get_running_loop().time() == 30.0


@virtual
async def test_the_use_of_each_window_is_told_by_its_length() -> None:
    share = a_quota(MemoryAccounts(), windows=(RateWindow(10, 5.0), RateWindow(100, 180.0)))
    assert await share.used() == {5.0: 0.0, 180.0: 0.0}
    for _ in range(4):
        await call(share)
    await share.aclose()
    assert await share.used() == {5.0: 0.4, 180.0: 0.04}
    await asyncio.sleep(6)
    assert await share.used() == {5.0: 0.0, 180.0: 0.04}
    await share.refused(60.0)
    assert await share.used() == {5.0: 1.0, 180.0: 1.0}


@virtual
async def test_a_holder_that_closes_leaves_behind_only_the_calls_that_it_made() -> None:
    accounts = CountedAccounts()
    share, other = a_quota(accounts), a_quota(accounts)
    for _ in range(4):
        await call(share)
    await share.aclose()
    account = await accounts.load("ca")
    assert account is not None
    assert [share.held for share in account.shares.values()] == [None]
    assert await other.room() == 6


@virtual
async def test_a_holder_that_died_holds_its_calls_no_longer_than_they_could_last() -> None:
    accounts = MemoryAccounts()
    dead, alive = a_quota(accounts), a_quota(accounts)
    async with dead.permit("any", 1.0):
        for _ in range(9):
            await call(alive)
        begun = await call(alive)
    assert begun >= 5.0
    assert await alive.room() < 10
    await asyncio.sleep(10)
    assert await alive.room() == 10


@virtual
async def test_holders_that_died_are_forgotten_by_whoever_lives_longer_than_their_calls_count() -> None:
    accounts = MemoryAccounts()
    for _ in range(5):
        await call(a_quota(accounts))
    alive = a_quota(accounts)
    for _ in range(2):
        await call(alive)
        await asyncio.sleep(10)
    account = await accounts.load("ca")
    assert account is not None
    assert len(account.shares) == 1


@virtual
async def test_without_its_account_no_call_goes() -> None:
    accounts = CountedAccounts()
    share = a_quota(accounts)
    accounts.away = True
    with pytest.raises(UnavailableError):
        await call(share)
    accounts.away = False
    assert await call(share) == 0.0


@virtual
async def test_a_cancelled_wait_leaves_the_quota_as_it_was() -> None:
    share = a_quota(MemoryAccounts())
    for _ in range(10):
        await call(share)
    waiting = asyncio.ensure_future(call(share))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert [round(await call(share)) for _ in range(10)] == [5] * 10


def test_what_a_clock_far_ahead_has_noted_does_not_block_the_key_for_ever() -> None:
    far = 10 * HORIZON_MS
    wrong = Share(told_ms=0, uses=(Use(until_ms=far, calls=10),), held=Use(until_ms=far, calls=1), blocked_until_ms=far)
    account, ahead = Account(id="ca", shares={"b": wrong}), {"b": 0}
    assert room(viewed(account, ahead), TEN, HORIZON_MS) == 0
    later, granted = reserved(
        account, TEN, "a", ahead=ahead, ended=(), in_flight=0, wanted=1, now_ms=HORIZON_MS + 5_000, until_ms=far
    )
    assert granted == 1
    assert set(later.shares) == {"a"}


def seen(clocks: Clocks, told_ms: int, now_ms: int) -> int:
    """How far the clock of `b` is ahead, once it has told at this instant of its own, seen at that one of ours."""
    return clocks.seen(Account(id="ca", shares={"b": Share(told_ms=told_ms)}), now_ms)["b"]


def test_what_was_seen_soonest_says_how_far_another_clock_is_ahead() -> None:
    clocks = Clocks("a", good_for_ms=60_000)
    assert seen(clocks, 120_000, 900) == 119_099
    assert seen(clocks, 120_000, 5_000) == 119_099, "nothing new was told"
    assert seen(clocks, 125_100, 5_110) == 119_989
    assert seen(clocks, 126_100, 6_500) == 119_989
    assert seen(clocks, 190_000, 70_900) == 119_099, "the best was too old: no two clocks run equally fast"


def test_a_clock_that_stood_still_is_not_taken_to_have_gone_on() -> None:
    clocks = Clocks("a", good_for_ms=60_000)
    assert seen(clocks, 10_000, 9) == 9_990
    assert seen(clocks, 10_500, 31_000) == 9_990, "it may have been told long ago"
    assert seen(clocks, 11_000, 32_000) == -21_001, "this was told since our last look"
