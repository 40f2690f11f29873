"""Whatever people, officers, clocks and queues do: approval and issuer agree, and nothing is issued without a quorum.

What a quorum is is counted here anew, from who signed what and when.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.approval import rules as rules_of_approval
from services.approval.model import Case
from services.issuer.model import Order
from shared.contracts import commands, events
from shared.contracts.catalogue import EVENT_OF
from shared.evidence import verification
from shared.evidence.jws import payload_of
from shared.evidence.steps import DecisionKind
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, Digest, RequestId
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Approval, Issuer, data_of, delivery_of, event, lifecycle, replies
from tests.vectors.x509.builders import patient
from tests.world import Approved, decision, signing_key

GROUPS = ("web", "mail")
PEOPLE = ("alice", "ben", "bea", "carol")
"""Identities; the policy says which of them are one person."""
GOOD_HOURS = 100
OPEN = frozenset({OrderState.ACCEPTED, OrderState.ISSUED})
APPROVED, RETURNED = (EVENT_OF[kind].name for kind in (events.RequestApproved, events.RequestReturned))

ResultT = TypeVar("ResultT")
people = st.sampled_from(PEOPLE)
rarely = st.integers(0, 9).map(lambda drawn: drawn == 0)
"""What ends everything would otherwise do so before anything has happened."""


@dataclass(frozen=True)
class Rules:
    """The part of a policy that matters here."""

    serial: int = 1
    quorum: int = 2
    editor_may_approve: bool = False
    bea_is_ben: bool = True
    appointed: frozenset[tuple[str, str]] = frozenset((name, group) for name in PEOPLE for group in GROUPS)
    """Who decides for which group while they are in the policy."""
    gone: frozenset[str] = frozenset()
    """Who is not in the policy any more."""

    @property
    def deciders(self) -> frozenset[tuple[str, str]]:
        return frozenset(each for each in self.appointed if each[0] not in self.gone)

    def person(self, identity: str) -> str:
        return "ben" if identity == "bea" and self.bea_is_ben else identity

    def can_be_met(self) -> bool:
        """Whether the officers may sign it: no policy has a quorum that nobody could reach."""
        people = [{self.person(name) for name, of in self.deciders if of == group} for group in GROUPS]
        return all(len(each) >= self.quorum for each in people)

    def text(self) -> str:
        text = world.policy_text().replace("serial = 1", f"serial = {self.serial}")
        text = text.replace('approval_groups = ["web"]', 'approval_groups = ["web", "mail"]')
        text = text.replace(
            'permissions.web = ["submit"]', 'permissions.web = ["submit"]\npermissions.mail = ["submit"]'
        )
        start, end = text.index("[identities.alice]"), text.index("[identities.olga]")
        text = (
            text[:start]
            + "\n".join(self._identity(name) for name in PEOPLE if name not in self.gone)
            + "\n"
            + text[end:]
        )
        start, end = text.index("[approval_groups.web]"), text.index("[dn_profiles.server]")
        return text[:start] + "\n".join(map(self._group, GROUPS)) + "\n" + text[end:]

    def _identity(self, name: str) -> str:
        decides = {group: '"decide", ' if (name, group) in self.deciders else "" for group in GROUPS}
        permissions = "\n".join(f'permissions.{group} = [{decides[group]}"submit", "edit"]' for group in GROUPS)
        key = f'keys = [{{ kty = "OKP", crv = "Ed25519", x = "{signing_key(name).public.x}" }}]'
        return f'[identities.{name}]\nkind = "person"\nperson = "{self.person(name)}"\n{key}\n{permissions}\n'

    def _group(self, name: str) -> str:
        editor = str(self.editor_may_approve).lower()
        return (
            f"[approval_groups.{name}]\nquorum = {self.quorum}\neditor_may_approve = {editor}\n"
            f"decide_within_hours = {24 * 90}\napprovals_stay_good_hours = {GOOD_HOURS}\n"
        )


@dataclass
class Signed:
    """Who signed what, and when; and who edited which revision."""

    approvals: dict[tuple[str, Digest], datetime] = field(default_factory=dict)
    """Each the latest that was signed at all."""
    taken: dict[tuple[str, Digest], datetime] = field(default_factory=dict)
    """Each the latest that approval has taken."""
    editors_of: dict[Digest, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Everybody who has had a hand in this revision, with the person whom they were then, the latest last."""

    def counting(
        self,
        times: Mapping[tuple[str, Digest], datetime],
        revision: Digest,
        rules: Rules,
        group: str,
        requester: str,
        *,
        now: datetime,
    ) -> set[str]:
        """The people whose approval of this revision, signed at this time, is worth something now."""
        found = set()
        for name in PEOPLE:
            signed_at = times.get((name, revision))
            asks = rules.person(requester) == rules.person(name)
            hands = self.editors_of[revision]
            editors = {rules.person(editor) for editor, _ in hands if editor not in rules.gone} | {
                who for _, who in hands
            }
            edited = (rules.person(name) in editors or name in dict(hands)) and not rules.editor_may_approve
            good = signed_at is not None and now <= signed_at + timedelta(hours=GOOD_HOURS)
            if good and (name, group) in rules.deciders and not asks and not edited:
                found.add(rules.person(name))
        return found


