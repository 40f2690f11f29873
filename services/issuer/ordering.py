"""Ordering: one step of one ledger entry at a time, each stored before the next, none of them done twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.issuer import rules
from services.issuer.blocking import key_compromised
from services.issuer.books import Books, Pace, evidence_of, group_of
from services.issuer.erasing import Erasing
from services.issuer.fit import FitChecks
from services.issuer.following import Following
from services.issuer.generating import Generating
from services.issuer.inspection import Inspection
from services.issuer.model import Order
from services.issuer.ports import (
    BlockedKeyStore,
    CertificateAuthority,
    NotNowError,
    OrderRefusedError,
    OrderUncertainError,
    PlacedOrder,
)
from services.issuer.recovering import Adopt, AskPeople, EndIt, GoOn, LookAgain, OrderIt, Recovery, Step
from services.issuer.searching import Found
from shared.clock import Clock
from shared.contracts import events
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.steps import Issuance
from shared.evidence.verification import VerifiedApproval
from shared.messaging.messages import Outgoing
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.held import ErasedBecause
from shared.vocabulary.names import MessageId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.x509.certificate import identify_certificate

log = structlog.get_logger()


@dataclass(frozen=True)
class Ordering:
    """Brings an entry of the ledger one step further."""

    books: Books
    recovery: Recovery
    following: Following
    ca: CertificateAuthority
    blocked: BlockedKeyStore
    fit: FitChecks
    in_force: PolicyInForce
    key: SigningKey
    inspection: Inspection
    generating: Generating
    erasing: Erasing
    metrics: EvidenceMetrics
    clock: Clock

    @property
    def pace(self) -> Pace:
        """The waiting times."""
        return self.books.pace

    async def advance(self, order: Order) -> None:
        """Do what this entry's state asks for.

        Raises:
            ConflictError: another copy was faster.
            UnavailableError: the database or the broker is away.
        """
        if order.unpublished:
            await self.books.announce(order)
            return
        match order.state:
            case state if state in OPEN_ORDERS and order.settlement is not None and order.settlement.fail is not None:
                await self._heeding(order, self._end)
            case OrderState.ACCEPTED:  # it is claimed when the intent is stored
                await self._heeding(order, self._begin, claimed_first=False)
            case OrderState.INTENT:
                await self._heeding(order, self._recover)
            case OrderState.PENDING:
                await self._heeding(order, self._follow)
            case OrderState.ISSUED if order.held is not None:
                await self._erase_in_time(order)
            case OrderState.UNCLEAR if order.settlement is not None:
                await self._heeding(order, self._settle_unclear)
            case _:
                await self.books.keep(order, due=None)

    async def _heeding(
        self, order: Order, go_on: Callable[[Order], Awaitable[None]], *, claimed_first: bool = True
    ) -> None:
        """Go on with it as soon as the CA's rate limit allows; and if the CA can't do it now, say why it waits."""
        try:
            await self.ca.ready()
            if claimed_first:
                order = await self.books.claim(order)
            await go_on(order)
        except NotNowError as not_now:
            log.warning("work waits for the CA", request=order.id, reason=str(not_now))
            await self.books.heed(order, not_now)

    # --- to the CA ------------------------------------------------------------------------------------------------

    async def _begin(self, order: Order) -> None:
        """Order it; but first ask for what may have been ordered before this process began."""
        wait = self.recovery.wait_before(order)
        if wait is None:
            await self._place(order)
        elif wait:
            text = "this began before the issuer was started: the CA is asked first whether it has an order of it"
            await self.books.put_off(order, [finding("order.asked-first", text)], wait)
        else:
            await self._recover(order)

    async def _place(self, order: Order) -> None:
        """Verify once more, store the intent, then order."""
        policy = self.in_force.policy
        approval = await self._verified(order)
        if approval is None:
            return
        verdict = await self.fit.check(approval.revision.revision, policy)
        if self.in_force.policy is not policy:  # it has changed while the CA was asked
            await self._place(order)
        elif verdict.fit is Fit.UNKNOWN:
            await self.books.put_off(order, verdict.findings)
        elif verdict.fit is Fit.INCOMPATIBLE:
            await self._return(order, verdict.findings)
        else:
            attempt = max(order.attempt, 1)
            tries = {"tries": order.tries + 1, "unanswered": order.unanswered + 1}
            tried = await self._with_key(order.model_copy(update={"attempt": attempt, **tries}), approval)
            if tried is None:
                return
            await self._order(await self._intend(tried, approval, rules.id_of_attempt(order, attempt)), approval)

    async def _with_key(self, order: Order, approval: VerifiedApproval) -> Order | None:
        """The entry with its key pair, made once if the issuer is to make it; or none, as it waits or has failed."""
        revision = approval.revision.revision
        if revision.generated is None:
            return order
        try:
            if order.csr is not None:
                rules.check_made(order, self.in_force.anchor, now=self.clock.now())
                return order
            made = await self.generating.made(order, revision)
        except RefusedError as refused:
            await self._fail(order, refused.findings)
            return None
        except UnavailableError as away:
            log.warning("a key pair waits to be made", request=order.id, reason=str(away))
            made = None
        if made is not None:
            return self.generating.with_key(order, revision, made)
        before = {"attempt": order.attempt, "tries": order.tries - 1, "unanswered": order.unanswered - 1}
        text = "its key pair is being made; it goes on by itself"
        waits = (finding("order.key-in-the-making", text, severity=Severity.NOTE),)
        self.generating.waits(
            await self.books.keep(order, **before, findings=waits, due=self.books.later(self.pace.lease))
        )
        return None

    async def _verified(self, order: Order, *left: Finding) -> VerifiedApproval | None:
        """The approval, if it holds now; else the entry is given back, or waits for the policy that others have.

        `left` is worth knowing too when it is given back.
        """
        if order.policy_serial > self.in_force.policy.serial:
            text = "this was accepted under a newer policy than this copy of the issuer has"
            await self.books.put_off(order, [finding("order.policy-older", text)], self.pace.poll)
            return None
        now = self.clock.now()
        try:
            approval = rules.verify_entry(order.id, evidence_of(order), self.in_force, now=now)
        except RefusedError as refused:
            await self._return(order, (*refused.findings, *left))
            return None
        denial = rules.standing_denial(order.denials, approval, self.in_force.anchor, now=now)
        if denial is not None:
            await self._return(order, (rules.denial_omitted(), *left), denial=denial)
            return None
        return approval

    async def _intend(self, order: Order, approval: VerifiedApproval, alternative: MessageId) -> Order:
        """Claim the entry and store what is about to be sent, or taken over, in one write."""
        now = self.clock.now()
        intent = rules.intent_of(
            order, approval, self.in_force.policy.digest, alternative_order_id=alternative, today=now.date()
        )
        return await self.books.keep(
            order,
            state=OrderState.INTENT,
            alternative_order_id=alternative,
            intent=self.key.sign(intent.canonical(), Typ.INTENT, now),
            expires_on=intent.expires_on,
            intended_at_ms=milliseconds(now.timestamp()),
            findings=(),
            settlement=None,
            due=milliseconds((now + self.pace.lease).timestamp()),
        )

    async def _order(self, order: Order, approval: VerifiedApproval) -> None:
        key = approval.revision.revision.public_key
        if key is not None and await self.blocked.load(key) is not None:  # the last look, at the last moment
            await self._fail(order, (key_compromised(key),))
            return
        half = self.pace.lease / 2
        if order.due is None or self.books.now_ms() >= order.due - milliseconds(half.total_seconds()):
            return  # the lease may end before the CA answers: whoever takes it over looks the order up first
        try:
            async with asyncio.timeout(half.total_seconds()):
                placed = await self.ca.place(rules.order_request(order, approval))
        except OrderRefusedError as refused:
            await self._fail(order, refused.findings)
        except OrderUncertainError as uncertain:
            await self._unanswered(order, uncertain.findings)
        except TimeoutError:
            text = "the CA has not answered, and may have taken the order: it is asked before it is ordered again"
            await self._unanswered(order, [finding("order.unanswered", text)])
        except NotNowError as not_now:
            log.warning("the CA did not take the order", request=order.id, reason=str(not_now))
            await self.books.heed(order.model_copy(update={"state": OrderState.ACCEPTED, "unanswered": 0}), not_now)
        else:
            await self._note(order, await self.following.readable(placed))

    async def _unanswered(self, order: Order, findings: Sequence[Finding]) -> None:
        """It is not known whether there is an order; it was begun when we stored the intent, by our own clock."""
        self.recovery.watch.begin(order, datetime.fromtimestamp(order.intended_at_ms / 1000, UTC))
        await self.books.look_later(order, findings)

    # --- after an end that is not known -----------------------------------------------------------------------------

    async def _recover(self, order: Order) -> None:
        await self._take(order, await self.recovery.step(order))

    async def _settle_unclear(self, order: Order) -> None:
        await self._take(order, await self.recovery.settled(order))

    async def _end(self, order: Order) -> None:
        await self._take(order, await self.recovery.ended(order))

    async def _take(self, order: Order, step: Step) -> None:
        match step:
            case Adopt(found):
                await self._adopt(order, found)
            case OrderIt(attempt):
                log.info("the CA has no order of this; ordering it", request=order.id, attempt=attempt)
                update = {"state": OrderState.ACCEPTED, "attempt": attempt, "searched_at_ms": self.books.now_ms()}
                await self._place(order.model_copy(update=update))
            case LookAgain():
                await self.books.look_later(order, order.findings)
            case AskPeople(findings):
                log.error("an order is unclear", request=order.id, findings=[found.message for found in findings])
                await self.books.keep(
                    order, state=OrderState.UNCLEAR, findings=findings, settlement=None, waits=0, due=None
                )
            case EndIt(findings):
                log.warning("an operator has ended a request", request=order.id, findings=[f.message for f in findings])
                await self._fail(order, findings)
            case GoOn(findings):
                rest = self.pace.safety if order.state is OrderState.PENDING else self.pace.poll
                due = self.books.later(rest)
                await self.books.keep(order, findings=findings, settlement=None, waits=0, due=due)

    async def _adopt(self, order: Order, found: Found) -> None:
        """Take over an order that the CA has; if this ledger does not know of it, verify as for a new one."""
        log.info("found the order at the CA", request=order.id, order=found.order_id)
        if order.intent is None or order.alternative_order_id != found.alternative_order_id:
            left = (rules.left_there([found.order_id], "is not taken over"),) if found.is_live else ()
            approval = await self._verified(order, *left)
            if approval is None:
                return
            if approval.revision.revision.generated is not None and order.csr is None:
                await self._fail(order, rules.key_lost(found.order_id))
                return
            order = await self._intend(order, approval, found.alternative_order_id)
        await self._note(order, await self.ca.follow(found.order_id))

    # --- what the CA has --------------------------------------------------------------------------------------------

    async def _follow(self, order: Order) -> None:
        """Look how an order that the CA has is doing."""
        if order.order_id is None:
            raise ValueError("an order that is followed has the CA's number")
        await self._note(order, await self.ca.follow(order.order_id))

    async def _note(self, order: Order, placed: PlacedOrder) -> None:
        """Store what the CA said, with what follows from it, and publish that."""
        placed = await self.following.brought_on(placed)
        if placed.ended:
            await self._fail(order.model_copy(update={"order_id": placed.order_id}), placed.ended)
        elif placed.chain and placed.certificate_id is not None:
            await self._settle(order, placed)
        else:
            await self.following.wait(order, placed)

    async def _settle(self, order: Order, placed: PlacedOrder) -> None:
        """Compare what came back with what was approved; deliver it or hold it back."""
        now = self.clock.now()
        order = order.model_copy(update={"order_id": placed.order_id, "certificate_id": placed.certificate_id})
        try:
            leaf = identify_certificate(placed.chain[0])
        except RefusedError as unreadable:
            self.metrics.quarantined(found.code for found in unreadable.findings)
            await self._fail(order, (*unreadable.findings, rules.no_certificate(order)))
            return
        try:
            issuance, findings = await self.inspection.of(order, self._issuance(order, placed))
            if order.csr is not None and order.held is None and issuance.outcome == "issued":
                issuance = issuance.model_copy(update={"outcome": "quarantined"})
                findings = (*findings, rules.key_erased())
            elif order.csr is not None and issuance.outcome == "issued":
                order = await self.generating.packed(order, rules.ordered_revision(order), issuance)
        except RefusedError as refused:
            log.error("a PKCS#12 cannot be made", request=order.id, findings=[each.code for each in refused.findings])  # noqa: TRY400 - the findings say it all
            await self.books.put_off(order.model_copy(update={"state": OrderState.PENDING}), refused.findings)
            return
        except UnavailableError as away:
            log.warning("the certificate waits to be judged", request=order.id, reason=str(away))
            waits = finding(
                "order.not-judged", f"the CA has issued the certificate, and nobody can judge it now: {away}"
            )
            await self.books.put_off(order.model_copy(update={"state": OrderState.PENDING}), [waits])
            return
        quarantined = issuance.outcome == "quarantined"
        if quarantined:
            log.error("certificate quarantined", request=order.id, findings=[found.code for found in findings])
            self.metrics.quarantined(found.code for found in findings if found.severity is Severity.ERROR)
        token = self.key.sign(issuance.canonical(), Typ.ISSUANCE, now)
        facts = {
            "request_id": order.id,
            "approval_group": group_of(order),
            "issuance": token,
            "revision": evidence_of(order).revisions[-1],
            "serial_number": leaf.serial_hex,
            "not_after": leaf.not_after,
            "findings": findings,
        }
        event: events.LifecycleEvent = (
            events.CertificateQuarantined(**facts) if quarantined else events.CertificateIssued(**facts)
        )
        update: dict[str, object] = {
            "state": OrderState.QUARANTINED if quarantined else OrderState.ISSUED,
            "issuance": token,
            "findings": findings,
        }
        also: tuple[Outgoing, ...] = ()
        if quarantined:
            order, also = self.erasing.of(order, ErasedBecause.ENDED)
        elif order.held is not None:
            update["due_then"] = order.held.erase_ms
        await self.books.tell(order, update, event, role="issued", also=also)

    def _issuance(self, order: Order, placed: PlacedOrder) -> Issuance:
        if order.alternative_order_id is None or order.expires_on is None or placed.certificate_id is None:
            raise ValueError("an issued order has both ids and an end")
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
            ordered_on=self.clock.now().date(),
            expires_on=order.expires_on,
            policy_digest=self.in_force.policy.digest,
            csr=order.csr,
        )

    async def _fail(self, order: Order, findings: tuple[Finding, ...]) -> None:
        self.generating.forget(order.id)
        event = events.RequestFailed(request_id=order.id, approval_group=group_of(order), findings=findings)
        order, also = self.erasing.of(order, ErasedBecause.ENDED)
        update: dict[str, object] = {"state": OrderState.FAILED, "findings": findings}
        await self.books.tell(order, update, event, role="failed", also=also)

    async def _return(self, order: Order, findings: tuple[Finding, ...], *, denial: JwsStatement | None = None) -> None:
        """The approval no longer holds, and nothing was ordered: the approvers must decide again."""
        self.generating.forget(order.id)
        for found in findings:
            if found.severity is Severity.ERROR:
                self.metrics.refused(found.code)
        event = events.RequestReturned(
            request_id=order.id,
            approval_group=group_of(order),
            verdict=order.verdict,
            findings=findings,
            denial=denial,
        )
        given_back, also = self.erasing.of(rules.given_back(order, order.verdict), ErasedBecause.ENDED)
        update: dict[str, object] = {"findings": findings, "csr": None}  # with another approval another key is made
        await self.books.tell(given_back, update, event, role=f"returned/{order.verdict}", also=also)

    async def _erase_in_time(self, order: Order) -> None:
        """Erase what is held once its time has come; until then it is looked at again."""
        held = order.held
        if held is None or held.erase_ms is None or held.erase_ms > self.books.now_ms():
            await self.books.keep(order, due=None if held is None else held.erase_ms)
            return
        why = ErasedBecause.TIME if held.taken_by is None else ErasedBecause.UNCONFIRMED
        erased, told = self.erasing.of(order, why, by=held.taken_by)
        await self.books.announce(
            await self.books.keep(erased, unpublished=told, due=self.books.now_ms(), due_then=None)
        )
