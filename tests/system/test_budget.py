"""What one request costs, counted where the drivers send it, and what an idle stack costs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from shared.vocabulary.duties import Duty
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import Stacks, sandbox_of
from tests.system.way import Counters, People, approve, counters, eventually, pending_at_approval, people_of, total

WRITES, READS, PUBLISHES, CA_CALLS = 12, 10, 12, 1
"""The most that one request with a quorum of two may cost, by all duties together; three notices to three approvers.

Two of the reads are of compromised keys: by the issuer right before the order, by the revoker once it is issued.
"""
IDLE_SECONDS = 8.0


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    """One that tallies nothing meanwhile: what that costs, a hundred requests share; see test_summary.py."""
    return module_stacks("budget", overrides={Duty.INTAKE: {"summary": {"tally_seconds": 86_400.0}}})


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


def _spent(before: Counters, after: Counters, name: str, **labels: str) -> float:
    return total(after, name, labels=labels) - total(before, name, labels=labels)


async def _is_settled(stack: Stack, before: Counters) -> bool:
    """Whether every duty has handled everything that one request leads to."""
    after = counters(stack)
    handled = {
        "ra.request.submit.v1": 1,
        "ra.request.accepted.v1": 1,
        "ra.request.approve.v1": 2,
        "ra.request.approved.v1": 2,
        "ra.certificate.issued.v1": 2,
    }
    seen = {kind: _spent(before, after, "ra_messages_handled_total", type=kind) for kind in handled}
    announced = _spent(before, after, "ra_work_done_total")
    return seen == handled and announced == 1


async def test_one_request_stays_within_its_budget(stack: Stack, people: People) -> None:
    warm = world.content()
    await people.shop.submit(warm)
    await pending_at_approval(people, warm.request_id)
    await approve(people, warm.request_id)
    await people.shop.wait_for_state(warm.request_id, [State.ISSUED], 60)
    asked = world.content()
    before, calls = counters(stack), len(sandbox_of(stack).calls()["calls"])

    await people.shop.submit(asked)
    accepted = "ra.request.accepted.v1"

    async def at_approval() -> bool:
        return _spent(before, counters(stack), "ra_messages_handled_total", type=accepted) == 1

    await eventually(at_approval, "approval has not seen the request")
    await approve(people, asked.request_id)
    await eventually(lambda: _is_settled(stack, before), "the request has not settled")

    after = counters(stack)
    spent = {
        "writes": _spent(before, after, "ra_database_operations_total", kind="write"),
        "reads": _spent(before, after, "ra_database_operations_total", kind="read"),
        "publishes": _spent(before, after, "ra_messages_published_total"),
        "CA calls": len(sandbox_of(stack).calls()["calls"]) - calls,
    }
    assert spent["writes"] <= WRITES, spent
    assert spent["reads"] <= READS, spent
    assert spent["publishes"] <= PUBLISHES, spent
    assert spent["CA calls"] == CA_CALLS, spent
    assert min(spent.values()) > 0, f"the counters do not count: {spent}"


async def test_an_idle_stack_reads_at_most_once_a_second_in_each_duty(stack: Stack) -> None:
    before = counters(stack)
    await asyncio.sleep(IDLE_SECONDS)  # an observation over time: there is no condition to wait for
    after = counters(stack)
    for duty in Duty:
        reads = sum(
            total(after, "ra_database_operations_total", duties=[duty], labels={"kind": kind})
            - total(before, "ra_database_operations_total", duties=[duty], labels={"kind": kind})
            for kind in ("read", "poll")
        )
        writes = total(after, "ra_database_operations_total", duties=[duty], labels={"kind": "write"}) - total(
            before, "ra_database_operations_total", duties=[duty], labels={"kind": "write"}
        )
        assert reads <= IDLE_SECONDS, f"{duty} made {reads} reads in {IDLE_SECONDS} idle seconds"
        assert writes == 0, f"{duty} wrote while idle"
