"""Taking an approved request back: the ledger decides, until the intent to order is stored."""

from dataclasses import dataclass

from services.issuer.erasing import Erasing
from services.issuer.model import Order
from services.issuer.ports import OrderStore
from shared.clock import Clock
from shared.contracts import events
from shared.errors import ConflictError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_event, publish_news
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.held import ErasedBecause
from shared.vocabulary.orders import OrderState

OPEN_FOR_WITHDRAWAL = frozenset({OrderState.WITNESSED, OrderState.RETURNED, OrderState.ACCEPTED})
"""States in which nothing was ordered: no intent is stored."""
_TOO_LATE = {
    OrderState.INTENT: "it may have been ordered from the CA already",
    OrderState.UNCLEAR: "it may have been ordered from the CA already",
    OrderState.PENDING: "it is ordered from the CA already",
    OrderState.ISSUED: "its certificate is issued already; what is no longer wanted is revoked",
    OrderState.QUARANTINED: "the CA has issued a certificate already, which is held back and should be revoked",
    OrderState.FAILED: "it has failed already",
}


@dataclass(frozen=True)
class WithdrawalAskedHandler:
    """Ends what was approved and not ordered, also before the approval has come; or says that it is too late."""

    orders: OrderStore
    in_force: PolicyInForce
    erasing: Erasing
    clock: Clock

    async def __call__(self, message: Received[events.WithdrawalAsked]) -> Outcome:
        """Handle the question, which approval has asked of its latest verdict."""
        granted = self._granted(message, after=message.data.approved_as)
        fresh = _withdrawn(Order(id=message.data.request_id, state=OrderState.WITHDRAWN), message.data)
        if await self.orders.insert(fresh.followed_by(message.id, granted)):
            return Outcome(publish=(granted,))
        known = await self.orders.load(message.data.request_id)
        if known is None:
            raise ConflictError("an entry that was there a moment ago is gone")
        stored = known.outcome_of(message.id)
        if stored is not None:
            return stored
        if known.state is OrderState.WITHDRAWN or message.data.verdict in known.voided:
            return NOTHING  # approval has been told, and answers: of what was given back, it decides itself
        if known.state not in OPEN_FOR_WITHDRAWAL:
            # Nothing is written: that would get in the way of an order that is under way.
            return Outcome(publish=(self._refused(message, known),))
        granted = self._granted(message, after=max(known.sequence, message.data.approved_as))
        withdrawn, erased = self.erasing.of(_withdrawn(known, message.data), ErasedBecause.ENDED)
        await self.orders.replace(withdrawn.followed_by(message.id, granted, *erased))
        return Outcome(publish=(granted, *erased))

    def _granted(self, message: Received[events.WithdrawalAsked], *, after: int) -> Outgoing:
        asked = message.data
        event = events.WithdrawalGranted(
            request_id=asked.request_id, approval_group=asked.approval_group, verdict=asked.verdict, by=asked.by
        )
        serial, now = self.in_force.policy.serial, self.clock.now()
        return publish_event(event, origin=message.id, sequence=after + 1, policy_serial=serial, at=now)

    def _refused(self, message: Received[events.WithdrawalAsked], known: Order) -> Outgoing:
        asked = message.data
        news = events.WithdrawalRefused(
            request_id=asked.request_id,
            verdict=asked.verdict,
            command=asked.command,
            findings=(too_late(known.state),),
        )
        serial, now = self.in_force.policy.serial, self.clock.now()
        return publish_news(news, about=asked.request_id, origin=message.id, policy_serial=serial, at=now)


def too_late(state: OrderState) -> Finding:
    """Why an approved request can't be taken back any more."""
    return finding("withdrawal.too-late", f"this can't be withdrawn any more: {_TOO_LATE[state]}", value=state)


def _withdrawn(order: Order, asked: events.WithdrawalAsked) -> Order:
    """The entry at its end: no approval of this request serves any more."""
    return order.model_copy(
        update={
            "state": OrderState.WITHDRAWN,
            "sequence": max(order.sequence, asked.approved_as) + 1,
            "voided": (*order.voided, asked.verdict),
            "findings": (),
            "settlement": None,
            "waits": 0,
            "due": order.due if order.unpublished else None,
            "due_then": None,
        }
    )
