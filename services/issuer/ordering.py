"""Ordering: one step of one ledger entry at a time, each stored before the next, none of them done twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.issuer import rules
from services.issuer.fit import FitChecks
from services.issuer.model import Order, OrderState
from services.issuer.ports import (
    CertificateAuthority,
    OrderRefusedError,
    OrderStore,
    OrderUncertainError,
    PlacedOrder,
)
from shared.clock import Clock
from shared.contracts import events
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.steps import Issuance
from shared.evidence.verification import VerifiedApproval
from shared.messaging.messages import Outgoing, publish_event
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import ApprovalGroupName
from shared.x509.certificate import parse_certificate

log = structlog.get_logger()


@dataclass(frozen=True)
class Pace:
    """The waiting times of ordering."""

    lease: timedelta
    lookup_lag: timedelta
    """How long after an intent the CA's look-up may still miss its order."""
    poll: timedelta
    """How long an order waits that the CA has not issued yet, or that can't be placed now."""


@dataclass(frozen=True)
class Ordering:
    """Brings an entry of the ledger one step further."""

    orders: OrderStore
    ca: CertificateAuthority
    fit: FitChecks
    publish: Callable[[Outgoing], Awaitable[None]]
    in_force: PolicyInForce
    key: SigningKey
    roots: Sequence[bytes]
    metrics: EvidenceMetrics
    clock: Clock
    pace: Pace

    async def advance(self, order: Order) -> None:
        """Do what this entry's state asks for.

        Raises:
            ConflictError: another copy was faster.
            UnavailableError: the database, the broker or the CA is away.
        """
        if order.unpublished:
            await self._announce(order)
            return
        match order.state:
            case OrderState.ACCEPTED:
                await self._place(order)
            case OrderState.INTENT:
                await self._recover(order)
            case OrderState.PENDING:
                await self._follow(order)
            case _:
                await self.orders.replace(order.model_copy(update={"due": None}))

    async def _place(self, order: Order) -> None:
        """Verify once more, store the intent, then order."""
        policy = self.in_force.policy
        if order.policy_serial > policy.serial:  # another copy has a newer policy: this one waits for it
            await self._hold(order)
            return
        approval = await self._verified(order)
        if approval is None:
            return
        denial = rules.overtaken_denial(order, approval, self.in_force.anchor, now=self.clock.now())
        if denial is not None:
            await self._return(order, (rules.denial_omitted(),), denial=denial)
            return
        resolved = approval.revision.revision.policy
        intermediate = policy.intermediates[resolved.signing_certificate].der
        findings = await self.fit.check(resolved.product, resolved.ca_cert_id, intermediate)
        if self.in_force.policy is not policy:  # it has changed while the CA was asked
            await self._place(order)
        elif findings is None:
            await self._hold(order)
        elif findings:
            await self._return(order, tuple(findings))
        else:
            await self._order(await self._intend(order, approval), approval)

    async def _verified(self, order: Order) -> VerifiedApproval | None:
        try:
            return rules.verify_entry(order.id, _evidence(order), self.in_force, now=self.clock.now())
        except RefusedError as refused:
            await self._return(order, refused.findings)
            return None

    async def _intend(self, order: Order, approval: VerifiedApproval) -> Order:
        """Claim the entry and store what is about to be sent, in one write."""
        now = self.clock.now()
        attempt = order.attempt + 1
        intent = rules.intent_of(order, approval, self.in_force.policy.digest, attempt=attempt)
        return await self.orders.replace(
            order.model_copy(
                update={
                    "state": OrderState.INTENT,
                    "attempt": attempt,
                    "alternative_order_id": intent.alternative_order_id,
                    "intent": self.key.sign(intent.canonical(), Typ.INTENT, now),
                    "expires_on": rules.last_day_of(approval, today=now.date()),
                    "intended_at_ms": milliseconds(now.timestamp()),
                    "due": milliseconds((now + self.pace.lease).timestamp()),
                }
            )
        )

    async def _order(self, order: Order, approval: VerifiedApproval) -> None:
        half = self.pace.lease / 2
        if order.due is None or self._now_ms() >= order.due - milliseconds(half.total_seconds()):
            return  # the lease may end before the CA answers: whoever takes it over looks the order up first
        try:
            async with asyncio.timeout(half.total_seconds()):
                placed = await self.ca.place(rules.order_request(order, approval))
        except OrderRefusedError as refused:
            await self._fail(order, refused.findings)
        except (OrderUncertainError, TimeoutError):
            await self._look_later(order)
        except UnavailableError:
            log.warning("the CA did not take the order", request=order.id)
            await self._hold(order.model_copy(update={"state": OrderState.ACCEPTED}))
        else:
            await self._note(order, placed)

    def _now_ms(self) -> int:
        return milliseconds(self.clock.now().timestamp())

    async def _look_later(self, order: Order) -> None:
        later = self.clock.now() + self.pace.lookup_lag
        await self.orders.replace(order.model_copy(update={"due": milliseconds(later.timestamp())}))

    async def _recover(self, order: Order) -> None:
        """An intent whose end is not known: ask the CA what it has before ever ordering again."""
        if order.alternative_order_id is None:
            raise ValueError("an intent has an alternative order id")
        claimed = await self._claim(order)
        found = await self.ca.look_up(order.alternative_order_id)
        if len(found) > 1:
            await self._unclear(claimed, found)
        elif found:
            await self._adopt(claimed, found[0])
        elif self._lookup_is_reliable(order):
            log.info("the CA has no such order; ordering again", request=order.id, attempt=order.attempt)
            await self._place(claimed.model_copy(update={"state": OrderState.ACCEPTED}))
        else:
            await self._look_later(claimed)

    def _lookup_is_reliable(self, order: Order) -> bool:
        """Whether an order placed with this intent would be visible by now.

        It was begun within the first half of the lease and ended within another half.
        """
        visible_at = order.intended_at_ms + milliseconds((self.pace.lease + self.pace.lookup_lag).total_seconds())
        return self._now_ms() >= visible_at

    async def _claim(self, order: Order) -> Order:
        due = milliseconds((self.clock.now() + self.pace.lease).timestamp())
        return await self.orders.replace(order.model_copy(update={"due": due}))

    async def _adopt(self, order: Order, found: PlacedOrder) -> None:
        log.info("found the order at the CA", request=order.id, order=found.order_id)
        await self._continue(order.model_copy(update={"order_id": found.order_id}))

    async def _follow(self, order: Order) -> None:
        await self._continue(await self._claim(order))

    async def _continue(self, order: Order) -> None:
        """Look how an order that the CA has is doing."""
        if order.order_id is None:
            raise ValueError("an order that is followed has the CA's number")
        await self._note(order, await self.ca.follow(order.order_id))

    async def _note(self, order: Order, placed: PlacedOrder) -> None:
        """Store what the CA said, with what follows from it, and publish that."""
        if placed.ended:
            await self._fail(order.model_copy(update={"order_id": placed.order_id}), placed.ended)
        elif placed.chain and placed.certificate_id is not None:
            await self._settle(order, placed)
        else:
            await self._wait(order, placed)

    async def _wait(self, order: Order, placed: PlacedOrder) -> None:
        event = events.RequestOrdered(
            request_id=order.id,
            approval_group=_group(order),
            order_id=placed.order_id,
            message="the CA has the order and has not issued yet",
        )
        update: dict[str, object] = {
            "state": OrderState.PENDING,
            "order_id": placed.order_id,
            "due": milliseconds((self.clock.now() + self.pace.poll).timestamp()),
        }
        if order.state is OrderState.PENDING:
            await self.orders.replace(order.model_copy(update=update))
        else:
            await self._store_and_announce(order, update, event, role="ordered")

    async def _settle(self, order: Order, placed: PlacedOrder) -> None:
        """Compare what came back with what was approved; deliver it or hold it back."""
        now = self.clock.now()
        issuance, findings = self._judged(order, self._issuance(order, placed))
        if findings:
            issuance = issuance.model_copy(update={"outcome": "quarantined"})
            log.error("certificate quarantined", request=order.id, findings=[found.code for found in findings])
            for found in findings:
                self.metrics.refused(found.code)
        token = self.key.sign(issuance.canonical(), Typ.ISSUANCE, now)
        leaf = parse_certificate(placed.chain[0])
        facts = {
            "request_id": order.id,
            "approval_group": _group(order),
            "issuance": token,
            "revision": _evidence(order).revisions[-1],
            "serial_number": leaf.serial_hex,
            "not_after": leaf.not_after,
        }
        event: events.LifecycleEvent = (
            events.CertificateQuarantined(**facts, findings=tuple(findings))
            if findings
            else events.CertificateIssued(**facts)
        )
        update: dict[str, object] = {
            "state": OrderState.QUARANTINED if findings else OrderState.ISSUED,
            "order_id": placed.order_id,
            "certificate_id": placed.certificate_id,
            "issuance": token,
            "findings": tuple(findings),
            "due": None,
        }
        await self._store_and_announce(order, update, event, role="issued")

    def _judged(self, order: Order, issuance: Issuance) -> tuple[Issuance, list[Finding]]:
        """With the policy by which it was ordered; and why this certificate must not be delivered."""
        now, anchor = self.clock.now(), self.in_force.anchor
        try:
            intent, revision = rules.intended(order, anchor, now=now)
            issuance = issuance.model_copy(update={"policy_digest": intent.policy_digest})
            return issuance, rules.check_certificate(issuance, revision, anchor, self.roots, now=now)
        except RefusedError as refused:
            return issuance, list(refused.findings)

    def _issuance(self, order: Order, placed: PlacedOrder) -> Issuance:
        if order.alternative_order_id is None or placed.certificate_id is None:
            raise ValueError("an issued order has both ids")
        if order.revision is None or order.verdict is None:
            raise ValueError("an accepted entry has its revision and its verdict")
        return Issuance(
            request_id=order.id,
            revision=order.revision,
            verdict=order.verdict,
            outcome="issued",
            order_id=placed.order_id,
            certificate_id=placed.certificate_id,
            alternative_order_id=order.alternative_order_id,
            chain=tuple(placed.chain),
            policy_digest=self.in_force.policy.digest,
        )

    async def _fail(self, order: Order, findings: tuple[Finding, ...]) -> None:
        event = events.RequestFailed(request_id=order.id, approval_group=_group(order), findings=findings)
        update: dict[str, object] = {"state": OrderState.FAILED, "findings": findings, "due": None}
        await self._store_and_announce(order, update, event, role="failed")

    async def _return(self, order: Order, findings: tuple[Finding, ...], *, denial: JwsStatement | None = None) -> None:
        """The approval no longer holds, and nothing was ordered: the approvers must decide again."""
        for found in findings:
            self.metrics.refused(found.code)
        event = events.RequestReturned(
            request_id=order.id,
            approval_group=_group(order),
            verdict=order.verdict,
            findings=findings,
            denial=denial,
        )
        update: dict[str, object] = {"findings": findings}
        await self._store_and_announce(
            rules.given_back(order, order.verdict), update, event, role=f"returned/{order.verdict}"
        )

    async def _unclear(self, order: Order, found: Sequence[PlacedOrder]) -> None:
        numbers = ", ".join(str(placed.order_id) for placed in found)
        log.error("several orders at the CA for one intent", request=order.id, orders=numbers)
        findings = (finding("order.unclear", f"the CA has several orders for one intent: {numbers}"),)
        update = {"state": OrderState.UNCLEAR, "findings": findings, "due": None}
        await self.orders.replace(order.model_copy(update=update))

    async def _hold(self, order: Order) -> None:
        """Try again later; nothing was ordered."""
        due = milliseconds((self.clock.now() + self.pace.poll).timestamp())
        await self.orders.replace(order.model_copy(update={"due": due}))

    async def _store_and_announce(
        self, order: Order, update: dict[str, object], event: events.LifecycleEvent, *, role: str
    ) -> None:
        """Store the new state with the event that follows from it, then publish the event."""
        outgoing = publish_event(
            event,
            origin=f"{order.id}/{order.verdict}",
            sequence=order.sequence + 1,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
            role=role,
        )
        now_ms = milliseconds(self.clock.now().timestamp())
        stored = await self.orders.replace(
            order.model_copy(
                update=update | {"sequence": order.sequence + 1, "unpublished": (outgoing,), "due": now_ms}
            )
        )
        await self._announce(stored)

    async def _announce(self, order: Order) -> None:
        """Publish what is not known to be published, then note that it is."""
        for outgoing in order.unpublished:
            await self.publish(outgoing)
        due = None
        if order.state is OrderState.PENDING:
            due = milliseconds((self.clock.now() + self.pace.poll).timestamp())
        elif order.state is OrderState.ACCEPTED:  # accepted again before its return was known to be published
            due = self._now_ms()
        await self.orders.replace(order.model_copy(update={"unpublished": (), "due": due}))


def _evidence(order: Order) -> Evidence:
    if order.evidence is None:
        raise ValueError("an accepted entry has its evidence")
    return order.evidence


def _group(order: Order) -> ApprovalGroupName:
    if order.approval_group is None:
        raise ValueError("an accepted entry has its approval group")
    return order.approval_group
