"""Approval's handlers: one frozen dataclass for each message."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.approval import deadlines, rules
from services.approval.compatibility import Compatibility
from services.approval.holding import HeldCases
from services.approval.loading import load_case
from services.approval.model import Case, KnownFacts
from services.approval.passwords import asked_of
from services.approval.ports import CaseStore, FactsStore
from services.approval.showing import shown_case
from services.approval.verdicts import Verdicts
from services.approval.withdrawing import Withdrawals
from shared.clock import Clock
from shared.contracts import commands, events
from shared.contracts.replies import DecisionResult, SigningCertificatesResult
from shared.errors import ConflictError, RefusedError
from shared.evidence.compatibility import read_facts
from shared.evidence.in_force import PolicyInForce
from shared.evidence.steps import DecisionKind
from shared.messaging.messages import NOTHING, Outcome, Outgoing, Received, publish_event, reply_ok
from shared.observability.metrics import EvidenceMetrics, FactsMetrics
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.permissions import Permission
from shared.vocabulary.states import State


@dataclass(frozen=True)
class RequestAcceptedHandler:
    """Opens the case of a request that intake accepted, once its evidence is verified.

    If a password came with it, the issuer is asked about that. A request whose evidence does not hold under the policy
    in force here, as when its requester has another key by now, is refused and its requester told: nobody could ever
    decide on it, and nobody would see it.
    """

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
            return await self._refused(message, refused)
        evidence = events.Evidence(
            submission=message.data.evidence.submission, revisions=message.data.evidence.revisions
        )
        case = rules.new_case(evidence, verified, sequence=message.order, policy_serial=message.policy_serial, now=now)
        case = deadlines.timed(case, self.in_force.policy)
        serial = self.in_force.policy.serial
        asked = asked_of(case, origin=message.id, policy_serial=serial, clock=self.clock)
        if await self.cases.insert(case.followed_by(message.id, *asked) if asked else case):
            return Outcome(publish=asked)
        return await self._again(message, asked)

    async def _refused(self, message: Received[events.RequestAccepted], refused: RefusedError) -> Outcome:
        """Close it before it was open; one that is open already, whatever this message says, is left as it is."""
        now, evidence = self.clock.now(), message.data.evidence
        said = rules.said_revision(message.data)
        case = rules.new_case(evidence, said, sequence=message.order, policy_serial=message.policy_serial, now=now)
        closed = rules.close(case, State.REFUSED, now=now)
        event = events.RequestRefused(request_id=case.id, approval_group=case.approval_group, findings=refused.findings)
        told = publish_event(
            event, origin=message.id, sequence=closed.sequence, policy_serial=self.in_force.policy.serial, at=now
        )
        if await self.cases.insert(closed.followed_by(message.id, told)):
            return Outcome(publish=(told,))
        known = await self.cases.load(case.id)
        stored = known and known.outcome_of(message.id)
        if stored:
            return stored
        raise refused

    async def _again(self, message: Received[events.RequestAccepted], asked: tuple[Outgoing, ...]) -> Outcome:
        """The case is there already: what followed follows again, and a question asked twice does no harm."""
        known = await self.cases.load(message.data.request_id) if asked else None
        return (known and known.outcome_of(message.id)) or NOTHING


@dataclass(frozen=True)
class DecisionHandler:
    """Takes an approver's signed decision; the one that completes the quorum leads to the verdict.

    If the CA would not deliver what is to be approved, that one is refused; while nobody can tell, the case is held.
    """

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    compatibility: Compatibility
    held: HeldCases
    clock: Clock

    async def __call__(self, message: Received[commands.ApproveRequest | commands.DenyRequest]) -> Outcome:
        """Handle the decision."""
        policy = self.in_force.policy
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        approves = isinstance(message.data, commands.ApproveRequest)
        blocked: tuple[Finding, ...] = ()
        if approves:
            case, blocked = self.verdicts.up_to_date(case)
        decided = rules.decide(
            case,
            message.data.decision,
            sender=message.sender,
            kind=DecisionKind.APPROVE if approves else DecisionKind.DENY,
            anchor=self.in_force.anchor,
            until=deadlines.ends_at(case, policy),
            now=self.clock.now(),
        )
        if blocked:
            raise RefusedError.of(blocked)
        changed, told = await self._concluded(message, decided, policy)
        follows = (*told, self._answer(message, changed, decided))
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)

    async def _concluded(
        self, message: Received[commands.ApproveRequest | commands.DenyRequest], decided: rules.Decided, policy: Policy
    ) -> tuple[Case, tuple[Outgoing, ...]]:
        """The case after what follows from the decision, and the event that tells of it."""
        case = decided.case
        if case.state is State.DENIED:
            return case, (self._denied(message, case),)
        if not decided.reached:
            return case, ()
        if unchecked := rules.unchecked(case):
            return self.held.hold(case, unchecked), ()
        verdict = await self.compatibility.of(rules.revision_in_force(case), policy)
        if self.in_force.policy is not policy:
            raise ConflictError("another policy has come into force")
        match verdict.fit:
            case Fit.INCOMPATIBLE:
                raise RefusedError.of(verdict.findings)
            case Fit.UNKNOWN:
                return self.held.hold(case, verdict.findings), ()
            case Fit.COMPATIBLE:
                approved, event = self.verdicts.approve(case)
                return approved, (event,)

    def _denied(self, message: Received[commands.ApproveRequest | commands.DenyRequest], case: Case) -> Outgoing:
        event = events.RequestDenied(request_id=case.id, approval_group=case.approval_group, evidence=case.evidence)
        return publish_event(
            event,
            origin=message.id,
            sequence=case.sequence,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )

    def _answer(
        self, message: Received[commands.ApproveRequest | commands.DenyRequest], case: Case, decided: rules.Decided
    ) -> Outgoing:
        result = DecisionResult(
            request_id=case.id,
            state=case.state,
            approvals=decided.approvals,
            quorum=decided.quorum,
            held_because=case.held_because,
        )
        return reply_ok(message, result, _said(result), at=self.clock.now())


@dataclass(frozen=True)
class ProductFactsHandler:
    """Keeps the newest that the issuer says of a signing certificate's product."""

    facts: FactsStore
    in_force: PolicyInForce
    metrics: EvidenceMetrics
    ages: FactsMetrics
    clock: Clock

    async def __call__(self, message: Received[events.ProductFactsTaken]) -> Outcome:
        """Handle the news."""
        name = message.data.signing_certificate
        try:
            told = rules.told_facts(message.data, self.in_force.anchor, now=self.clock.now())
        except RefusedError as refused:
            for found in refused.findings:
                self.metrics.refused(found.code)
            raise
        newest = KnownFacts(id=name, token=message.data.facts)
        known = await self.facts.load(name)
        if known is None:
            if not await self.facts.insert(newest):
                raise ConflictError(f"another copy has just heard of {name}")
        elif self._taken_at(known) < told.taken_at:
            await self.facts.replace(newest.model_copy(update={"version": known.version}))
        self.ages.heard(name, told.taken_at)
        return NOTHING

    def _taken_at(self, known: KnownFacts) -> datetime:
        """When the stored ones were taken; what does not hold gives way to whatever does."""
        try:
            return read_facts(known.token, self.in_force.anchor, now=self.clock.now()).taken_at
        except RefusedError:
            return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListSigningCertificatesHandler:
    """Says of signing certificates whether they go together with their products."""

    compatibility: Compatibility
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[commands.ListSigningCertificates]) -> Outcome:
        """Handle the question."""
        policy = self.in_force.policy
        names = rules.signing_certificates_of(message.sender, policy)
        if not names:
            text = "you may view, audit or decide for the groups of no signing certificate"
            raise RefusedError(finding("identity.not-permitted", text))
        standings = tuple([rules.standing_of(await self.compatibility.known(name, policy)) for name in names])
        result = SigningCertificatesResult(signing_certificates=standings)
        good = sum(each.fit is Fit.COMPATIBLE for each in standings)
        text = f"{good} of {len(standings)} signing certificates go together with their products."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))


