"""How far the clocks of those who share an API key are apart, as far as it can be known without comparing them."""

from dataclasses import dataclass

from shared.digicert.quota import Account, Ahead


@dataclass(frozen=True, slots=True)
class _Sample:
    """Something that another holder told, by its clock, and when it was seen, by ours."""

    told_ms: int
    seen_ms: int

    @property
    def ahead_ms(self) -> int:
        """By how much its clock is ahead of ours at least: it was told before it was seen.

        Both instants are rounded down, which for the second would make a millisecond too much of it.
        """
        return self.told_ms - self.seen_ms - 1


class Clocks:
    """One holder's knowledge of the others' clocks.

    What another told by its clock was told before it was seen here. So by now its clock shows that instant and, at
    least, what has passed here since. Where two look often, the one that was seen soonest tells how far they are apart
    to within that moment; where they look seldom, the other's calls seem younger than they are, which costs quota and
    never overdraws it.
    """

    def __init__(self, own: str, *, good_for_ms: int) -> None:
        """Nothing is known yet; what is known is worth that long, as no two clocks run equally fast."""
        self._own = own
        self._good_for_ms = good_for_ms
        self._best: dict[str, _Sample] = {}
        self._latest: dict[str, _Sample] = {}
        self._looked_ms = 0

    def seen(self, account: Account, now_ms: int) -> Ahead:
        """Take note of an account that was loaded just now; how far the others' clocks are ahead, at least."""
        others = {name: share for name, share in account.shares.items() if name != self._own}
        for name, share in others.items():
            latest = self._latest.get(name)
            if latest is None or latest.told_ms != share.told_ms:
                self._learn(name, _Sample(share.told_ms, now_ms))
        self._best = {name: sample for name, sample in self._best.items() if name in others}
        self._latest = {name: sample for name, sample in self._latest.items() if name in others}
        self._looked_ms = now_ms
        return {name: sample.ahead_ms for name, sample in self._best.items()}

    def _learn(self, name: str, sample: _Sample) -> None:
        best = self._best.get(name)
        if best is None or sample.ahead_ms >= best.ahead_ms or self._is_spent(best, sample):
            self._best[name] = sample
        self._latest[name] = sample

    def _is_spent(self, best: _Sample, sample: _Sample) -> bool:
        """Whether it is too old, or the other's clock has stood still since: this was told after our last look."""
        return sample.seen_ms - best.seen_ms > self._good_for_ms or sample.told_ms < self._looked_ms + best.ahead_ms
