"""Approval's handlers: one frozen dataclass for each message."""

from dataclasses import dataclass

from services.approval import rules
from services.approval.model import Case
from services.approval.ports import CaseStore
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.replies import DecisionResult, PendingResult, WithdrawResult
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.steps import DecisionKind, Verdict
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_event, reply_ok
from shared.observability.metrics import EvidenceMetrics
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State


@dataclass(frozen=True)
class RequestAcceptedHandler:
    """Opens the case of a request that intake accepted, once its evidence is verified."""

    cases: CaseStore
    in_force: PolicyInForce
    metrics: EvidenceMetrics
    clock: Clock

    async def __call__(self, message: Received[events.RequestAccepted]) -> Outcome:
        """Handle the event."""
        now = self.clock.now()
        try:
            verified = rules.accepted_revision(message.data, self.in_force.anchor, now=now)
        except RefusedError as refused:
            for found in refused.findings:
                self.metrics.refused(found.code)
            raise
        evidence = events.Evidence(
            submission=message.data.evidence.submission, revisions=message.data.evidence.revisions
        )
        case = rules.new_case(evidence, verified, sequence=message.order, policy_serial=message.policy_serial, now=now)
        await self.cases.insert(case)
        return NOTHING


@dataclass(frozen=True)
class Renewals:
    """Brings pending cases under the policy in force."""

    in_force: PolicyInForce
    key: SigningKey
    clock: Clock

    def up_to_date(self, case: Case) -> tuple[Case, tuple[Finding, ...]]:
        """The case with its revision renewed, if the policy that applies to it has changed.

        With it come the reasons why nobody could approve it under the policy in force.
        """
        now = self.clock.now()
        try:
            revision = rules.renewal(case, self.in_force, now=now)
        except RefusedError as refused:
            return case, refused.findings
        if revision is None:
            return case, ()
        token = self.key.sign(revision.canonical(), Typ.REVISION, now)
        return rules.renewed(case, revision, token, policy_serial=self.in_force.policy.serial, now=now), ()


@dataclass(frozen=True)
class DecisionHandler:
    """Takes an approver's signed decision; the one that completes the quorum leads to the verdict."""

    cases: CaseStore
    in_force: PolicyInForce
    renewals: Renewals
    key: SigningKey
    clock: Clock

    async def __call__(self, message: Received[commands.ApproveRequest | commands.DenyRequest]) -> Outcome:
        """Handle the decision."""
        case = await self.cases.load(message.data.request_id)
        if case is None:
            raise rules.unknown_request(message.data.request_id)
        stored = case.outcome_of(message.id)
        if stored is not None:
            return stored
        approves = isinstance(message.data, commands.ApproveRequest)
        blocked: tuple[Finding, ...] = ()
        if approves:
            case, blocked = self.renewals.up_to_date(case)
        decided = rules.decide(
            case,
            message.data.decision,
            sender=message.sender,
            kind=DecisionKind.APPROVE if approves else DecisionKind.DENY,
            anchor=self.in_force.anchor,
            policy_digest=self.in_force.policy.digest,
            now=self.clock.now(),
        )
        if blocked:
            raise RefusedError.of(blocked)
        changed, follows = self._following(message, decided)
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)

    def _following(
        self, message: Received[commands.ApproveRequest | commands.DenyRequest], decided: rules.Decided
    ) -> tuple[Case, tuple[Outgoing, ...]]:
        case = decided.case
        result = DecisionResult(
            request_id=case.id, state=case.state, approvals=decided.approvals, quorum=decided.quorum
        )
        answer = reply_ok(message, result, _said(decided), at=self.clock.now())
        if case.state is State.PENDING:
            return case, (answer,)
        if decided.verdict is not None:
            case = self._with_verdict(case, decided.verdict)
        event_type = events.RequestApproved if case.state is State.APPROVED else events.RequestDenied
        event = event_type(request_id=case.id, approval_group=case.approval_group, evidence=case.evidence)
        return case, (
            publish_event(
                event,
                origin=message.id,
                sequence=case.sequence,
                policy_serial=self.in_force.policy.serial,
                at=self.clock.now(),
            ),
            answer,
        )

    def _with_verdict(self, case: Case, verdict: Verdict) -> Case:
        payload = verdict.canonical()
        token = self.key.sign(payload, Typ.VERDICT, self.clock.now())
        return case.model_copy(
            update={
                "evidence": case.evidence.model_copy(update={"verdict": token}),
                "verdict": digest_of(payload),
            }
        )


