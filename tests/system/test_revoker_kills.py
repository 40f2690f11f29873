"""The revoker is killed once at each single step of a revocation: revoked at the CA, recorded once, none lost."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.stack import Overrides, Stack
from shared.client.errors import CommandRefusedError
from shared.vocabulary.duties import Duty
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests.infrastructure import Stacks, sandbox_of
from tests.system.taps import Tap, amqp_frames, at_acknowledgement, at_publish, at_write, mongo_frames, pass_all
from tests.system.way import People, eventually, issued, parked, people_of, reach

QUICK = {"timeout_seconds": 2.0, "poll_seconds": 0.5}
ACCEPTED, CLAIMED, REVOKED, PUBLISHED = 1, 2, 3, 4
"""The writes of a revocation, in their order."""


class Kills:
    """A stack whose revoker reaches its servers over taps, to be killed at a chosen step."""

    def __init__(self, stack: Stack, database: Tap, broker: Tap) -> None:
        self.stack, self.database, self.broker = stack, database, broker
        self.sandbox = sandbox_of(stack)
        self.done = 0

    async def at(self, tap: Tap, rule: Callable[..., object], people: People) -> None:
        """Kill it at this message of a revocation."""
        await self._revoked(people, lambda: tap.watch(rule), lambda: asyncio.to_thread(tap.await_moment))  # type: ignore[arg-type]  # a rule

    async def in_call(self, kind: str, people: People) -> None:
        """Kill it while the CA takes its time; `slow` when the revocation is done and its answer held back."""
        before = int(self.sandbox.calls()["total"])

        async def is_struck() -> bool:
            return [call["fault"] for call in self.sandbox.calls(before)["calls"] if call["fault"]] == [kind]

        fault = {"endpoint": "certificate.revoke", "kind": kind, "seconds": 30}
        await self._revoked(
            people,
            lambda: self.sandbox.set_knobs(faults=[fault]),
            lambda: eventually(is_struck, "the CA was not called"),
        )

    async def _revoked(self, people: People, prepare: Callable[[], object], moment: Callable[[], object]) -> None:
        request_id = await issued(people)
        await eventually(lambda: self._is_known(people, request_id), "the revoker does not know the certificate")
        calls = int(self.sandbox.calls()["total"])
        prepare()
        asking = asyncio.ensure_future(people.shop.revoke(request_id, RevocationReason.SUPERSEDED))
        await moment()  # type: ignore[misc]  # an awaitable
        revoker = self.stack.duties[Duty.REVOKER]
        revoker.kill()
        for tap in (self.database, self.broker):
            tap.watch(pass_all)
        self.sandbox.reset_knobs()
        revoker.start()
        await asyncio.to_thread(revoker.await_ready)
        assert (await asking).reason is RevocationReason.SUPERSEDED
        status = await reach(people, request_id, State.REVOKED)
        assert [entry.message for entry in status.history if entry.state is State.REVOKED] == ["revoked: superseded"]
        seen = [call for call in self.sandbox.calls(calls)["calls"] if "revoke" in call["path"]]
        assert seen, "the CA saw it at least once"
        self.done += 1

    async def _is_known(self, people: People, request_id: str) -> bool:
        """A reason that nobody takes tells."""
        try:
            await people.shop.revoke(request_id, RevocationReason.CERTIFICATE_HOLD)
        except CommandRefusedError as refused:
            return [found.code for found in refused.findings] == ["revocation.reason-not-available"]
        return False


@pytest.fixture
def kills(new_stack: Stacks, broker: BrokerNode, database_server: DatabaseServer) -> Iterator[Kills]:
    database_port = urlsplit(database_server.uri).port
    assert database_port is not None
    with Tap(database_port, mongo_frames) as database, Tap(broker.amqp_port, amqp_frames) as amqp:
        overrides: Overrides = {
            Duty.REVOKER: {
                "ca": QUICK,
                "database": {"uri": f"mongodb://127.0.0.1:{database.port}/?directConnection=true"},
                "broker": {"port": amqp.port},
            }
        }
        yield Kills(new_stack("revoker-kills", overrides=overrides), database, amqp)


async def test_a_kill_at_each_single_step_leaves_one_revocation_and_none_is_lost(kills: Kills) -> None:
    async with people_of(kills.stack) as people:
        for after in (False, True):
            for nth in (ACCEPTED, CLAIMED, REVOKED, PUBLISHED):
                await kills.at(kills.database, at_write("update", "certificates", nth=nth, after=after), people)
            await kills.at(kills.broker, at_acknowledgement(after=after), people)
            for exchange in ("ra.events", "ra.replies"):
                await kills.at(kills.broker, at_publish(exchange, after=after), people)
        for kind in ("hang", "slow"):
            await kills.in_call(kind, people)
    assert kills.done == 16
    assert parked(kills.stack) == {f"{duty}.parked": 0 for duty in Duty}
