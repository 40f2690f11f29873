"""How many calls an API key may still make: accounting without I/O, from which no window is ever overdrawn.

The CA counts a call when it arrives there, which is somewhere between the moment at which it is sent and the moment
at which it ends. So a call counts here from before it is sent until one window's length after it ended: whatever
happens on the way, the CA never sees more calls within a window than it allows.

Each holder of the key tells of its calls by its own clock, and nobody's clock is compared with the time of day: how
far another's is ahead is concluded from what it tells (`clocks.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from shared.messaging.aggregate import Aggregate
from shared.vocabulary.model import Model

HORIZON_MS = 3_600_000
"""No call and no refusal lasts longer than an hour after it was told."""
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


class Share(Model):
    """What one holder of an API key told of its own calls, in instants of its own clock, which is nobody else's."""

    told_ms: int
    """When it told."""
    uses: tuple[Use, ...] = ()
    """Calls that ended."""
    held: Use | None = None
    """Calls that were granted and, as far as is known here, have not ended."""
    blocked_until_ms: int | None = None
    """Before this instant the CA wants no call at all: it said so, or it refused one."""

    @property
    def all(self) -> tuple[Use, ...]:
        """Calls that ended and calls that have not."""
        return self.uses if self.held is None else (*self.uses, self.held)


class Account(Aggregate):
    """What is known of the calls made with one API key; its id names the key and is not the key."""

    shares: dict[str, Share] = Field(default_factory=dict)
    """By holder."""
    refusals: int = 0
    """How often the CA refused a call lately."""


Ahead = Mapping[str, int]
"""By how many milliseconds at least the clock of each other holder is ahead of one's own; see `Clocks`."""


@dataclass(frozen=True)
class View:
    """An account by one holder's clock. Calls of others may seem to have ended later than they did, never earlier."""

    uses: tuple[Use, ...] = ()
    """Calls that ended and calls that have not."""
    blocked_until_ms: int | None = None


def viewed(account: Account, ahead: Ahead) -> View:
    """The account by the clock of whoever is that much behind the others, at least."""
    shares = [(share, ahead.get(name, 0)) for name, share in account.shares.items()]
    blocked = [_sane(share.blocked_until_ms, share) - by for share, by in shares if share.blocked_until_ms is not None]
    uses = tuple(
        Use(until_ms=_sane(use.until_ms, share) - by, calls=use.calls) for share, by in shares for use in share.all
    )
    return View(uses, max(blocked, default=None))


def room(view: View, windows: Sequence[RateWindow], now_ms: int) -> int:
    """How many calls may go now."""
    if _is_blocked(view, now_ms):
        return 0
    return max(0, min(window.calls - _counted(view, window, now_ms) for window in windows))


def used(view: View, windows: Sequence[RateWindow], now_ms: int) -> list[float]:
    """Which part of each window is used up; all of it while the CA wants no call at all."""
    blocked = _is_blocked(view, now_ms)
    return [1.0 if blocked else _counted(view, window, now_ms) / window.calls for window in windows]


def opens_at(view: View, windows: Sequence[RateWindow], now_ms: int) -> int:
    """The earliest instant, now or later, at which a call may go, if no other goes before it."""
    blocked = now_ms if view.blocked_until_ms is None else view.blocked_until_ms
    return max(now_ms, blocked, *(_opens_at(view, window, now_ms) for window in windows))


