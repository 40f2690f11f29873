"""Orders that take long: followed by one question for all of them, and approved at the CA where our key may."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.issuer.advice import what_to_do
from services.issuer.feed import MARK, StatusFeed
from services.issuer.model import Order
from services.issuer.ports import NotNowError, OrderChange
from services.issuer.rounds import Rounds
from shared.contracts import commands
from shared.contracts.replies import OrderResult
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.observability.metrics import OrderMetrics
from shared.vocabulary.orders import OrderState
from tests.fakes.authority import AWAY, REFUSAL
from tests.fakes.duties import PACE, POLL, Issuer, data_of, lifecycle
from tests.fakes.ledger import Accepted, accept
from tests.fakes.virtual_time import run_virtually

HOUR, DAY, MONTH = timedelta(hours=1), timedelta(days=1), timedelta(days=30)
ISSUED, ORDERED = "ra.certificate.issued.v1", "ra.request.ordered.v1"


async def waiting(slow: timedelta = MONTH, *, issuer: Issuer | None = None) -> Accepted:
    """An order that the CA will issue so much later."""
    case = await accept(issuer=issuer)
    case.issuer.ca.slow = slow
    await case.issuer.ordering.advance(await case.stored())
    return case


async def take_up(case: Accepted) -> Order:
    """What the feed woke is looked at."""
    for woken in case.issuer.offered[1:]:
        await case.issuer.ordering.advance(woken)
    case.issuer.offered.clear()
    return await case.stored()


async def test_an_order_is_looked_at_when_the_feed_names_it_and_not_before() -> None:
    case = await waiting(timedelta(hours=7))
    for _ in range(6):
        case.issuer.clock.advance(timedelta(hours=1))
        await case.issuer.read_feed()
    assert (case.issuer.ca.looks, case.happened()) == (0, [ORDERED])
    case.issuer.clock.advance(timedelta(hours=1))
    await case.issuer.read_feed()
    assert (await take_up(case)).state is OrderState.ISSUED
    assert (case.issuer.ca.looks, case.happened()) == (1, [ORDERED, ISSUED])


async def test_an_order_is_looked_at_once_a_day_because_the_feed_may_be_silent() -> None:
    case = await waiting(5 * DAY)
    await case.issuer.work_off()
    assert (case.issuer.ca.looks, case.happened()) == (5, [ORDERED, ISSUED])


async def test_nothing_is_missed_when_nobody_read_the_feed_for_weeks() -> None:
    case = await waiting(9 * DAY)
    await case.issuer.read_feed()
    case.issuer.clock.advance(40 * DAY)
    await case.issuer.read_feed()
    assert (await take_up(case)).state is OrderState.ISSUED


async def test_a_change_that_is_named_again_wakes_nobody_twice() -> None:
    case = await waiting()
    case.issuer.ca.orders[0].changed_at = case.issuer.clock.now()
    case.issuer.ca.orders[0].approval = 5
    for _ in range(3):
        case.issuer.clock.advance(timedelta(minutes=1))
        case.issuer.ca.orders[0].changed_at = case.issuer.clock.now()
        await case.issuer.read_feed()
    assert len(case.issuer.offered) == 2


async def test_an_order_whose_page_lags_behind_the_feed_is_looked_at_again_soon_and_ever_less_often() -> None:
    case = await waiting()
    await case.issuer.orders.replace((await case.stored()).model_copy(update={"told_status": "issued", "due": 0}))
    waits = []
    for _ in range(14):
        await case.issuer.ordering.advance(await case.stored())
        order = await case.stored()
        assert order.due is not None
        waits.append(timedelta(milliseconds=order.due - int(case.issuer.clock.now().timestamp() * 1000)))
    assert waits[:3] == [POLL, 2 * POLL, 4 * POLL]
    assert waits[-1] == DAY


async def test_of_two_copies_one_reads_the_feed() -> None:
    case = await waiting()
    await case.issuer.read_feed()
    seen = (await case.issuer.marks.load(MARK), len(case.issuer.marks.documents))
    await case.issuer.read_feed()
    assert (await case.issuer.marks.load(MARK), len(case.issuer.marks.documents)) == seen
    case.issuer.clock.advance(POLL)
    feeds = [_feed(case.issuer) for _ in range(2)]
    await asyncio.gather(*(feed.read(0) for feed in feeds))
    mark = await case.issuer.marks.load(MARK)
    assert mark is not None
    assert mark.version == 4, "one copy has claimed it, and has noted how far it read"


def _feed(issuer: Issuer) -> StatusFeed:
    return StatusFeed(issuer.orders, issuer.marks, issuer.ca, issuer.offered.append, issuer.clock, POLL)


async def test_a_feed_that_gives_no_answer_is_read_from_the_same_point_later() -> None:
    case = await waiting(timedelta(minutes=10))
    case.issuer.clock.advance(timedelta(minutes=20))
    case.issuer.ca.away = True
    with pytest.raises(NotNowError):
        await case.issuer.read_feed()
    case.issuer.ca.away = False
    case.issuer.clock.advance(DAY / 2)
    await case.issuer.read_feed()
    assert (await take_up(case)).state is OrderState.ISSUED


async def test_an_order_that_ends_at_the_ca_after_days_fails_with_what_the_ca_said() -> None:
    case = await waiting()
    case.issuer.clock.advance(3 * DAY)
    case.issuer.ca.end(case.issuer.ca.orders[0], REFUSAL)
    await case.issuer.read_feed()
    assert (await take_up(case)).state is OrderState.FAILED
    assert case.happened() == [ORDERED, "ra.request.failed.v1"]


# --- approval at the CA -----------------------------------------------------------------------------------------------


async def test_an_order_that_waits_for_approval_at_the_ca_is_approved_by_our_key_where_it_may() -> None:
    case = await accept()
    case.issuer.ca.wants_approval = True
    await case.issuer.work_off()
    assert case.happened() == [ISSUED]


async def test_where_our_key_may_not_approve_the_order_shows_as_waiting_there_and_what_to_do() -> None:
    case = await accept()
    case.issuer.ca.wants_approval, case.issuer.ca.may_approve = True, False
    await case.issuer.ordering.advance(await case.stored())
    (told,) = lifecycle(case.issuer.publisher.published)
    assert data_of(told)["message"] == "order 1 waits for approval at the CA: somebody there must approve request 71"
    shown = (await case.issuer.ask(commands.ShowOrder(request_id=case.id), by="olga")).result
    assert isinstance(shown, OrderResult)
    assert shown.ca_status == "needs_approval"
    assert "approved at the CA" in shown.what_to_do
    assert [found.code for found in shown.order.findings] == ["order.approval-there", "ca.approver-refused"]


async def test_an_order_that_waits_for_approval_there_says_so_also_where_the_ca_names_no_request() -> None:
    case = await accept()
    case.issuer.ca.slow = MONTH
    await case.issuer.ordering.advance(await case.stored())
    taken = case.issuer.ca.orders[0]
    taken.approval, taken.unnamed = 71, True
    await case.issuer.orders.replace((await case.stored()).model_copy(update={"due": 0}))
    await case.issuer.ordering.advance(await case.stored())
    order = await case.stored()
    assert [found.message for found in order.findings] == [
        "order 1 waits for approval at the CA: somebody there must approve it"
    ]
    assert what_to_do(order).startswith("Have it approved at the CA")


async def test_an_order_that_waits_for_approval_there_is_approved_soon_after_our_key_has_the_right() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.wants_approval, ca.may_approve = True, False
    await case.issuer.ordering.advance(await case.stored())
    for _ in range(3):
        case.issuer.clock.advance(HOUR)
        for order in await case.issuer.orders.due(int(case.issuer.clock.now().timestamp() * 1000), limit=5):
            await case.issuer.ordering.advance(order)
    assert ((await case.stored()).state, ca.looks) == (OrderState.PENDING, 3)
    ca.may_approve, given = True, case.issuer.clock.now()
    await case.issuer.work_off()
    assert (await case.stored()).state is OrderState.ISSUED
    assert case.issuer.clock.now() <= given + HOUR


async def test_when_somebody_has_approved_it_there_it_goes_on() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.wants_approval, ca.may_approve = True, False
    await case.issuer.ordering.advance(await case.stored())
    ca.orders[0].approval = None
    case.issuer.clock.advance(timedelta(hours=1))
    await case.issuer.read_feed()
    assert (await take_up(case)).state is OrderState.ISSUED


async def test_an_approval_that_got_no_answer_is_repeated_soon() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.wants_approval = True
    ca.steps.when = lambda what: setattr(ca, "away", what == "after ordering")
    await case.issuer.ordering.advance(await case.stored())
    ca.away = False
    order = await case.stored()
    assert (order.state, order.due) == (OrderState.PENDING, int((case.issuer.clock.now() + POLL).timestamp() * 1000))
    await case.issuer.work_off()
    assert case.happened() == [ORDERED, ISSUED]


# --- the rounds -------------------------------------------------------------------------------------------------------


class Walk:
    """The rounds of an issuer, gone one by one."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.registry = CollectorRegistry()
        self.failures = 0
        self.gate = Gate("database", self._probe, on_change=lambda _: None)
        self.rounds = Rounds(
            orders=issuer.orders,
            feed=StatusFeed(issuer.orders, issuer.marks, issuer.ca, issuer.offered.append, issuer.clock, PACE.poll),
            quota_used=self._used,
            metrics=OrderMetrics(self.registry),
            clock=issuer.clock,
            gate=self.gate,
            poll_seconds=0.5,
            on_failure=self._failed,
            wake=asyncio.Event(),
        )

    async def _probe(self) -> None:
        raise UnavailableError("database", "gone")

    async def _used(self) -> dict[float, float]:
        return {5.0: 0.25, 180.0: 0.5}

    def _failed(self) -> None:
        self.failures += 1

    def shown(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, labels)


