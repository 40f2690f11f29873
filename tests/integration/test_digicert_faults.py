"""Every way in which a call can fail, for every call that ordering depends on: what the client makes of it.

An outcome is `retry` (it certainly was not done: the same call may be made again), `unclear` (it may have been done:
look first) or `refused` (the CA's considered no). A read leaves nothing behind, so its failures are never unclear.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from shared.digicert.client import DigiCertClient
from shared.digicert.diagnosis import Concern, diagnose
from shared.digicert.errors import (
    CaFaultError,
    CaGarbledError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)
from shared.digicert.models import OrderBody, OrderInfo, PlacedOrder
from tests.sandbox.csrs import new_csr
from tests.sandbox.process import SandboxProcess

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Reading the authorities of the world takes a client longer than all that it does here."""
IMPATIENT = 0.2
LATE = 60.0
"""Far beyond any patience; nobody waits for it, because the sandbox stops when its client has gone."""


class Placed(NamedTuple):
    """An order that was there before the failure."""

    order: PlacedOrder
    body: OrderBody


class Way(NamedTuple):
    """A way to fail: what the sandbox is told, what comes of it, and whether an order was placed nevertheless."""

    name: str
    fault: dict[str, object] | None
    error: type[CaUnavailableError | CaRefusedError]
    outcome: str
    """Of an order."""
    placed: bool = False
    timeout: float = 20.0


