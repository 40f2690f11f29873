"""What may be at the CA already is looked for before anything is ordered; what nobody can tell is left to people."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.issuer.advice import what_to_do
from services.issuer.model import Order
from services.issuer.ports import KnownOrder, Sought
from services.issuer.recovering import MOST_UNANSWERED
from services.issuer.rules import MOST_FORGOTTEN, id_of_attempt, sought
from shared.contracts import commands
from shared.vocabulary.names import OrderId, RequestId
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.authority import MAY_NOT, REFUSAL, SILENCE
from tests.fakes.duties import LAG, LEASE, Issuer, command, data_of, lifecycle
from tests.fakes.faults import Steps
from tests.fakes.ledger import Accepted, accept
from tests.world import NOW

MINUTE = timedelta(minutes=1)
ISSUED = "ra.certificate.issued.v1"


async def settle(case: Accepted, adopt: int | None, *, by: str = "olga") -> Order:
    """An operator's decision, carried out."""
    await case.issuer.ask(commands.SettleOrder(request_id=case.id, adopt=adopt), by=by)
    await case.issuer.work_off()
    return await case.stored()


async def unanswered(case: Accepted) -> None:
    """The order was taken, and nobody heard of it."""
    case.issuer.ca.silent = True
    await case.issuer.ordering.advance(await case.stored())
    case.issuer.ca.silent = False


def restart(issuer: Issuer, after: timedelta = MINUTE) -> None:
    issuer.clock.advance(after)
    issuer.ordering = issuer.new_copy()


# --- a ledger that has forgotten ----------------------------------------------------------------------------------


async def test_what_was_accepted_before_the_issuer_was_started_is_looked_for_once_before_it_is_ordered() -> None:
    case = await accept()
    restart(case.issuer)
    await case.issuer.ordering.advance(await case.stored())
    waiting = await case.stored()
    assert [found.code for found in waiting.findings] == ["order.asked-first"]
    assert case.issuer.ca.look_ups == 0, "its look-up might not show yet what was ordered a moment ago"
    await case.issuer.work_off()
    assert (case.issuer.ca.look_ups, case.happened()) == (1, [ISSUED])
    assert case.issuer.ca.orders[0].placed_at >= NOW + MINUTE + LAG


async def test_what_comes_in_after_the_issuer_was_started_is_ordered_without_a_look_up() -> None:
    issuer = Issuer()
    restart(issuer, -MINUTE)
    case = await accept(issuer=issuer)
    await issuer.work_off()
    assert (issuer.ca.look_ups, case.happened()) == (0, [ISSUED])


async def test_a_request_that_began_before_the_issuer_was_started_is_looked_for_however_new_its_approval_is() -> None:
    """Approval's database may have been restored with the ledger, and its approvers have approved once more."""
    issuer = Issuer()
    before = f"{int((NOW - MINUTE).timestamp() * 1000):012x}"
    request_id = RequestId(f"{before[:8]}-{before[8:]}-7000-8000-000000000001")
    case = await accept(world.content(request_id), issuer=issuer)
    await issuer.work_off()
    assert (issuer.ca.look_ups, case.happened()) == (1, [ISSUED])


async def test_a_time_that_a_client_made_up_does_not_have_the_ca_listed_back_for_years() -> None:
    case = await accept(world.content(RequestId("00000000-0001-7000-8000-000000000001")))
    assert sought(await case.stored()).since == (NOW - MOST_FORGOTTEN).date()


@pytest.mark.parametrize("lost", ["everything", "the intent", "the answer"])
async def test_a_ledger_restored_from_before_the_order_takes_the_order_over(lost: str) -> None:
    """Lost with all that followed: the whole entry, whose event is delivered again; or what these steps stored."""
    case = await accept()
    issuer = case.issuer
    issuer.ca.slow = timedelta(days=3)
    issuer.orders.steps = Steps()
    backups: list[str] = []
    issuer.orders.steps.when = lambda what: (
        backups.append(issuer.orders.documents[case.id]) if "before" in what else None
    )
    await issuer.ordering.advance(await case.stored())
    issuer.orders.steps.when = lambda _: None
    accepted, intended = backups[0], backups[1]
    if lost == "everything":
        issuer.orders.documents.clear()
        await issuer.handle(case.delivery())
    else:
        issuer.orders.documents[case.id] = accepted if lost == "the intent" else intended
    restart(issuer)
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1
    assert case.happened() == ["ra.request.ordered.v1", ISSUED]
    order = await case.stored()
    assert order.alternative_order_id == issuer.ca.orders[0].request.alternative_order_id


