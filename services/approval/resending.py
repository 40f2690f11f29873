"""Telling the issuer of an approval once more, as it was told before: for a ledger that has lost it."""

from dataclasses import dataclass

import structlog

from services.approval import rules
from services.approval.ports import CaseStore
from services.approval.verdicts import Verdicts
from shared.clock import Clock
from shared.contracts import commands
from shared.contracts.replies import ResendResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outcome, Received, reply_ok
from shared.vocabulary.findings import finding
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State

log = structlog.get_logger()


@dataclass(frozen=True)
class ResendVerdictHandler:
    """Publishes the verdict on an approved request again, under the same id: whoever has heard it overlooks it."""

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    clock: Clock

    async def __call__(self, message: Received[commands.ResendVerdict]) -> Outcome:
        """Handle the command."""
        policy = self.in_force.policy
        case = await self.cases.load(message.data.request_id)
        if case is None or case.approval_group not in policy.groups_of(message.sender, Permission.AUDIT):
            raise rules.unknown_request(message.data.request_id)
        if case.state is not State.APPROVED:
            text = "there is no verdict to be told again"
            raise RefusedError(finding("request.not-approved", text, value=case.state))
        log.warning("a verdict is told again", request=case.id, by=message.sender)
        result = ResendResult(request_id=case.id, state=case.state)
        text = "The issuer is told again; `ra orders show` says what came of it."
        answer = reply_ok(message, result, text, at=self.clock.now())
        return Outcome(publish=(self.verdicts.told(case), answer))
