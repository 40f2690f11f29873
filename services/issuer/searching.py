"""Looking for an order of ours at the CA, before anything is ordered that may be there already."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count

from services.issuer import rules
from services.issuer.model import Order
from services.issuer.ports import CertificateAuthority, KnownOrder
from shared.vocabulary.names import Digest, MessageId, OrderId


@dataclass(frozen=True)
class Found:
    """An order at the CA, and the id of ours under which it is there."""

    order_id: OrderId
    alternative_order_id: MessageId
    is_live: bool = True


@dataclass(frozen=True)
class Sighting:
    """What the CA has of a request."""

    attempt: int
    """The first one under which there is no order."""
    live: tuple[Found, ...] = ()
    ended: tuple[Found, ...] = ()
    """Orders of the latest attempt from which no certificate comes any more."""
    doubtful: tuple[OrderId, ...] = ()
    """Orders that nobody can tell whose they are."""

    @property
    def one(self) -> Found | None:
        """The order to take over: the only live one; where none is, the last that ended."""
        if len(self.live) == 1:
            return self.live[0]
        return self.ended[-1] if self.ended and not self.live else None

    @property
    def is_unclear(self) -> bool:
        """Whether only a person can tell which order is the request's."""
        return len(self.live) > 1 or (not self.live and not self.ended and bool(self.doubtful))


@dataclass(frozen=True)
class Search:
    """Asks the CA for every order that there can be of a request.

    The ids are derived from request, revision and attempt, so that a ledger that has forgotten its attempts knows them
    all the same. A number is used only when all orders under the one before it have ended: the first one of which that
    cannot be said is the last.
    """

    ca: CertificateAuthority

    async def __call__(self, order: Order) -> Sighting:
        """What the CA has of this entry's request. Raises `NotNowError`."""
        live: list[Found] = []
        ended: list[Found] = []
        free = max(order.attempt, 1)
        for revision in rules.revisions_of(order):
            is_former = revision != order.revision
            known = 0 if is_former else order.attempt
            async for attempt, alternative, orders in self._attempts(order, revision, known):
                live += (Found(each.order_id, alternative) for each in orders if not each.ended)
                if not is_former and attempt >= known:  # those before are what this attempt has come after
                    ended += (Found(each.order_id, alternative, is_live=False) for each in orders if each.ended)
                    free = attempt
        if live or ended:
            return Sighting(free, tuple(live), tuple(ended))
        return await self._second_look(order, free)

    async def _attempts(
        self, order: Order, revision: Digest, known: int
    ) -> AsyncIterator[tuple[int, MessageId, Sequence[KnownOrder]]]:
        for attempt in count(1):
            alternative = rules.alternative_order_id(order.id, revision, attempt)
            orders = await self.ca.look_up(alternative)
            yield attempt, alternative, orders
            if attempt >= known and not (orders and all(each.ended for each in orders)):
                return

    async def _second_look(self, order: Order, free: int) -> Sighting:
        """Nothing under our ids; but the CA is not known to keep them for every product."""
        sought = rules.sought(order)
        alike = await self.ca.look_alikes(sought)
        ours = [each for each in alike if each.ours]
        alternative = MessageId(sought.alternative_order_id)
        return Sighting(
            free,
            live=tuple(Found(each.order_id, alternative) for each in ours if not each.ended),
            ended=tuple(Found(each.order_id, alternative, is_live=False) for each in ours if each.ended),
            doubtful=tuple(each.order_id for each in alike if not each.ours and not each.ended),
        )
