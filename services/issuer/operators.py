"""What operators see of the ledger and decide about it: one frozen dataclass for each message."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from services.issuer import advice
from services.issuer.model import Order, Settlement
from services.issuer.ports import OrderStore
from shared.clock import Clock
from shared.contracts import commands
from shared.contracts.replies import OrdersResult, SettleResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outcome, Received, reply_ok
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import finding
from shared.vocabulary.orders import OPEN_ORDERS, OrderState

log = structlog.get_logger()

DecisionT = TypeVar("DecisionT", commands.SettleOrder, commands.FailOrder)


@dataclass(frozen=True)
class ListOrdersHandler:
    """Lists the orders of the groups that the sender may audit."""

    orders: OrderStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListOrders]) -> Outcome:
        """Handle the question."""
        ask = message.data
        groups = advice.audited(message.sender, ask.approval_group, self.in_force.policy)
        found = await self.orders.listed(groups, ask.states, after=ask.after, limit=ask.limit + 1)
        shown = tuple(map(advice.summary_of, found[: ask.limit]))
        result = OrdersResult(orders=shown, more=len(found) > ask.limit)
        return Outcome(publish=(reply_ok(message, result, f"{len(shown)} orders.", at=self.clock.now()),))


@dataclass(frozen=True)
class ShowOrderHandler:
    """Shows an order to those who may audit its group."""

    orders: OrderStore
    in_force: PolicyInForce
    feed_age: Callable[[int], Awaitable[timedelta]]
    """How long ago the CA's status feed was read; since then, if nobody had a reason to read it before."""
    clock: Clock

    async def __call__(self, message: Received[commands.ShowOrder]) -> Outcome:
        """Handle the question."""
        known = await self.orders.load(message.data.request_id)
        order = advice.visible(known, message.sender, self.in_force.policy)
        result = advice.shown(order, feed_age=await self.feed_age(order.accepted_at_ms))
        return Outcome(publish=(reply_ok(message, result, result.what_to_do, at=self.clock.now()),))


@dataclass(frozen=True)
class SettleOrderHandler:
    """Takes an operator's decision about an unclear order; the scheduler asks the CA once more and then does it."""

    orders: OrderStore
    in_force: PolicyInForce
    clock: Clock
    offer: Callable[[Order], None]

    async def __call__(self, message: Received[commands.SettleOrder]) -> Outcome:
        """Handle the decision."""
        known = await self.orders.load(message.data.request_id)
        order = advice.visible(known, message.sender, self.in_force.policy)
        stored = order.outcome_of(message.id)
        if stored is not None:
            return stored
        if order.state is not OrderState.UNCLEAR:
            text = "only an unclear order is settled by people"
            raise RefusedError(finding("order.not-unclear", text, value=order.state))
        wanted = Settlement(by=message.sender, adopt=message.data.adopt)
        decided, outcome = _decided(message, order, wanted, now=self.clock.now())
        self.offer(await self.orders.replace(decided))
        log.warning("an operator settles an order", request=order.id, by=message.sender, adopt=message.data.adopt)
        return outcome


@dataclass(frozen=True)
class FailOrderHandler:
    """Takes an operator's decision to end an open entry; the scheduler does it unless the CA has a live order of it."""

    orders: OrderStore
    in_force: PolicyInForce
    clock: Clock
    offer: Callable[[Order], None]

    async def __call__(self, message: Received[commands.FailOrder]) -> Outcome:
        """Handle the decision."""
        known = await self.orders.load(message.data.request_id)
        order = advice.visible(known, message.sender, self.in_force.policy)
        stored = order.outcome_of(message.id)
        if stored is not None:
            return stored
        if order.state not in OPEN_ORDERS:
            text = "only what is approved and not at its end can be ended"
            raise RefusedError(finding("order.not-open", text, value=order.state))
        wanted = Settlement(by=message.sender, adopt=None, fail=message.data.reason)
        decided, outcome = _decided(message, order, wanted, now=self.clock.now())
        self.offer(await self.orders.replace(decided))
        log.warning("an operator ends a request", request=order.id, by=message.sender, reason=message.data.reason)
        return outcome


def _decided(message: Received[DecisionT], order: Order, wanted: Settlement, *, now: datetime) -> tuple[Order, Outcome]:
    """The entry with what is wanted, due at once, and the answer, which is stored in it."""
    result = SettleResult(request_id=order.id, state=order.state)
    text = "The CA is asked once more, and then it is done; `ra orders show` says what came of it."
    answer = reply_ok(message, result, text, at=now)
    due = milliseconds(now.timestamp())
    update = {"settlement": wanted, "waits": 0, "unanswered": 0, "due": due, "due_then": due}
    return order.model_copy(update=update).followed_by(message.id, answer), Outcome(publish=(answer,))
