"""What an identity does with queues of its own is its own loss: no duty stands still for it."""

from aio_pika.abc import AbstractChannel
from aiormq.abc import FieldTable

from deploy.local.stack import Stack
from shared.rabbit.topology import REPLIES_EXCHANGE, session_queue_prefix
from shared.vocabulary.duties import Duty
from shared.vocabulary.states import State
from tests.system.tampering import connected_as
from tests.system.way import approve, counters, parked, people_of, reach, submitted, total

UNTAKEN = "ra_messages_unroutable_total"


async def _refuse_every_answer(channel: AbstractChannel) -> None:
    """A queue that takes nothing and says so, where the answers to the shop go."""
    arguments: FieldTable = {"x-max-length": 0, "x-overflow": "reject-publish"}
    queue = await channel.declare_queue(f"{session_queue_prefix('shop')}hostile", exclusive=True, arguments=arguments)
    await queue.bind(REPLIES_EXCHANGE, "shop.#")


async def test_a_queue_that_refuses_every_answer_holds_up_nobody(stack: Stack) -> None:
    before = counters(stack)
    async with people_of(stack) as people, connected_as(stack, "shop") as channel:
        await _refuse_every_answer(channel)
        request_id = await submitted(people)
        await approve(people, request_id)
        await reach(people, request_id, State.ISSUED)
        for _ in range(5):
            await people.olga.options()
    after = counters(stack)
    assert total(after, UNTAKEN) > total(before, UNTAKEN), "the hostile queue refused nothing"
    assert total(after, "ra_handlings_retried_total") == total(before, "ra_handlings_retried_total")
    assert parked(stack) == {f"{duty}.parked": 0 for duty in Duty}
    assert not any("broker session lost" in process.log() for process in stack.duties.values())