async def test_a_restored_intent_of_long_ago_is_not_believed_before_the_look_up_shows_what_was_ordered_last() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.deaf, ca.lag = True, LAG
    await case.issuer.ordering.advance(await case.stored())
    before = case.issuer.orders.documents[case.id]
    ca.deaf = False
    case.issuer.clock.advance(LEASE + LAG)
    await case.issuer.ordering.advance(await case.stored())
    assert len(ca.orders) == 1
    case.issuer.orders.documents[case.id] = before
    restart(case.issuer, timedelta(seconds=1))
    await case.issuer.work_off()
    assert len(ca.orders) == 1
    assert (await case.stored()).state is OrderState.ISSUED


async def test_a_look_up_vouches_for_the_moment_at_which_it_began_and_not_for_the_one_at_which_it_ended() -> None:
    """It began a second before an order of the last moment would show, and took two."""
    case = await accept()
    issuer, second = case.issuer, timedelta(seconds=1)
    issuer.ca.lag = LEASE + LAG
    await unanswered(case)
    issuer.clock.advance(LEASE + LAG - second)
    show = issuer.ca.look_alikes

    async def slowly(sought: Sought) -> Sequence[KnownOrder]:
        shown = await show(sought)
        issuer.clock.advance(2 * second)
        return shown

    issuer.ca.look_alikes = slowly  # type: ignore[method-assign]  # a look that takes its time
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1
    assert (await case.stored()).state is OrderState.ISSUED


async def test_a_new_process_waits_for_an_intent_by_its_own_clock_from_when_it_first_sees_it() -> None:
    case = await accept()
    issuer = case.issuer
    issuer.ca.deaf = True
    await issuer.ordering.advance(await case.stored())
    issuer.ca.deaf = False
    long_ago = (await case.stored()).model_copy(update={"intended_at_ms": 0})
    issuer.orders.documents[case.id] = long_ago.model_dump_json()
    issuer.ordering = issuer.new_copy()
    issuer.clock.advance(MINUTE)
    seen = issuer.clock.now()
    await issuer.work_off()
    assert [taken.placed_at >= seen + LEASE + LAG for taken in issuer.ca.orders] == [True]


async def test_an_order_of_a_former_revision_is_taken_over_too() -> None:
    """The policy has changed since the backup, and the approvers have approved the renewal."""
    begun = world.accepted()
    case = Accepted(Issuer(), world.judged(begun))
    await case.issuer.handle(case.delivery())
    await case.issuer.work_off()
    case.issuer.orders.documents.clear()
    case.issuer.adopt(world.newer_policy(("quorum = 2", "quorum = 1")))
    restart(case.issuer)
    case.begun = world.judged(world.renewed(begun, case.issuer.in_force.policy), by=("alice",))
    await case.issuer.handle(case.delivery())
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    assert (await case.stored()).state is OrderState.ISSUED


async def test_what_is_taken_over_by_a_ledger_that_does_not_know_it_must_be_approved_now() -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(days=3)
    before = case.issuer.orders.documents[case.id]
    await case.issuer.ordering.advance(await case.stored())
    case.issuer.orders.documents[case.id] = before
    case.issuer.adopt(world.policy_text().replace("quorum = 2", "quorum = 3"))
    restart(case.issuer)
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    order = await case.stored()
    assert (order.state, [found.code for found in order.findings]) == (
        OrderState.RETURNED,
        ["evidence.quorum-missing", "order.left-there"],
    )
    assert what_to_do(order).startswith("Order 1 at the CA is not taken over: have it cancelled there")
    told = data_of(lifecycle(case.issuer.publisher.published)[-1])
    assert told["findings"][-1]["value"] == "1", "approval and its people hear of it"


