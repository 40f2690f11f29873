"""The way of a request over a running stack: people with their own profiles, and what the processes counted."""

import asyncio
import signal
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.profile import read_profile
from shared.contracts.content import RequestContent
from shared.contracts.replies import StatusResult
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests import world

PATIENCE = timedelta(seconds=60)
"""How long a test waits for something that must come; far longer than it takes."""
LOOK_EVERY_SECONDS = 0.05

Counters = dict[tuple[Duty, str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True)
class People:
    """Everybody of the example policy, connected."""

    shop: RaClient
    portal: RaClient
    alice: RaClient
    ben: RaClient
    carol: RaClient
    olga: RaClient


def client_of(stack: Stack, identity: str, *, timeout_seconds: float = 60.0) -> RaClient:
    return RaClient.from_profile(read_profile(stack.profile_file(identity)), timeout_seconds=timeout_seconds)


@asynccontextmanager
async def people_of(stack: Stack) -> AsyncIterator[People]:
    names = ("shop", "portal", "alice", "ben", "carol", "olga")
    clients = {name: client_of(stack, name) for name in names}
    for client in clients.values():
        await client.__aenter__()
    try:
        yield People(**clients)
    finally:
        for client in clients.values():
            await client.__aexit__()


async def submitted(people: People, asked: RequestContent | None = None) -> RequestId:
    """A request of the shop's that intake accepted and approval has a case of."""
    asked = asked or world.content()
    await people.shop.submit(asked)
    await pending_at_approval(people, asked.request_id)
    return asked.request_id


async def pending_at_approval(people: People, request_id: RequestId) -> None:
    async def has_case() -> bool:
        page = await people.alice.list_pending(limit=200)
        return any(case.request.request_id == request_id for case in page.cases)

    await eventually(has_case, "approval has no case of the request")


async def approve(people: People, request_id: RequestId, *names: str) -> None:
    for name in names or ("alice", "ben"):
        client: RaClient = getattr(people, name)
        await client.approve(await client.show_case(request_id))


async def issued(people: People, asked: RequestContent | None = None) -> RequestId:
    """A request that has gone all the way to its certificate."""
    request_id = await submitted(people, asked)
    await approve(people, request_id)
    await reach(people, request_id, State.ISSUED)
    return request_id


async def reach(people: People, request_id: RequestId, *states: State) -> StatusResult:
    return await people.shop.wait_for_state(request_id, states, PATIENCE.total_seconds())


async def eventually(holds: Any, what: str) -> None:
    """Wait until an asynchronous condition holds."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while not await holds():  # noqa: ASYNC110 - what is looked at lives in other processes
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError:
        raise AssertionError(what) from None


def counters(stack: Stack) -> Counters:
    """Every counter of every duty."""
    found: Counters = {}
    for duty, process in stack.duties.items():
        for family in text_string_to_metric_families(process.metrics()):
            if family.type == "counter":
                for sample in family.samples:
                    if sample.name.endswith("_total"):
                        found[duty, sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def total(
    found: Counters, name: str, *, duties: Collection[Duty] = tuple(Duty), labels: Mapping[str, str] | None = None
) -> float:
    """The sum over duties and over labels that are not named."""
    return sum(
        value
        for (duty, counter, given), value in found.items()
        if counter == name and duty in duties and (labels or {}).items() <= dict(given).items()
    )


def reload_policy(stack: Stack, duties: Iterable[Duty] = tuple(Duty)) -> None:
    """Tell these duties to read the policy again."""
    for duty in duties:
        running = stack.duties[duty].program.process
        assert running is not None
        running.send(signal.SIGHUP)


def have_in_force(stack: Stack, policy: Policy, duties: Iterable[Duty] = tuple(Duty)) -> bool:
    """Whether these duties decide by this policy."""
    line = f'ra_policy_info{{digest="{policy.digest}"}}'
    return all(line in stack.duties[duty].metrics() for duty in duties)


def parked(stack: Stack) -> dict[str, int]:
    """How many messages each duty has parked."""
    with stack.broker.management() as management:
        return {
            queue.name: queue.messages
            for queue in management.queues(stack.virtual_host)
            if queue.name.endswith(".parked")
        }
