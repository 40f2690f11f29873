"""What to do where there may be an order at the CA already: the CA is asked before anything is ordered."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.issuer import rules
from services.issuer.books import Pace
from services.issuer.model import Order, Settlement
from services.issuer.ports import ID_TAKEN, UNCLEAR, CertificateAuthority
from services.issuer.searching import Found, Search, Sighting
from services.issuer.watching import Watch
from shared.clock import Clock
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import OrderId
from shared.vocabulary.orders import OrderState

log = structlog.get_logger()

NOT_OURS, IS_THERE = "order.not-ours", "order.is-there"
MOST_UNANSWERED = 8
"""After so many orders without a usable answer, none of which the CA shows, people decide: within about an hour."""


@dataclass(frozen=True)
class Adopt:
    """The order at the CA is this request's."""

    found: Found


@dataclass(frozen=True)
class OrderIt:
    """The CA has nothing of this: it may be ordered, as this attempt."""

    attempt: int


@dataclass(frozen=True)
class LookAgain:
    """The CA shows nothing, and might not show it yet."""


@dataclass(frozen=True)
class AskPeople:
    """Nobody but an operator can tell what to do."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class EndIt:
    """An operator has ended it, and the CA has no live order of it."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class GoOn:
    """What the operator wants can't be done: it goes on as before."""

    findings: tuple[Finding, ...]


Step = Adopt | OrderIt | LookAgain | AskPeople | EndIt | GoOn


@dataclass(frozen=True)
class Recovery:
    """Finds out what to do. Every question to the CA may raise `NotNowError`."""

    ca: CertificateAuthority
    clock: Clock
    pace: Pace
    begun: datetime
    """When this process began: of what began before, the CA may have an order that this ledger does not know of."""
    watch: Watch = field(default_factory=Watch)

    def wait_before(self, order: Order) -> timedelta | None:
        """How long to wait before the CA is asked what it has of a new entry; none if it need not be asked.

        What began before this process did may have been ordered already: this ledger may have been restored from a
        backup that is older than the order. What began later was in nobody's hands but those that share this ledger.
        """
        begun = milliseconds(self.begun.timestamp())
        visible = begun + self._lag_ms
        if order.origin_ms >= begun or order.searched_at_ms >= visible:
            return None
        return timedelta(milliseconds=max(0, visible - self._now_ms))

    async def step(self, order: Order) -> Step:
        """What to do about an entry of which there may be an order."""
        reliable = self._is_reliable(order)
        return _next_step(order, await Search(self.ca)(order), reliable=reliable)

    async def settled(self, order: Order) -> Step:
        """What an operator's decision leads to, against what the CA says now."""
        reliable = self._is_reliable(order)
        sighting = await Search(self.ca)(order)
        wanted = order.settlement.adopt if order.settlement else None
        resembles = wanted is not None and await self.ca.resembles(wanted, rules.sought(order))
        step = _settled_step(order, sighting, resembles=resembles, reliable=reliable)
        log.warning("an operator has decided", request=order.id, decision=order.settlement, leads_to=step)
        return step

    async def ended(self, order: Order) -> Step:
        """What becomes of an operator's wish to end it; of what was surely never ordered, the CA is not asked."""
        if order.settlement is None:
            raise ValueError("nobody wants it to end")
        if order.state is OrderState.ACCEPTED and self.wait_before(order) is None:
            return EndIt((_ended_by(order.settlement),))
        reliable = self._is_reliable(order)
        sighting = await Search(self.ca)(order)
        live = {each.order_id for each in sighting.live}
        if order.order_id is not None and order.order_id not in live and await self.ca.is_live(order.order_id):
            live.add(order.order_id)
        if live:
            text = "the CA has a live order of this request: cancel it at the CA first, then end the request"
            return _refused(order, finding(IS_THERE, text, value=_listed(sorted(live))))
        if not reliable:
            return LookAgain()
        doubtful = (rules.left_there(sighting.doubtful, "may be this request's"),) if sighting.doubtful else ()
        return EndIt((_ended_by(order.settlement), *doubtful))

    def _is_reliable(self, order: Order) -> bool:
        """Whether the CA shows, if it is asked from now on, any order of this, whoever placed it.

        Of what is only accepted, none is under way; one that the ledger has forgotten ended before this process began.
        """
        if order.state is OrderState.ACCEPTED:
            ended = self.begun
        else:
            ended = self.watch.since(order, now=self.clock.now()) + self.pace.lease
        return self.clock.now() >= ended + self.pace.lookup_lag

    @property
    def _lag_ms(self) -> int:
        return milliseconds(self.pace.lookup_lag.total_seconds())

    @property
    def _now_ms(self) -> int:
        return milliseconds(self.clock.now().timestamp())


