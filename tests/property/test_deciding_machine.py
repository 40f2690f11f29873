"""Edits, decisions, lapses and people who come and go, in any order: approval and the issuer always agree.

The machine keeps an account of its own, in the plainest words: who approved what is in force, when, and who edited it.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.contracts import commands, events
from shared.evidence.jws import payload_of
from shared.evidence.steps import DecisionKind, Revision
from shared.messaging.messages import Outgoing
from shared.vocabulary.names import Digest
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import Approval, Issuer, data_of, delivery_of, lifecycle
from tests.world import Approved, decision

PEOPLE = ("alice", "ben", "carol")
CAROL = 'permissions.web = ["decide", "view", "edit"]'
BEN = 'permissions.web = ["decide", "view", "submit"]'
GOOD_HOURS, STEP_HOURS = 336, 100

people = st.sampled_from(PEOPLE)
rarely = st.integers(0, 4).map(lambda drawn: drawn == 0)
"""What changes everything would otherwise do so before anything has happened."""


@dataclass
class Law:
    """What the policy says now."""

    quorum: int = 2
    decide: frozenset[str] = frozenset(PEOPLE)
    edit: frozenset[str] = frozenset({"ben", "carol"})
    serial: int = 1

    @property
    def text(self) -> str:
        text = world.policy_text()
        for name in PEOPLE:
            held = [*(["decide"] if name in self.decide else []), *(["edit"] if name in self.edit else []), "view"]
            held += ["submit"] if name == "ben" else []
            start = text.index(f"[identities.{name}]")
            line = text.index("permissions.web", start)
            text = text[:line] + f"permissions.web = {held}".replace("'", '"') + text[text.index("\n", line) :]
        return text.replace("quorum = 2", f"quorum = {self.quorum}").replace("serial = 1", f"serial = {self.serial}")


@dataclass
class Account:
    """What ought to be so."""

    approvals: dict[str, datetime] = field(default_factory=dict)
    """By whom, and when, what is in force was approved."""
    editors: tuple[str, ...] = ()
    notes: str = ""
    ended: bool = False

    def counting(self, law: Law, now: datetime) -> set[str]:
        """Whose approvals count."""
        fresh = {name for name, at in self.approvals.items() if now - at <= timedelta(hours=GOOD_HOURS)}
        return {name for name in fresh if name in law.decide and name not in self.editors}

    def stands(self, law: Law) -> bool:
        """Whether whoever edited it last may still edit."""
        return not self.editors or self.latest in law.edit

    latest: str = ""
    """Who edited it last."""


class Deciding(RuleBasedStateMachine):
    """One request before its approvers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.law, self.account, self.numbers = Law(), Account(), count(1)

    def teardown(self) -> None:
        self.loop.close()

    def run(self, act: Any) -> Any:
        return self.loop.run_until_complete(act)

    @initialize(edited_by=st.sampled_from([None, "ben", "carol"]))
    def open(self, edited_by: str | None) -> None:
        self.case: Opened = self.run(open_case(policy_text=self.law.text))
        self.duty: Approval = self.case.duty
        if edited_by is not None:
            self.edit(edited_by)

    @property
    def now(self) -> datetime:
        return self.duty.clock.now()

    def begun(self) -> Approved:
        """What is in force at approval."""
        stored = self.run(self.case.stored())
        revision = Revision.read(payload_of(stored.evidence.revisions[-1].jws), code="a.b")
        return Approved(stored.evidence, revision, Digest(stored.revision))

    def look(self, by: str) -> Approved:
        """What an approver is shown; it may be renewed by that, which voids approvals."""
        before = self.begun().digest
        self.run(self.duty.send(commands.ShowCase(request_id=self.case.id), by=by))
        begun = self.begun()
        if begun.digest != before:
            self.account.approvals.clear()
        return begun

    # --- what people do ---------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.account.ended)
    @rule(by=people)
    def approve(self, by: str) -> None:
        begun, account = self.look(by), self.account
        already = by in account.counting(self.law, self.now)
        may = by in self.law.decide and by not in account.editors and account.stands(self.law) and not already
        said = decision(begun.digest, self.case.id, by=by, at=self.now)
        told = self.run(self.duty.send(commands.ApproveRequest(request_id=self.case.id, decision=said), by=by))
        if may:
            account.approvals[by] = self.now
        quorum = max(self.law.quorum, begun.revision.policy.quorum)
        reached = may and len(account.counting(self.law, self.now)) >= quorum
        assert [message.type for message in lifecycle(told)] == (["ra.request.approved.v1"] if reached else [])
        if reached:
            self._ordered(lifecycle(told)[0], begun)

    @precondition(lambda self: not self.account.ended)
    @rule(order=st.permutations(PEOPLE))
    def all_approve(self, order: list[str]) -> None:
        for by in order:
            if not self.account.ended:
                self.approve(by)

    @precondition(lambda self: not self.account.ended)
    @rule(by=people)
    def edit(self, by: str) -> None:
        begun, account = self.look(by), self.account
        notes = f"edit {next(self.numbers)}"
        said = world.edit(begun, by=by, at=self.now, notes=notes)
        told = self.run(self.duty.send(commands.EditRequest(request_id=self.case.id, edit=said), by=by))
        may = by in self.law.edit
        assert [message.type for message in lifecycle(told)] == (["ra.request.edited.v1"] if may else [])
        if may:
            account.approvals.clear()
            account.editors = tuple(dict.fromkeys((*account.editors, by)))
            account.latest, account.notes = by, notes

    @precondition(lambda self: not self.account.ended)
    @rule(by=people)
    def approve_what_was_in_force_before(self, by: str) -> None:
        """An approval of the first revision, when there is another by now, is never one of this."""
        begun = self.look(by)
        if begun.digest == self.case.digest:
            return
        said = decision(self.case.digest, self.case.id, by=by, at=self.now)
        told = self.run(self.duty.send(commands.ApproveRequest(request_id=self.case.id, decision=said), by=by))
        assert lifecycle(told) == []

    @precondition(lambda self: not self.account.ended)
    @rule(by=people, of_first=st.booleans(), really=rarely)
    def deny(self, by: str, *, of_first: bool, really: bool) -> None:
        if not really:
            return
        digest = self.case.digest if of_first else self.look(by).digest
        said = decision(digest, self.case.id, by=by, at=self.now, kind=DecisionKind.DENY)
        told = self.run(self.duty.send(commands.DenyRequest(request_id=self.case.id, decision=said), by=by))
        may = by in self.law.decide
        assert [message.type for message in lifecycle(told)] == (["ra.request.denied.v1"] if may else [])
        self.account.ended = may

    # --- what goes on around them -----------------------------------------------------------------------------------

    @rule(decide=st.sets(people, min_size=1), edit=st.sets(people), quorum=st.integers(1, 3), really=rarely)
    def change_the_policy(self, decide: set[str], edit: set[str], quorum: int, *, really: bool) -> None:
        if not really:
            return
        decide = set(PEOPLE) if len(decide) < quorum else decide
        self.law = Law(quorum, frozenset(decide), frozenset(edit), self.law.serial + 1)
        self.duty.adopt(self.law.text)

    @rule(really=rarely)
    def let_time_pass(self, *, really: bool) -> None:
        if not really:
            return
        self.duty.clock.advance(timedelta(hours=STEP_HOURS))
        self.duty.hear()

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def what_is_in_force_is_what_was_edited_last(self) -> None:
        if hasattr(self, "case") and not self.account.ended:
            begun = self.begun()
            assert (begun.revision.notes, begun.revision.editors) == (self.account.notes, self.account.editors)

    def _ordered(self, told: Outgoing, begun: Approved) -> None:
        """The issuer orders just this by the same policy; and by one that knows no editor, nothing that was edited."""
        event = events.RequestApproved.model_validate(data_of(told))
        assert event.evidence.revisions == self.run(self.case.stored()).evidence.revisions
        assert self.run(self.case.stored()).state is State.APPROVED
        issuer = Issuer(self.law.text)
        issuer.clock.advance(self.now - issuer.clock.now())
        assert lifecycle(self.run(issuer.handle(delivery_of(told, "approval")))) == []
        self.run(issuer.work_off())
        assert [taken.request.csr for taken in issuer.ca.orders] == [begun.revision.csr]
        if self.account.editors:
            strict = Issuer(Law(self.law.quorum, self.law.decide, frozenset(), self.law.serial).text)
            strict.clock.advance(self.now - strict.clock.now())
            returned = lifecycle(self.run(strict.handle(delivery_of(told, "approval"))))
            assert [message.type for message in returned] == ["ra.request.returned.v1"]
            assert strict.ca.orders == []
        self.account.ended = True


def test_approval_and_the_issuer_agree_whatever_comes_in_whatever_order() -> None:
    run_state_machine_as_test(Deciding, settings=settings(max_examples=100, stateful_step_count=10, deadline=None))
