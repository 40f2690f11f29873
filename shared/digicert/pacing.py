"""Keeping within an API key's quota, together with everybody else who uses the key."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from shared.digicert import quota
from shared.digicert.clocks import Clocks
from shared.digicert.errors import CaQuotaError
from shared.digicert.quota import DOCUMENTED_WINDOWS, Account, RateWindow, Use, View
from shared.errors import ConflictError
from shared.messaging.aggregate import Store

BATCH = 10
"""The most calls that are reserved with one write."""
HOLD = timedelta(seconds=2)
"""How long a reserved call may wait to be made."""
LOOKS = 20
"""Whoever waits looks so often within the shortest window: others may tell meanwhile that their calls have ended."""
MARGIN = timedelta(milliseconds=50)
"""By how much the clocks of those who share a key may drift apart within the longest window."""


class Quota:
    """One holder of an API key: asks a shared account before each call, and waits its turn.

    Calls are reserved in batches as long as they are used up, so that a busy holder writes once in several calls;
    with each batch, or when it has to wait, it tells the account when its earlier calls ended. A holder that dies
    keeps its last batch until that is too old to count.
    """

    def __init__(
        self,
        accounts: Store[Account],
        *,
        key: str,
        windows: Sequence[RateWindow] = DOCUMENTED_WINDOWS,
        call_seconds: float = 30.0,
        seconds: Callable[[], float] | None = None,
        batch: int = BATCH,
        hold: timedelta = HOLD,
        margin: timedelta = MARGIN,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Ask nothing yet.

        Args:
            accounts: where the accounts of keys are; whoever shares a key must share them.
            key: a name for the API key, not the key.
            windows: what the CA grants; at least one.
            call_seconds: the longest time that a call takes.
            seconds: a clock that never jumps, whatever it began with; the event loop's if not given.
            batch: the most calls that are reserved at once.
            hold: how long a reserved call may wait to be made.
            margin: by how much the clocks of those who share a key may drift apart within the longest window.
            sleep: waits.
        """
        self._accounts = accounts
        self._key = key
        self._allowed = quota.by_length(windows)
        self._windows = quota.by_length(windows, margin.total_seconds())
        self._call_ms = _ms(call_seconds)
        self._seconds = seconds
        self._batch = max(1, min(batch, min(window.calls for window in windows) // 10))
        self._hold_ms = _ms(hold.total_seconds())
        self._look_again = self._windows[0].seconds / LOOKS
        self._sleep = sleep
        self._holder = secrets.token_hex(8)
        self._clocks = Clocks(self._holder, good_for_ms=self._windows[-1].milliseconds)
        self._turn = asyncio.Lock()
        self._granted, self._good_until_ms = 0, 0
        self._waiting, self._in_flight = 0, 0
        self._refusals = 0
        self._ended: list[Use] = []

    @asynccontextmanager
    async def permit(self, endpoint: str, patience: float) -> AsyncIterator[None]:
        """Make one call inside this block; it begins when the call may go.

        Raises:
            CaQuotaError: none may go within so many seconds, or none did; nothing was sent.
            UnavailableError: the accounts are away; nothing was sent.
        """
        async with self._turn_of(endpoint, patience):
            self._granted -= 1
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._ended.append(Use(until_ms=self._now_ms() + 1, calls=1))

    async def ready(self, endpoint: str, patience: float) -> None:
        """Return when a call may go, which somebody else may then make: before one begins what a call belongs to.

        Raises:
            CaQuotaError: none may go within so many seconds, all of which were waited out.
            UnavailableError: the accounts are away.
        """
        async with self._turn_of(endpoint, patience, gives_up_early=False):
            """The permit stays for whoever comes next."""

    async def refused(self, retry_after: float | None) -> None:
        """The CA refused a call for its rate: everybody waits, for so many seconds if the CA said.

        Raises:
            UnavailableError: the accounts are away.
        """
        self._granted = 0
        self._refusals += 1
        wait = None if retry_after is None else _ms(retry_after)

        def note(account: Account) -> Account:
            now_ms = self._now_ms()
            ahead = self._clocks.seen(account, now_ms)
            return quota.refused(account, self._windows, self._holder, ahead=ahead, now_ms=now_ms, retry_after_ms=wait)

        await self._change(note)

    async def used(self) -> dict[float, float]:
        """Which part of each window is used up, by its length in seconds.

        Raises:
            UnavailableError: the accounts are away.
        """
        view, now_ms = await self._look()
        parts = quota.used(view, self._windows, now_ms)
        return {window.seconds: part for window, part in zip(self._allowed, parts, strict=True)}

    async def room(self) -> int:
        """How many calls may go now, as far as the account knows.

        Raises:
            UnavailableError: the accounts are away.
        """
        view, now_ms = await self._look()
        return quota.room(view, self._windows, now_ms)

    async def aclose(self) -> None:
        """Tell the account which calls ended and give back what was not used.

        Raises:
            UnavailableError: the accounts are away; they find out by themselves after a while.
        """
        self._granted = 0
        if self._ended:
            await self._reserve(0)

    @asynccontextmanager
    async def _turn_of(self, endpoint: str, patience: float, *, gives_up_early: bool = True) -> AsyncIterator[None]:
        """Inside this block there is a permit, and nobody else takes it."""
        deadline_ms = self._now_ms() + _ms(patience)
        self._waiting += 1
        try:
            async with asyncio.timeout(patience), self._turn:
                while not self._has_permit():
                    opens_ms = await self._reserve(self._wanted())
                    if self._granted:
                        break
                    wait = max(opens_ms - self._now_ms(), 1) / 1000
                    if gives_up_early and opens_ms > deadline_ms:
                        raise CaQuotaError(endpoint, wait)
                    await self._sleep(min(wait, self._look_again))
                yield
        except TimeoutError:
            raise CaQuotaError(endpoint, self._hold_ms / 1000) from None
        finally:
            self._waiting -= 1

    def _has_permit(self) -> bool:
        return self._granted > 0 and self._now_ms() < self._good_until_ms

    def _wanted(self) -> int:
        """A whole batch where the last one was used up in time, else what is waited for."""
        was_used_up = self._granted == 0 and self._now_ms() < self._good_until_ms
        return self._batch if was_used_up else min(self._batch, self._waiting)

    async def _reserve(self, wanted: int) -> int:
        """Take up to so many calls, telling the account which ones ended; when the next one may go, if none does."""
        ended: list[Use] = []
        granted, good_until_ms, opens_ms = 0, 0, 0

        def take(account: Account) -> Account | None:
            nonlocal ended, granted, good_until_ms, opens_ms
            ended = list(self._ended)  # together with those in flight: a call may have ended while the account came
            now_ms = self._now_ms()
            good_until_ms = now_ms + self._hold_ms
            ahead = self._clocks.seen(account, now_ms)
            known, granted = quota.reserved(
                account,
                self._windows,
                self._holder,
                ahead=ahead,
                ended=ended,
                in_flight=self._in_flight,
                wanted=wanted,
                now_ms=now_ms,
                until_ms=good_until_ms + self._call_ms,
            )
            opens_ms = quota.opens_at(quota.viewed(known, ahead), self._windows, now_ms)
            return known if granted or ended or not wanted else None

        self._granted, refusals = 0, self._refusals
        if await self._change(take):
            del self._ended[: len(ended)]
        if granted and refusals == self._refusals:
            self._granted, self._good_until_ms = granted, good_until_ms
        return opens_ms

    async def _look(self) -> tuple[View, int]:
        """The account by our clock, and the present instant."""
        account = await self._accounts.load(self._key) or Account(id=self._key)
        now_ms = self._now_ms()
        return quota.viewed(account, self._clocks.seen(account, now_ms)), now_ms

    async def _change(self, change: Callable[[Account], Account | None]) -> bool:
        """Change the account in one write, again from the start if somebody was faster; None changes nothing."""
        while True:
            stored = await self._accounts.load(self._key)
            changed = change(stored or Account(id=self._key))
            if changed is None:
                return False
            try:
                if stored is not None:
                    await self._accounts.replace(changed)
                    return True
                if await self._accounts.insert(changed):
                    return True
            except ConflictError:
                continue

    def _now_ms(self) -> int:
        """The present instant, rounded down: nothing counts for shorter than it should."""
        return int((self._seconds or asyncio.get_running_loop().time)() * 1000 // 1)


class MemoryAccounts:
    """Accounts of keys that nobody else uses."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    async def insert(self, aggregate: Account) -> bool:
        """Store a new one; `False`, and nothing changed, when its id is taken."""
        if aggregate.id in self._accounts:
            return False
        self._accounts[aggregate.id] = aggregate
        return True

    async def load(self, aggregate_id: str) -> Account | None:
        """The account as it was last written."""
        return self._accounts.get(aggregate_id)

    async def replace(self, aggregate: Account) -> Account:
        """Write it if its `version` is still the stored one; returns it with its new version."""
        known = self._accounts.get(aggregate.id)
        if known is None or known.version != aggregate.version:
            raise ConflictError(aggregate.id)
        written = aggregate.model_copy(update={"version": aggregate.version + 1})
        self._accounts[aggregate.id] = written
        return written


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
