"""An operator ends a request: for good, with a reason, and never while the CA has a live order of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.issuer.advice import what_to_do
from services.issuer.model import Order
from shared.contracts import commands
from shared.vocabulary.names import OrderId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from tests.fakes.authority import MAY_NOT, REFUSAL
from tests.fakes.duties import LAG, Issuer, command, data_of, lifecycle
from tests.fakes.ledger import Accepted, accept

MINUTE = timedelta(minutes=1)
WHY = "its host is switched off"


async def want_ended(case: Accepted) -> Order:
    """An operator's decision, carried out as far as that goes within an hour."""
    await case.issuer.ask(commands.FailOrder(request_id=case.id, reason=WHY), by="olga")
    for _ in range(12):
        if (await case.stored()).settlement is None:
            break
        await case.issuer.ordering.advance(await case.stored())
        case.issuer.clock.advance(5 * MINUTE)
    return await case.stored()


def assert_ended(case: Accepted, order: Order, *further: str) -> None:
    """The request has failed, and its requesters read who ended it and why."""
    assert (order.state, order.due, order.settlement) == (OrderState.FAILED, None, None)
    told = lifecycle(case.issuer.publisher.published)[-1]
    assert told.type == "ra.request.failed.v1"
    ended, *others = data_of(told)["findings"]
    assert (ended["code"], ended["value"]) == ("order.ended-by-operator", "olga")
    assert ended["message"] == f"olga has ended this request: {WHY}"
    assert [found["code"] for found in others] == list(further)


async def waiting() -> Accepted:
    """The CA has the order and does not issue."""
    case = await accept()
    case.issuer.ca.slow = timedelta(days=900)
    await case.issuer.ordering.advance(await case.stored())
    await case.issuer.ordering.advance(await case.stored())
    assert (await case.stored()).state is OrderState.PENDING
    return case


async def test_what_was_never_ordered_ends_although_the_ca_cannot_be_asked() -> None:
    case = await accept()
    case.issuer.ca.mends = MAY_NOT
    await case.issuer.ordering.advance(await case.stored())
    held = await case.stored()
    assert f"ra orders fail {case.id} --reason" in what_to_do(held)
    case.issuer.ca.away = True
    assert_ended(case, await want_ended(case))
    assert case.issuer.ca.orders == []


async def test_what_waits_at_the_ca_does_not_end_before_its_order_is_cancelled_there() -> None:
    case = await waiting()
    ca = case.issuer.ca
    order = await want_ended(case)
    (found,) = order.findings
    assert (order.state, found.code, found.value) == (OrderState.PENDING, "order.is-there", "1")
    assert "cancel it at the CA first" in found.message
    assert order.due is not None, "it is followed as before"
    ca.end(ca.orders[0], REFUSAL)
    assert_ended(case, await want_ended(case))


async def test_an_order_that_the_ca_knows_no_longer_can_be_ended() -> None:
    case = await waiting()
    case.issuer.ca.orders.clear()
    assert_ended(case, await want_ended(case))


async def test_an_order_that_has_lost_our_id_at_the_ca_is_known_by_its_number() -> None:
    case = await waiting()
    case.issuer.ca.forgets_ids = True
    order = await want_ended(case)
    assert (order.state, [found.value for found in order.findings]) == (OrderState.PENDING, ["1"])


async def test_what_is_unclear_ends_once_the_ca_has_no_live_order_of_it() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.silent = True
    await case.issuer.ordering.advance(await case.stored())
    ca.orders.append(replace(ca.orders[0], order_id=OrderId(99), chain=()))
    await case.issuer.work_off()
    assert f"ra orders fail {case.id} --reason" in what_to_do(await case.stored())
    order = await want_ended(case)
    assert (order.state, order.due) == (OrderState.UNCLEAR, None)
    assert [(found.code, found.value) for found in order.findings][1:] == [("order.is-there", "1, 99")]
    for taken in ca.orders:
        ca.end(taken, REFUSAL)
    assert_ended(case, await want_ended(case))


