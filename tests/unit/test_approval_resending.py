"""Telling the issuer of an approval once more: the same news under the same id, by auditors only."""

from services.issuer.model import Order
from shared.contracts import commands
from shared.vocabulary.orders import OrderState
from tests.fakes.cases import open_case
from tests.fakes.duties import Issuer, delivery_of, lifecycle


async def test_a_ledger_that_has_lost_an_approval_gets_it_again_and_one_that_has_it_orders_nothing_twice() -> None:
    case = await open_case()
    await case.approve("alice")
    await case.approve("ben")
    (told,) = lifecycle(case.duty.publisher.published)
    resend = commands.ResendVerdict(request_id=case.id)
    for _ in range(2):
        assert (await case.duty.ask(resend, by="olga")).result is not None
    first, *again = lifecycle(case.duty.publisher.published)
    assert [message.id for message in again] == [told.id, told.id] == [first.id] * 2
    issuer = Issuer()
    for message in (first, *again):
        await issuer.handle(delivery_of(message, "approval"))
        await issuer.work_off()
    order = await issuer.orders.load(case.id)
    assert isinstance(order, Order)
    assert order.state is OrderState.ISSUED
    assert len(issuer.ca.orders) == 1


async def test_only_auditors_have_a_verdict_told_again_and_only_where_there_is_one() -> None:
    case = await open_case()
    resend = commands.ResendVerdict(request_id=case.id)
    assert await case.duty.refused(resend, by="olga") == ["request.not-approved"]
    for who in ("alice", "shop", "portal"):
        assert await case.duty.refused(resend, by=who) == ["request.unknown"]
