"""Ordering: whatever the CA answers, and whenever, nothing is ordered twice and nothing is lost."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.issuer.model import Order
from services.issuer.ports import OrderRequest, PlacedOrder
from services.issuer.rules import signed_chain
from shared.errors import ConflictError, UnavailableError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, verify_evidence
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Intent
from shared.evidence.verification import read_issuance, verify_approval, verify_issuance
from shared.identifiers import new_request_id
from shared.vocabulary.names import OrderId
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.authority import REFUSAL, TakenOrder
from tests.fakes.duties import LAG, LEASE, PACE, Issuer, data_of, lifecycle
from tests.fakes.ledger import Accepted, accept
from tests.world import NOW, signing_key

UNFIT = {"allowed_ca_certs": ("another",)}
SECOND = timedelta(seconds=1)
QUORUM_OF_THREE = world.newer_policy(("quorum = 2", "quorum = 3"))


async def test_an_order_that_is_issued_at_once_takes_one_call_and_ends_in_a_certificate() -> None:
    case = await accept()
    await case.issuer.work_off()
    assert case.happened() == ["ra.certificate.issued.v1"]
    order = await case.stored()
    assert (order.state, order.due, order.unpublished, order.sequence) == (OrderState.ISSUED, None, (), 3)
    (taken,) = case.issuer.ca.orders
    assert signed_chain(order, case.issuer.in_force.anchor, now=case.issuer.clock.now()) == taken.chain
    evidence = case.begun.evidence.model_copy(update={"issuance": order.issuance})
    anchor = case.issuer.in_force.anchor
    approval = verify_approval(evidence, anchor, now=NOW)
    issuance, _ = verify_issuance(evidence, approval, anchor, now=case.issuer.clock.now())
    assert issuance.outcome == "issued"


async def test_what_is_ordered_is_what_was_approved() -> None:
    case = await accept(world.content(expires_on=(NOW + timedelta(days=30)).date()))
    await case.issuer.work_off()
    request, revision = case.issuer.ca.orders[0].request, case.begun.revision
    assert (request.csr, request.dns_names, request.common_name) == (
        revision.csr,
        revision.names.dns,
        revision.subject.common_name,
    )
    assert (request.expires_on, request.product) == (revision.expires_on, "ssl_basic")


async def test_an_order_that_waits_at_the_ca_is_told_of_once_and_followed_until_it_is_issued() -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(minutes=5)
    await case.issuer.work_off()
    assert case.happened() == ["ra.request.ordered.v1", "ra.certificate.issued.v1"]
    assert [message.body.count('"sequence":"') for message in lifecycle(case.issuer.publisher.published)] == [1, 1]
    assert len(case.issuer.ca.orders) == 1


async def test_a_refusal_of_the_ca_is_passed_on_in_its_own_words() -> None:
    case = await accept()
    case.issuer.ca.refuses = True
    await case.issuer.work_off()
    (told,) = lifecycle(case.issuer.publisher.published)
    assert data_of(told)["findings"] == [REFUSAL.model_dump(mode="json")]
    assert (await case.stored()).state is OrderState.FAILED


async def test_an_order_that_the_ca_ends_fails() -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(days=30)
    await case.issuer.ordering.advance(await case.stored())
    case.issuer.ca.orders[0].ended = (REFUSAL,)
    await case.issuer.work_off()
    assert case.happened() == ["ra.request.ordered.v1", "ra.request.failed.v1"]


@pytest.mark.parametrize("lag", [timedelta(0), LAG])
async def test_an_order_without_an_answer_is_found_again_and_not_placed_twice(lag: timedelta) -> None:
    case = await accept()
    case.issuer.ca.silent, case.issuer.ca.lag = True, lag
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_an_order_that_was_lost_on_its_way_is_placed_again_once_the_look_up_can_be_believed() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.deaf = True
    await case.issuer.ordering.advance(await case.stored())
    ca.deaf = False
    await case.issuer.work_off()
    assert len(ca.orders) == 1
    assert ca.orders[0].placed_at >= NOW + LEASE + LAG
    order = await case.stored()
    assert (order.attempt, order.tries) == (1, 2), "the same id both times, so that one look-up finds both"
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_several_orders_for_one_intent_are_left_to_people() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.silent = True
    await case.issuer.ordering.advance(await case.stored())
    ca.orders.append(replace(ca.orders[0], order_id=OrderId(99)))
    await case.issuer.work_off()
    order = await case.stored()
    assert (order.state, order.due, case.happened()) == (OrderState.UNCLEAR, None, [])
    assert [each.code for each in order.findings] == ["order.unclear"]


async def test_while_the_ca_is_away_nothing_is_ordered_and_then_it_goes_on_by_itself() -> None:
    """So does a credential that the CA refuses: the adapter says that the CA is away."""
    case = await accept()
    case.issuer.ca.away = True
    for _ in range(3):
        await case.issuer.ordering.advance(await case.stored())
        case.issuer.clock.advance(timedelta(minutes=1))
    assert (await case.stored()).state is OrderState.ACCEPTED
    case.issuer.ca.away = False
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_a_ca_that_goes_away_between_question_and_order_has_certainly_not_acted() -> None:
    case = await accept()
    ca = case.issuer.ca
    ca.steps.when = lambda what: setattr(ca, "away", what == "before ordering")
    await case.issuer.ordering.advance(await case.stored())
    ca.steps.when = lambda _: None
    ca.away = False
    assert (await case.stored()).state is OrderState.ACCEPTED
    await case.issuer.work_off()
    assert len(ca.orders) == 1


async def test_a_product_that_does_not_fit_gives_the_approval_back_each_time_anew() -> None:
    """Two rounds by the same people: the second return must not be taken for the first one again."""
    case = await accept()
    case.issuer.ca.says = UNFIT
    await case.issuer.work_off()
    await case.approve_again(sequence=4)
    await case.issuer.work_off()
    assert case.happened() == ["ra.request.returned.v1"] * 2
    assert len({message.id for message in lifecycle(case.issuer.publisher.published)}) == 2
    assert case.issuer.ca.orders == []


async def test_whether_a_product_fits_is_asked_once_in_a_while() -> None:
    case = await accept()
    await case.issuer.work_off()
    case.issuer.ca.says = UNFIT
    second = await accept(issuer=case.issuer)
    await case.issuer.work_off()
    assert second.happened() == ["ra.certificate.issued.v1"]
    case.issuer.clock.advance(timedelta(hours=2))
    third = await accept(issuer=case.issuer)
    await case.issuer.work_off()
    assert third.happened() == ["ra.request.returned.v1"]


async def test_an_approval_that_stops_holding_before_the_order_is_given_back() -> None:
    case = await accept()
    case.issuer.adopt(world.policy_text().replace("quorum = 2", "quorum = 3"))
    await case.issuer.work_off()
    (told,) = lifecycle(case.issuer.publisher.published)
    assert told.type == "ra.request.returned.v1"
    assert data_of(told)["verdict"] == (await case.stored()).verdict
    assert case.issuer.ca.orders == []
    assert case.issuer.counted("ra_evidence_refused", code="evidence.quorum-missing") == 1


async def test_a_policy_that_comes_while_the_ca_is_asked_whether_it_fits_is_the_one_that_counts() -> None:
    case = await accept()
    issuer = case.issuer
    issuer.ca.steps.when = lambda what: issuer.adopt(QUORUM_OF_THREE) if what == "asked" else None
    await case.issuer.work_off()
    assert case.happened() == ["ra.request.returned.v1"]
    assert case.issuer.ca.orders == []


@pytest.mark.parametrize(
    "change",
    [("quorum = 2", "quorum = 3"), ('permissions.web = ["decide", "view", "submit"]', "")],
    ids=["a larger quorum", "an approver who has left"],
)
async def test_what_was_ordered_rightly_is_delivered_though_the_policy_has_changed_since(
    change: tuple[str, str],
) -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(minutes=10)
    await case.issuer.ordering.advance(await case.stored())
    then = case.issuer.in_force.policy
    case.issuer.adopt(world.newer_policy(change))
    await case.issuer.work_off()
    assert case.happened() == ["ra.request.ordered.v1", "ra.certificate.issued.v1"]
    evidence = case.begun.evidence.model_copy(update={"issuance": (await case.stored()).issuance})
    file = EvidenceFile(request_id=case.id, evidence=evidence)
    assert verify_evidence(file, Anchor.of(then), now=case.issuer.clock.now()).issued
    _, issuance = read_issuance(evidence.issuance or "", Anchor.of(then), now=case.issuer.clock.now())
    assert issuance.policy_digest == then.digest


def _signed_by(order: Order, signer: str, **changes: object) -> str:
    said = Intent.read(payload_of(order.intent or ""), code="a.b").model_copy(update=changes)
    return signing_key(signer).sign(said.canonical(), Typ.INTENT, NOW)


CHANGED_LEDGERS: dict[str, tuple[Callable[[Order], dict[str, object]], str]] = {
    "no intent": (lambda _: {"intent": None}, "evidence.malformed"),
    "an intent of a stranger's": (lambda o: {"intent": _signed_by(o, "mallory")}, "evidence.unknown-key"),
    "an intent of approval's": (lambda o: {"intent": _signed_by(o, "approval")}, "evidence.unknown-key"),
    "an issuance instead": (
        lambda o: {"intent": signing_key("issuer").sign(payload_of(o.intent or ""), Typ.ISSUANCE, NOW)},
        "evidence.wrong-typ",
    ),
    "another request's intent": (
        lambda o: {"intent": _signed_by(o, "issuer", request_id=new_request_id())},
        "evidence.intent-differs",
    ),
    "another attempt's intent": (
        lambda o: {"intent": _signed_by(o, "issuer", alternative_order_id="x")},
        "evidence.intent-differs",
    ),
    "another approval": (lambda _: {"evidence": world.approved().evidence}, "evidence.intent-differs"),
    "another verdict": (
        lambda o: {
            "evidence": o.evidence and o.evidence.model_copy(update={"verdict": world.approved().evidence.verdict})
        },
        "evidence.intent-differs",
    ),
    "no verdict": (
        lambda o: {"evidence": o.evidence and o.evidence.model_copy(update={"verdict": None})},
        "evidence.verdict-missing",
    ),
}


@pytest.mark.parametrize(("change", "code"), CHANGED_LEDGERS.values(), ids=CHANGED_LEDGERS)
async def test_what_the_ledger_says_without_the_issuers_own_signed_intent_is_never_delivered(
    change: Callable[[Order], dict[str, object]], code: str
) -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(minutes=10)
    await case.issuer.ordering.advance(await case.stored())
    order = await case.stored()
    case.issuer.orders.documents[case.id] = order.model_copy(update=change(order)).model_dump_json()
    await case.issuer.work_off()
    stored = await case.stored()
    assert stored.state is OrderState.QUARANTINED
    assert [found.code for found in stored.findings] == [code, "issued.revocation-proposed"]


@pytest.mark.parametrize("difference", ["name", "intermediate", "later", "key"])
async def test_a_certificate_that_differs_is_held_back_with_its_reasons(difference: str) -> None:
    case = await accept()
    ca = case.issuer.ca
    match difference:
        case "name":
            ca.common_name = "evil.example.com"
        case "intermediate":
            ca.steps.when = lambda what: _with_chain_of(world.Ca(), ca.orders) if what == "after ordering" else None
        case "later":
            ca.steps.when = lambda what: _longer(ca.orders) if what == "after ordering" else None
        case _:
            ca.steps.when = lambda what: _other_key(ca.orders) if what == "after ordering" else None
    await case.issuer.work_off()
    (told,) = lifecycle(case.issuer.publisher.published)
    assert told.type == "ra.certificate.quarantined.v1"
    *differences, proposal = data_of(told)["findings"]
    assert differences
    assert f"ra revoke {case.id}" in proposal["message"]
    assert (await case.stored()).state is OrderState.QUARANTINED
    assert case.issuer.counted("ra_certificates_quarantined") == 1


def _certified(ca: world.Ca, ordered: OrderRequest, *, csr: bytes | None = None, days: int = 100) -> tuple[bytes, ...]:
    leaf = ca.certify(
        csr or ordered.csr,
        ordered.dns_names,
        common_name=ordered.common_name,
        not_before=NOW,
        not_after=NOW + timedelta(days=days),
    )
    return (leaf, ca.intermediate, ca.root)


def _with_chain_of(ca: world.Ca, orders: list[TakenOrder]) -> None:
    orders[0].chain = _certified(ca, orders[0].request)


def _longer(orders: list[TakenOrder]) -> None:
    orders[0].chain = _certified(world.shared_ca(), orders[0].request, days=800)


def _other_key(orders: list[TakenOrder]) -> None:
    other = world.revision_of(world.content(), world.policy()).csr
    orders[0].chain = _certified(world.shared_ca(), orders[0].request, csr=other)


async def test_an_expiration_date_that_cannot_be_had_any_more_on_the_day_of_issue_is_explained_and_not_cut() -> None:
    """Public certificates get shorter on a day between approval and order (BR 6.3.2: 100 days from 2027-03-15 on)."""
    approved = datetime(2027, 3, 12, 12, tzinfo=UTC)
    issuer = Issuer()
    issuer.clock.instant = approved
    issuer.ordering = issuer.new_copy()
    case = Accepted(issuer, world.approved(world.content(expires_on=date(2027, 8, 31)), at=approved))
    await issuer.handle(case.delivery())
    issuer.clock.advance(timedelta(days=4))
    await issuer.work_off()
    (told,) = lifecycle(issuer.publisher.published)
    (found,) = data_of(told)["findings"]
    assert (told.type, found["code"], issuer.ca.orders) == ("ra.request.returned.v1", "validity.too-long", [])
    assert "until 2027-06-23 at most" in found["message"]


async def test_a_lease_that_ran_out_is_never_used_to_order() -> None:
    """Storing the intent took too long: whoever has the entry by now may order as well."""
    case = await accept()
    issuer = case.issuer

    def slow_write(what: str) -> None:
        if what == "after writing" and '"intent"' in issuer.orders.documents[case.id]:
            issuer.clock.advance(LEASE / 2)

    issuer.steps.when = slow_write
    await issuer.ordering.advance(await case.stored())
    assert issuer.ca.orders == []
    issuer.steps.when = lambda _: None
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1


async def test_an_order_placed_at_the_last_moment_of_its_lease_is_not_placed_again_by_who_takes_over() -> None:
    case = await accept()
    issuer = case.issuer
    issuer.ca.lag, issuer.ca.takes, issuer.ca.silent = LAG, LEASE / 2 - SECOND, True
    late = True

    def slow_write(what: str) -> None:
        nonlocal late
        if what == "after writing" and late:
            late = False
            issuer.clock.advance(LEASE / 2 - SECOND)

    issuer.steps.when = slow_write
    issuer.steps.crash_at = None
    await issuer.ordering.advance(await case.stored())
    issuer.ca.takes, issuer.ca.silent = timedelta(0), False
    order = await case.stored()
    forgotten = order.model_copy(update={"due": order.intended_at_ms + 60_000})
    issuer.orders.documents[case.id] = forgotten.model_dump_json()  # as if it had died before it noted the silence
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_an_order_that_the_ca_never_answers_ends_with_half_the_lease() -> None:
    case = await accept()

    async def hang(_order: OrderRequest) -> PlacedOrder:
        await asyncio.Event().wait()
        raise AssertionError

    ordering = case.issuer.new_copy(replace(PACE, lease=timedelta(milliseconds=2)))
    case.issuer.ca.place = hang  # type: ignore[assignment,method-assign]  # an order that takes for ever
    await ordering.advance(await case.stored())
    assert (await case.stored()).state is OrderState.INTENT


async def test_of_two_copies_that_take_up_the_same_entry_one_orders() -> None:
    case = await accept()
    one, other = case.issuer.ordering, case.issuer.new_copy()
    entry = await case.stored()
    results = await asyncio.gather(one.advance(entry), other.advance(entry), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [ConflictError]
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_of_two_copies_that_take_over_the_same_intent_one_asks_the_ca() -> None:
    case = await accept()
    case.issuer.ca.silent = True
    await case.issuer.ordering.advance(await case.stored())
    entry = await case.stored()
    copies = (case.issuer.new_copy(), case.issuer.new_copy())
    results = await asyncio.gather(*(copy.advance(entry) for copy in copies), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [ConflictError]
    assert case.issuer.ca.look_ups == 1


async def test_what_a_copy_with_a_newer_policy_accepted_waits_in_a_copy_that_does_not_have_it_yet() -> None:
    begun = world.renewed(world.accepted(), world.policy(QUORUM_OF_THREE))
    case = Accepted(Issuer(QUORUM_OF_THREE), world.judged(begun, by=("alice", "ben", "carol")))
    await case.issuer.handle(case.delivery())
    case.issuer.adopt(world.policy_text())
    for _ in range(3):
        await case.issuer.ordering.advance(await case.stored())
        case.issuer.clock.advance(timedelta(minutes=1))
    assert (case.happened(), case.issuer.ca.orders) == ([], [])
    assert (await case.stored()).state is OrderState.ACCEPTED
    case.issuer.adopt(QUORUM_OF_THREE)
    await case.issuer.work_off()
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_events_that_could_not_be_published_are_published_later_and_before_anything_else() -> None:
    case = await accept()
    case.issuer.publisher.away = True
    with pytest.raises(UnavailableError):
        await case.issuer.ordering.advance(await case.stored())
    case.issuer.publisher.away = False
    await case.issuer.work_off()
    assert case.happened() == ["ra.certificate.issued.v1"]


async def test_an_approval_accepted_while_the_last_return_is_unannounced_is_ordered_all_the_same() -> None:
    case = await accept()
    case.issuer.ca.says = UNFIT
    await case.issuer.work_off()
    order = await case.stored()
    told = lifecycle(case.issuer.publisher.published)[0]
    unannounced = order.model_copy(update={"unpublished": (told,), "due": 0})
    case.issuer.orders.documents[case.id] = unannounced.model_dump_json()
    case.issuer.ca.says = {}
    case.issuer.clock.advance(timedelta(hours=2))
    await case.approve_again(sequence=4)
    await case.issuer.work_off()
    assert case.happened()[-1] == "ra.certificate.issued.v1"


async def test_an_entry_with_nothing_to_do_is_not_looked_at_again() -> None:
    issuer = Issuer()
    entry = Order(id=world.content().request_id, state=OrderState.FAILED, due=0)
    await issuer.orders.insert(entry)
    await issuer.ordering.advance(entry)
    assert (await issuer.orders.due(2**53, limit=5)) == []
