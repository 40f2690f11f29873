"""Writing the ledger: one write for each step, which holds what follows from it, before that is published."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.issuer.model import Order
from services.issuer.ports import ID_TAKEN, UNCLEAR, NotNowError, OrderStore
from shared.clock import Clock
from shared.contracts import events
from shared.contracts.events import Evidence
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outgoing, publish_event
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import ApprovalGroupName

LASTING = frozenset({ID_TAKEN, UNCLEAR})
"""Findings that are still true when the CA was away, or busy, meanwhile."""
MOST_POLLS = 20
"""What waits for the CA or for an operator is looked at ever less often, at last every so many polls."""


@dataclass(frozen=True)
class Pace:
    """The waiting times of ordering."""

    lease: timedelta
    lookup_lag: timedelta
    """How long after an intent the CA's look-up may still miss its order."""
    poll: timedelta
    """How long what cannot be done now waits for its first repetition; and how often the status feed is read."""
    safety: timedelta = timedelta(days=1)
    """How long an order waits at the CA at most until it is looked at, although the status feed is silent about it."""


@dataclass(frozen=True)
class Books:
    """Writes entries of the ledger, and publishes what follows.

    Every method raises `ConflictError` when another copy was faster, and `UnavailableError` when the database or the
    broker is away.
    """

    orders: OrderStore
    publish: Callable[[Outgoing], Awaitable[None]]
    in_force: PolicyInForce
    clock: Clock
    pace: Pace

    def now_ms(self) -> int:
        """The present instant."""
        return milliseconds(self.clock.now().timestamp())

    def later(self, wait: timedelta) -> int:
        """The instant that is so far ahead, as `due` has it."""
        return self.now_ms() + milliseconds(wait.total_seconds())

    async def claim(self, order: Order) -> Order:
        """Take up this entry: for one lease nobody else does."""
        return await self.orders.replace(order.model_copy(update={"due": self.later(self.pace.lease)}))

    async def keep(self, order: Order, **update: object) -> Order:
        """Write the entry with these fields changed; nothing else follows."""
        return await self.orders.replace(order.model_copy(update=update))

    async def put_off(self, order: Order, findings: Sequence[Finding], wait: timedelta | None = None) -> None:
        """Look at it again later, each time later than the last unless it is known when; the findings say why."""
        due = self.later(wait or self.growing(order, MOST_POLLS * self.pace.poll))
        await self.keep(order, findings=tuple(findings), waits=order.waits + 1, due=due)

    async def heed(self, order: Order, not_now: NotNowError) -> None:
        """Put it off for as long as the CA, or our account of its rate limit, wants."""
        wait = None if not_now.wait is None else timedelta(seconds=not_now.wait)
        lasting = [found for found in order.findings if found.code in LASTING]
        await self.put_off(order, [*lasting, *not_now.findings], wait)

    async def look_later(self, order: Order, findings: Sequence[Finding]) -> None:
        """Ask the CA once its look-up shows what was ordered now; each time later than the last."""
        wait = max(self.pace.lookup_lag, self.growing(order, MOST_POLLS * self.pace.poll))
        await self.keep(order, findings=tuple(findings), waits=order.waits + 1, due=self.later(wait))

    def growing(self, order: Order, longest: timedelta) -> timedelta:
        """The next wait: twice the last one, as long as nothing happens."""
        return min(longest, self.pace.poll * (1 << min(order.waits, 30)))

    async def tell(
        self,
        order: Order,
        update: dict[str, object],
        event: events.LifecycleEvent,
        *,
        role: str,
        also: Sequence[Outgoing] = (),
    ) -> None:
        """Store the new state with the event that follows from it, and what else does, then publish them.

        What is left out of `update` is as it is at the end: no findings, and nothing due.
        """
        outgoing = publish_event(
            event,
            origin=f"{order.id}/{order.verdict}",
            sequence=order.sequence + 1,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
            role=role,
        )
        ended: dict[str, object] = {"findings": (), "waits": 0, "settlement": None, "due_then": None}
        told = {"sequence": order.sequence + 1, "unpublished": (outgoing, *also), "due": self.now_ms()}
        await self.announce(await self.keep(order, **{**ended, **update, **told}))

    async def announce(self, order: Order) -> None:
        """Publish what is not known to be published, then note that it is."""
        for outgoing in order.unpublished:
            await self.publish(outgoing)
        await self.keep(order, unpublished=(), due=order.due_then, due_then=None)


def evidence_of(order: Order) -> Evidence:
    """What the entry was accepted for."""
    if order.evidence is None:
        raise ValueError("an accepted entry has its evidence")
    return order.evidence


def group_of(order: Order) -> ApprovalGroupName:
    """The group whose request this is."""
    if order.approval_group is None:
        raise ValueError("an accepted entry has its approval group")
    return order.approval_group
