"""The issuer behind taps, to be killed at a chosen step; afterwards there is one order and one certificate."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.stack import Overrides, Stack
from shared.vocabulary.duties import Duty
from shared.vocabulary.states import State
from tests.infrastructure import Stacks, sandbox_of
from tests.system.taps import Tap, amqp_frames, mongo_frames, pass_all
from tests.system.way import People, approve, eventually, parked, reach, submitted

QUICK = {"timeout_seconds": 2.0, "lookup_lag_seconds": 0.5, "poll_seconds": 0.5}


class Kills:
    """A stack whose issuer reaches its servers over taps."""

    def __init__(self, stack: Stack, database: Tap, broker: Tap) -> None:
        self.stack = stack
        self.database = database
        self.broker = broker
        self.sandbox = sandbox_of(stack)

    async def at(self, tap: Tap, rule: Callable[..., object], people: People, **knobs: object) -> None:
        """Kill it at this message."""
        request_id = await submitted(people)
        self.sandbox.set_knobs(**knobs)
        tap.watch(rule)  # type: ignore[arg-type]  # a rule
        await approve(people, request_id)
        await asyncio.to_thread(tap.await_moment)
        await self._kill()
        await reach(people, request_id, State.ISSUED)
        self.sandbox.reset_knobs()

    async def in_call(
        self, endpoint: str, kind: str, people: People, *, at_start: bool = False, **knobs: object
    ) -> None:
        """Kill it while the CA takes its time for this call; `at_start` if a start makes one too, and an order then."""
        request_id = await submitted(people)
        times = 2 if at_start else 1
        self.sandbox.set_knobs(faults=[_fault(endpoint, kind, times=times)], **knobs)
        before = self._calls_made()
        if at_start:
            await self._kill()
        await approve(people, request_id)
        await self._await_faults(before, [kind] * times)
        if kind == "slow":  # the order is there before its answer is held back
            orders = len(self.sandbox.orders())
            assert orders > 0
        await self._kill()
        self.sandbox.reset_knobs()
        await reach(people, request_id, State.ISSUED)

    async def in_recovery(self, endpoint: str, placing: str, people: People) -> None:
        """Kill it in the order, and again while it asks what has become of that."""
        request_id = await submitted(people)
        self.sandbox.set_knobs(faults=[_fault("order.place", placing), _fault(endpoint, "hang")])
        before = self._calls_made()
        await approve(people, request_id)
        await self._await_faults(before, [placing])
        await self._kill()
        await self._await_faults(before, [placing, "hang"])
        await self._kill()
        self.sandbox.reset_knobs()
        await reach(people, request_id, State.ISSUED)

    def _calls_made(self) -> int:
        return int(self.sandbox.calls()["total"])

    async def _await_faults(self, before: int, kinds: list[str]) -> None:
        async def have_struck() -> bool:
            return [call["fault"] for call in self.sandbox.calls(before)["calls"] if call["fault"]] == kinds

        await eventually(have_struck, "the CA was not called")

    async def _kill(self) -> None:
        issuer = self.stack.duties[Duty.ISSUER]
        issuer.kill()
        for tap in (self.database, self.broker):
            tap.watch(pass_all)
        issuer.start()
        await asyncio.to_thread(issuer.await_ready)


def _fault(endpoint: str, kind: str, *, times: int = 1) -> dict[str, object]:
    return {"endpoint": endpoint, "kind": kind, "seconds": 30, "times": times}


@contextmanager
def killable(new_stack: Stacks, broker: BrokerNode, database_server: DatabaseServer) -> Iterator[Kills]:
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


def one_order_each(kills: Kills, count: int) -> None:
    """So many requests led to one order each, and nothing was parked."""
    orders = kills.sandbox.orders()
    assert len(orders) == len({order["alternative_order_id"] for order in orders}) == count
    assert parked(kills.stack) == {f"{duty}.parked": 0 for duty in Duty}