@dataclass(frozen=True)
class RequestReturnedHandler:
    """Reopens a case whose approval the issuer found not to hold, or closes it by the denial that was left out.

    If somebody wanted it back meanwhile, it is withdrawn.
    """

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    withdrawals: Withdrawals
    clock: Clock

    async def __call__(self, message: Received[events.RequestReturned]) -> Outcome:
        """Handle the event."""
        case, stored = await load_case(self.cases, message)
        if stored is not None:
            return stored
        now = self.clock.now()
        changed = rules.take_back(case, message.data, anchor=self.in_force.anchor, sequence=message.order, now=now)
        if changed is None:
            return NOTHING
        changed, _ = self.verdicts.up_to_date(changed)
        changed = deadlines.timed(changed, self.in_force.policy)
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
        changed, settled = self.withdrawals.settled(changed, origin=message.id)
        follows = (*follows, *settled)
        await self.cases.replace(changed.followed_by(message.id, *follows))
        return Outcome(publish=follows)


@dataclass(frozen=True)
class ShowCaseHandler:
    """Shows a case to those who may decide on it, view it or asked for it, under the policy in force."""

    cases: CaseStore
    in_force: PolicyInForce
    verdicts: Verdicts
    clock: Clock

    async def __call__(self, message: Received[commands.ShowCase]) -> Outcome:
        """Handle the question."""
        case = await self.cases.load(message.data.request_id)
        viewers = (Permission.DECIDE, Permission.EDIT, Permission.VIEW)
        if case is None or not rules.may_see(case, message.sender, viewers, self.in_force.policy):
            raise rules.unknown_request(message.data.request_id)
        shown, blocked = self.verdicts.up_to_date(case)
        if shown is not case:
            await self.cases.replace(shown)
        result = shown_case(shown, self.in_force, blocked_because=blocked, now=self.clock.now())
        text = f"The request is {shown.state}."
        return Outcome(publish=(reply_ok(message, result, text, at=self.clock.now()),))


def _said(result: DecisionResult) -> str:
    match result.state:
        case State.APPROVED:
            return f"Approved, and the quorum of {result.quorum} is reached."
        case State.DENIED:
            return "Denied."
        case _ if result.held_because:
            return (
                f"Approved, and the quorum of {result.quorum} is reached; it waits, and goes on by itself: "
                f"{result.held_because[0].message}."
            )
        case _:
            return f"Approved; {result.approvals} of {result.quorum} approvals so far."