@dataclass(frozen=True)
class WithdrawRequestHandler:
    """Takes a pending request back for its requester."""

    cases: CaseStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.WithdrawRequest]) -> Outcome:
        """Handle the withdrawal."""
        case = await self.cases.load(message.data.request_id)
        if case is None:
            raise rules.unknown_request(message.data.request_id)
        stored = case.outcome_of(message.id)
        if stored is not None:
            return stored
        now = self.clock.now()
        changed = rules.withdraw(case, message.sender, self.in_force.policy, now=now)
        event = events.RequestWithdrawn(request_id=case.id, approval_group=case.approval_group, by=message.sender)
        result = WithdrawResult(request_id=case.id, state=changed.state)
        follows = (
            publish_event(
                event,
                origin=message.id,
                sequence=changed.sequence,
                policy_serial=self.in_force.policy.serial,
                at=now,
            ),
            reply_ok(message, result, "The request is withdrawn.", at=now),
        )
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)


@dataclass(frozen=True)
class RequestReturnedHandler:
    """Reopens a case whose approval the issuer found not to hold, or closes it by the denial that was left out."""

    cases: CaseStore
    in_force: PolicyInForce
    renewals: Renewals
    clock: Clock

    async def __call__(self, message: Received[events.RequestReturned]) -> Outcome:
        """Handle the event."""
        case = await self.cases.load(message.data.request_id)
        if case is None:
            raise rules.unknown_request(message.data.request_id)
        stored = case.outcome_of(message.id)
        if stored is not None:
            return stored
        now = self.clock.now()
        changed = rules.take_back(case, message.data, anchor=self.in_force.anchor, sequence=message.order, now=now)
        if changed is None:
            return NOTHING
        changed, _ = self.renewals.up_to_date(changed)
        follows: tuple[Outgoing, ...] = ()
        if changed.state is State.DENIED:
            event = events.RequestDenied(
                request_id=case.id, approval_group=case.approval_group, evidence=changed.evidence
            )
            follows = (
                publish_event(
                    event,
                    origin=message.id,
                    sequence=changed.sequence,
                    policy_serial=self.in_force.policy.serial,
                    at=now,
                ),
            )
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)


@dataclass(frozen=True)
class ListPendingHandler:
    """Lists the cases that wait for a decision, computed from the cases themselves."""

    cases: CaseStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListPending]) -> Outcome:
        """Handle the question."""
        ask = message.data
        groups = rules.groups_of(message.sender, self.in_force.policy)
        if ask.approval_group is not None:
            groups = [group for group in groups if group == ask.approval_group]
        if not groups:
            raise RefusedError(
                finding(
                    "identity.not-permitted",
                    "you may not list this group's requests",
                    value=ask.approval_group,
                )
            )
        found = await self.cases.open_for(groups, after=ask.after, limit=ask.limit + 1)
        cases = tuple(rules.pending_case(case, message.sender, self.in_force) for case in found[: ask.limit])
        result = PendingResult(cases=cases, more=len(found) > ask.limit)
        text = f"{len(cases)} requests wait for a decision."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))


@dataclass(frozen=True)
class ShowCaseHandler:
    """Shows a case to those who may decide on it, view it or asked for it, under the policy in force."""

    cases: CaseStore
    in_force: PolicyInForce
    renewals: Renewals
    clock: Clock

    async def __call__(self, message: Received[commands.ShowCase]) -> Outcome:
        """Handle the question."""
        case = await self.cases.load(message.data.request_id)
        viewers = (Permission.DECIDE, Permission.VIEW)
        if case is None or not rules.may_see(case, message.sender, viewers, self.in_force.policy):
            raise rules.unknown_request(message.data.request_id)
        shown, blocked = self.renewals.up_to_date(case)
        if shown is not case:
            await self.cases.replace(shown)
        result = rules.shown_case(shown, self.in_force.anchor, blocked_because=blocked)
        text = f"The request is {shown.state}."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))


def _said(decided: rules.Decided) -> str:
    match decided.case.state:
        case State.APPROVED:
            return f"Approved, and the quorum of {decided.quorum} is reached."
        case State.DENIED:
            return "Denied."
        case _:
            return f"Approved; {decided.approvals} of {decided.quorum} approvals so far."