async def test_an_order_that_the_look_up_does_not_show_yet_is_waited_for_and_taken_over() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.silent, ca.lag = True, 3 * LAG
    await case.issuer.ordering.advance(await case.stored())
    order = await want_ended(case)
    assert (order.state, [found.code for found in order.findings][-1]) == (OrderState.INTENT, "order.is-there")
    await case.issuer.work_off()
    assert ((await case.stored()).state, len(ca.orders)) == (OrderState.ISSUED, 1)


async def test_an_order_that_the_ledger_has_forgotten_is_looked_for_before_its_request_ends() -> None:
    case = await accept()
    issuer = case.issuer
    before = issuer.orders.documents[case.id]
    issuer.ca.slow = timedelta(days=1)
    await issuer.ordering.advance(await case.stored())
    issuer.orders.documents[case.id] = before
    issuer.clock.advance(MINUTE)
    issuer.ordering = issuer.new_copy()
    order = await want_ended(case)
    assert (order.state, [found.code for found in order.findings]) == (OrderState.ACCEPTED, ["order.is-there"])
    await issuer.work_off()
    assert ((await case.stored()).state, len(issuer.ca.orders)) == (OrderState.ISSUED, 1)


async def test_an_order_that_may_be_the_requests_and_may_be_anothers_is_named() -> None:
    case = await accept()
    case.issuer.ca.forgets_ids = case.issuer.ca.silent = True
    await case.issuer.ordering.advance(await case.stored())
    await case.issuer.work_off()
    order = await want_ended(case)
    assert_ended(case, order, "order.left-there")
    assert "Order 1 at the CA may be this request's: have it cancelled there" in what_to_do(order)


async def test_a_ca_that_is_away_is_waited_for_and_what_the_operator_wants_is_kept() -> None:
    case = await waiting()
    case.issuer.ca.away = True
    assert (await want_ended(case)).settlement is not None
    assert what_to_do(await case.stored()).startswith("Nothing: it is decided")
    case.issuer.ca.away = False
    case.issuer.ca.orders.clear()
    await case.issuer.work_off()
    assert_ended(case, await case.stored())


async def test_the_same_decision_delivered_twice_is_answered_twice_and_taken_once() -> None:
    case = await waiting()
    wanted = command(commands.FailOrder(request_id=case.id, reason=WHY), by="olga")
    first = await case.issuer.handle(wanted)
    for _ in range(3):
        await case.issuer.ordering.advance(await case.stored())
        case.issuer.clock.advance(5 * MINUTE)
    assert await case.issuer.handle(wanted) == first
    assert (await case.stored()).settlement is None


@pytest.mark.parametrize("by", ["shop", "portal", "alice", "ben"])
async def test_nobody_ends_a_request_without_the_permission_to_audit_its_group(by: str) -> None:
    case = await accept()
    assert await case.issuer.refused(commands.FailOrder(request_id=case.id, reason=WHY), by=by) == ["request.unknown"]


@pytest.mark.parametrize("state", [state for state in OrderState if state not in OPEN_ORDERS])
async def test_what_is_at_its_end_cannot_be_ended(state: OrderState) -> None:
    case = await accept()
    case.issuer.orders.documents[case.id] = (await case.stored()).model_copy(update={"state": state}).model_dump_json()
    wanted = commands.FailOrder(request_id=case.id, reason=WHY)
    assert await case.issuer.refused(wanted, by="olga") == ["order.not-open"]


async def test_what_was_withdrawn_meanwhile_stays_withdrawn() -> None:
    issuer = Issuer()
    case = await accept(issuer=issuer)
    await issuer.ask(commands.FailOrder(request_id=case.id, reason=WHY), by="olga")
    withdrawn = (await case.stored()).model_copy(update={"state": OrderState.WITHDRAWN})
    issuer.orders.documents[case.id] = withdrawn.model_dump_json()
    await issuer.work_off()
    assert ((await case.stored()).state, case.happened()) == (OrderState.WITHDRAWN, [])
