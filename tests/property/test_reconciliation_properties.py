"""Whatever was published and whatever the CA has: what is honest is left in peace, and nothing valid is overlooked."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.desk.published import Fact, PublishedCertificate
from services.desk.reconciliation import ENDED, Discrepancy, Patience, reconcile
from shared.digicert.models import OrderInfo
from shared.identifiers import new_request_id
from shared.vocabulary.findings import Severity
from shared.vocabulary.names import ApprovalGroupName, CertificateId, OrderId
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr
from tests import world
from tests.world import DAY, NOW

GRACE = timedelta(hours=1)
LONG_AGO, JUST_NOW = (NOW - 3 * DAY).isoformat(), (NOW - GRACE / 2).isoformat()
STATUSES = ["pending", "needs_approval", "issued", "rejected", "revoked", "canceled", "reissue_pending", "odd"]


@cache
def csr(number: int) -> str:
    return world.make_csr(f"{number}.example.com")


@dataclass(frozen=True)
class Story:
    """A request, and the order that the CA has for it, if it has one."""

    fact: Fact
    order: OrderInfo | None = None


def fact(number: int, state: State, **changes: Any) -> Fact:
    made = Fact(
        request_id=new_request_id(),
        approval_group=ApprovalGroupName("web"),
        state=state,
        csr=parse_csr(csr(number % 5)).der,
        names=frozenset({f"{number % 5}.example.com"}),
        product="ssl_basic",
    )
    return replace(made, **changes)


def order(number: int, status: str, *, csr_of: int | None = None, **changes: Any) -> OrderInfo:
    shown = {"id": 1000 + number, "csr": csr(number % 5 if csr_of is None else csr_of)}
    fields = {"id": number, "status": status, "certificate": shown, "alternative_order_id": f"id-{number}"}
    return OrderInfo.model_validate(fields | {"date_created": LONG_AGO} | changes)


def certified(number: int, state: State) -> Fact:
    certificate = PublishedCertificate(
        CertificateId(1000 + number), f"id-{number}", number, NOW + DAY, is_revoked=state is State.REVOKED
    )
    return fact(number, state, order_id=OrderId(number), certificate=certificate)


HONEST: dict[str, Callable[[int], Story]] = {
    "issued": lambda n: Story(certified(n, State.ISSUED), order(n, "issued")),
    "revoked": lambda n: Story(certified(n, State.REVOKED), order(n, "revoked")),
    "ordered": lambda n: Story(fact(n, State.ORDERED, order_id=OrderId(n)), order(n, "pending")),
    "failed": lambda n: Story(fact(n, State.FAILED, order_id=OrderId(n)), order(n, "rejected")),
    "refused by the CA": lambda n: Story(fact(n, State.FAILED)),
    "approved": lambda n: Story(fact(n, State.APPROVED)),
    "denied": lambda n: Story(fact(n, State.DENIED)),
}
WORLDS = st.lists(st.sampled_from(sorted(HONEST)), max_size=8).map(
    lambda kinds: [HONEST[kind](number) for number, kind in enumerate(kinds, start=1)]
)


def judged(stories: Sequence[Story], *more: OrderInfo, known: Sequence[int] = ()) -> list[Discrepancy]:
    orders = [*(story.order for story in stories if story.order is not None), *more]
    return reconcile(
        [story.fact for story in stories],
        {each.order_id: each for each in orders},
        known=[OrderId(number) for number in known],
        patience=Patience(NOW, GRACE),
        complete=True,
    )


def codes(discrepancies: Sequence[Discrepancy]) -> list[tuple[str, int | None]]:
    return [(each.finding.code.removeprefix("reconcile."), each.order_id) for each in discrepancies]


@given(WORLDS)
def test_an_honest_world_has_nothing_wrong(stories: list[Story]) -> None:
    assert judged(stories) == []


@given(WORLDS, st.sampled_from(STATUSES))
def test_whatever_a_thief_of_the_key_orders_is_one_orphan_and_nothing_else(stories: list[Story], status: str) -> None:
    stolen = order(99, status, csr_of=5)
    assert codes(judged(stories, stolen)) == [("orphan", 99)]
    assert judged(stories, stolen, known=[99]) == []


@given(WORLDS.filter(lambda stories: any(story.order for story in stories)), st.data())
def test_an_order_that_vanishes_from_the_ca_is_unknown_to_it(stories: list[Story], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from([story for story in stories if story.order is not None]))
    left = [replace(story, order=None) if story is lost else story for story in stories]
    assert codes(judged(left)) == [("unknown-to-ca", lost.fact.order_id)]


@given(WORLDS.filter(lambda stories: any(story.order for story in stories)), st.data())
def test_a_second_order_under_a_published_id_is_one_duplicate(stories: list[Story], data: st.DataObject) -> None:
    first = data.draw(st.sampled_from([story.order for story in stories if story.order is not None]))
    second = order(99, "issued", csr_of=5, alternative_order_id=first.alternative_order_id)
    assert codes(judged(stories, second)) == [("duplicate", 99)]


ORDERS = st.builds(
    order,
    st.integers(1, 12),
    st.sampled_from(STATUSES),
    csr_of=st.integers(0, 5),
    alternative_order_id=st.none() | st.integers(1, 12).map(lambda number: f"id-{number}"),
    date_created=st.sampled_from([None, "?", LONG_AGO, JUST_NOW]),
)


@given(WORLDS, st.lists(ORDERS, max_size=6))
def test_no_order_that_is_alive_and_was_not_published_is_passed_over(
    stories: list[Story], others: list[OrderInfo]
) -> None:
    published = {story.fact.order_id for story in stories}
    strange = {each.order_id: each for each in others if each.order_id not in published}
    alive = {number for number, each in strange.items() if each.status not in ENDED}
    assert alive <= {each.order_id for each in judged(stories, *strange.values())}


@given(WORLDS, st.lists(ORDERS, max_size=6), st.randoms(use_true_random=False))
def test_what_is_found_does_not_depend_on_the_order_in_which_orders_are_listed(
    stories: list[Story], others: list[OrderInfo], chance: random.Random
) -> None:
    by_number = {each.order_id: each for each in others}
    shuffled = list(by_number.values())
    chance.shuffle(shuffled)
    here = [story for story in stories if story.fact.order_id not in by_number]
    assert sorted(codes(judged(here, *shuffled))) == sorted(codes(judged(here, *by_number.values())))


@given(WORLDS, st.lists(ORDERS, max_size=6), st.sets(st.integers(1, 12)))
def test_only_what_is_under_way_is_no_more_than_a_note(
    stories: list[Story], others: list[OrderInfo], known: set[int]
) -> None:
    for each in judged(stories, *others, known=sorted(known)):
        is_note = each.finding.severity is Severity.NOTE
        assert is_note is (each.finding.code == "reconcile.in-flight")
        assert each.proposal
