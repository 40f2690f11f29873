"""Approval's rounds: under another policy it gives open cases other deadlines, and it tells how long they wait."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from services.approval import deadlines
from services.approval.model import Case
from services.approval.ports import CaseStore
from shared.clock import Clock
from shared.errors import ConflictError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.gate import Gate
from shared.observability.metrics import CaseMetrics
from shared.policy.policy import Policy
from shared.vocabulary.states import State

log = structlog.get_logger()

ROUND_SECONDS = 15.0
PAGE = 50


@dataclass
class Rounds:
    """Goes the rounds until cancelled."""

    cases: CaseStore
    in_force: PolicyInForce
    metrics: CaseMetrics
    clock: Clock
    gate: Gate
    """The database's."""
    on_failure: Callable[[], None]
    _timed: int = field(init=False, default=0)
    """Serial of the policy by which this process has looked at the deadlines of all open cases."""

    async def run(self) -> None:
        """Go on for ever; a fault of ours in one round does not keep the next from being gone."""
        while True:
            await self.gate.passed()
            policy = self.in_force.policy
            await self._tried()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    if self.in_force.policy is policy:
                        await self.in_force.changed()

    async def _tried(self) -> None:
        try:
            await self.go()
        except UnavailableError as away:
            log.warning("a round was cut short", reason=str(away))
            self.gate.close(away)
        except Exception:
            log.exception("a round failed")
            self.on_failure()

    async def go(self) -> None:
        """One round.

        Raises:
            UnavailableError: the database is away.
        """
        policy = self.in_force.policy
        if self._timed != policy.serial:
            await self._time_anew(policy)
            self._timed = policy.serial
        oldest, now = await self.cases.oldest(), self.clock.now()
        ages = {str(group): max(0.0, (now - since).total_seconds()) for group, since in oldest.items()}
        self.metrics.oldest(dict.fromkeys(policy.file.approval_groups, 0.0) | ages)

    async def _time_anew(self, policy: Policy) -> None:
        """See to it that every open case is due when this policy says so."""
        groups, after = list(policy.file.approval_groups), None
        while page := await self.cases.open_for(groups, after=after, limit=PAGE):
            for case in page:
                await self._time(case, policy)
            after = page[-1].id

    async def _time(self, found: Case, policy: Policy) -> None:
        case: Case | None = found
        while case is not None and case.state is State.PENDING and case.timed_by < policy.serial:
            try:
                await self.cases.replace(deadlines.timed(case, policy))
            except ConflictError:
                case = await self.cases.load(case.id)
            else:
                return
