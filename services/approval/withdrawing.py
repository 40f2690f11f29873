"""Taking a request back: of a pending one approval decides; of an approved one the issuer, whose word is passed on."""

from dataclasses import dataclass

from services.approval import rules
from services.approval.loading import load_case
from services.approval.model import AskedWithdrawal, Case
from services.approval.ports import CaseStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.replies import WithdrawResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import (
    NOTHING,
    Outcome,
    Outgoing,
    Received,
    publish_event,
    publish_news,
    reply_ok,
    reply_refused,
)
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

MOST_WAITING = 10
"""How many withdrawals of one request wait for the issuer's word at most."""


@dataclass(frozen=True)
class Withdrawals:
    """Ends requests that are taken back, and answers who asked for it."""

    in_force: PolicyInForce
    clock: Clock

    def end(self, case: Case, asked: tuple[AskedWithdrawal, ...], *, origin: str) -> tuple[Case, tuple[Outgoing, ...]]:
        """The pending case, withdrawn, and what follows: the event, and the answers."""
        closed = rules.close(case, State.WITHDRAWN, now=self.clock.now())
        event = events.RequestWithdrawn(request_id=case.id, approval_group=case.approval_group, by=asked[0].by)
        told = publish_event(
            event,
            origin=origin,
            sequence=closed.sequence,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )
        return closed, (told, *self.granted(case, asked))

    def granted(self, case: Case, asked: tuple[AskedWithdrawal, ...]) -> tuple[Outgoing, ...]:
        """The answers that it is withdrawn."""
        result, text = WithdrawResult(request_id=case.id, state=State.WITHDRAWN), "The request is withdrawn."
        return tuple(reply_ok(_command(case, each), result, text, at=self.clock.now()) for each in asked)

    def refused(
        self, case: Case, asked: tuple[AskedWithdrawal, ...], findings: tuple[Finding, ...]
    ) -> tuple[Outgoing, ...]:
        """The answers that it is not."""
        return tuple(reply_refused(_command(case, each), findings, at=self.clock.now()) for each in asked)

    def settled(self, case: Case, *, origin: str) -> tuple[Case, tuple[Outgoing, ...]]:
        """A case that has come back from the issuer, with its withdrawals settled: it is approval that decides now."""
        asked, case = case.withdrawals, case.model_copy(update={"withdrawals": ()})
        if not asked:
            return case, ()
        if case.state is State.PENDING:
            return self.end(case, asked, origin=origin)
        return case, self.refused(case, asked, (not_pending(case),))


def not_pending(case: Case) -> Finding:
    """Why it can't be taken back."""
    text = f"only a pending or an approved request can be withdrawn; this one is {case.state}"
    return finding("request.not-pending", text, value=case.state)


def _command(case: Case, asked: AskedWithdrawal) -> Received[commands.WithdrawRequest]:
    """The command that is still to be answered."""
    data = commands.WithdrawRequest(request_id=case.id)
    contract = COMMAND_OF[type(data)]
    return Received(id=asked.command, type=contract.name, subject=case.id, sender=asked.by, order=0, data=data)


@dataclass(frozen=True)
class WithdrawRequestHandler:
    """Takes back a pending request, or asks the issuer whether an approved one still can be; it is answered then."""

    cases: CaseStore
    in_force: PolicyInForce
    withdrawals: Withdrawals
    clock: Clock

    async def __call__(self, message: Received[commands.WithdrawRequest]) -> Outcome:
        """Handle the withdrawal."""
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        if not rules.may_see(case, message.sender, (Permission.WITHDRAW,), self.in_force.policy):
            raise rules.unknown_request(case.id)
        asked = AskedWithdrawal(command=message.id, by=message.sender)
        match case.state:
            case State.PENDING:
                changed, follows = self.withdrawals.end(case, (asked,), origin=message.id)
            case State.APPROVED if case.verdict is not None:
                changed, follows = self._asked(case, asked)
            case _:
                raise RefusedError(not_pending(case))
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)

    def _asked(self, case: Case, asked: AskedWithdrawal) -> tuple[Case, tuple[Outgoing, ...]]:
        if len(case.withdrawals) >= MOST_WAITING:
            text = "a withdrawal of this request waits for the issuer already: its state will tell"
            raise RefusedError(finding("withdrawal.waits", text))
        question = events.WithdrawalAsked(
            request_id=case.id,
            approval_group=case.approval_group,
            verdict=case.verdict,
            approved_as=case.sequence,
            command=asked.command,
            by=asked.by,
        )
        told = publish_news(
            question,
            about=case.id,
            origin=asked.command,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )
        update = {"withdrawals": (*case.withdrawals, asked), "asked_about": case.verdict}
        return case.model_copy(update=update), (told,)


@dataclass(frozen=True)
class WithdrawalSettledHandler:
    """Passes the issuer's word on: an approved request is withdrawn, or it is too late for that."""

    cases: CaseStore
    withdrawals: Withdrawals
    clock: Clock

    async def __call__(self, message: Received[events.WithdrawalGranted | events.WithdrawalRefused]) -> Outcome:
        """Handle it; nobody's word ends a request whose withdrawal approval did not ask for."""
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        asked, verdict = case.withdrawals, message.data.verdict
        if case.state is not State.APPROVED or not case.verdict == case.asked_about == verdict:
            return NOTHING
        match message.data:
            case events.WithdrawalGranted():
                changed = rules.close(case, State.WITHDRAWN, now=self.clock.now())
                changed = changed.model_copy(update={"withdrawals": ()})
                follows = self.withdrawals.granted(changed, asked)
            case events.WithdrawalRefused() as refusal:
                its_own = tuple(each for each in asked if each.command == refusal.command)
                others = tuple(each for each in asked if each.command != refusal.command)
                changed = case.model_copy(update={"withdrawals": others})
                follows = self.withdrawals.refused(changed, its_own, refusal.findings)
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)
