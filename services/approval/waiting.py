"""The list of what waits for a decision, computed from the cases themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.approval.ports import CaseStore, Line
from services.approval.showing import pending_case
from shared.clock import Clock
from shared.contracts import commands
from shared.contracts.replies import PendingResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Outcome, Received, reply_ok
from shared.vocabulary.findings import finding
from shared.vocabulary.names import ApprovalGroupName, RequestId
from shared.vocabulary.permissions import Permission

LOOKED_AT_ONCE = 1_000
MOST_LOOKED_AT = 10_000
"""How many lines one answer is looked for in; `next` says where to go on."""


@dataclass(frozen=True)
class Page:
    """What is to be shown, and after which one to go on, if there is more."""

    ids: Sequence[RequestId]
    next: RequestId | None


@dataclass(frozen=True)
class ListPendingHandler:
    """Lists open cases: without a filter it reads those that it shows, and of the next one its id."""

    cases: CaseStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListPending]) -> Outcome:
        """Handle the question."""
        ask = message.data
        may = (Permission.DECIDE, Permission.EDIT, Permission.VIEW)
        groups = self.in_force.policy.groups_of(message.sender, *may)
        if ask.approval_group is not None:
            groups = [group for group in groups if group == ask.approval_group]
        if not groups:
            text = "you may not list this group's requests"
            raise RefusedError(finding("identity.not-permitted", text, value=ask.approval_group))
        page = await (self._filtered(groups, ask) if filters(ask) else self._all(groups, ask))
        cases = [case for case in await self.cases.of_ids(page.ids) if case.open_for is not None]
        shown = tuple(pending_case(case, message.sender, self.in_force, now=self.clock.now()) for case in cases)
        result = PendingResult(cases=shown, more=page.next is not None, next=page.next)
        text = f"{len(shown)} requests wait for a decision."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))

    async def _all(self, groups: Sequence[ApprovalGroupName], ask: commands.ListPending) -> Page:
        found = await self.cases.waiting(groups, after=ask.after, limit=ask.limit + 1)
        return _page(found, ask.limit)

    async def _filtered(self, groups: Sequence[ApprovalGroupName], ask: commands.ListPending) -> Page:
        found: list[RequestId] = []
        after = ask.after
        for _ in range(MOST_LOOKED_AT // LOOKED_AT_ONCE):
            lines = await self.cases.lines(groups, after=after, limit=LOOKED_AT_ONCE)
            found += [line.id for line in lines if fits(line, ask)]
            if len(found) > ask.limit or len(lines) < LOOKED_AT_ONCE:
                return _page(found, ask.limit)
            after = lines[-1].id
        return Page(found, after)


def _page(found: Sequence[RequestId], limit: int) -> Page:
    shown = found[:limit]
    return Page(shown, shown[-1] if len(found) > limit else None)


def filters(ask: commands.ListPending) -> bool:
    """Whether this asks for some cases only, apart from their group."""
    return any(wanted is not None for wanted in (ask.text, ask.requester, ask.accepted_before, ask.accepted_after))


def fits(line: Line, ask: commands.ListPending) -> bool:
    """Whether a case is among those asked for."""
    texts = (line.id, line.name, line.subject, *line.requesters)
    return (
        (ask.text is None or any(ask.text.casefold() in text.casefold() for text in texts))
        and (ask.requester is None or ask.requester in line.requesters)
        and (ask.accepted_before is None or line.accepted_at < ask.accepted_before)
        and (ask.accepted_after is None or line.accepted_at > ask.accepted_after)
    )