WAYS = [
    Way("connection refused", None, CaUnreachableError, "retry"),
    Way("time-out before", {"kind": "hang", "seconds": LATE}, CaTimeoutError, "unclear", timeout=IMPATIENT),
    Way("dropped before", {"kind": "drop"}, CaUnreachableError, "unclear"),
    Way("commit then drop", {"kind": "commit_then_drop"}, CaUnreachableError, "unclear", placed=True),
    Way("429", {"kind": "answer", "status": 429, "code": "request_limit_exceeded"}, CaThrottledError, "retry"),
    Way("500", {"kind": "answer", "status": 500, "code": "internal_server_error"}, CaFaultError, "unclear"),
    Way("commit then 500", {"kind": "commit_then_answer", "status": 500}, CaFaultError, "unclear", placed=True),
    Way("503 with HTML", {"kind": "html", "status": 503}, CaFaultError, "unclear"),
    Way("200 with HTML", {"kind": "html", "status": 200}, CaGarbledError, "unclear"),
    Way("malformed JSON", {"kind": "malformed"}, CaGarbledError, "unclear", placed=True),
    Way("wrong type", {"kind": "wrong_type"}, CaGarbledError, "unclear", placed=True),
    Way("slow", {"kind": "slow", "seconds": LATE}, CaTimeoutError, "unclear", placed=True, timeout=IMPATIENT),
    Way("slow body", {"kind": "slow_body", "seconds": LATE}, CaTimeoutError, "unclear", placed=True, timeout=IMPATIENT),
    Way(
        "403", {"kind": "answer", "status": 403, "code": "access_denied|missing_permission"}, CaRefusedError, "refused"
    ),
    Way("404", {"kind": "answer", "status": 404, "code": "not_found|route"}, CaRefusedError, "refused"),
    Way("400", {"kind": "answer", "status": 400, "code": "invalid_value:any"}, CaRefusedError, "refused"),
]
CALLS: dict[str, Callable[[DigiCertClient, Placed], Awaitable[object]]] = {
    "order.info": lambda client, placed: client.order(placed.order.order_id),
    "order.changes": lambda client, _: client.status_changes(5),
    "certificate.download": lambda client, placed: client.chain(placed.order.certificate_id or 0),  # type: ignore[arg-type]  # it was issued
    "order.alternate": lambda client, placed: client.orders_by_alternative_id(placed.body.alternative_order_id),
}


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """An address at which nobody listens: its port is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/services/v2"


@pytest.fixture
async def placed(sandbox: SandboxProcess) -> AsyncIterator[Placed]:
    body = an_order(sandbox, "before")
    async with client_of(sandbox) as client:
        yield Placed(await client.place_order("ssl_basic", body), body)


def an_order(sandbox: SandboxProcess, name: str) -> OrderBody:
    number = sandbox.calls()["total"]
    return OrderBody(
        common_name="www.example.com",
        csr=new_csr("www.example.com").pem,
        alternative_order_id=f"ours-{name}-{number}",
        organization_id=sandbox.info["organization_id"],
        days=90,
    )


def client_of(sandbox: SandboxProcess, base_url: str | None = None, timeout: float = 20.0) -> DigiCertClient:
    return DigiCertClient(
        base_url=base_url or sandbox.base_url, api_key=SecretStr(sandbox.key("orders")), timeout=timeout, tls=NO_TLS
    )


async def failed(
    sandbox: SandboxProcess, way: Way, endpoint: str, nobody: str, call: Callable[[DigiCertClient], Awaitable[object]]
) -> CaUnavailableError | CaRefusedError:
    """The error of this call when it fails this way."""
    if way.fault is not None:
        sandbox.set_knobs(faults=[{"endpoint": endpoint, **way.fault}])
    base_url = nobody if way.fault is None else None
    async with client_of(sandbox, base_url, way.timeout) as client:
        with pytest.raises((CaUnavailableError, CaRefusedError)) as caught:
            await call(client)
    error = caught.value
    assert isinstance(error, CaUnavailableError | CaRefusedError)
    return error


def outcome_of(error: CaUnavailableError | CaRefusedError) -> str:
    if isinstance(error, CaRefusedError):
        return "refused"
    return "unclear" if error.maybe_done else "retry"


every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


@every_way
async def test_an_order_that_fails_is_not_there_or_is_found_once_and_says_whom_it_concerns(
    sandbox: SandboxProcess, nobody: str, way: Way
) -> None:
    body = an_order(sandbox, "failing")
    error = await failed(sandbox, way, "order.place", nobody, lambda client: client.place_order("ssl_basic", body))
    assert type(error) is way.error
    assert outcome_of(error) == way.outcome
    async with client_of(sandbox) as client:
        found = await client.orders_by_alternative_id(body.alternative_order_id)
    assert len(found) == way.placed
    (diagnosis,) = diagnose(error)
    assert diagnosis.concern is (Concern.OPERATOR if way.outcome == "refused" else Concern.CA)
    assert str((way.fault or {}).get("code", "")) in f"{diagnosis.finding.message} {diagnosis.finding.value}"


@every_way
@pytest.mark.parametrize("endpoint", list(CALLS))
async def test_a_question_that_fails_may_be_asked_again(
    sandbox: SandboxProcess, placed: Placed, nobody: str, way: Way, endpoint: str
) -> None:
    ask = CALLS[endpoint]
    error = await failed(sandbox, way, endpoint, nobody, lambda client: ask(client, placed))
    assert type(error) is way.error
    assert outcome_of(error) == ("refused" if way.outcome == "refused" else "retry")
    async with client_of(sandbox) as client:
        assert await ask(client, placed)


@pytest.mark.parametrize("endpoint", ["order.info", "order.changes", "order.alternate"])
async def test_answers_that_drift_as_they_have_been_seen_to_are_read(
    sandbox: SandboxProcess, placed: Placed, endpoint: str
) -> None:
    async with client_of(sandbox) as client:
        plain = await CALLS[endpoint](client, placed)
        sandbox.set_knobs(faults=[{"endpoint": endpoint, "kind": "drift"}])
        drifted = await CALLS[endpoint](client, placed)
    if isinstance(plain, OrderInfo):
        plain = plain.model_copy(update={"organization": None})
    assert drifted == plain


async def test_the_answer_to_an_order_may_drift(sandbox: SandboxProcess) -> None:
    sandbox.set_knobs(faults=[{"endpoint": "order.place", "kind": "drift"}])
    async with client_of(sandbox) as client:
        drifted = await client.place_order("ssl_basic", an_order(sandbox, "drifting"))
    assert (type(drifted.order_id), len(drifted.chain)) == (int, 3)
