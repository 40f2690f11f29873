"""What approval signs itself: renewals of revisions, and verdicts."""

from dataclasses import dataclass

from services.approval import rules
from services.approval.model import Case
from shared.clock import Clock
from shared.contracts import events
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.messaging.messages import Outgoing, publish_event
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import digest_of


@dataclass(frozen=True)
class Verdicts:
    """Brings pending cases under the policy in force, and approves them."""

    in_force: PolicyInForce
    key: SigningKey
    clock: Clock

    def up_to_date(self, case: Case) -> tuple[Case, tuple[Finding, ...]]:
        """The case with its revision renewed, if the policy that applies to it has changed.

        With it come the reasons why nobody could approve it under the policy in force, or on this day any more.
        """
        now = self.clock.now()
        try:
            revision = rules.renewal(case, self.in_force, now=now)
        except RefusedError as refused:
            return case, refused.findings
        if revision is None:
            return case, rules.out_of_date(case, today=now.date())
        token = self.key.sign(revision.canonical(), Typ.REVISION, now)
        return rules.renewed(case, revision, token, policy_serial=self.in_force.policy.serial, now=now), ()

    def approve(self, case: Case) -> tuple[Case, Outgoing]:
        """The case with its quorum reached, approved by a signed verdict; and the event that tells of it."""
        now = self.clock.now()
        approved, verdict = rules.approved(case, policy_digest=self.in_force.policy.digest, now=now)
        payload = verdict.canonical()
        token = self.key.sign(payload, Typ.VERDICT, now)
        evidence = approved.evidence.model_copy(update={"verdict": token})
        approved = approved.model_copy(update={"evidence": evidence, "verdict": digest_of(payload)})
        return approved, self.told(approved)

    def told(self, case: Case) -> Outgoing:
        """The event that tells of an approved case: whenever it is told, under an id that follows from its verdict."""
        return publish_event(
            events.RequestApproved(request_id=case.id, approval_group=case.approval_group, evidence=case.evidence),
            origin=f"{case.id}/{case.verdict}",
            sequence=case.sequence,
            policy_serial=self.in_force.policy.serial,
            at=self.clock.now(),
        )