async def test_what_waits_is_counted_with_the_age_of_the_oldest_and_the_use_of_the_rate_limit() -> None:
    case = await waiting()
    case.issuer.clock.advance(timedelta(hours=2))
    await accept(issuer=case.issuer)
    walk = Walk(case.issuer)
    assert await walk.rounds._round()
    assert walk.shown("ra_orders_waiting", state="pending") == 1
    assert walk.shown("ra_orders_oldest_seconds", state="pending") == 7200
    assert walk.shown("ra_orders_waiting", state="accepted") == 1
    assert walk.shown("ra_orders_waiting", state="unclear") == 0
    assert walk.shown("ra_ca_quota_used_ratio", window="180") == 0.5


async def test_a_feed_that_cannot_be_read_is_told_by_a_metric_and_to_whoever_looks_at_the_order() -> None:
    case = await waiting()
    walk = Walk(case.issuer)
    await walk.rounds._round()
    assert walk.shown("ra_ca_feed_age_seconds") == 0
    case.issuer.ca.away = True
    for minutes in (10, 30):
        case.issuer.clock.advance(timedelta(minutes=minutes))
        await walk.rounds._round()
    assert walk.shown("ra_ca_feed_age_seconds") == 40 * 60
    shown = (await case.issuer.ask(commands.ShowOrder(request_id=case.id), by="olga")).result
    assert isinstance(shown, OrderResult)
    assert "status feed has not been read for 40 minutes" in shown.what_to_do
    case.issuer.ca.away = False
    for _ in range(2):
        case.issuer.clock.advance(PACE.poll)
        await walk.rounds._round()
    assert walk.shown("ra_ca_feed_age_seconds") == PACE.poll.total_seconds()
    shown = (await case.issuer.ask(commands.ShowOrder(request_id=case.id), by="olga")).result
    assert isinstance(shown, OrderResult)
    assert shown.what_to_do.startswith("Nothing for now")


