"""What operators see of the orders at the CA, and who may."""

import pytest

from services.issuer.advice import what_to_do
from services.issuer.model import Order
from shared.contracts import commands
from shared.contracts.replies import OrderResult, OrdersResult
from shared.vocabulary.findings import finding
from shared.vocabulary.names import OrderId
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.duties import Issuer
from tests.fakes.ledger import Accepted, accept

MEND = finding("ca.permission-missing", "the API key lacks a permission; an operator must act; the CA said: no")


async def listed(issuer: Issuer, **asked: object) -> OrdersResult:
    answer = await issuer.ask(commands.ListOrders.model_validate(asked), by="olga")
    assert isinstance(answer.result, OrdersResult)
    return answer.result


async def shown(case: Accepted) -> OrderResult:
    answer = await case.issuer.ask(commands.ShowOrder(request_id=case.id), by="olga")
    assert isinstance(answer.result, OrderResult)
    return answer.result


async def test_orders_that_are_not_at_their_end_are_listed_page_by_page_with_the_reason_why_they_wait() -> None:
    issuer = Issuer()
    cases = [await accept(issuer=issuer) for _ in range(3)]
    await issuer.ordering.advance(await cases[0].stored())
    issuer.ca.mends = MEND
    await issuer.ordering.advance(await cases[1].stored())
    page = await listed(issuer, limit=1)
    assert ([order.request_id for order in page.orders], page.more) == ([cases[1].id], True)
    assert (page.orders[0].state, page.orders[0].findings) == (OrderState.ACCEPTED, (MEND,))
    rest = await listed(issuer, after=cases[1].id)
    assert ([order.request_id for order in rest.orders], rest.more) == ([cases[2].id], False)
    ended = await listed(issuer, states=("issued",), approval_group="web")
    assert [order.request_id for order in ended.orders] == [cases[0].id]


async def test_an_order_is_shown_with_its_ids_its_tries_and_when_it_is_looked_at_next() -> None:
    case = await accept()
    case.issuer.ca.mends = MEND
    for _ in range(2):
        await case.issuer.ordering.advance(await case.stored())
    result = await shown(case)
    order = await case.stored()
    assert (result.tries, result.attempt, result.alternative_order_id) == (2, 1, order.alternative_order_id)
    assert result.next_look is not None
    assert int(result.next_look.timestamp() * 1000) == order.due
    assert result.requesters == ("shop",)
    case.issuer.ca.mends = None
    await case.issuer.work_off()
    result = await shown(case)
    assert (result.order.state, result.order.order_id, result.order.findings) == (OrderState.ISSUED, 1, ())
    assert (result.certificate_id, result.next_look) == (1001, None)


@pytest.mark.parametrize("by", ["shop", "portal", "alice", "ben"])
async def test_nobody_sees_or_settles_an_order_without_the_permission_to_audit_its_group(by: str) -> None:
    case = await accept()
    assert await case.issuer.refused(commands.ListOrders(), by=by) == ["identity.not-permitted"]
    assert await case.issuer.refused(commands.ShowOrder(request_id=case.id), by=by) == ["request.unknown"]
    settled = commands.SettleOrder(request_id=case.id, adopt=OrderId(1))
    assert await case.issuer.refused(settled, by=by) == ["request.unknown"]


async def test_the_permission_for_another_group_is_not_enough() -> None:
    case = await accept()
    case.issuer.adopt(world.policy_text().replace('["view", "download", "revoke", "audit"]', '["view"]'))
    assert await case.issuer.refused(commands.ListOrders(), by="olga") == ["identity.not-permitted"]
    case.issuer.adopt(world.policy_text())
    other = commands.ListOrders.model_validate({"approval_group": "mail"})
    assert await case.issuer.refused(other, by="olga") == ["identity.not-permitted"]
    unknown = commands.ShowOrder(request_id=world.content().request_id)
    assert await case.issuer.refused(unknown, by="olga") == ["request.unknown"]


@pytest.mark.parametrize("state", list(OrderState))
def test_every_state_says_what_to_do(state: OrderState) -> None:
    order = Order(id=world.content().request_id, state=state, order_id=OrderId(7))
    assert what_to_do(order).endswith(".")
    held = order.model_copy(update={"findings": (MEND,)})
    assert (what_to_do(held) != what_to_do(order)) is (state in {OrderState.ACCEPTED, OrderState.PENDING})
