"""Servers go away under requests in flight, and come back: everything is issued, once, by the same processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.files import write_secret
from deploy.local.process import ProcessIdentity
from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import ClientError, CommandRefusedError
from shared.contracts.content import RequestContent
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import Stacks, sandbox_of
from tests.system.way import (
    PATIENCE,
    People,
    approve,
    counters,
    eventually,
    parked,
    people_of,
    reach,
    submitted,
    total,
)

REQUESTS = 10
OVERRIDES = {Duty.ISSUER: {"ca": {"timeout_seconds": 3.0, "lookup_lag_seconds": 1.0}}}


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    made = module_stacks("outages", own_servers=True, overrides=OVERRIDES)
    made.broker.await_stored(made.virtual_host)
    return made


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


# People who do not give up


async def _insist(command: Callable[[], Awaitable[object]], *done_already: str) -> None:
    """Repeat a command until it is answered; these refusals say that an earlier attempt had gone through."""

    async def answered() -> bool:
        try:
            await command()
        except CommandRefusedError as refused:
            if not {found.code for found in refused.findings} <= set(done_already):
                raise
        except ClientError:
            return False
        return True

    await eventually(answered, "the command was never answered")


async def _submit(people: People, asked: RequestContent) -> None:
    await _insist(lambda: people.shop.submit(asked))


async def _decide(client: RaClient, request_id: RequestId) -> None:
    async def approve_what_is_shown() -> None:
        await client.approve(await client.show_case(request_id))

    async def shown() -> bool:
        try:
            await client.show_case(request_id)
        except ClientError:
            return False
        return True

    await eventually(shown, "approval never showed the request")
    await _insist(approve_what_is_shown, "decision.already-made", "decision.too-late")


async def _carry_through(people: People, asked: RequestContent) -> None:
    await _submit(people, asked)
    await asyncio.gather(_decide(people.alice, asked.request_id), _decide(people.ben, asked.request_id))
    await people.shop.wait_for_state(asked.request_id, [State.ISSUED], PATIENCE.total_seconds())


# What has to hold


def _processes(stack: Stack) -> dict[Duty, ProcessIdentity | None]:
    return {duty: process.program.process for duty, process in stack.duties.items()}


async def _all(stack: Stack, what: str) -> None:
    """Wait for all duties to be `ready` or `unready`."""
    waits = [getattr(process, f"await_{what}") for process in stack.duties.values()]
    await asyncio.gather(*map(asyncio.to_thread, waits))


@asynccontextmanager
async def survived(stack: Stack, asked: Iterable[RequestContent]) -> AsyncIterator[None]:
    """After what happens in here these requests have one order each, nothing is parked, and no process has ended."""
    before, orders = _processes(stack), len(sandbox_of(stack).orders())
    yield
    await _all(stack, "ready")
    assert _processes(stack) == before
    wanted = {content.request_id for content in asked}
    placed = sandbox_of(stack).orders()[orders:]
    assert len(placed) == len(wanted)
    assert len({order["alternative_order_id"] for order in placed}) == len(wanted)
    assert parked(stack) == {f"{duty}.parked": 0 for duty in Duty}
    assert total(counters(stack), "ra_messages_parked_total") == 0
    assert total(counters(stack), "ra_work_failed_total") == 0


@dataclass
class Rush:
    """Requests half of which are under way when it happens, and half of which come in the middle of it."""

    people: People
    asked: list[RequestContent] = field(default_factory=lambda: [world.content() for _ in range(REQUESTS)])
    in_the_middle: asyncio.Event = field(default_factory=asyncio.Event)

    async def carry_through(self, happen: Callable[[], Awaitable[object]]) -> None:
        """All of them become certificates, whatever happens."""
        half = REQUESTS // 2
        async with asyncio.TaskGroup() as group:
            for content in self.asked[:half]:
                group.create_task(_carry_through(self.people, content))
            for content in self.asked[half:]:
                group.create_task(self._later(content))
            await self._under_way()
            await happen()
            self.in_the_middle.set()

    async def _later(self, content: RequestContent) -> None:
        await self.in_the_middle.wait()
        await _carry_through(self.people, content)

    async def _under_way(self) -> None:
        """Wait until one of them was accepted."""
        wanted = {content.request_id for content in self.asked}

        async def accepted() -> bool:
            listed = await self.people.shop.list_requests()
            return any(each.request_id in wanted for each in listed.requests)

        await eventually(accepted, "nothing is under way")


Servers = Callable[[Stack], Sequence[BrokerNode | DatabaseServer]]
SERVERS: dict[str, Servers] = {
    "the broker": lambda stack: [stack.broker],
    "the database": lambda stack: [stack.database],
    "both": lambda stack: [stack.database, stack.broker],
}


@pytest.mark.parametrize("which", SERVERS)
async def test_servers_that_are_killed_under_requests_cost_no_request_and_no_second_order(
    stack: Stack, people: People, which: str
) -> None:
    servers = SERVERS[which](stack)
    rush = Rush(people)

    async def outage() -> None:
        for server in servers:
            await asyncio.to_thread(server.kill)
        await _all(stack, "unready")
        rush.in_the_middle.set()
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))

    async with survived(stack, rush.asked):
        await rush.carry_through(outage)


async def test_a_database_that_stands_still_is_noticed_and_waited_for(stack: Stack, people: People) -> None:
    rush = Rush(people)

    async def outage() -> None:
        stack.database.pause()
        try:
            await _all(stack, "unready")
            rush.in_the_middle.set()
        finally:
            stack.database.resume()

    async with survived(stack, rush.asked):
        await rush.carry_through(outage)


async def test_connections_that_the_broker_closes_under_requests_come_back(stack: Stack, people: People) -> None:
    rush = Rush(people)

    async def closed() -> None:
        await asyncio.gather(*(_close_connection(stack, duty) for duty in Duty))

    async with survived(stack, rush.asked):
        await rush.carry_through(closed)


async def _close_connection(stack: Stack, duty: Duty) -> None:
    """Close a duty's connection, and wait for its new one."""
    with stack.broker.management() as management:

        def own() -> set[str]:
            return {each.name for each in management.connections(stack.virtual_host) if each.user == duty}

        async def is_connected() -> bool:
            return bool(await asyncio.to_thread(own))

        await eventually(is_connected, f"the broker shows no connection of {duty}")
        before = own()
        for name in before:
            management.close_connection(name)

        async def is_back() -> bool:
            return bool(await asyncio.to_thread(own) - before)

        await eventually(is_back, f"{duty} has not come back")


