"""The issuer asks the CA what it offers, tells approval, and orders nothing by old facts."""

import asyncio
import contextlib
from datetime import timedelta

from services.issuer.fit import AGAIN_AFTER, GOOD_FOR, TAKEN_EVERY, FitChecks
from shared.contracts.envelope import Envelope
from shared.contracts.events import ProductFactsTaken
from shared.evidence.compatibility import read_facts
from shared.messaging.messages import EVENTS
from shared.policy.compatibility import ProductFacts
from shared.vocabulary.fit import Fit
from tests import world
from tests.fakes.duties import Issuer

SECOND = timedelta(seconds=1)


class Telling:
    """The issuer, whose rounds are run one at a time."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.fit: FitChecks = self.issuer.new_fit()

    async def round(self, later: timedelta = timedelta(0)) -> None:
        self.issuer.clock.advance(later)
        running = asyncio.create_task(self.fit.run())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    def told(self) -> list[ProductFacts]:
        """What approval was told so far, verified."""
        found = []
        for message in self.issuer.publisher.published:
            assert (message.exchange, message.key) == (EVENTS, "issuer.product.facts.public-tls")
            news = Envelope[ProductFactsTaken].model_validate_json(message.body)
            assert (news.subject, news.policy_serial) == ("public-tls", self.issuer.in_force.policy.serial)
            found.append(read_facts(news.data.facts, self.issuer.in_force.anchor, now=self.issuer.clock.now()))
        return found


async def test_approval_is_told_at_the_start_and_then_every_quarter_of_an_hour() -> None:
    telling = Telling()
    await telling.round()
    await telling.round(TAKEN_EVERY - SECOND)
    assert len(telling.told()) == 1
    await telling.round(SECOND)
    first, second = telling.told()
    assert second.taken_at - first.taken_at == TAKEN_EVERY
    assert len({message.id for message in telling.issuer.publisher.published}) == 2


async def test_a_ca_that_is_away_is_asked_again_soon_and_not_at_once() -> None:
    telling = Telling()
    telling.issuer.ca.away = True
    await telling.round()
    telling.issuer.ca.away = False
    await telling.round(AGAIN_AFTER - SECOND)
    assert telling.told() == []
    await telling.round(SECOND)
    assert len(telling.told()) == 1


async def test_what_the_broker_did_not_take_is_told_without_asking_the_ca_again() -> None:
    telling = Telling()
    telling.issuer.publisher.away = True
    await telling.round()
    telling.issuer.publisher.away, telling.issuer.ca.away = False, True
    await telling.round(SECOND)
    assert [facts.taken_at for facts in telling.told()] == [world.NOW]


async def test_a_changed_policy_is_asked_about_at_once() -> None:
    telling = Telling()
    await telling.round()
    telling.issuer.adopt(world.newer_policy(('product = "ssl_basic"', 'product = "ssl_multi_domain"')))
    telling.issuer.publisher.published.clear()
    await telling.round(SECOND)
    assert [facts.combination.product for facts in telling.told()] == ["ssl_multi_domain"]


async def test_a_fault_of_ours_is_counted_and_does_not_end_the_rounds() -> None:
    telling = Telling()
    telling.issuer.ca.says = {"taken_at": "no time at all"}
    await telling.round()
    assert telling.issuer.counted("ra_work_failed") == 1


async def test_nothing_is_judged_by_facts_that_are_old() -> None:
    telling = Telling()
    issuer, revision = telling.issuer, world.accepted().revision
    policy = issuer.in_force.policy
    assert (await telling.fit.check(revision, policy)).fit is Fit.COMPATIBLE
    issuer.ca.away = True
    issuer.clock.advance(GOOD_FOR - SECOND)
    assert (await telling.fit.check(revision, policy)).fit is Fit.COMPATIBLE
    issuer.clock.advance(SECOND)
    verdict = await telling.fit.check(revision, policy)
    assert verdict.fit is Fit.UNKNOWN
    missing, *why = verdict.findings
    assert missing.code == "ca.facts-missing"
    assert why, "the CA's own reason is missing"


async def test_one_question_serves_all_who_ask_at_once() -> None:
    telling = Telling()
    issuer, revision = telling.issuer, world.accepted().revision
    asked = [telling.fit.check(revision, issuer.in_force.policy) for _ in range(3)]
    assert {verdict.fit for verdict in await asyncio.gather(*asked)} == {Fit.COMPATIBLE}
    assert issuer.ca.steps.passed == ["asked"]
