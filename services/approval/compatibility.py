"""Whether what is about to be approved can be had from the CA, by what the issuer said of it last."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.approval.ports import FactsStore
from shared.clock import Clock
from shared.errors import RefusedError
from shared.evidence.compatibility import read_facts
from shared.evidence.in_force import PolicyInForce
from shared.evidence.steps import Revision, proposal_of
from shared.policy.compatibility import Attested, Combination, Known, ProductFacts, Verdict, judge
from shared.policy.policy import Policy
from shared.vocabulary.names import SigningCertificateName

log = structlog.get_logger()


@dataclass(frozen=True)
class Compatibility:
    """Judges as the issuer does, with the same function."""

    facts: FactsStore
    in_force: PolicyInForce
    attested: Attested
    clock: Clock
    good_for: timedelta

    async def of(self, revision: Revision, policy: Policy) -> Verdict:
        """Whether this revision, and what it is to be ordered with, go together under this policy."""
        known = await self.known(revision.policy.signing_certificate, policy)
        return judge(known, proposal_of(revision, revision.policy, today=known.now.date()))

    async def known(self, name: SigningCertificateName, policy: Policy) -> Known:
        """What is known of a signing certificate of this policy."""
        facts, now = await self._facts(name), self.clock.now()
        signing = policy.signing_certificate(name)
        until = None if signing is None else self.attested(Combination.of(policy, name))
        return Known(policy, name, facts, until, now, self.good_for)

    async def _facts(self, name: SigningCertificateName) -> ProductFacts | None:
        """The newest, if the issuer really said so: the database is not believed."""
        stored = await self.facts.load(name)
        if stored is None:
            return None
        try:
            return read_facts(stored.token, self.in_force.anchor, now=self.clock.now())
        except RefusedError as refused:
            log.warning(
                "facts do not count", signing_certificate=name, findings=[str(each) for each in refused.findings]
            )
            return None