def reserved(
    account: Account,
    windows: Sequence[RateWindow],
    holder: str,
    *,
    ahead: Ahead,
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
        ahead: how far the others' clocks are ahead of its own.
        ended: its calls that ended since it asked last.
        in_flight: its calls that have not ended yet.
        wanted: how many more it would make.
        now_ms: the present instant.
        until_ms: by when all of them have ended, those in flight and those granted.
    """
    longest = windows[-1].milliseconds
    others = {
        name: share
        for name, share in account.shares.items()
        if name != holder and _matters(share, longest, now_ms + ahead.get(name, 0))
    }
    own = account.shares.get(holder) or Share(told_ms=now_ms)
    told = Share(
        told_ms=now_ms,
        uses=_compacted((*own.uses, *ended), windows, now_ms),
        held=_holding(until_ms, in_flight),
        blocked_until_ms=own.blocked_until_ms,
    )
    known = account.model_copy(update={"shares": {**others, holder: told}})
    granted = min(wanted, room(viewed(known, ahead), windows, now_ms))
    holding = told.model_copy(update={"held": _holding(until_ms, in_flight + granted)})
    return known.model_copy(update={"shares": {**others, holder: holding}}), granted


def refused(
    account: Account,
    windows: Sequence[RateWindow],
    holder: str,
    *,
    ahead: Ahead,
    now_ms: int,
    retry_after_ms: int | None = None,
) -> Account:
    """The account after the CA refused a call of this holder: no other goes for as long as the CA said.

    Where it did not say, that is the shortest window, and twice as long with each refusal that follows, up to the
    longest. A call that was under way when the CA began to refuse does not count as a further refusal.
    """
    shortest, longest = windows[0].milliseconds, windows[-1].milliseconds
    blocked = viewed(account, ahead).blocked_until_ms
    refusals = account.refusals
    if blocked is None or blocked <= now_ms:
        refusals = refusals if blocked is not None and now_ms - blocked < longest else 0
        wait = min(longest, shortest << min(refusals, 10)) if retry_after_ms is None else retry_after_ms
        refusals += 1
    elif now_ms + (retry_after_ms or 0) > blocked:
        wait = retry_after_ms or 0
    else:
        return account
    own = account.shares.get(holder) or Share(told_ms=now_ms)
    told = own.model_copy(update={"told_ms": now_ms, "blocked_until_ms": now_ms + wait})
    return account.model_copy(update={"shares": {**account.shares, holder: told}, "refusals": refusals})


def by_length(windows: Iterable[RateWindow], margin_seconds: float = 0.0) -> tuple[RateWindow, ...]:
    """The windows, the shortest first, each longer by a margin for clocks that do not run equally fast."""
    widened = [RateWindow(window.calls, window.seconds + margin_seconds) for window in windows]
    return tuple(sorted(widened, key=lambda window: window.seconds))


def _is_blocked(view: View, now_ms: int) -> bool:
    return view.blocked_until_ms is not None and view.blocked_until_ms > now_ms


def _counted(view: View, window: RateWindow, now_ms: int) -> int:
    return sum(use.calls for use in view.uses if _counts(use, window, now_ms))


def _counts(use: Use, window: RateWindow, now_ms: int) -> bool:
    return use.until_ms + window.milliseconds > now_ms


def _opens_at(view: View, window: RateWindow, now_ms: int) -> int:
    """When the calls that this window counts are fewer than it allows."""
    too_many = _counted(view, window, now_ms) + 1 - window.calls
    at = now_ms
    for use in sorted(view.uses, key=lambda use: use.until_ms):
        if too_many <= 0:
            break
        if _counts(use, window, now_ms):
            at = use.until_ms + window.milliseconds
            too_many -= use.calls
    return at


def _matters(share: Share, longest_ms: int, now_ms: int) -> bool:
    """Whether anything in it still counts, by the clock of its holder."""
    instants = [use.until_ms for use in share.all]
    if share.blocked_until_ms is not None:
        instants.append(share.blocked_until_ms)
    return any(_sane(instant, share) + longest_ms > now_ms for instant in instants)


def _holding(until_ms: int, calls: int) -> Use | None:
    return Use(until_ms=until_ms, calls=calls) if calls else None


def _sane(instant_ms: int, share: Share) -> int:
    """The instant; or the latest that its holder can have meant."""
    return min(instant_ms, share.told_ms + HORIZON_MS)


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
