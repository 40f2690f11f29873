"""The process dies before or after any effect, and starts again: one order, one outcome, every event."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.messaging.runtime import Settlement
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.duties import LAG, LEASE, Issuer, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.ledger import Accepted

MOST_EFFECTS = 40
UNFIT = {"allowed_ca_certs": ("another",)}
POLICY = world.policy_text()


def at_once(_issuer: Issuer) -> None:
    """The CA issues at once."""


def slowly(issuer: Issuer) -> None:
    issuer.ca.slow = timedelta(seconds=75)


def without_an_answer(issuer: Issuer) -> None:
    issuer.ca.silent, issuer.ca.lag = True, LAG


def at_the_last_moment(issuer: Issuer) -> None:
    issuer.ca.takes, issuer.ca.lag = LEASE / 2 - timedelta(seconds=1), LAG


def otherwise(issuer: Issuer) -> None:
    issuer.ca.common_name = "evil.example.com"


def not_at_all(issuer: Issuer) -> None:
    issuer.ca.refuses = True


def unfit(issuer: Issuer) -> None:
    issuer.ca.says = UNFIT


STORIES: dict[str, tuple[Callable[[Issuer], None], int, list[str]]] = {
    "issued at once": (at_once, 1, ["ra.certificate.issued.v1"]),
    "issued later": (slowly, 1, ["ra.request.ordered.v1", "ra.certificate.issued.v1"]),
    "issued without an answer": (without_an_answer, 1, ["ra.certificate.issued.v1"]),
    "issued at the last moment": (at_the_last_moment, 1, ["ra.certificate.issued.v1"]),
    "quarantined": (otherwise, 1, ["ra.certificate.quarantined.v1"]),
    "refused": (not_at_all, 0, ["ra.request.failed.v1"]),
    "given back": (unfit, 0, ["ra.request.returned.v1"]),
}


async def story(tell: Callable[[Issuer], None], crash_at: int | None) -> Accepted:
    """The whole way of an approval through the issuer, with a crash at one of its effects."""
    issuer = Issuer(steps=Steps(crash_at))
    tell(issuer)
    case = Accepted(issuer, world.approved())
    acknowledged = False
    for _ in range(2):
        try:
            if not acknowledged:
                acknowledged = await issuer.runtime.handle(case.delivery()) is Settlement.ACKNOWLEDGE
            await issuer.work_off()
        except CrashError:
            issuer.steps.crash_at = None
            issuer.ordering = issuer.new_copy()
    return case


@pytest.mark.parametrize(("tell", "orders", "types"), STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("crash_at", [None, *range(1, MOST_EFFECTS)])
async def test_a_crash_at_any_effect_leaves_one_order_and_one_outcome(
    tell: Callable[[Issuer], None], orders: int, types: list[str], crash_at: int | None
) -> None:
    case = await story(tell, crash_at)
    assert len(case.issuer.ca.orders) == orders
    assert case.happened() == types
    assert case.sequences() == [3, 4][: len(types)]
    bodies = {(message.id, message.body) for message in lifecycle(case.issuer.publisher.published)}
    assert len(bodies) == len(types), "a repetition is the same to the byte"
    order = await case.stored()
    assert (order.unpublished, order.due) == ((), None)
    assert order.sequence == 2 + len(types)


async def test_the_crashes_above_hit_every_effect_of_every_story() -> None:
    for tell, _, _ in STORIES.values():
        case = await story(tell, None)
        assert 4 <= len(case.issuer.steps.passed) < MOST_EFFECTS


@pytest.mark.parametrize("crash_at", range(1, MOST_EFFECTS))
async def test_a_crash_in_each_of_two_processes_one_after_the_other_is_survived_too(crash_at: int) -> None:
    issuer = Issuer(steps=Steps(crash_at))
    issuer.ca.slow = timedelta(seconds=75)
    case = Accepted(issuer, world.approved())
    for crashes_left in (1, 0, 0):
        try:
            await issuer.runtime.handle(case.delivery())
            await issuer.work_off()
        except CrashError:
            issuer.steps.crash_at = len(issuer.steps.passed) + 3 if crashes_left else None
            issuer.ordering = issuer.new_copy()
    assert len(issuer.ca.orders) == 1
    assert case.happened() in (["ra.request.ordered.v1", "ra.certificate.issued.v1"], ["ra.certificate.issued.v1"])
    assert (await case.stored()).state is OrderState.ISSUED
