"""What the CA says of each signing certificate's product: taken now and then, told to approval, and judged by here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.issuer.ports import NotNowError, ProductSource
from shared.clock import Clock
from shared.contracts.events import ProductFactsTaken
from shared.errors import UnavailableError
from shared.evidence.compatibility import sign_facts
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey
from shared.evidence.steps import Revision, proposal_of
from shared.messaging.messages import Outgoing, publish_news
from shared.policy.compatibility import Attested, Combination, Known, ProductFacts, Verdict, judge
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding
from shared.vocabulary.names import SigningCertificateName

log = structlog.get_logger()

GOOD_FOR = timedelta(hours=1)
"""How old facts may be by which something is ordered."""
TAKEN_EVERY = timedelta(minutes=15)
"""How often the CA is asked, and approval told: often enough for approval to notice soon that this stopped."""
AGAIN_AFTER = timedelta(seconds=30)
"""When the CA is asked again that could not answer."""
LOOK_SECONDS = 2.0


@dataclass
class FitChecks:
    """Takes the facts and judges by them."""

    ca: ProductSource
    in_force: PolicyInForce
    attested: Attested
    key: SigningKey
    publish: Callable[[Outgoing], Awaitable[None]]
    clock: Clock
    on_failure: Callable[[], None]
    """Told when something failed through a fault of ours."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _taken: dict[Combination, ProductFacts] = field(default_factory=dict)
    _told: dict[Combination, datetime] = field(default_factory=dict)
    _ask_again: dict[Combination, datetime] = field(default_factory=dict)

    async def check(self, revision: Revision, policy: Policy) -> Verdict:
        """Whether this fits, by facts that are not old; the CA is asked if there are none."""
        name = revision.policy.signing_certificate
        combination = Combination.of(policy, name)
        facts, reasons = await self._not_older(GOOD_FOR, policy, combination)
        now = self.clock.now()
        until = self.attested(combination)
        proposal = proposal_of(revision, revision.policy, today=now.date())
        verdict = judge(Known(policy, name, facts, until, now, GOOD_FOR), proposal)
        return Verdict(verdict.fit, (*verdict.findings, *reasons))

    async def run(self) -> None:
        """Tell approval what the CA says, again and again until cancelled, and at once what is new in the policy."""
        while True:
            policy = self.in_force.policy
            for name in policy.file.signing_certificates:
                try:
                    await self._tell(policy, name)
                except UnavailableError as away:
                    log.info("approval is not told yet what the CA says", signing_certificate=name, reason=str(away))
                except Exception:
                    log.exception("what the CA says cannot be told", signing_certificate=name)
                    self.on_failure()
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self, policy: Policy, name: SigningCertificateName) -> None:
        combination, now = Combination.of(policy, name), self.clock.now()
        if self._ask_again.get(combination, now) > now:
            return
        facts, _ = await self._not_older(TAKEN_EVERY, policy, combination)
        if facts is None:
            self._ask_again[combination] = now + AGAIN_AFTER
        if facts is not None and self._told.get(combination) != facts.taken_at:
            await self.publish(self._news(facts, policy))
            self._told[combination] = facts.taken_at

    async def _not_older(
        self, than: timedelta, policy: Policy, combination: Combination
    ) -> tuple[ProductFacts | None, tuple[Finding, ...]]:
        """The facts, asked for anew unless they are younger; or why there are none. One asks for all who wait."""
        async with self._asking:
            facts = self._taken.get(combination)
            if facts is not None and facts.taken_at + than > self.clock.now():
                return facts, ()
            return await self._ask(policy, combination)

    async def _ask(self, policy: Policy, combination: Combination) -> tuple[ProductFacts | None, tuple[Finding, ...]]:
        name = combination.signing_certificate
        try:
            facts = await self.ca.product_facts(
                combination, policy.imported[name].der, policy.intermediates[name].der, at=self.clock.now()
            )
        except NotNowError as not_now:
            log.warning("the CA's product is not known", signing_certificate=name, reason=str(not_now))
            return None, not_now.findings
        self._taken[combination] = facts
        return facts, ()

    def _news(self, facts: ProductFacts, policy: Policy) -> Outgoing:
        name = facts.combination.signing_certificate
        token = sign_facts(facts, self.key)
        return publish_news(
            ProductFactsTaken(signing_certificate=name, facts=token),
            about=name,
            origin=token,
            policy_serial=policy.serial,
            at=facts.taken_at,
        )
