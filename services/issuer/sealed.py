"""What operators see of the private keys that are held, which is never their content; and how they erase them."""

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.issuer import advice
from services.issuer.erasing import Erasing
from services.issuer.model import Order
from services.issuer.ports import OrderStore
from shared.clock import Clock
from shared.contracts import commands
from shared.contracts.replies import EraseResult, SealedResult, SealedSummary
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outcome, Received, reply_ok
from shared.vocabulary.findings import finding
from shared.vocabulary.held import ErasedBecause

log = structlog.get_logger()


@dataclass(frozen=True)
class ListSealedHandler:
    """Lists what is held for the groups that the sender may audit."""

    orders: OrderStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListSealed]) -> Outcome:
        """Handle the question."""
        ask = message.data
        groups = advice.audited(message.sender, ask.approval_group, self.in_force.policy)
        found = await self.orders.holding(groups, after=ask.after, limit=ask.limit + 1)
        shown = tuple(summary for order in found[: ask.limit] for summary in _summaries(order))
        result = SealedResult(held=shown, more=len(found) > ask.limit)
        return Outcome(publish=(reply_ok(message, result, f"{len(shown)} are held.", at=self.clock.now()),))


def _summaries(order: Order) -> tuple[SealedSummary, ...]:
    held = order.held
    if held is None or order.approval_group is None:
        return ()
    return (
        SealedSummary(
            request_id=order.id,
            approval_group=order.approval_group,
            kind=held.kind,
            since=_instant(held.since_ms),
            opening_key=held.opening_key,
            erased_at=None if held.erase_ms is None else _instant(held.erase_ms),
        ),
    )


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(frozen=True)
class EraseSealedHandler:
    """Erases what is held of one key pair, for good: a certificate that comes of it later is held back."""

    orders: OrderStore
    in_force: PolicyInForce
    erasing: Erasing
    clock: Clock

    async def __call__(self, message: Received[commands.EraseSealed]) -> Outcome:
        """Handle the decision."""
        known = await self.orders.load(message.data.request_id)
        order = advice.visible(known, message.sender, self.in_force.policy)
        stored = order.outcome_of(message.id)
        if stored is not None:
            return stored
        if order.held is None:
            raise RefusedError(finding("sealed.nothing-held", "nothing is held of a private key of this request"))
        kind = order.held.kind
        erased, told = self.erasing.of(order, ErasedBecause.OPERATOR, by=message.sender)
        result = EraseResult(request_id=order.id, kind=kind)
        answer = reply_ok(message, result, "It is erased, and nobody can get it again.", at=self.clock.now())
        await self.orders.replace(erased.followed_by(message.id, *told, answer))
        log.warning("an operator has erased a private key", request=order.id, by=message.sender, kind=kind)
        return Outcome(publish=(*told, answer))
