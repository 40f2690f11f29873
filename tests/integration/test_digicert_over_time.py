"""The real client and the sandbox in one event loop whose time is the test's own: rates, and days that pass."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import SecretStr

from shared.digicert.client import DigiCertClient
from shared.digicert.errors import CaQuotaError, CaThrottledError
from shared.digicert.models import OrderBody, OrderStatus
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import RateWindow
from shared.vocabulary.names import OrderId
from tests.fakes.virtual_time import VirtualClock, run_virtually
from tests.sandbox.account import Sandbox
from tests.sandbox.app import build_app
from tests.sandbox.catalogue import ORGANIZATION_ID
from tests.sandbox.clock import SandboxClock
from tests.sandbox.csrs import new_csr
from tests.sandbox.inprocess import InProcess
from tests.sandbox.roles import ApiKey, Role

KEY = ApiKey("orders", Role.ORDERS, "a-key")
BASE = "http://127.0.0.1/services/v2"
CSR = new_csr("www.example.com").pem
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SCALED = (RateWindow(10, 5.0), RateWindow(100, 180.0))
"""DigiCert's own windows with a tenth of the calls."""

ValueT = TypeVar("ValueT")


@dataclass
class Account:
    sandbox: Sandbox
    clock: VirtualClock

    def client(self, *, latency: Callable[[], float] = lambda: 0.0, quota: Quota | None = None) -> DigiCertClient:
        transport = InProcess(build_app(self.sandbox), latency)
        return DigiCertClient(base_url=BASE, api_key=SecretStr(KEY.value), quota=quota, tls=NO_TLS, transport=transport)

    def knobs(self, **settings: object) -> None:
        self.sandbox.panel.knobs = self.sandbox.panel.knobs.changed(settings)

    def statuses(self) -> list[int | None]:
        calls = self.sandbox.calls.view()["calls"]
        assert isinstance(calls, list)
        return [call["status"] for call in calls]


def opened(folder: Path) -> Account:
    clock = VirtualClock()
    return Account(Sandbox.opened(folder, (KEY,), SandboxClock(clock.seconds)), clock)


def an_order(number: int) -> OrderBody:
    return OrderBody(
        common_name="www.example.com",
        csr=CSR,
        alternative_order_id=f"ours-{number}",
        organization_id=ORGANIZATION_ID,
        days=90,
    )


async def in_time(call: Callable[[], Awaitable[ValueT]]) -> ValueT:
    """The call, made again whenever the quota asks for more patience than a call has."""
    while True:
        try:
            return await call()
        except CaQuotaError as error:
            await asyncio.sleep(error.retry_after)


@asynccontextmanager
async def shares(account: Account, count: int) -> AsyncIterator[list[DigiCertClient]]:
    """So many copies of an issuer, each with a client of its own, and one quota for all."""
    accounts, die = MemoryAccounts(), random.Random(1)  # noqa: S311 - repeatable, not secret
    clients = [
        account.client(
            latency=lambda: die.uniform(0, 0.1),
            quota=Quota(accounts, key="ca", windows=SCALED, margin=timedelta(0)),
        )
        for _ in range(count)
    ]
    yield clients
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize("copies", [1, 2])
def test_300_orders_use_the_quota_and_never_overdraw_it(account_folder: Path, copies: int) -> None:
    async def story() -> None:
        account = opened(account_folder)
        account.knobs(rate_limits=True, rate_windows=[{"calls": w.calls, "seconds": w.seconds} for w in SCALED])
        numbers = iter(range(300))

        async def work(client: DigiCertClient) -> None:
            for number in numbers:
                placed = await in_time(lambda number=number: client.place_order("ssl_basic", an_order(number)))  # type: ignore[misc]  # bound
                assert placed.chain

        async with shares(account, copies) as clients:
            await asyncio.gather(*(work(client) for client in clients for _ in range(4)))
        # Two full windows of 180 s, and the 100 orders of the third at the rate of the short window: 45 s.
        assert asyncio.get_running_loop().time() <= (2 * 180 + 45) / 0.95
        assert account.statuses() == [201] * 300

    run_virtually(story())


def test_a_key_that_others_use_too_is_refused_once_and_then_waits(account_folder: Path) -> None:
    async def story() -> None:
        account = opened(account_folder)
        account.knobs(rate_limits=True, rate_windows=[{"calls": 5, "seconds": 5}], retry_after="seconds")
        async with shares(account, 2) as clients:
            for _ in range(5):
                await clients[0].order(OrderId(90_000_001))
            with pytest.raises(CaThrottledError) as caught:
                await clients[0].order(OrderId(90_000_001))
            assert caught.value.retry_after is not None
            await clients[1].order(OrderId(90_000_001))
        assert account.statuses() == [200] * 5 + [429, 200]

    run_virtually(story())


@pytest.mark.parametrize("includes_last_day", [True, False])
@pytest.mark.parametrize("feed_limit", [None, 2])
def test_no_change_is_missed_after_an_outage_of_any_length(
    account_folder: Path, feed_limit: int | None, *, includes_last_day: bool
) -> None:
    async def story() -> None:
        account = opened(account_folder)
        account.knobs(
            immediate_issuance=False,
            validation_delay_seconds=None,
            feed_limit=feed_limit,
            feed_includes_last_day=includes_last_day,
        )
        async with account.client() as client:
            placed = [(await client.place_order("ssl_basic", an_order(number))).order_id for number in range(25)]
            last = account.clock.now()
            for order_id in placed:
                await asyncio.sleep(timedelta(hours=20, minutes=7).total_seconds())
                account.sandbox.ledger.issue(account.sandbox.ledger.order(order_id))
            for days in (21, 15, 8, 7, 6, 1):
                since = max(account.clock.now() - timedelta(days=days), last)
                changes = await client.status_changes_since(since, account.clock.now())
                changed = {
                    order_id
                    for order_id in placed
                    if account.sandbox.ledger.order(order_id).changed >= since.timestamp()
                }
                assert changed <= {change.order_id for change in changes}
                assert all(change.status == OrderStatus.ISSUED for change in changes if change.order_id in changed)
                assert len(changes) == len({change.order_id for change in changes})

    run_virtually(story())


def test_a_week_is_one_call_and_each_further_six_days_are_one_more(account_folder: Path) -> None:
    async def story() -> None:
        account = opened(account_folder)
        async with account.client() as client:
            now = datetime(2026, 11, 20, tzinfo=UTC)
            made = []
            for days in (0, 1, 6.9, 8, 14, 30):
                before = len(account.statuses())
                await client.status_changes_since(now - timedelta(days=days), now)
                made.append(len(account.statuses()) - before)
        assert set(account.statuses()) == {200}
        assert made == [1, 1, 1, 2, 3, 6]

    run_virtually(story())


def test_a_certificate_is_fetched_when_it_is_there_however_late(account_folder: Path) -> None:
    async def story() -> None:
        account = opened(account_folder)
        account.knobs(
            immediate_issuance=False, validation_delay_seconds=400_000, download_lag_seconds=3600, info_lag_seconds=60
        )
        async with account.client() as client:
            placed = await client.place_order("ssl_basic", an_order(1))
            assert placed.certificate_id is not None
            seen = []
            for seconds in (0, 400_000, 60, 3540):
                await asyncio.sleep(seconds)
                order = await client.order_if_there(placed.order_id)
                seen.append((order and order.status, await client.chain_if_there(placed.certificate_id) is not None))
        assert seen == [(None, False), ("pending", False), ("issued", False), ("issued", True)]

    run_virtually(story())
