"""Every way in which a call of the CA can fail, at every call that ordering depends on: one order, and never two."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

import pytest

from shared.vocabulary.orders import OrderState
from tests.fakes.offices import TIMEOUT, Ground, Office
from tests.fakes.virtual_time import run_virtually

LATE = 10 * TIMEOUT
"""Far beyond any patience."""
FOR_EVER = 1_000_000
FAULTS: dict[str, dict[str, object]] = {
    "connection refused": {},
    "time-out before": {"kind": "hang", "seconds": LATE},
    "dropped before": {"kind": "drop"},
    "commit then drop": {"kind": "commit_then_drop"},
    "429": {"kind": "answer", "status": 429, "code": "request_limit_exceeded"},
    "429 of a proxy": {"kind": "html", "status": 429},
    "500": {"kind": "answer", "status": 500, "code": "internal_server_error"},
    "commit then 500": {"kind": "commit_then_answer", "status": 500},
    "503 with HTML": {"kind": "html", "status": 503},
    "malformed JSON": {"kind": "malformed"},
    "wrong type": {"kind": "wrong_type"},
    "slow body": {"kind": "slow_body", "seconds": LATE},
    "403": {"kind": "answer", "status": 403, "code": "access_denied|missing_permission"},
    "404 of the call": {"kind": "answer", "status": 404, "code": "not_found|route"},
}


class Story(NamedTuple):
    """How an order comes to need a call: the knobs, and what goes wrong before."""

    knobs: dict[str, object]
    before: tuple[dict[str, object], ...] = ()


SLOWLY: dict[str, object] = {"immediate_issuance": False, "validation_delay_seconds": 240}
CALLS = {
    "order.place": Story({}),
    "order.info": Story(SLOWLY),
    "order.changes": Story(SLOWLY),
    "certificate.download": Story(SLOWLY),
    "order.alternate": Story({}, ({"endpoint": "order.place", "kind": "commit_then_drop"},)),
    "order.list": Story({}, ({"endpoint": "order.place", "kind": "drop"},)),
    "request.approve": Story({"approval": "pending"}),
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def begun(ground: Ground, endpoint: str, fault: str, times: int) -> Office:
    """An office with one approved request, and a CA that fails so often at this call."""
    story, office = CALLS[endpoint], Office.opened(ground)
    faults = [*story.before, *([{"endpoint": endpoint, "times": times, **FAULTS[fault]}] if FAULTS[fault] else [])]
    office.knobs(**story.knobs, faults=faults)
    if not FAULTS[fault]:
        office.refused[endpoint] = times
    office.approve()
    return office


every_fault = pytest.mark.parametrize("fault", list(FAULTS))
every_call = pytest.mark.parametrize("endpoint", list(CALLS))


@every_fault
@every_call
def test_a_failure_that_passes_ends_in_one_order_and_one_certificate(ground: Ground, endpoint: str, fault: str) -> None:
    async def story() -> None:
        office = begun(ground, endpoint, fault, times=2)
        async with office.process():
            await office.until()
        (entry,) = office.orders.all()
        (order,) = office.placed()
        assert (entry.state, entry.order_id) == (OrderState.ISSUED, order.id)
        assert [message.type for message in office.told()][-1] == "ra.certificate.issued.v1"

    run_virtually(story())


@every_fault
@every_call
def test_a_failure_that_stays_leaves_at_most_one_order_and_says_why_it_waits(
    ground: Ground, endpoint: str, fault: str
) -> None:
    async def story() -> None:
        office = begun(ground, endpoint, fault, times=FOR_EVER)
        async with office.process() as process:
            await asyncio.sleep(timedelta(minutes=15).total_seconds())
            feed_age = process.registry.get_sample_value("ra_ca_feed_age_seconds")
        (entry,) = office.orders.all()
        assert len(office.placed()) <= 1
        if entry.state is OrderState.ISSUED:  # the look-up, or the daily look, got round it
            assert len(office.placed()) == 1
        elif endpoint == "order.changes":
            assert entry.state is OrderState.PENDING
            assert feed_age is not None
            assert feed_age > 600, "an operator is told that the feed cannot be read"
        else:
            assert entry.findings, "an operator sees why"
            assert entry.state in {OrderState.ACCEPTED, OrderState.INTENT, OrderState.PENDING, OrderState.UNCLEAR}
            assert entry.due is not None or entry.state is OrderState.UNCLEAR

    run_virtually(story())


CODES = {
    "csr_invalid_cannot_parse": OrderState.FAILED,
    "caa_check_failed|example.com": OrderState.FAILED,
    "invalid_value:certificate.dns_names": OrderState.FAILED,
    "access_denied|access_denied_invalid_key": OrderState.ACCEPTED,
    "access_denied|missing_permission": OrderState.ACCEPTED,
    "invalid_value:organization.id": OrderState.ACCEPTED,
    "organization_expired": OrderState.ACCEPTED,
    "insufficient_funds": OrderState.ACCEPTED,
    "not_found|product": OrderState.ACCEPTED,
}


@pytest.mark.parametrize(("code", "state"), CODES.items())
def test_a_refusal_fails_what_its_requester_must_mend_and_holds_what_an_operator_must(
    ground: Ground, code: str, state: OrderState
) -> None:
    async def story() -> None:
        office = Office.opened(ground)
        refusal = {"endpoint": "order.place", "kind": "answer", "status": 400, "code": code, "body": "So it is."}
        office.knobs(faults=[{**refusal, "times": 6}])
        office.approve()
        async with office.process():
            await asyncio.sleep(60)
            (entry,) = office.orders.all()
            assert entry.state is state
            assert "So it is." in entry.findings[0].message
            whom = "the requester must act" if state is OrderState.FAILED else "an operator must act"
            again = "it is not tried again" if state is OrderState.FAILED else "it is tried again by itself"
            assert f"{whom}; {again}" in entry.findings[0].message
            await office.until()
        (entry,) = office.orders.all()
        assert entry.state is (OrderState.FAILED if state is OrderState.FAILED else OrderState.ISSUED)
        assert len(office.placed()) == (state is not OrderState.FAILED)

    run_virtually(story())
