"""The issuer's handlers: one frozen dataclass for each message."""

from collections.abc import Callable
from dataclasses import dataclass

from services.issuer import rules
from services.issuer.model import EvidenceRefusal, Order
from services.issuer.ports import OrderStore, RefusalStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.statement import JwsStatement
from shared.errors import ConflictError, RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import Typ, verify
from shared.evidence.steps import Verdict
from shared.evidence.verification import VerifiedApproval
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_event
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import Digest
from shared.vocabulary.orders import OrderState

OPEN_FOR_APPROVAL = frozenset({OrderState.WITNESSED, OrderState.RETURNED})
"""States in which an approval may be accepted into an entry that is there already."""
OPEN_FOR_DENIAL = OPEN_FOR_APPROVAL | {OrderState.ACCEPTED, OrderState.INTENT}
"""States in which a denial may still stop the order: until the intent is stored."""


@dataclass(frozen=True)
class RequestApprovedHandler:
    """Verifies an approval and accepts it into the ledger, from where it is ordered; or returns it."""

    orders: OrderStore
    refusals: RefusalStore
    in_force: PolicyInForce
    metrics: EvidenceMetrics
    clock: Clock
    offer: Callable[[Order], None]

    async def __call__(self, message: Received[events.RequestApproved]) -> Outcome:
        """Handle the event."""
        now = self.clock.now()
        try:
            approval = rules.approval_in(message.data, self.in_force, sequence=message.order, now=now)
        except RefusedError as refused:
            return await self._refuse(message, refused.findings)
        order = self._accepted(None, message, approval).followed_by(message.id)
        if await self.orders.insert(order):
            self.offer(order)
            return NOTHING
        return await self._join(message, approval)

    async def _join(self, message: Received[events.RequestApproved], approval: VerifiedApproval) -> Outcome:
        """There is an entry for this request: a repetition, a witnessed denial, or an approval returned earlier."""
        known = await self.orders.load(message.data.request_id)
        if known is None:
            raise ConflictError("an entry that was there a moment ago is gone")
        stored = known.outcome_of(message.id)
        if stored is not None:
            return stored
        if known.state not in OPEN_FOR_APPROVAL:
            return NOTHING
        now = self.clock.now()
        findings, denial = rules.check_join(known, approval, self.in_force.anchor, now=now)
        if findings:
            self._count(findings)
            publish = (self._returned(message, approval.verdict_digest, findings, denial=denial),)
            await self.orders.replace(
                rules.given_back(known, approval.verdict_digest).followed_by(message.id, *publish)
            )
            return Outcome(publish=publish)
        order = self._accepted(known, message, approval)
        self.offer(await self.orders.replace(order.followed_by(message.id)))
        return NOTHING

    def _accepted(
        self, known: Order | None, message: Received[events.RequestApproved], approval: VerifiedApproval
    ) -> Order:
        return rules.accepted_order(
            known,
            message.data,
            approval,
            sequence=message.order,
            policy_serial=self.in_force.policy.serial,
            now_ms=milliseconds(self.clock.now().timestamp()),
        )

    async def _refuse(self, message: Received[events.RequestApproved], findings: tuple[Finding, ...]) -> Outcome:
        """Give the approval back if the verdict at least is approval's own; a forgery is counted and kept."""
        verdict = self._own_verdict(message.data)
        if verdict is None:
            return await self._keep_forgery(message, findings)
        publish = (self._returned(message, verdict, findings),)
        entry = rules.given_back(Order(id=message.data.request_id, state=OrderState.RETURNED), verdict)
        if await self.orders.insert(entry.followed_by(message.id, *publish)):
            self._count(findings)
            return Outcome(publish=publish)
        known = await self.orders.load(message.data.request_id)
        if known is None:
            raise ConflictError("an entry that was there a moment ago is gone")
        stored = known.outcome_of(message.id)
        if stored is not None:
            return stored
        if known.state is OrderState.WITHDRAWN:
            return NOTHING
        if known.state not in OPEN_FOR_APPROVAL:
            return await self._keep_forgery(message, findings)
        await self.orders.replace(rules.given_back(known, verdict).followed_by(message.id, *publish))
        self._count(findings)
        return Outcome(publish=publish)

    async def _keep_forgery(self, message: Received[events.RequestApproved], findings: tuple[Finding, ...]) -> Outcome:
        refusal = EvidenceRefusal(id=message.id, request_id=message.data.request_id, findings=findings)
        if await self.refusals.insert(refusal):
            self._count(findings)
        return NOTHING

    def _returned(
        self,
        message: Received[events.RequestApproved],
        verdict: Digest,
        findings: tuple[Finding, ...],
        *,
        denial: JwsStatement | None = None,
    ) -> Outgoing:
        event = events.RequestReturned(
            request_id=message.data.request_id,
            approval_group=message.data.approval_group,
            verdict=verdict,
            findings=findings,
            denial=denial,
        )
        return publish_event(
            event,
            origin=message.id,
            sequence=message.order + 1,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )

    def _own_verdict(self, event: events.RequestApproved) -> Digest | None:
        """The digest of the verdict, if approval really signed it for this request: forgeries are not answered."""
        try:
            keys = self.in_force.anchor.duties[Duty.APPROVAL]
            signed = verify(event.evidence.verdict or "", Typ.VERDICT, keys, now=self.clock.now())
            verdict = Verdict.read(signed.payload, code="evidence.verdict-invalid")
        except RefusedError:
            return None
        return signed.digest if verdict.request_id == event.request_id else None

    def _count(self, findings: tuple[Finding, ...]) -> None:
        for found in findings:
            self.metrics.refused(found.code)


@dataclass(frozen=True)
class DenialWitness:
    """Notes an approver's signed denial on its way to approval, so that no approval can leave it out."""

    orders: OrderStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.DenyRequest]) -> Outcome:
        """Handle the denial; it is approval that answers it."""
        rules.check_witnessed(
            message.data.decision,
            sender=message.sender,
            request_id=message.data.request_id,
            anchor=self.in_force.anchor,
            now=self.clock.now(),
        )
        denial = message.data.decision
        if await self.orders.insert(Order(id=message.data.request_id, state=OrderState.WITNESSED, denials=(denial,))):
            return NOTHING
        known = await self.orders.load(message.data.request_id)
        if known is None:
            raise ConflictError("an entry that was there a moment ago is gone")
        rules.check_witness_of(known, message.sender, self.in_force.anchor)
        if known.state in OPEN_FOR_DENIAL and denial not in known.denials:
            await self.orders.replace(rules.with_denial(known, denial))
        return NOTHING