async def test_an_order_that_the_feed_names_without_a_status_is_looked_at_once() -> None:
    case = await waiting()
    ca, order = case.issuer.ca, await case.stored()
    assert order.order_id is not None
    odd = [OrderChange(order.order_id, "")]
    ca.changes = lambda *_: asyncio.sleep(0, odd)  # type: ignore[method-assign]  # no CA would do this for long
    for _ in range(3):
        case.issuer.clock.advance(PACE.poll)
        await case.issuer.read_feed()
    assert [woken.order_id for woken in case.issuer.offered[1:]] == [order.order_id]


async def test_where_nothing_waits_at_the_ca_its_feed_is_not_read() -> None:
    case = await accept()
    assert not await Walk(case.issuer).rounds._round()
    assert case.issuer.marks.documents == {}


async def test_a_fault_of_ours_is_counted_and_a_server_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = await waiting()
    walk = Walk(case.issuer)
    for failure in (ValueError("a bug"), NotNowError([AWAY]), UnavailableError("database", "gone")):

        async def fail(*_: object, failure: Exception = failure) -> None:
            raise failure

        monkeypatch.setattr(case.issuer.ca, "changes", fail)
        case.issuer.clock.advance(timedelta(minutes=1))
        assert await walk.rounds._round(), "the next round comes soon"
    assert (walk.failures, walk.gate.is_open) == (1, False)
    await walk.gate.aclose()


def test_an_order_that_begins_to_wait_ends_the_long_rest() -> None:
    async def story() -> None:
        case = await accept()
        walk = Walk(case.issuer)
        running = asyncio.create_task(walk.rounds.run())
        await asyncio.sleep(1)
        case.issuer.ca.slow = MONTH
        await case.issuer.ordering.advance(await case.stored())
        assert walk.shown("ra_orders_waiting", state="pending") == 0
        walk.rounds.wake.set()
        await asyncio.sleep(1)
        assert walk.shown("ra_orders_waiting", state="pending") == 1
        running.cancel()

    run_virtually(story())
