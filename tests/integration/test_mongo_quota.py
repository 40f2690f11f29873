"""Two copies of the issuer share one API key's rate limit over the database itself."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator

import pytest

from services.issuer.adapters.accounts import MongoAccounts
from shared.config import DatabaseSettings
from shared.digicert.pacing import Quota
from shared.digicert.quota import RateWindow
from shared.mongo.database import Database
from shared.vocabulary.duties import Duty
from tests.infrastructure import DutyDatabases

WINDOWS = (RateWindow(10, 0.5), RateWindow(40, 2.0))
CALLS = 90
"""So many that both windows fill up more than once."""


@pytest.fixture
async def connections(database: DutyDatabases) -> AsyncIterator[list[Database]]:
    settings = DatabaseSettings(
        uri=database.uri,
        name=database.name(Duty.ISSUER),
        user=str(Duty.ISSUER),
        password_file=database.password_file(Duty.ISSUER),
    )
    opened = [Database(settings, name="quota", count=lambda _: None) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def test_two_holders_whose_clocks_differ_never_overdraw_a_quota_that_is_in_the_database(
    connections: list[Database],
) -> None:
    now = asyncio.get_running_loop().time
    clocks = (now, lambda: now() + 120.0)
    shares = [
        Quota(MongoAccounts(connection), key="shared", windows=WINDOWS, call_seconds=1.0, seconds=clock)
        for connection, clock in zip(connections, clocks, strict=True)
    ]
    arrived: list[tuple[float, int]] = []

    async def work(holder: int) -> None:
        while len(arrived) < CALLS:
            async with shares[holder].permit("any", patience=60.0):
                arrived.append((now(), holder))
                await asyncio.sleep(0)

    await asyncio.gather(*(work(holder) for holder in (0, 1) for _ in range(4)))
    assert {holder for _, holder in arrived} == {0, 1}
    instants = sorted(at for at, _ in arrived)
    for window in WINDOWS:
        within = [place - bisect_right(instants, at - window.seconds) for place, at in enumerate(instants, start=1)]
        assert max(within) <= window.calls
    for share in shares:
        await share.aclose()