def _next_step(order: Order, sighting: Sighting, *, reliable: bool) -> Step:
    """What to do about an entry of which there may be an order at the CA.

    `reliable` says that enough time has passed for any order to be visible.
    """
    if sighting.is_unclear:
        return AskPeople((_unclear(sighting),))
    if sighting.one is not None:
        return Adopt(sighting.one)
    if not reliable:
        return LookAgain()
    if _is_taken(order):
        text = "the CA says that it has an order under this request's id, and does not show it"
        return AskPeople((finding(UNCLEAR, text), *order.findings))
    if order.unanswered >= MOST_UNANSWERED:
        text = f"the CA gave no usable answer to {order.unanswered} orders of this in a row, and shows none"
        return AskPeople((finding(UNCLEAR, text), *order.findings))
    return OrderIt(sighting.attempt)


def _settled_step(order: Order, sighting: Sighting, *, resembles: bool, reliable: bool) -> Step:
    """What to do about an unclear entry for which an operator has decided, if that holds against what the CA says now.

    `resembles` says that the order to be adopted carries this request's id, or no id and this request's CSR.
    """
    if order.settlement is None:
        raise ValueError("nobody has settled it")
    wanted = order.settlement.adopt
    if wanted is not None:
        known = next((each for each in (*sighting.live, *sighting.ended) if each.order_id == wanted), None)
        if known is None and not resembles:
            text = "that order is not this request's: it has another id or another CSR, or is not there"
            return _refused(order, finding(NOT_OURS, text, value=wanted))
        return Adopt(known or Found(wanted, order.alternative_order_id or rules.id_of_attempt(order, 1)))
    if sighting.live:
        text = "the CA has a live order under this request's id: adopt it, or cancel it at the CA first"
        return _refused(order, finding(IS_THERE, text, value=_listed(each.order_id for each in sighting.live)))
    if not reliable:
        return LookAgain()
    return OrderIt(sighting.attempt + _is_taken(order))


def _refused(order: Order, reason: Finding) -> Step:
    """It stays as it is, and says why the decision was not followed."""
    before = (found for found in order.findings if found.code not in {NOT_OURS, IS_THERE})
    return (AskPeople if order.state is OrderState.UNCLEAR else GoOn)((*before, reason))


def _ended_by(settlement: Settlement) -> Finding:
    text = f"{settlement.by} has ended this request: {settlement.fail}"
    return finding("order.ended-by-operator", text, value=settlement.by)


def _unclear(sighting: Sighting) -> Finding:
    if sighting.live:
        numbers = _listed(each.order_id for each in sighting.live)
        return finding(UNCLEAR, "the CA has several orders for this request", value=numbers)
    numbers = _listed(sighting.doubtful)
    return finding(UNCLEAR, "the CA has orders with this CSR that do not say whose they are", value=numbers)


def _listed(numbers: Iterable[OrderId]) -> str:
    return ", ".join(map(str, numbers))


def _is_taken(order: Order) -> bool:
    return any(found.code == ID_TAKEN for found in order.findings)
