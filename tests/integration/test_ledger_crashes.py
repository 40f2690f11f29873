"""A process of the issuer dies at any of its steps, and another takes over: one order and one certificate."""

import random
from collections import defaultdict

import pytest

from shared.vocabulary.orders import OrderState
from tests.fakes.offices import Ground, Life, Office
from tests.fakes.virtual_time import run_virtually

ROUNDS, NEVER = 200, 10**6
WAYS: dict[str, dict[str, object]] = {
    "at once": {},
    "slowly": {"immediate_issuance": False, "validation_delay_seconds": 90},
    "with a download that lags": {"immediate_issuance": False, "download_lag_seconds": 40},
    "after an approval there": {"approval": "pending"},
    "with a look-up that lags": {"alternate_lag_seconds": 25, "info_lag_seconds": 25},
    "with answers that get lost": {"faults": [{"endpoint": "order.place", "kind": "commit_then_drop"}]},
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def lived(ground: Ground, way: str, crash_at: int) -> Life:
    """An approved request, and a process that dies at this step if it comes so far: in the end all is well."""

    async def story() -> Life:
        office = Office.opened(ground)
        office.knobs(**WAYS[way])
        office.approve()
        life = await office.survive(crash_at)
        try:
            check(office)
        except AssertionError as error:
            raise AssertionError(f"{way}, at step {crash_at}: {life.passed[-1]}") from error
        return life

    return run_virtually(story())


def check(office: Office) -> None:
    """One order, one certificate, and each thing told once, in order."""
    (order,) = office.placed()
    (entry,) = office.orders.all()
    assert (entry.state, entry.order_id, entry.unpublished) == (OrderState.ISSUED, order.id, ())
    told = [message.type for message in office.told()]
    assert told in (["ra.certificate.issued.v1"], ["ra.request.ordered.v1", "ra.certificate.issued.v1"])
    assert len({(message.id, message.body) for message in office.broker.published}) == len(told)


def test_a_crash_at_any_of_its_steps_leaves_one_order_and_one_certificate(ground: Ground) -> None:
    die = random.Random(20261120)  # noqa: S311 - repeatable, not secret
    points: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for way in WAYS:
        for number, step in enumerate(lived(ground, way, crash_at=NEVER).passed, start=1):
            points[" ".join(step.split()[:2])].append((way, number))
    effects = ("insert", "replace", "publish", "acknowledging", "POST", "GET", "PUT")
    assert set(points) == {f"{side} {effect}" for side in ("before", "after") for effect in effects}
    one_of_each = [die.choice(places) for places in points.values()]
    anywhere = [place for places in points.values() for place in places]
    for way, crash_at in (*one_of_each, *die.choices(anywhere, k=ROUNDS - len(one_of_each))):
        assert lived(ground, way, crash_at=crash_at).died.is_set(), "there was such a step"
