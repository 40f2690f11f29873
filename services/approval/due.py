"""Cases that are due: held ones are looked at again, approvers are reminded, and what nobody decided expires."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.approval import deadlines, rules
from services.approval.holding import HeldCases
from services.approval.model import Case
from services.approval.ports import CaseStore
from services.approval.verdicts import Verdicts
from shared.clock import Clock
from shared.contracts.events import LifecycleEvent
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outgoing, publish_event
from shared.messaging.schedule import milliseconds
from shared.policy.model import ApprovalGroup
from shared.vocabulary.states import State

log = structlog.get_logger()


@dataclass(frozen=True)
class DueCases:
    """Takes a case one step further; what follows is stored with the step, and published from there."""

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    held: HeldCases
    publish: Callable[[Outgoing], Awaitable[None]]
    clock: Clock

    async def advance(self, case: Case) -> None:
        """Do what there is to do now, and note when there is something to do next.

        Raises:
            ConflictError: something happened to it meanwhile.
            UnavailableError: the database or the broker is away.
        """
        policy = self.in_force.policy
        group = deadlines.group_of(case, policy)
        if case.unpublished:
            await self._announce(case)
        elif case.state is not State.PENDING:
            await self._keep(rules.released(case))
        elif case.timed_by <= policy.serial:  # otherwise another copy has a newer policy, and sees to it
            await self._keep(await self._looked_at(case, group))

    async def _looked_at(self, case: Case, group: ApprovalGroup) -> Case:
        """What the case is by now; what is to be published is in it."""
        current, blocked = self.verdicts.up_to_date(case)
        standing = deadlines.standing_now(current, group, self.in_force.anchor, now=self.clock.now())
        if standing.reached:
            return await self.held.look(standing.case, blocked)
        if case.held_because:  # an approval has lapsed, or somebody decides no more
            current = rules.released(standing.case)
        return self._told(case, *self._passed(current, standing, group))

    def _passed(self, case: Case, standing: rules.Decided, group: ApprovalGroup) -> tuple[Case, LifecycleEvent | None]:
        """What time has made of a case that waits for its approvers, and the event that tells of it."""
        now = self.clock.now()
        if now >= deadlines.expires_at(case, group):
            log.info("a request expires", request=case.id, approvals=standing.approvals, quorum=standing.quorum)
            return deadlines.expired(case, standing, now=now)
        reminds_at = deadlines.reminds_at(case, group)
        if reminds_at is not None and now >= reminds_at:
            return deadlines.reminded(case, standing, group, self.in_force.anchor, now=now)
        return case, None

    def _told(self, before: Case, case: Case, event: LifecycleEvent | None) -> Case:
        if event is None:
            return case
        outgoing = publish_event(
            event,
            origin=f"{before.id}/{before.version}",
            sequence=case.sequence,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )
        return case.model_copy(update={"unpublished": (outgoing,)})

    async def _keep(self, case: Case) -> None:
        """Store it with the time of its next look, which is now if there is something to be published."""
        timed = deadlines.timed(case, self.in_force.policy)
        if case.unpublished:
            timed = timed.model_copy(update={"due": milliseconds(self.clock.now().timestamp())})
        stored = await self.cases.replace(timed)
        if stored.unpublished:
            await self._announce(stored)

    async def _announce(self, case: Case) -> None:
        for outgoing in case.unpublished:
            await self.publish(outgoing)
        published = case.model_copy(update={"unpublished": ()})
        await self.cases.replace(deadlines.timed(published, self.in_force.policy))
