"""Cases that are held: the quorum is reached, and nobody can tell yet whether the CA delivers what was approved."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.approval import rules
from services.approval.compatibility import Compatibility
from services.approval.model import Case
from services.approval.ports import CaseStore
from services.approval.verdicts import Verdicts
from shared.clock import Clock
from shared.errors import ConflictError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outgoing
from shared.messaging.schedule import milliseconds
from shared.vocabulary.findings import Finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.states import State

log = structlog.get_logger()


@dataclass(frozen=True)
class HeldCases:
    """Looks at held cases again."""

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    compatibility: Compatibility
    publish: Callable[[Outgoing], Awaitable[None]]
    clock: Clock
    again: timedelta

    def hold(self, case: Case, findings: tuple[Finding, ...]) -> Case:
        """The case, to be looked at again."""
        due = self.clock.now() + self.again
        return rules.held(case, findings, due=milliseconds(due.timestamp()))

    async def advance(self, case: Case) -> None:
        """Approve it, if that can be told by now.

        Raises:
            ConflictError: something happened to it meanwhile.
            UnavailableError: the database or the broker is away.
        """
        if case.unpublished:
            await self._announce(case)
            return
        policy = self.in_force.policy
        current, blocked = self.verdicts.up_to_date(case)
        if current is not case or case.state is not State.PENDING:
            await self.cases.replace(rules.released(current))
            return
        now = self.clock.now()
        standing = rules.as_it_stands(case, anchor=self.in_force.anchor, now=now)
        if not standing.reached:  # an approval has lapsed, or somebody decides no more
            await self.cases.replace(rules.released(standing.case))
            return
        verdict = await self.compatibility.of(rules.revision_in_force(case), policy)
        if self.in_force.policy is not policy:
            raise ConflictError("another policy has come into force")
        if blocked or verdict.fit is not Fit.COMPATIBLE:
            await self.cases.replace(self.hold(standing.case, (*blocked, *verdict.findings)))
            return
        log.info("a held case goes on", request=case.id)
        approved, event = self.verdicts.approve(standing.case, origin=f"{case.id}/{case.version}")
        due = milliseconds(now.timestamp())
        stored = approved.model_copy(update={"unpublished": (event,), "due": due})
        await self._announce(await self.cases.replace(stored))

    async def _announce(self, case: Case) -> None:
        for outgoing in case.unpublished:
            await self.publish(outgoing)
        await self.cases.replace(rules.released(case))