async def test_a_ca_that_is_away_when_the_last_approval_comes_gets_one_order_when_it_is_back(
    stack: Stack, people: People
) -> None:
    asked = world.content()
    async with survived(stack, [asked]):
        await submitted(people, asked)
        stack.sandbox.kill()
        await approve(people, asked.request_id)
        await reach(people, asked.request_id, State.APPROVED)
        assert all(process.is_ready() for process in stack.duties.values()), "the CA is nobody's condition for work"
        await asyncio.to_thread(stack.start_sandbox)
        await reach(people, asked.request_id, State.ISSUED)


async def test_an_api_key_that_is_missing_for_a_while_costs_nothing_but_the_time(stack: Stack, people: People) -> None:
    asked = world.content()
    key = stack.directory / "secrets" / f"{Duty.ISSUER}.digicert"
    good = key.read_text()
    async with survived(stack, [asked]):
        await submitted(people, asked)
        key.unlink()
        before = _failed_calls(stack)
        await approve(people, asked.request_id)

        async def tried() -> bool:
            return _failed_calls(stack) > before

        await eventually(tried, "the issuer has not missed its key")
        write_secret(key, good)
        await reach(people, asked.request_id, State.ISSUED)


def _failed_calls(stack: Stack) -> float:
    """How many calls of the CA the issuer counts that were not answered well."""
    found, name, issuer = counters(stack), "ra_ca_calls_total", [Duty.ISSUER]
    return total(found, name, duties=issuer) - total(found, name, duties=issuer, labels={"result": "ok"})
