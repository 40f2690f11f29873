"""Sealed passwords: the issuer, who alone can open them, says whether they are good before people spend time."""

from dataclasses import dataclass

import structlog

from services.approval import rules
from services.approval.loading import load_case
from services.approval.model import Case
from services.approval.ports import CaseStore
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_event, publish_news
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import refuses
from shared.vocabulary.states import State

log = structlog.get_logger()


def asked_of(case: Case, *, origin: str, policy_serial: int, clock: Clock) -> tuple[Outgoing, ...]:
    """The question to the issuer, of a request that came with a sealed password."""
    if not case.password_unchecked:
        return ()
    question = events.PasswordAsked(request_id=case.id, approval_group=case.approval_group, evidence=case.evidence)
    return (publish_news(question, about=case.id, origin=origin, policy_serial=policy_serial, at=clock.now()),)


@dataclass(frozen=True)
class PasswordCheckedHandler:
    """Lets a case go on whose password the issuer can use, and closes one whose password it cannot."""

    cases: CaseStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[events.PasswordChecked]) -> Outcome:
        """Handle the issuer's word; it changes nothing about a case that is decided or goes on already."""
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        if case.state is not State.PENDING or not case.password_unchecked:
            return NOTHING
        checked = case.model_copy(update={"password_unchecked": False})
        if refuses(message.data.findings):
            return await self._refused(message, checked)
        if checked.held_because:
            checked = checked.model_copy(update={"due": milliseconds(self.clock.now().timestamp())})
        await self.cases.replace(checked.followed_by(message.id))
        return NOTHING

    async def _refused(self, message: Received[events.PasswordChecked], case: Case) -> Outcome:
        now, findings = self.clock.now(), message.data.findings
        closed = rules.close(case, State.REFUSED, now=now)
        event = events.RequestRefused(request_id=case.id, approval_group=case.approval_group, findings=findings)
        told = publish_event(
            event,
            origin=message.id,
            sequence=closed.sequence,
            policy_serial=self.in_force.policy.serial,
            at=now,
        )
        await self.cases.replace(closed.followed_by(message.id, told))
        log.info("a request is refused for its password", request=case.id, findings=[each.code for each in findings])
        return Outcome(publish=(told,))
