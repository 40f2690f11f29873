"""The issuer is killed once at each single step between an approval and its certificate: one order, one certificate."""

from collections.abc import Iterator

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from tests.infrastructure import Stacks
from tests.system.kills import Kills, killable, one_order_each
from tests.system.taps import at_acknowledgement, at_publish, at_write
from tests.system.way import people_of

INTENT, CERTIFICATE, PUBLISHED = 1, 2, 3
"""The writes that follow an approval's acceptance, in their order."""


@pytest.fixture
def kills(new_stack: Stacks, broker: BrokerNode, database_server: DatabaseServer) -> Iterator[Kills]:
    with killable(new_stack, broker, database_server) as kills:
        yield kills


async def test_a_kill_at_each_single_step_leaves_one_order_and_one_certificate(kills: Kills) -> None:
    async with people_of(kills.stack) as people:
        for after in (False, True):
            await kills.at(kills.database, at_write("insert", "orders", after=after), people)
            await kills.at(kills.broker, at_acknowledgement(after=after), people)
            for nth in (INTENT, CERTIFICATE, PUBLISHED):
                await kills.at(kills.database, at_write("update", "orders", nth=nth, after=after), people)
            await kills.at(kills.broker, at_publish("ra.events", after=after), people)
        await kills.in_call("product.info", "hang", people, at_start=True)
        await kills.in_call("order.place", "hang", people)
        await kills.in_call("order.place", "slow", people)
    one_order_each(kills, 15)
