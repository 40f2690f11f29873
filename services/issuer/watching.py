"""Since when a process knows of an intent, by its own clock: the clock of who stored it may say anything."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.issuer.model import Order
from shared.vocabulary.names import RequestId

FORGOTTEN_AFTER = timedelta(days=1)
"""Longer than any entry rests between two looks."""


@dataclass(frozen=True)
class Watch:
    """Remembers, by this process's clock, since when it knows of intents to order.

    An order is under way for one lease at most from the moment on at which its intent was stored, and nobody knows of
    an intent before. So it has ended one lease after this, however much the clocks of the copies differ. To forget
    costs time and no more: the entry is then watched anew.
    """

    _since: dict[RequestId, tuple[tuple[int, int], datetime]] = field(default_factory=dict)
    """By entry: which of its intents, and since when; the oldest first."""

    def since(self, order: Order, *, now: datetime) -> datetime:
        """Since when this process knows of the entry's latest intent; if it did not, since now."""
        intent, since = self._since.get(order.id, (None, now))
        if intent == _intent_of(order):
            return since
        self.begin(order, now)
        return now

    def begin(self, order: Order, since: datetime) -> None:
        """Watch this intent, which was stored at this moment or before."""
        self._since.pop(order.id, None)
        self._since[order.id] = (_intent_of(order), since)
        for known in [id_ for id_, (_, then) in self._since.items() if then + FORGOTTEN_AFTER < since]:
            del self._since[known]


def _intent_of(order: Order) -> tuple[int, int]:
    return order.tries, order.intended_at_ms
