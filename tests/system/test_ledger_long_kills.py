"""The same kills where the CA takes its time, has an order approved, and is asked what has become of one."""

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from tests.infrastructure import Stacks
from tests.system.kills import Kills, killable, one_order_each
from tests.system.taps import at_publish, at_write
from tests.system.way import people_of

ORDERED = 2
"""The write after an approval's acceptance that tells of the order."""
LONG: dict[str, Any] = {"immediate_issuance": False, "validation_delay_seconds": 1.0}


@pytest.fixture
def kills(new_stack: Stacks, broker: BrokerNode, database_server: DatabaseServer) -> Iterator[Kills]:
    with killable(new_stack, broker, database_server) as kills:
        yield kills


async def test_a_kill_at_each_step_of_an_order_that_takes_long_leaves_one_order_and_one_certificate(
    kills: Kills,
) -> None:
    async with people_of(kills.stack) as people:
        for after in (False, True):
            await kills.at(kills.database, at_write("update", "orders", nth=ORDERED, after=after), people, **LONG)
            await kills.at(kills.broker, at_publish("ra.events", after=after), people, **LONG)
        for endpoint in ("order.changes", "order.info", "certificate.download"):
            await kills.in_call(endpoint, "hang", people, **LONG)
        await kills.in_call("request.approve", "hang", people, approval="pending")
        await kills.in_recovery("order.alternate", "slow", people)
        await kills.in_recovery("order.list", "hang", people)
    one_order_each(kills, 10)
