"""Each duty is killed once while fifty requests are under way: all are issued, each is ordered once."""

import asyncio
from collections.abc import Awaitable, Callable

from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.contracts.content import RequestContent
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import Stacks, sandbox_of
from tests.system.way import People, counters, eventually, parked, people_of, total

REQUESTS = 50
QUICK = {"timeout_seconds": 3.0, "lookup_lag_seconds": 1.0}


async def _kill_when(stack: Stack, duty: Duty, due: Callable[[], Awaitable[bool]]) -> None:
    """Kill a duty once it is in the middle of its work, and start it again."""
    await eventually(due, f"the moment to kill {duty} did not come")
    process = stack.duties[duty]
    process.kill()
    process.start()
    await asyncio.to_thread(process.await_ready)


async def _approve_all(client: RaClient, wanted: set[RequestId]) -> None:
    """Approve whatever of these is pending, until this approver has decided on all of it."""
    decided: set[RequestId] = set()

    async def done() -> bool:
        page = await client.list_pending(limit=200)
        for case in page.cases:
            request_id = case.request.request_id
            if request_id in wanted and not case.decided_by_me:
                await _approve(client, request_id)
                decided.add(request_id)
        return decided == wanted

    await eventually(done, "not everything could be approved")


async def _approve(client: RaClient, request_id: RequestId) -> None:
    try:
        await client.approve(await client.show_case(request_id))
    except CommandRefusedError as refused:
        codes = {found.code for found in refused.findings}
        if not codes <= {"decision.already-made", "decision.too-late"}:
            raise


async def _revoke(people: People, request_id: RequestId) -> None:
    """Revoke as soon as the revoker, which was killed too, has heard of the certificate."""

    async def accepted() -> bool:
        try:
            await people.shop.revoke(request_id, RevocationReason.SUPERSEDED)
        except CommandRefusedError as refused:
            if {found.code for found in refused.findings} != {"revocation.not-issued"}:
                raise
            return False
        return True

    await eventually(accepted, "the revoker never heard of a certificate")
    await people.shop.wait_for_state(request_id, [State.REVOKED], 60)


async def _submit_all(people: People, asked: list[RequestContent]) -> None:
    for content in asked:
        await people.shop.submit(content)


async def test_killing_each_duty_once_loses_no_request_and_orders_none_twice(new_stack: Stacks) -> None:
    stack = new_stack("kills", overrides={Duty.ISSUER: {"ca": QUICK}, Duty.REVOKER: {"ca": {"timeout_seconds": 3.0}}})
    sandbox = sandbox_of(stack)
    asked = [world.content() for _ in range(REQUESTS)]
    wanted = {content.request_id for content in asked}

    def ordered(number: int) -> Callable[[], Awaitable[bool]]:
        async def is_so() -> bool:
            return len(sandbox.orders()) >= number

        return is_so

    async with people_of(stack) as people:

        async def submitted(number: int) -> bool:
            return len((await people.shop.list_requests(limit=200)).requests) >= number

        async def some_submitted() -> bool:
            return await submitted(10)

        async with asyncio.TaskGroup() as group:
            group.create_task(_submit_all(people, asked))
            group.create_task(_kill_when(stack, Duty.INTAKE, some_submitted))
            group.create_task(_approve_all(people.alice, wanted))
            group.create_task(_approve_all(people.ben, wanted))
            group.create_task(_kill_when(stack, Duty.APPROVAL, ordered(5)))
            group.create_task(_kill_when(stack, Duty.ISSUER, ordered(15)))
            group.create_task(_kill_when(stack, Duty.REVOKER, ordered(25)))
        for request_id in wanted:
            await people.shop.wait_for_state(request_id, [State.ISSUED], 60)

        for request_id in sorted(wanted)[:3]:
            await _revoke(people, request_id)

    orders = sandbox.orders()
    assert len(orders) == REQUESTS
    assert len({order["alternative_order_id"] for order in orders}) == REQUESTS
    assert parked(stack) == {f"{duty}.parked": 0 for duty in Duty}
    assert total(counters(stack), "ra_messages_parked_total") == 0
