"""The ledger, the client and the sandbox over seconds and weeks: rate limits, fairness, slow orders, old backups."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from services.issuer.model import Order
from services.issuer.recovering import MOST_UNANSWERED
from shared.digicert.quota import RateWindow
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.offices import KEY, Ground, Office
from tests.fakes.virtual_time import run_virtually
from tests.sandbox.catalogue import CONTAINER_ID
from tests.sandbox.roles import ApiKey, Role

SCALED = (RateWindow(10, 0.5), RateWindow(100, 18.0))
"""DigiCert's own windows, 100 calls in 5 s and 1000 in 180 s, with a tenth of the calls in a tenth of the time."""
LIMITS = {
    "rate_limits": True,
    "rate_windows": [{"calls": window.calls, "seconds": window.seconds} for window in SCALED],
}
DAY = timedelta(days=1)
POST = "POST"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


async def days(count: float) -> None:
    await asyncio.sleep((count * DAY).total_seconds())


def latency() -> float:
    return _DIE.uniform(0.01, 0.06)


_DIE = random.Random(7)  # noqa: S311 - repeatable, not secret
CSR = world.make_csr()
"""Making one takes longer than ordering it."""


def test_300_requests_use_the_rate_limit_of_one_key_in_two_copies_and_never_overdraw_it(ground: Ground) -> None:
    async def story() -> None:
        office = Office.opened(ground, windows=SCALED, latency=latency)
        office.knobs(**LIMITS)
        async with AsyncExitStack() as copies:
            for _ in range(2):
                await copies.enter_async_context(office.process())
            for _ in range(300):
                office.approve(csr=CSR)
            await office.until()
        statuses = Counter((call["method"], call["status"]) for call in office.calls())
        assert statuses.pop((POST, 201)) == 300, "one call for each certificate"
        assert sum(statuses.values()) == statuses["GET", 200] <= 8, "and in each copy, whether the product fits"
        assert {entry.state for entry in office.orders.all()} == {OrderState.ISSUED}
        moments = sorted(call["at"] for call in office.calls())
        ideal = 2 * 18 + 10 * 0.5  # two full long windows, then the third hundred at the rate of the short one
        assert moments[299] - moments[0] <= ideal / 0.95

    run_virtually(story())


def test_a_group_with_many_requests_does_not_keep_the_others_waiting(ground: Ground) -> None:
    async def story() -> None:
        office = Office.opened(ground, ("large", "small", "tiny"), windows=SCALED)
        office.knobs(**LIMITS)
        async with office.process():
            for group, count in (("large", 200), ("small", 5), ("tiny", 5)):
                for _ in range(count):
                    office.approve(group, csr=CSR)
            await office.until(lambda: Counter(served(office))["small"] == Counter(served(office))["tiny"] == 5)
        for group in ("small", "tiny"):
            last = max(place for place, each in enumerate(served(office), 1) if each == group)
            assert last <= 3 * 5 * 3, "five orders at a third of the rate are fifteen turns: three times that at most"

    run_virtually(story())


def served(office: Office) -> list[str | None]:
    """The groups whose orders were placed, in the order of placing."""
    groups = {entry.alternative_order_id: entry.approval_group for entry in office.orders.all()}
    return [groups[order.submission.alternative_order_id] for order in office.placed()]


@pytest.mark.parametrize("away_days", [1, 9, 30])
def test_orders_that_take_weeks_are_fetched_however_late_and_however_long_nobody_looked(
    ground: Ground, away_days: int
) -> None:
    """Most are issued while the issuer stands still, for longer than the feed reaches back at once."""

    async def story() -> None:
        office = Office.opened(ground)
        office.knobs(immediate_issuance=False, validation_delay_seconds=None, download_lag_seconds=20)
        for _ in range(12):
            office.approve(csr=CSR)
        async with office.process():
            await office.until(lambda: len(office.placed()) == 12)
            await asyncio.sleep(60)
        for order in office.placed():
            await days(away_days / 12)
            office.sandbox.ledger.issue(order)
        office.orders.documents = {name: _not_due(text) for name, text in office.orders.documents.items()}
        async with office.process():
            await office.until()
        assert {entry.state for entry in office.orders.all()} == {OrderState.ISSUED}
        assert len(office.placed()) == 12

    run_virtually(story())


def _not_due(document: str) -> str:
    """The entry without its safety look: only the feed can make it due."""
    return Order.model_validate_json(document).model_copy(update={"due": 2**53}).model_dump_json()


def test_while_orders_wait_only_the_feed_is_read(ground: Ground) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.knobs(immediate_issuance=False, validation_delay_seconds=None)
        for _ in range(20):
            office.approve(csr=CSR)
        async with office.process():
            await office.until(lambda: len(office.placed()) == 20)
            before = len(office.calls())
            await asyncio.sleep(900)
            paths = Counter(call["path"] for call in office.calls()[before:])
        assert set(paths) == {"/order/certificate/status-changes"}
        assert paths.total() <= 900 / 15 + 1

    run_virtually(story())


