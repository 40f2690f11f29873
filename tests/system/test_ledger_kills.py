"""The issuer is killed once at each single step between an approval and its certificate: one order, one certificate."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.stack import Overrides, Stack
from shared.vocabulary.duties import Duty
from shared.vocabulary.states import State
from tests.infrastructure import Stacks, sandbox_of
from tests.system.taps import (
    Tap,
    amqp_frames,
    at_acknowledgement,
    at_publish,
    at_write,
    mongo_frames,
    pass_all,
)
from tests.system.way import People, approve, eventually, parked, people_of, reach, submitted

QUICK = {"timeout_seconds": 2.0, "lookup_lag_seconds": 0.5, "poll_seconds": 0.5}
INTENT, CERTIFICATE, PUBLISHED = 1, 2, 3
"""The writes that follow an approval's acceptance, in their order."""


class Kills:
    """A stack whose issuer reaches its servers over taps."""

    def __init__(self, stack: Stack, database: Tap, broker: Tap) -> None:
        self.stack = stack
        self.database = database
        self.broker = broker
        self.sandbox = sandbox_of(stack)

    async def at(self, tap: Tap, rule: Callable[..., object], people: People) -> None:
        """Kill it at this message."""
        request_id = await submitted(people)
        tap.watch(rule)  # type: ignore[arg-type]  # a rule
        await approve(people, request_id)
        await asyncio.to_thread(tap.await_moment)
        await self._kill()
        await reach(people, request_id, State.ISSUED)

    async def in_call(self, endpoint: str, kind: str, people: People, *, at_start: bool = False) -> None:
        """Kill it while the CA takes its time for this call; `at_start` if a start makes one too, and an order then."""
        request_id = await submitted(people)
        times = 2 if at_start else 1
        before = self.sandbox.calls()["total"]
        self.sandbox.set_knobs(faults=[{"endpoint": endpoint, "kind": kind, "seconds": 30, "times": times}])
        if at_start:
            await self._kill()
        await approve(people, request_id)

        async def is_called() -> bool:
            return [call["fault"] for call in self.sandbox.calls(before)["calls"]].count(kind) == times

        await eventually(is_called, "the CA was not called")
        if kind == "slow":  # the order is there before its answer is held back
            orders = len(self.sandbox.orders())
            assert orders > 0
        await self._kill()
        self.sandbox.reset_knobs()
        await reach(people, request_id, State.ISSUED)

    async def _kill(self) -> None:
        issuer = self.stack.duties[Duty.ISSUER]
        issuer.kill()
        for tap in (self.database, self.broker):
            tap.watch(pass_all)
        issuer.start()
        await asyncio.to_thread(issuer.await_ready)


@pytest.fixture
def kills(new_stack: Stacks, broker: BrokerNode, database_server: DatabaseServer) -> Iterator[Kills]:
    database_port = urlsplit(database_server.uri).port
    assert database_port is not None
    with Tap(database_port, mongo_frames) as database, Tap(broker.amqp_port, amqp_frames) as amqp:
        overrides: Overrides = {
            Duty.ISSUER: {
                "ca": QUICK,
                "database": {"uri": f"mongodb://127.0.0.1:{database.port}/?directConnection=true"},
                "broker": {"port": amqp.port},
            }
        }
        yield Kills(new_stack("ledger-kills", overrides=overrides), database, amqp)


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

    orders = kills.sandbox.orders()
    assert len(orders) == len({order["alternative_order_id"] for order in orders}) == 15
    assert parked(kills.stack) == {f"{duty}.parked": 0 for duty in Duty}
