"""While many key pairs are made, the issuer's event loop goes on, and so does everybody who needs none of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.process import wait_until
from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.contracts.content import RequestContent
from shared.identifiers import new_request_id
from shared.sealing import OpeningKey, seal
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import sandbox_of
from tests.system.way import People, eventually, people_of, reach
from tests.world import PASSWORD, wanting

KEY_PAIRS = int(os.environ.get("RA_KEY_PAIRS", "12"))
"""RA_KEY_PAIRS=100 takes five minutes."""
BESIDE = 3
CSR_NAME = "shop.example.com"
AT_ONCE = 10
LONGEST_SECONDS = 0.1
LIMIT_SECONDS = 420.0
"""Within which everything is issued; far longer than it takes."""


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


def with_key_pair(stack: Stack) -> RequestContent:
    request_id = RequestId(new_request_id())
    sealed = seal(PASSWORD, request_id, OpeningKey.from_file(stack.opening_key_file).public)
    return wanting(request_id, key_type="rsa-4096", sealed=sealed)


def with_csr() -> RequestContent:
    return world.content(csr=world.make_csr(CSR_NAME))


async def approve_all(client: RaClient, wanted: Sequence[RequestId]) -> None:
    one_by_one = asyncio.Semaphore(AT_ONCE)

    async def approve(request_id: RequestId) -> None:
        async with one_by_one:
            await client.approve(await client.show_case(request_id))

    await asyncio.gather(*map(approve, wanted))


async def approved(people: People, asked: Sequence[RequestContent]) -> list[RequestId]:
    one_by_one = asyncio.Semaphore(AT_ONCE)

    async def submit(each: RequestContent) -> None:
        async with one_by_one:
            await people.shop.submit(each)

    await asyncio.gather(*map(submit, asked))
    wanted = [each.request_id for each in asked]

    async def all_have_cases() -> bool:
        page = await people.alice.list_pending(limit=200)
        return {case.request.request_id for case in page.cases} >= set(wanted)

    await eventually(all_have_cases, "approval has not a case of each request")
    for client in (people.alice, people.ben):
        await approve_all(client, wanted)
    return wanted


def measured(stack: Stack, name: str) -> float:
    families = text_string_to_metric_families(stack.duties[Duty.ISSUER].metrics())
    return next(sample.value for family in families for sample in family.samples if sample.name == name)


async def ordered(stack: Stack, count: int) -> None:
    """Wait until the CA has so many orders."""
    what = f"the CA has not {count} orders"
    sandbox = sandbox_of(stack)
    await asyncio.to_thread(wait_until, lambda: len(sandbox.orders()) >= count, what=what, limit=LIMIT_SECONDS)


@pytest.mark.timeout(2 * LIMIT_SECONDS)
async def test_the_event_loop_does_not_stand_still_while_rsa_keys_are_made(stack: Stack, people: People) -> None:
    sandbox = sandbox_of(stack)
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)  # what is not issued is not packed
    try:
        await approved(people, [with_key_pair(stack) for _ in range(KEY_PAIRS)])
        beside = await approved(people, [with_csr() for _ in range(BESIDE)])
        for each in beside:
            await reach(people, each, State.ORDERED)
        for order in sandbox.orders():
            if order["common_name"] == CSR_NAME:
                sandbox.issue(order["id"])
        for each in beside:
            await reach(people, each, State.ISSUED)
        assert len(sandbox.orders()) < KEY_PAIRS + BESIDE, "all keys were made before the others were issued"
        await ordered(stack, KEY_PAIRS + BESIDE)
    finally:
        sandbox.reset_knobs()
    assert measured(stack, "ra_event_loop_lag_seconds_count") > 0
    assert measured(stack, "ra_event_loop_longest_held_seconds") <= LONGEST_SECONDS