def test_a_restored_ledger_orders_nothing_twice(ground: Ground) -> None:
    """The approvals of the time that is lost are delivered once more, as by a broker that was restored, too."""

    async def story() -> None:
        office = Office.opened(ground)
        lost = {"endpoint": "order.place", "kind": "commit_then_drop", "times": 2, "after": 3}
        office.knobs(alternate_lag_seconds=20, faults=[lost], immediate_issuance=False, validation_delay_seconds=60)
        backups = []
        async with office.process():
            for _ in range(4):
                for _ in range(3):
                    office.approve(csr=CSR)
                await asyncio.sleep(7)
                backups.append(dict(office.orders.documents))
            await office.until()
        assert len(office.placed()) == 12
        for backup in backups:
            office.orders.documents = dict(backup)
            office.marks.documents.clear()
            office.deliver(*office.approvals)
            async with office.process():
                await office.until()
            assert len(office.placed()) == 12
            entries = office.orders.all()
            assert {entry.state for entry in entries} == {OrderState.ISSUED}
            assert {entry.order_id for entry in entries} == {order.id for order in office.placed()}

    run_virtually(story())


@pytest.mark.parametrize("ids", ["kept", "dropped", "unique"])
@pytest.mark.parametrize("lag", [0, 25])
def test_whatever_the_ca_does_with_our_ids_nothing_is_ordered_twice(ground: Ground, ids: str, lag: int) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.knobs(
            alternative_ids=ids,
            alternate_lag_seconds=lag,
            info_lag_seconds=lag,
            faults=[{"endpoint": "order.place", "kind": "commit_then_drop"}],
        )
        office.approve(csr=CSR)
        async with office.process():
            await office.until()
        (entry,) = office.orders.all()
        assert len(office.placed()) == 1
        assert entry.state is (OrderState.UNCLEAR if ids == "dropped" else OrderState.ISSUED)

    run_virtually(story())


@pytest.mark.parametrize("without_right", ["ignore", "refuse"])
@pytest.mark.parametrize(("role", "approver", "state"), [("orders", "any", "issued"), ("requests", "any", "pending")])
def test_approval_at_the_ca_is_skipped_or_given_where_the_key_may_and_waited_for_where_not(
    ground: Ground, without_right: str, role: str, approver: str, state: str
) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.sandbox.keys[KEY.value] = ApiKey("ours", Role(role), KEY.value)
        office.knobs(skip_without_right=without_right, approver=approver)
        office.approve(csr=CSR)
        async with office.process():
            await asyncio.sleep(60)
            (entry,) = office.orders.all()
            assert entry.state == state
            if state == "pending":
                assert entry.findings[0].code == "order.approval-there"
                office.sandbox.ledger.issue(office.placed()[0])
                await office.until()
        (entry,) = office.orders.all()
        assert (entry.state, len(office.placed())) == (OrderState.ISSUED, 1)

    run_virtually(story())


def test_an_order_is_placed_in_the_container_that_the_policy_names(ground: Ground) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.approve(csr=CSR)
        async with office.process():
            await office.until()
        (order,) = office.placed()
        assert order.submission.container is not None
        assert order.submission.container.id == CONTAINER_ID

    run_virtually(story())


@pytest.mark.parametrize("ahead", [(0, 0), (0, 31), (0, 91), (-120, 120), (120, -120), (0, 86_400)])
def test_two_copies_order_once_however_much_their_clocks_differ(ground: Ground, ahead: tuple[int, int]) -> None:
    """What one copy has just begun, the other's clock takes for long over, while the order is on its way to the CA."""

    async def story() -> None:
        office = Office.opened(ground, late={"order.place": 6.0})
        office.knobs(alternate_lag_seconds=25, info_lag_seconds=25)
        async with AsyncExitStack() as copies:
            for seconds in ahead:
                await copies.enter_async_context(office.process(ahead=timedelta(seconds=seconds)))
            await asyncio.sleep(600)
            office.approve(csr=CSR)
            await office.until()
        (entry,) = office.orders.all()
        assert (entry.state, len(office.placed())) == (OrderState.ISSUED, 1)

    run_virtually(story())


@pytest.mark.parametrize("kind", ["answer", "drop"])
def test_a_ca_that_fails_at_every_order_for_a_day_gets_few_of_them_and_people_are_asked(
    ground: Ground, kind: str
) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.knobs(faults=[{"endpoint": "order.place", "kind": kind, "status": 500, "times": 10**6}])
        office.approve(csr=CSR)
        async with office.process():
            await days(1)
        (entry,) = office.orders.all()
        assert (entry.state, len(_posts(office)), entry.due) == (OrderState.UNCLEAR, MOST_UNANSWERED, None)
        assert entry.findings[0].code == "order.unclear"
        assert len(office.calls()) < 100

    run_virtually(story())


def test_a_key_that_is_given_the_right_to_skip_approval_uses_it_without_a_restart(ground: Ground) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        office.sandbox.keys[KEY.value] = ApiKey("ours", Role("requests"), KEY.value)
        office.knobs(skip_without_right="refuse")
        async with office.process():
            for posts in (2, 1, 1):  # it is tried once
                before = len(office.placed()), len(_posts(office))
                office.approve(csr=CSR)
                await asyncio.sleep(60)
                assert (len(office.placed()), len(_posts(office))) == (before[0] + 1, before[1] + posts)
            office.sandbox.keys[KEY.value] = KEY
            await asyncio.sleep(3600)
            office.approve(csr=CSR)
            await office.until()
        assert {entry.state for entry in office.orders.all()} == {OrderState.ISSUED}
        assert len(_posts(office)) == 5

    run_virtually(story())


def _posts(office: Office) -> list[dict[str, Any]]:
    return [call for call in office.calls() if call["method"] == POST]
