"""Tells how many requests stand where, without counting them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.intake.ports import CountedRequests, TallyStore
from services.intake.tally import Standing, Tally
from shared.clock import Clock
from shared.contracts import commands
from shared.contracts.replies import GroupSummary, SummaryResult
from shared.errors import ConflictError, RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outcome, Received, reply_ok
from shared.vocabulary.findings import finding
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.permissions import Permission

MOST_WAITING = 1_000
"""How many requests that wait to be counted one answer looks at; as a rule there are a hundred at most."""


@dataclass(frozen=True)
class ShowSummaryHandler:
    """Adds what waits to be counted to what is counted, for the groups that one may view, audit or decide for.

    A group of which more waits than may be looked at is said to be incomplete.
    """

    requests: CountedRequests
    tallies: TallyStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ShowSummary]) -> Outcome:
        """Handle the question."""
        viewers = (Permission.VIEW, Permission.AUDIT, Permission.DECIDE)
        groups = self.in_force.policy.groups_of(message.sender, *viewers)
        if not groups:
            raise RefusedError(finding("identity.not-permitted", "you may not view, audit or decide for any group"))
        result = SummaryResult(groups=await self._of(groups))
        text = f"The requests of {len(groups)} approval groups."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))

    async def _of(self, groups: Sequence[ApprovalGroupName]) -> tuple[GroupSummary, ...]:
        """Every request once: what waits is looked at between two looks at the tallies, which must be the same."""
        before = await self.tallies.of_groups(groups)
        waiting: dict[ApprovalGroupName, Sequence[Standing]] = {}
        left, behind = MOST_WAITING, set[ApprovalGroupName]()
        for tally in before:
            found = await self.requests.untallied(tally.id, limit=left + 1)
            if len(found) > left:
                behind.add(tally.id)
            waiting[tally.id] = found[:left]
            left -= len(waiting[tally.id])
        tallies = {tally.id: tally for tally in await self.tallies.of_groups(groups)}
        if _numbers(before) != _numbers(tallies.values()):
            raise ConflictError("a batch was counted meanwhile")
        return tuple(
            GroupSummary(
                approval_group=group,
                complete=group in tallies and tallies[group].complete and group not in behind,
                counts=tallies[group].with_waiting(waiting[group]) if group in tallies else {},
            )
            for group in groups
        )


def _numbers(tallies: Collection[Tally]) -> dict[str, tuple[int, bool]]:
    return {tally.id: (tally.number, tally.complete) for tally in tallies}