class Quorum(RuleBasedStateMachine):
    """One request between its requester, four identities, two officers and two duties."""

    @initialize(group=st.sampled_from(GROUPS), requester=st.sampled_from(["shop", "ben"]))
    def begin(self, group: str, requester: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.group, self.requester = ApprovalGroupName(group), requester
        self.policy_now = self.issuers_policy = Rules()
        self.approval, self.issuer = Approval(self.policy_now.text()), Issuer(self.policy_now.text())
        asked = world.content(approval_group=group)
        revision = world.revision_of(asked, world.policy(self.policy_now.text()), requesters=(requester,))
        self.begun = world.accepted(asked, revision=revision)
        evidence = self.begun.evidence.model_copy(update={"submission": world.submission(asked, by=requester)})
        self.begun = replace(self.begun, evidence=evidence)
        self.signed = Signed(editors_of={self.begun.digest: ()})
        self.to_issuer: list[Outgoing] = []
        self.denied, self.verdicts, self.returned = False, set[str](), set[str]()
        accepted = events.RequestAccepted(request_id=self.id, approval_group=self.group, evidence=evidence)
        self._do(self.approval.handle(event(accepted, sequence=1)))

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    # --- people -------------------------------------------------------------------------------------------------

    @rule(name=people)
    def approve(self, name: str) -> None:
        if name in self.policy_now.gone:  # of whom the broker knows nothing any more, and no duty hears
            return
        before, message = self._case(), self._approval_by(name)
        answer = self._do(self.approval.ask(message, by=name))
        self._hear_approval()
        if answer.code != "ok":
            return
        case = self._case()
        self.signed.taken[name, case.revision] = self._now()
        candidates = {*before.deciders, name} if case.revision == before.revision else {name}
        counting = self._counting(self._taken_of(candidates), case.revision, self.policy_now)
        assert (case.state is State.APPROVED) == (len(counting) >= self.policy_now.quorum)

    @rule(order=st.permutations(PEOPLE), hours=st.sampled_from([0, 0, GOOD_HOURS + 1]))
    def approve_one_after_the_other(self, order: list[str], hours: int) -> None:
        for name in order[:3]:
            self.approve(name)
            self.wait(hours)

    @rule(first=people, second=people)
    def approve_at_the_same_instant(self, first: str, second: str) -> None:
        if {first, second} & self.policy_now.gone:
            return
        known = len(self.verdicts)
        self._see_renewal()
        revision = self._case().revision
        both = [self.approval.send(self._approval_by(name), by=name) for name in (first, second)]
        for name, answered in zip((first, second), self._do(self._together(both)), strict=True):
            if self._took(answered, name):
                self.signed.taken[name, revision] = self._now()
        self._hear_approval()
        assert len(self.verdicts) <= known + 1

    @rule(name=people)
    def approve_a_former_revision(self, name: str) -> None:
        if name in self.policy_now.gone:
            return
        former = next(iter(self.signed.editors_of))
        said = decision(former, self.id, by=name, at=self._now())
        answer = self._do(self.approval.ask(commands.ApproveRequest(request_id=self.id, decision=said), by=name))
        if former != self._case().revision:
            assert answer.code == "refused"
        elif answer.code == "ok":
            self.signed.approvals[name, former] = self.signed.taken[name, former] = self._now()
        self._hear_approval()

    @rule(name=people, really=rarely)
    def deny(self, name: str, *, really: bool) -> None:
        """Also by somebody who has approved; it is taken from whoever decides and has not asked."""
        if not really or name in self.policy_now.gone:
            return
        self._deny(name, self._case().revision, at=self._now())

    @rule(name=people, really=rarely, data=st.data())
    def deny_a_former_revision_long_ago(self, name: str, *, really: bool, data: st.DataObject) -> None:
        """What was signed before an edit or a renewal, and has come after it, is a denial all the same."""
        if really and name not in self.policy_now.gone:
            revision = data.draw(st.sampled_from(list(self.signed.editors_of)))
            self._deny(name, revision, at=self._now() - timedelta(hours=GOOD_HOURS + 1))

    def _deny(self, name: str, revision: Digest, *, at: datetime) -> None:
        before = self._case()
        said = decision(revision, self.id, by=name, kind=DecisionKind.DENY, at=at)
        denial = commands.DenyRequest(request_id=self.id, decision=said)
        answer = self._do(self.approval.ask(denial, by=name))
        rules = self.policy_now
        entitled = (name, self.group) in rules.deciders and rules.person(name) != rules.person(self.requester)
        assert (answer.code == "ok") == (entitled and before.state is State.PENDING)
        if answer.code == "ok":
            assert self._case().state is State.DENIED
            self.denied = True
            if name not in self.issuers_policy.gone:
                self._do(self.issuer.send(denial, by=name))  # its witness
        self._hear_approval()

    @rule(name=people, notes=st.sampled_from(["", "why", "why not"]))
    def edit(self, name: str, notes: str) -> None:
        if name in self.policy_now.gone:
            return
        before = self._case()
        answer = self._do(self.approval.ask(self._edit_by(name, notes), by=name))
        if answer.code == "ok":
            assert self._case().deciders == ()
            self._was_edited(before, name)
        self._hear_approval()

    @rule(editor=people, approver=people, notes=st.sampled_from(["at once", "at the same time"]))
    def edit_while_another_approves(self, editor: str, approver: str, notes: str) -> None:
        """Of what meets, the edit voids the approval, or the approval came first and the verdict lets nobody edit."""
        if {editor, approver} & self.policy_now.gone:
            return
        approval, before = self._approval_by(approver), self._case()
        edit = self._edit_by(editor, notes)
        both = [self.approval.send(approval, by=approver), self.approval.send(edit, by=editor)]
        approved, _ = self._do(self._together(both))
        case = self._case()
        if case.revision != before.revision:
            assert case.deciders == ()
            self._was_edited(before, editor)
        elif self._took(approved, approver):
            self.signed.taken[approver, case.revision] = self._now()
        self._hear_approval()

    @staticmethod
    def _took(answered: list[Outgoing], name: str) -> bool:
        """Whether the first answer to this identity is that its word was taken."""
        (answer,) = [message for message in replies(answered) if message.key.startswith(f"{name}.")][:1]
        return bool(data_of(answer)["code"] == "ok")

    def _edit_by(self, name: str, notes: str) -> commands.EditRequest:
        said = world.edit(self._as_it_is(self._case()), by=name, at=self._now(), notes=notes)
        return commands.EditRequest(request_id=self.id, edit=said)

    def _was_edited(self, before: Case, name: str) -> None:
        hands = self.signed.editors_of[before.revision]
        self.signed.editors_of[self._case().revision] = (*hands, (name, self.policy_now.person(name)))

    # --- officers, clocks and queues ------------------------------------------------------------------------------

    @rule(name=people, group=st.sampled_from(GROUPS))
    def appoint_or_remove(self, name: str, group: str) -> None:
        self._adopt(replace(self.policy_now, appointed=self.policy_now.appointed ^ {(name, group)}))

    @rule(name=people)
    def leave_or_come_back(self, name: str) -> None:
        """An identity is taken out of the policy as a whole; who has asked stays."""
        if name != self.requester:
            self._adopt(replace(self.policy_now, gone=self.policy_now.gone ^ {name}))

    @rule(quorum=st.integers(1, 3))
    def change_the_quorum(self, quorum: int) -> None:
        self._adopt(replace(self.policy_now, quorum=quorum))

    @rule()
    def let_editors_approve_or_not(self) -> None:
        self._adopt(replace(self.policy_now, editor_may_approve=not self.policy_now.editor_may_approve))

    @rule()
    def find_that_two_are_one_or_are_not(self) -> None:
        self._adopt(replace(self.policy_now, bea_is_ben=not self.policy_now.bea_is_ben))

    @rule()
    def tell_the_issuer_of_the_policy(self) -> None:
        self.issuers_policy = self.policy_now
        self.issuer.adopt(self.policy_now.text())

    @rule(hours=st.sampled_from([1, 60, GOOD_HOURS + 1]))
    def wait(self, hours: int) -> None:
        for duty in (self.approval, self.issuer):
            duty.clock.advance(timedelta(hours=hours))
        self.approval.hear()

    @precondition(lambda self: self.to_issuer)
    @rule(data=st.data())
    def the_issuer_hears(self, data: st.DataObject) -> None:
        """Of any approval that there ever was, a former one included."""
        self._issuer_hears(data.draw(st.sampled_from(self.to_issuer)))

    @rule(order=st.permutations(PEOPLE), really=rarely)
    def decide_and_order(self, order: list[str], *, really: bool) -> None:
        for name in order if really else ():
            self.approve(name)
        if really and self.to_issuer:
            self._issuer_hears(self.to_issuer[-1])
            self.the_issuer_orders()

    def _issuer_hears(self, message: Outgoing) -> None:
        self.tell_the_issuer_of_the_policy()
        told = verdict_in(message)
        order = self._order()
        voided = () if order is None else order.voided
        verdict = digest_of(payload_of(told.evidence.verdict or ""))
        case = self._case()
        is_latest = case.verdict == verdict and case.state is State.APPROVED
        expected = is_latest and verdict not in voided and self._is_good(case)
        was_open = order is not None and order.state in OPEN
        answered = self._do(self.issuer.handle(delivery_of(message, "approval")))
        order = self._order()
        is_open = order is not None and order.state in OPEN
        assert was_open or is_open == expected, "approval's verdict and the issuer's differ"
        self._tell_approval(answered)

    @rule()
    def the_issuer_orders(self) -> None:
        self._do(self.issuer.work_off())
        self._tell_approval(self.issuer.publisher.published)

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_issued_without_a_quorum_on_its_final_bytes(self) -> None:
        if not hasattr(self, "issuer") or not self.issuer.ca.orders:
            return
        assert len(self.issuer.ca.orders) == 1
        if not hasattr(self, "ordered"):
            self.ordered = True
            order = self._order()
            assert order is not None
            assert order.revision is not None
            counting = self._counting(self.signed.approvals, order.revision, self.issuers_policy)
            assert len(counting) >= self.issuers_policy.quorum
            assert not self.denied

    # --- how ------------------------------------------------------------------------------------------------------

    @property
    def id(self) -> RequestId:
        return self.begun.revision.request_id

    def _do(self, what: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self.loop.run_until_complete(what)

    @staticmethod
    async def _together(both: list[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
        return list(await asyncio.gather(*both))

    def _now(self) -> datetime:
        return self.approval.clock.now()

    def _case(self) -> Case:
        case = self._do(self.approval.cases.load(self.id))
        assert case is not None
        return case

    def _order(self) -> Order | None:
        return self._do(self.issuer.orders.load(self.id))

    def _as_it_is(self, case: Case) -> Approved:
        statement = case.evidence.revisions[-1]
        revision = type(self.begun.revision).read(payload_of(statement.jws), code="a.b")
        return Approved(case.evidence, revision, case.revision)

    def _approval_by(self, name: str) -> commands.ApproveRequest:
        self._see_renewal()
        revision = self._case().revision
        self.signed.approvals[name, revision] = self._now()
        return commands.ApproveRequest(
            request_id=self.id, decision=decision(revision, self.id, by=name, at=self._now())
        )

    def _see_renewal(self) -> None:
        """Approvers look at a case before they decide on it; that renews it where the policy has changed."""
        self._do(self.approval.ask(commands.ShowCase(request_id=self.id), by=self.requester))
        case = self._case()
        if case.revision not in self.signed.editors_of:
            self.signed.editors_of[case.revision] = list(self.signed.editors_of.values())[-1]

    def _counting(self, times: Mapping[tuple[str, Digest], datetime], revision: Digest, rules: Rules) -> set[str]:
        return self.signed.counting(times, revision, rules, self.group, self.requester, now=self._now())

    def _taken_of(self, names: Collection[str]) -> dict[tuple[str, Digest], datetime]:
        return {key: at for key, at in self.signed.taken.items() if key[0] in names}

    def _is_good(self, case: Case) -> bool:
        """Whether the latest verdict still holds, for the decisions that it is about and under the issuer's rules."""
        revision = self._as_it_is(case).revision
        same = (revision.policy.quorum, revision.policy.editor_may_approve) == (
            self.issuers_policy.quorum,
            self.issuers_policy.editor_may_approve,
        )
        counting = self._counting(self._taken_of(case.deciders), case.revision, self.issuers_policy)
        hands = self.signed.editors_of[case.revision]
        vouched = not hands or hands[-1][0] not in self.issuers_policy.gone
        return (
            same and vouched and len(counting) == len(case.deciders) >= self.issuers_policy.quorum and not self.denied
        )

    def _adopt(self, rules: Rules) -> None:
        if not rules.can_be_met():
            return
        self.policy_now = replace(rules, serial=self.policy_now.serial + 1)
        self.approval.adopt(self.policy_now.text())

    def _hear_approval(self) -> None:
        told = [message for message in lifecycle(self.approval.publisher.published) if message.type == APPROVED]
        self.to_issuer = list({message.id: message for message in told}.values())
        self.verdicts = {message.id for message in told}
        self._see_renewal()

    def _tell_approval(self, published: list[Outgoing]) -> None:
        for message in lifecycle(published):
            if message.type == RETURNED and message.id not in self.returned:
                self.returned.add(message.id)
                self._do(self.approval.handle(delivery_of(message, "issuer")))
        self._hear_approval()


def verdict_in(message: Outgoing) -> events.RequestApproved:
    """What this event tells."""
    return events.RequestApproved.model_validate_json(json.dumps(data_of(message)))


def test_two_who_turn_out_to_be_one_before_the_verdict_count_once_and_spoil_nothing() -> None:
    quorum = Quorum()
    quorum.begin("web", "shop")
    quorum.find_that_two_are_one_or_are_not()
    quorum.change_the_quorum(3)
    quorum.approve("ben")
    quorum.approve("bea")
    quorum.find_that_two_are_one_or_are_not()
    quorum.approve("alice")
    quorum.approve("carol")
    quorum.decide_and_order(list(PEOPLE), really=True)
    assert len(quorum.issuer.ca.orders) == 1
    quorum.teardown()


TestQuorum = Quorum.TestCase
TestQuorum.settings = settings(patient, max_examples=50, stateful_step_count=30)


def approved_and(*then: str) -> list[str]:
    return ["approve alice", "approve ben", *then, "hear"]


LEFT_OUT: dict[str, tuple[str, Callable[..., Any], list[str]]] = {
    "the issuer counts nobody": ("verification._check_decisions", lambda *_, **__: iter(()), approved_and("wait")),
    "no approval lapses": ("verification.lapsed", lambda *_, **__: False, approved_and("wait")),
    "nobody asks who decides": ("verification.check_approver", lambda *_, **__: iter(()), approved_and("remove alice")),
    "who decides no more is counted": (
        "verification.check_approver",
        lambda *_, **__: iter(()),
        ["remove ben", "approve ben", "approve alice"],
    ),
    "who asks counts": ("verification._requesters_count", lambda *_: True, ["approve carol", "approve ben"]),
    "who edits counts": (
        "verification._editors_count",
        lambda *_: True,
        ["edit alice", "approve alice", "approve carol"],
    ),
    "an editor who left counts under another name": (
        "verification._has_edited",
        lambda name, revision, _: name in revision.editors,
        ["edit bea", "edit carol", "leave bea", "approve ben", "approve alice"],
    ),
    "one is enough": ("rules.quorum_of", lambda *_: 1, ["approve alice"]),
    "a denial is not taken": (
        "rules._check_time",
        lambda _, kind, *__, **___: iter([finding("a.b", "no")] if kind is DecisionKind.DENY else []),
        ["approve alice", "deny alice"],
    ),
    "a late denial of a former revision is not taken": (
        "rules._check_decision",
        lambda _, new, revision, **__: iter([finding("a.b", "no")] if new.decision.revision != revision.digest else []),
        ["edit alice", "deny ben late"],
    ),
}
"""What a duty could leave out: the function, what takes its place, and some steps that the machine may take."""


def take(quorum: Quorum, step: str) -> None:
    """One step of the machine."""
    match step.split():
        case ["approve", name]:
            quorum.approve(name)
        case ["deny", name]:
            quorum.deny(name, really=True)
        case ["deny", name, "late"]:
            quorum._deny(name, quorum.begun.digest, at=quorum._now() - timedelta(hours=1))
        case ["edit", name]:
            quorum.edit(name, f"by {name}")
        case ["leave", name]:
            quorum.leave_or_come_back(name)
        case ["remove", name]:
            quorum.appoint_or_remove(name, "web")
        case ["wait"]:
            quorum.wait(GOOD_HOURS + 1)
        case _:
            quorum._issuer_hears(quorum.to_issuer[-1])


@pytest.mark.parametrize("is_left_out", [False, True], ids=["as it is", "left out"])
@pytest.mark.parametrize("what", LEFT_OUT)
def test_the_machine_notices_what_a_duty_leaves_out(
    what: str, *, is_left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, instead, steps = LEFT_OUT[what]
    module, function = name.split(".")
    if is_left_out:
        monkeypatch.setattr({"verification": verification, "rules": rules_of_approval}[module], function, instead)
    quorum = Quorum()
    quorum.begin("web", "ben" if what == "who asks counts" else "shop")
    with pytest.raises(AssertionError) if is_left_out else nullcontext():
        for step in steps:
            take(quorum, step)
    quorum.teardown()
