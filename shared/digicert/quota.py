"""How many calls an API key may still make: accounting without I/O, from which no window is ever overdrawn.

The CA counts a call when it arrives there, which is somewhere between the moment at which it is sent and the moment
at which it ends. So a call counts here from before it is sent until one window's length after it ended: whatever
happens on the way, the CA never sees more calls within a window than it allows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from shared.messaging.aggregate import Aggregate
from shared.vocabulary.model import Model

HORIZON_MS = 3_600_000
"""No call and no refusal lasts longer than an hour: what claims to is the work of a clock that was wrong."""
GRAINS = 200
"""Calls are remembered to a 200th of the shortest window in which they still count, rounded up."""


@dataclass(frozen=True, slots=True)
class RateWindow:
    """So many calls within so many seconds, rolling."""

    calls: int
    seconds: float

    @property
    def milliseconds(self) -> int:
        """Its length, rounded up."""
        return -int(-self.seconds * 1000 // 1)


DOCUMENTED_WINDOWS = (RateWindow(100, 5.0), RateWindow(1000, 180.0))
"""What DigiCert grants each API key, "subject to change without notice"."""


class Use(Model):
    """So many calls that the CA may have counted at any time up to this instant, but not later."""

    until_ms: int
    calls: Annotated[int, Field(ge=1)]


class Account(Aggregate):
    """What is known of the calls made with one API key; its id names the key and is not the key."""

    uses: tuple[Use, ...] = ()
    """Calls that ended."""
    held: dict[str, Use] = Field(default_factory=dict)
    """By holder: calls that were granted and, as far as is known here, have not ended."""
    blocked_until_ms: int = 0
    """Before this instant the CA wants no call at all: it said so, or it refused one."""
    refusals: int = 0
    """How often the CA refused a call lately."""


def room(account: Account, windows: Sequence[RateWindow], now_ms: int) -> int:
    """How many calls may go now."""
    if account.blocked_until_ms > now_ms:
        return 0
    return max(0, min(window.calls - _counted(account, window, now_ms) for window in windows))


def used(account: Account, windows: Sequence[RateWindow], now_ms: int) -> list[float]:
    """Which part of each window is used up; all of it while the CA wants no call at all."""
    blocked = account.blocked_until_ms > now_ms
    return [1.0 if blocked else _counted(account, window, now_ms) / window.calls for window in windows]


def opens_at(account: Account, windows: Sequence[RateWindow], now_ms: int) -> int:
    """The earliest instant, now or later, at which a call may go, if no other goes before it."""
    return max(now_ms, account.blocked_until_ms, *(_opens_at(account, window, now_ms) for window in windows))


def reserved(
    account: Account,
    windows: Sequence[RateWindow],
    holder: str,
    *,
    ended: Iterable[Use],
    in_flight: int,
    wanted: int,
    now_ms: int,
    until_ms: int,
) -> tuple[Account, int]:
    """The account as its holder knows it to be, with up to `wanted` calls granted; and how many were.

    Args:
        account: as it was last stored.
        windows: which to obey.
        holder: who asks; what the account held for it is replaced.
        ended: its calls that ended since it asked last.
        in_flight: its calls that have not ended yet.
        wanted: how many more it would make.
        now_ms: the present instant.
        until_ms: by when all of them have ended, those in flight and those granted.
    """
    alive = {name: _sane(use, now_ms) for name, use in account.held.items() if name != holder}
    others = {name: use for name, use in alive.items() if _counts(use, windows[-1], now_ms)}
    uses = _compacted([_sane(use, now_ms) for use in (*account.uses, *ended)], windows, now_ms)
    update = {"uses": uses, "blocked_until_ms": min(account.blocked_until_ms, now_ms + HORIZON_MS)}
    known = account.model_copy(update={**update, "held": _holding(others, holder, until_ms, in_flight)})
    granted = min(wanted, room(known, windows, now_ms))
    held = _holding(others, holder, until_ms, in_flight + granted)
    return known.model_copy(update={"held": held}), granted


def refused(
    account: Account, windows: Sequence[RateWindow], now_ms: int, *, retry_after_ms: int | None = None
) -> Account:
    """The account after the CA refused a call: no other goes for as long as the CA said.

    Where it did not say, that is the shortest window, and twice as long with each refusal that follows, up to the
    longest. A call that was under way when the CA began to refuse does not count as a further refusal.
    """
    shortest, longest = windows[0].milliseconds, windows[-1].milliseconds
    if account.blocked_until_ms > now_ms:
        until = max(account.blocked_until_ms, now_ms + (retry_after_ms or 0))
        return account.model_copy(update={"blocked_until_ms": until})
    refusals = account.refusals if now_ms - account.blocked_until_ms < longest else 0
    wait = min(longest, shortest << min(refusals, 10)) if retry_after_ms is None else retry_after_ms
    return account.model_copy(update={"blocked_until_ms": now_ms + wait, "refusals": refusals + 1})


def by_length(windows: Iterable[RateWindow], margin_seconds: float = 0.0) -> tuple[RateWindow, ...]:
    """The windows, the shortest first, each longer by a margin for clocks that differ."""
    widened = [RateWindow(window.calls, window.seconds + margin_seconds) for window in windows]
    return tuple(sorted(widened, key=lambda window: window.seconds))


def _counted(account: Account, window: RateWindow, now_ms: int) -> int:
    return sum(use.calls for use in _all(account) if _counts(use, window, now_ms))


def _counts(use: Use, window: RateWindow, now_ms: int) -> bool:
    return use.until_ms + window.milliseconds > now_ms


def _opens_at(account: Account, window: RateWindow, now_ms: int) -> int:
    """When the calls that this window counts are fewer than it allows."""
    too_many = _counted(account, window, now_ms) + 1 - window.calls
    at = now_ms
    for use in sorted(_all(account), key=lambda use: use.until_ms):
        if too_many <= 0:
            break
        if _counts(use, window, now_ms):
            at = use.until_ms + window.milliseconds
            too_many -= use.calls
    return at


def _all(account: Account) -> list[Use]:
    return [*account.uses, *account.held.values()]


def _holding(others: Mapping[str, Use], holder: str, until_ms: int, calls: int) -> dict[str, Use]:
    held = {} if calls == 0 else {holder: Use(until_ms=until_ms, calls=calls)}
    return {**others, **held}


def _sane(use: Use, now_ms: int) -> Use:
    """The use itself; or, if it was noted by a clock that was far ahead, one that ends now."""
    return use if use.until_ms <= now_ms + HORIZON_MS else use.model_copy(update={"until_ms": now_ms})


def _compacted(uses: Sequence[Use], windows: Sequence[RateWindow], now_ms: int) -> tuple[Use, ...]:
    """The same calls in few entries: forgotten when no window counts them, else put later, never earlier."""
    merged: dict[int, int] = {}
    for use in uses:
        if _counts(use, windows[-1], now_ms):
            grain = _grain(windows, now_ms - use.until_ms)
            until = -(-use.until_ms // grain) * grain
            merged[until] = merged.get(until, 0) + use.calls
    return tuple(Use(until_ms=until, calls=calls) for until, calls in sorted(merged.items()))


def _grain(windows: Sequence[RateWindow], age_ms: int) -> int:
    """How finely a call of this age is remembered: putting it later must not bring it back into a shorter window."""
    grain = max(1, windows[0].milliseconds // GRAINS)
    for shorter, longer in pairwise(windows):
        coarser = max(1, longer.milliseconds // GRAINS)
        if age_ms >= shorter.milliseconds + coarser:
            grain = coarser
    return grain
