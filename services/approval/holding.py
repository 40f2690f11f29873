"""Cases that are held: the quorum is reached, and nobody can tell yet whether the CA delivers what was approved."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.approval import rules
from services.approval.compatibility import Compatibility
from services.approval.model import Case
from services.approval.verdicts import Verdicts
from shared.clock import Clock
from shared.errors import ConflictError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding
from shared.vocabulary.fit import Fit

log = structlog.get_logger()


@dataclass(frozen=True)
class HeldCases:
    """Holds cases, and looks at them again."""

    in_force: PolicyInForce
    verdicts: Verdicts
    compatibility: Compatibility
    clock: Clock
    again: timedelta

    def hold(self, case: Case, findings: tuple[Finding, ...]) -> Case:
        """The case, to be looked at again."""
        due = self.clock.now() + self.again
        return rules.held(case, findings, due=milliseconds(due.timestamp()))

    async def look(self, case: Case, blocked: tuple[Finding, ...]) -> Case:
        """The case, whose quorum is reached: approved, with the event in it, if that can be told by now; else held.

        Raises:
            ConflictError: another policy has come into force meanwhile.
            UnavailableError: the database is away.
        """
        if unchecked := rules.unchecked(case):
            return self.hold(case, unchecked)
        policy = self.in_force.policy
        verdict = await self.compatibility.of(rules.revision_in_force(case), policy)
        if self.in_force.policy is not policy:
            raise ConflictError("another policy has come into force")
        if blocked or verdict.fit is not Fit.COMPATIBLE:
            return self.hold(case, (*blocked, *verdict.findings))
        log.info("a held case goes on", request=case.id)
        approved, event = self.verdicts.approve(case)
        return approved.model_copy(update={"unpublished": (event,)})