# --- what only people can tell --------------------------------------------------------------------------------------


async def unclear(issuer: Issuer | None = None) -> Accepted:
    """The CA has two orders for one intent."""
    case = await accept(issuer=issuer)
    await unanswered(case)
    case.issuer.ca.orders.append(replace(case.issuer.ca.orders[-1], order_id=OrderId(99), chain=()))
    await case.issuer.work_off()
    assert (await case.stored()).state is OrderState.UNCLEAR
    return case


async def test_an_operator_says_which_of_several_orders_is_the_requests() -> None:
    case = await unclear()
    order = await settle(case, 99)
    assert (order.state, order.order_id, order.settlement) == (OrderState.ISSUED, 99, None)
    assert len(case.issuer.ca.orders) == 2


async def test_an_order_of_another_request_is_not_adopted_whoever_wants_it() -> None:
    other = await accept()
    await other.issuer.work_off()
    case = await unclear(other.issuer)
    foreign = other.issuer.ca.orders[0].order_id
    for wanted in (foreign, foreign, 4711):
        order = await settle(case, wanted)
        assert order.state is OrderState.UNCLEAR
        assert [found.code for found in order.findings] == ["order.unclear", "order.not-ours"]


async def test_nothing_is_ordered_again_while_the_ca_has_a_live_order_under_the_requests_id() -> None:
    case = await unclear()
    order = await settle(case, None)
    assert order.state is OrderState.UNCLEAR
    assert [found.code for found in order.findings] == ["order.unclear", "order.is-there"]
    assert len(case.issuer.ca.orders) == 2


async def test_when_all_orders_have_ended_an_operator_has_it_ordered_again_under_an_id_of_its_own() -> None:
    case = await unclear()
    ca = case.issuer.ca
    for taken in ca.orders:
        taken.chain = ()
        ca.end(taken, REFUSAL)
    order = await settle(case, None)
    assert (order.state, order.attempt, len(ca.orders)) == (OrderState.ISSUED, 2, 3)
    assert ca.orders[2].request.alternative_order_id == id_of_attempt(order, 2)


async def test_an_attempt_that_the_ledger_has_forgotten_is_found_all_the_same() -> None:
    case = await unclear()
    before = await case.stored()
    ca = case.issuer.ca
    for taken in ca.orders:
        taken.chain = ()
        ca.end(taken, REFUSAL)
    await settle(case, None)
    case.issuer.orders.documents[case.id] = before.model_dump_json()
    restart(case.issuer)
    order = await settle(case, None)
    assert order.state is OrderState.UNCLEAR
    assert [found.code for found in order.findings] == ["order.unclear", "order.is-there"]
    assert (await settle(case, 100)).state is OrderState.UNCLEAR
    assert (await settle(case, 3)).state is OrderState.ISSUED
    assert len(ca.orders) == 3


async def test_an_order_that_does_not_say_whose_it_is_waits_for_an_operator() -> None:
    case = await accept()
    case.issuer.ca.forgets_ids = True
    await unanswered(case)
    await case.issuer.work_off()
    order = await case.stored()
    assert (order.state, len(case.issuer.ca.orders)) == (OrderState.UNCLEAR, 1)
    assert [found.value for found in order.findings] == ["1"]
    assert (await settle(case, 1)).state is OrderState.ISSUED


async def test_an_operator_who_knows_that_it_is_anothers_has_it_ordered() -> None:
    case = await accept()
    case.issuer.ca.forgets_ids = True
    await unanswered(case)
    await case.issuer.work_off()
    order = await settle(case, None)
    assert (order.state, len(case.issuer.ca.orders)) == (OrderState.ISSUED, 2)


async def test_a_ca_that_says_that_it_has_the_order_and_never_shows_it_is_left_to_people() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.id_taken = True
    await case.issuer.work_off()
    assert ((await case.stored()).state, ca.orders) == (OrderState.UNCLEAR, [])
    ca.id_taken = False
    order = await settle(case, None)
    assert (order.state, order.attempt) == (OrderState.ISSUED, 2)


async def test_a_ca_that_refuses_a_second_use_of_the_id_shows_the_first_one_when_it_can() -> None:
    case = await accept()
    case.issuer.ca.lag = 3 * LAG + LEASE
    await unanswered(case)
    case.issuer.ca.id_taken = True
    await case.issuer.work_off()
    order = await case.stored()
    assert (order.state, len(case.issuer.ca.orders)) == (OrderState.ISSUED, 1)


async def test_a_ca_that_answers_no_order_is_asked_ever_less_often_and_then_left_to_people() -> None:
    case = await accept()
    ca, began = case.issuer.ca, case.issuer.clock.now()
    ca.deaf = True
    await case.issuer.work_off()
    order = await case.stored()
    assert (order.state, order.tries, order.due) == (OrderState.UNCLEAR, MOST_UNANSWERED, None)
    assert [found.code for found in order.findings] == ["order.unclear", SILENCE.code]
    assert timedelta(minutes=30) < case.issuer.clock.now() - began < timedelta(hours=2), "a short outage is waited out"
    order = await settle(case, None)
    assert (order.state, order.tries) == (OrderState.UNCLEAR, 2 * MOST_UNANSWERED)
    ca.deaf = False
    order = await settle(case, None)
    assert (order.state, len(ca.orders)) == (OrderState.ISSUED, 1)


async def test_what_the_ca_says_no_to_in_between_is_an_answer() -> None:
    case = await accept()
    ca = case.issuer.ca
    for _ in range(MOST_UNANSWERED):
        ca.deaf, ca.mends = True, None
        while (await case.stored()).state is OrderState.ACCEPTED:
            await case.issuer.ordering.advance(await case.stored())
        ca.deaf, ca.mends = False, MAY_NOT
        while (await case.stored()).state is OrderState.INTENT:
            case.issuer.clock.advance(MINUTE)
            await case.issuer.ordering.advance(await case.stored())
    assert ((await case.stored()).tries, ca.orders) == (2 * MOST_UNANSWERED, [])
    ca.mends = None
    await case.issuer.work_off()
    assert (await case.stored()).state is OrderState.ISSUED


@pytest.mark.parametrize("state", [state for state in OrderState if state is not OrderState.UNCLEAR])
async def test_only_what_is_unclear_is_settled(state: OrderState) -> None:
    case = await accept()
    case.issuer.orders.documents[case.id] = (await case.stored()).model_copy(update={"state": state}).model_dump_json()
    settled = commands.SettleOrder(request_id=case.id, adopt=None)
    assert await case.issuer.refused(settled, by="olga") == ["order.not-unclear"]


async def test_the_same_decision_delivered_twice_is_answered_twice_and_taken_once() -> None:
    case = await unclear()
    decided = command(commands.SettleOrder(request_id=case.id, adopt=99), by="olga")
    first = await case.issuer.handle(decided)
    await case.issuer.work_off()
    assert await case.issuer.handle(decided) == first
    assert (await case.stored()).settlement is None


async def test_a_decision_waits_for_a_ca_that_is_away() -> None:
    case = await unclear()
    case.issuer.ca.away = True
    await case.issuer.ask(commands.SettleOrder(request_id=case.id, adopt=99), by="olga")
    await case.issuer.ordering.advance(await case.stored())
    waiting = await case.stored()
    assert (waiting.state, [found.code for found in waiting.findings]) == (
        OrderState.UNCLEAR,
        ["order.unclear", "ca.unreachable"],
    )
    case.issuer.ca.away = False
    await case.issuer.work_off()
    assert (await case.stored()).state is OrderState.ISSUED


async def test_what_was_approved_must_hold_still_when_it_is_ordered_again() -> None:
    case = await unclear()
    for taken in case.issuer.ca.orders:
        taken.chain = ()
        case.issuer.ca.end(taken, REFUSAL)
    case.issuer.adopt(world.policy_text().replace("quorum = 2", "quorum = 3"))
    assert (await settle(case, None)).state is OrderState.RETURNED
    assert len(case.issuer.ca.orders) == 2
    assert [message.type for message in lifecycle(case.issuer.publisher.published)] == ["ra.request.returned.v1"]
