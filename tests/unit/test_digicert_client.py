"""The client against constructed answers: which failure means what, what is sent, and what is never shown."""

import asyncio
import inspect
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from shared.digicert.answers import retry_after_in
from shared.digicert.client import DigiCertClient
from shared.digicert.errors import (
    CaCredentialError,
    CaFaultError,
    CaGarbledError,
    CaQuotaError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)
from shared.digicert.models import OrderBody
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import RateWindow
from shared.digicert.reader import DigiCertReader
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason
from tests.world import NOW

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEY = "a-key-that-nobody-may-see"
BASE = "https://ca.example.com/services/v2"
THROTTLED = {"errors": [{"code": "request_limit_exceeded", "message": "Service unavailable"}]}
BAD_CSR = {"errors": [{"code": "csr_invalid_cannot_parse", "message": "The CSR could not be parsed."}]}
UNKNOWN_KEY = {"errors": [{"code": "access_denied|access_denied_invalid_key", "message": "No such key."}]}
MISSING_RIGHT = {"errors": [{"code": "access_denied|missing_permission", "message": "Not you."}]}

Answer = Callable[[httpx.Request], httpx.Response]


def answering(status: int, *, json: object = None, content: bytes | None = None) -> Answer:
    def answer(_request: httpx.Request) -> httpx.Response:
        if content is not None:
            return httpx.Response(status, content=content)
        return httpx.Response(status, json=json)

    return answer


def raising(error: type[httpx.HTTPError]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error(f"broken with {request.headers['X-DC-DEVKEY']}")

    return answer


def client_for(answer: Answer, **settings: object) -> DigiCertClient:
    arguments: dict[str, object] = {"base_url": BASE, "api_key": SecretStr(KEY), **settings}
    return DigiCertClient(**arguments, transport=httpx.MockTransport(answer))  # type: ignore[arg-type]  # as in tables


def an_order() -> OrderBody:
    return OrderBody(
        common_name="www.example.com", csr="PEM", alternative_order_id="ours-1", organization_id=7, days=90
    )


async def place(client: DigiCertClient) -> object:
    return await client.place_order("ssl_basic", an_order())


async def look(client: DigiCertClient) -> object:
    return await client.order(OrderId(1))


async def revoke(client: DigiCertClient) -> object:
    return await client.revoke_certificate(CertificateId(1), RevocationReason.SUPERSEDED, "")


class Failure(NamedTuple):
    """How a call fails, what that is, and whether a write may have been done nevertheless."""

    name: str
    answer: Answer
    error: type[CaUnavailableError]
    maybe_done: bool


FAILURES = [
    Failure("connection refused", raising(httpx.ConnectError), CaUnreachableError, maybe_done=False),
    Failure("connecting took too long", raising(httpx.ConnectTimeout), CaUnreachableError, maybe_done=False),
    Failure("no connection was free", raising(httpx.PoolTimeout), CaUnreachableError, maybe_done=False),
    Failure("sending broke", raising(httpx.WriteError), CaUnreachableError, maybe_done=True),
    Failure("sending took too long", raising(httpx.WriteTimeout), CaTimeoutError, maybe_done=True),
    Failure("reading took too long", raising(httpx.ReadTimeout), CaTimeoutError, maybe_done=True),
    Failure("reading broke", raising(httpx.ReadError), CaUnreachableError, maybe_done=True),
    Failure("hung up", raising(httpx.RemoteProtocolError), CaUnreachableError, maybe_done=True),
    Failure("429", answering(429, json=THROTTLED), CaThrottledError, maybe_done=False),
    Failure("429 of a stranger", answering(429, content=b"slow down"), CaThrottledError, maybe_done=True),
    Failure("408", answering(408, content=b""), CaTimeoutError, maybe_done=True),
    Failure("500", answering(500, json=BAD_CSR), CaFaultError, maybe_done=True),
    Failure("503", answering(503, content=b"<html>"), CaFaultError, maybe_done=True),
    Failure("half a JSON text", answering(200, content=b'{"id": 1'), CaGarbledError, maybe_done=True),
    Failure("JSON of another shape", answering(200, json=["x"]), CaGarbledError, maybe_done=True),
    Failure("JSON too deep to read", answering(200, content=b"[" * 100_000), CaGarbledError, maybe_done=True),
    Failure("a redirect", answering(302, content=b""), CaGarbledError, maybe_done=True),
    Failure("404 of a proxy", answering(404, content=b"<html>"), CaGarbledError, maybe_done=True),
    Failure("403 of a proxy", answering(403, json={"errors": []}), CaGarbledError, maybe_done=True),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
@pytest.mark.parametrize("write", [place, revoke])
async def test_a_write_without_a_usable_answer_says_whether_it_may_have_been_done(
    failure: Failure, write: Callable[[DigiCertClient], Awaitable[object]]
) -> None:
    async with client_for(failure.answer) as client:
        with pytest.raises(CaUnavailableError) as caught:
            await write(client)
    assert (type(caught.value), caught.value.maybe_done) == (failure.error, failure.maybe_done)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
async def test_a_read_never_leaves_anything_behind(failure: Failure) -> None:
    async with client_for(failure.answer) as client:
        with pytest.raises(failure.error) as caught:
            await look(client)
    assert not caught.value.maybe_done


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, BAD_CSR, CaRefusedError),
        (400, {"errors": BAD_CSR["errors"][0]}, CaRefusedError),
        (404, {"errors": [{"code": "not_found|order", "message": "?"}]}, CaRefusedError),
        (403, MISSING_RIGHT, CaRefusedError),
        (403, UNKNOWN_KEY, CaCredentialError),
        (401, UNKNOWN_KEY, CaCredentialError),
    ],
)
async def test_a_refusal_keeps_the_words_of_the_ca(
    status: int, body: dict[str, object], error: type[CaRefusedError]
) -> None:
    async with client_for(answering(status, json=body)) as client:
        with pytest.raises(CaRefusedError) as caught:
            await place(client)
    reasons = body["errors"]
    first = reasons[0] if isinstance(reasons, list) else reasons
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.reasons) == (status, ((first["code"], first["message"]),))  # type: ignore[index]  # of the table


async def test_a_refusal_of_any_length_is_cut() -> None:
    body = {"errors": [{"code": "c" * 5000, "message": "m" * 5000}] * 500}
    async with client_for(answering(400, json=body)) as client:
        with pytest.raises(CaRefusedError) as caught:
            await place(client)
    assert len(caught.value.reasons) == 20
    assert len(str(caught.value)) < 50_000


@pytest.mark.parametrize(
    ("answer", "call", "seen"),
    [
        (answering(201, json={"id": 1}), place, ("order.place", "ok")),
        (answering(200, json={"id": 1, "status": "issued"}), look, ("order.info", "ok")),
        (answering(204, content=b""), revoke, ("certificate.revoke", "ok")),
        (answering(400, json=BAD_CSR), place, ("order.place", "refused")),
        (answering(404, json=BAD_CSR), look, ("order.info", "not-found")),
        (answering(403, json=UNKNOWN_KEY), look, ("order.info", "credential")),
        (answering(429, json=THROTTLED), look, ("order.info", "throttled")),
        (answering(200, content=b"?"), look, ("order.info", "garbled")),
        (raising(httpx.ConnectError), look, ("order.info", "unreachable")),
        (raising(httpx.ReadTimeout), look, ("order.info", "timeout")),
    ],
)
async def test_each_call_is_observed_once_with_its_result(
    answer: Answer, call: Callable[[DigiCertClient], Awaitable[object]], seen: tuple[str, str]
) -> None:
    observed: list[tuple[str, str]] = []

    def observe(endpoint: str, result: str) -> None:
        observed.append((endpoint, result))

    async with client_for(answer, observe=observe) as client:
        with suppress(CaUnavailableError, CaRefusedError):
            await call(client)
    assert observed == [seen]


@pytest.mark.parametrize(
    "answer",
    [
        *(raising(error) for error in (httpx.ConnectError, httpx.ReadError, httpx.LocalProtocolError)),
        answering(500, content=b""),
        answering(200, content=b"?"),
        answering(403, json=UNKNOWN_KEY),
    ],
)
async def test_the_key_is_in_no_message_no_trace_and_no_log(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_for(answer) as client:
        shown = repr(client) + str(vars(client))
        with pytest.raises((CaUnavailableError, CaRefusedError)) as caught:
            await place(client)
    error = caught.value
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown += "".join(trace.format()) + repr(error) + str(vars(error))
    assert not isinstance(error.__context__, httpx.HTTPError)
    assert KEY not in shown + caplog.text


@pytest.mark.parametrize("key", ["", "  \n", "two\nlines", "ключ", "nul\0"])
async def test_a_key_that_cannot_be_sent_is_unavailable_and_not_shown(key: str) -> None:
    async with client_for(answering(200, json={}), api_key=lambda: key) as client:
        with pytest.raises(CaUnavailableError, match="key at hand is not usable") as caught:
            await place(client)
    assert not caught.value.maybe_done


async def test_a_key_file_that_is_away_is_unavailable() -> None:
    def absent() -> str:
        raise FileNotFoundError

    async with client_for(answering(200, json={}), api_key=absent) as client:
        with pytest.raises(CaUnavailableError, match="key at hand is not usable"):
            await look(client)


async def test_the_key_is_fetched_anew_for_each_call() -> None:
    keys = iter(["first\n", "second\n"])
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["X-DC-DEVKEY"])
        return httpx.Response(200, json={"id": 1, "status": "issued"})

    async with client_for(answer, api_key=lambda: next(keys)) as client:
        await look(client)
        await look(client)
    assert sent == ["first", "second"]


@pytest.mark.parametrize(
    "base_url",
    [
        "http://ca.example.com/services/v2",
        "https://user:word@ca.example.com",
        "ftp://127.0.0.1",
        "ca.example.com",
    ],
)
def test_a_base_url_that_would_give_the_key_away_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        DigiCertClient(base_url=base_url, api_key=SecretStr(KEY))


async def test_an_order_says_everything_that_was_set_and_nothing_else() -> None:
    bodies: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request)
        return httpx.Response(201, json={"id": "12", "certificate_id": "34"})

    order = OrderBody(
        common_name="www.example.com",
        csr="PEM",
        dns_names=("example.com",),
        alternative_order_id="ours-1",
        ca_cert_id="AB",
        profile_option="server_auth_only_eku",
        expires_on=date(2026, 12, 24),
    )
    async with client_for(answer) as client:
        placed = await client.place_order("ssl_basic", order)
    assert (placed.order_id, placed.certificate_id, placed.chain) == (12, 34, ())
    assert bodies[0].url == f"{BASE}/order/certificate/ssl_basic"
    term = b'{"custom_expiration_date":"2026-12-24"}'
    assert bodies[0].content == (
        b'{"certificate":{"common_name":"www.example.com","csr":"PEM","signature_hash":"sha256",'
        b'"dns_names":["example.com"],"ca_cert_id":"AB","profile_option":"server_auth_only_eku",'
        b'"cert_validity":' + term + b'},"order_validity":' + term + b","
        b'"alternative_order_id":"ours-1","skip_approval":true}'
    )


@pytest.mark.parametrize("term", [{}, {"days": 90, "expires_on": date(2026, 12, 24)}, {"days": 0}])
def test_an_order_has_exactly_one_term(term: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OrderBody.model_validate({"common_name": "a", "csr": "PEM", "alternative_order_id": "1", **term})


async def test_a_name_cannot_climb_out_of_its_place_in_the_path() -> None:
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json={"name_id": "x"})

    async with client_for(answer) as client:
        await client.product("../user?x=1#y")
        with pytest.raises(ValueError, match="dotted"):
            await client.product("..")
    assert paths == [b"/services/v2/product/..%2Fuser%3Fx%3D1%23y"]


async def test_an_unknown_alternative_id_is_no_order() -> None:
    body = {"errors": [{"code": "not_found|order", "message": "?"}]}
    async with client_for(answering(404, json=body)) as client:
        assert await client.orders_by_alternative_id("ours-1") == ()


async def test_a_missing_route_is_not_mistaken_for_a_missing_order() -> None:
    body = {"errors": [{"code": "not_found|route", "message": "?"}]}
    async with client_for(answering(404, json=body)) as client:
        with pytest.raises(CaRefusedError):
            await client.orders_by_alternative_id("ours-1")


async def test_every_page_of_an_alternative_id_is_read() -> None:
    entries = [{"order_id": number, "certificate_id": None, "status": "issued"} for number in range(5)]

    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        page = {"total": 5, "limit": 2, "offset": offset}
        return httpx.Response(200, json={"orders": entries[offset : offset + 2], "page": page})

    async with client_for(answer) as client:
        orders = await client.orders_by_alternative_id("ours-1")
    assert [order.order_id for order in orders] == [0, 1, 2, 3, 4]


async def test_a_server_that_repeats_one_page_for_ever_is_left_in_the_end() -> None:
    orders = [{"order_id": 1, "status": "issued"}] * 1000
    body = {"orders": orders, "page": {"total": 10**9}}
    async with client_for(answering(200, json=body)) as client:
        assert len(await client.orders_by_alternative_id("ours-1")) == 1


async def test_every_page_of_the_feed_is_read_where_it_has_pages() -> None:
    entries = [{"order_id": number, "certificate_id": None, "status": "issued"} for number in range(5)]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["minutes"] == "5"
        offset = int(request.url.params.get("offset", "0"))
        page = {"total": 5, "limit": 2, "offset": offset}
        return httpx.Response(200, json={"orders": entries[offset : offset + 2], "page": page})

    async with client_for(answer) as client:
        assert [change.order_id for change in await client.status_changes(5)] == [0, 1, 2, 3, 4]


def feed_of(*lists: list[int]) -> Answer:
    """The status feed in pages of two, which is another list with each call, and at last stays the same."""
    shown = iter(lists)
    current = lists[-1]

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal current
        current = next(shown, current)
        offset = int(request.url.params.get("offset", "0"))
        entries = [{"order_id": number, "status": "issued"} for number in current[offset : offset + 2]]
        page = {"total": len(current), "limit": 2, "offset": offset}
        return httpx.Response(200, json={"orders": entries, "page": page})

    return answer


@pytest.mark.parametrize(
    "lists",
    [
        ([1, 2, 3, 4, 5], [2, 3, 4, 5]),  # the oldest leaves the window
        ([1, 2, 3, 4, 5], [2, 3, 4, 5, 6]),  # and a new one comes, so that there are as many as before
        ([1, 2, 3, 4], [2, 3, 4, 1]),  # it changed again, and stands at the end now
        ([1, 2, 3, 4, 5], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [4, 5, 6, 7, 8], [4, 5, 6, 7, 8]),
    ],
)
async def test_no_order_of_the_feed_is_skipped_because_another_leaves_it_between_two_pages(
    lists: tuple[list[int], ...],
) -> None:
    async with client_for(feed_of(*lists)) as client:
        told = {change.order_id for change in await client.status_changes(5)}
    assert told >= set(lists[-1])


@pytest.mark.parametrize(
    "odd", [{"order_id": 2, "status": None}, {"order_id": 2}, {"order_id": 2, "status": "issued", "certificate_id": ""}]
)
async def test_an_odd_line_of_the_feed_that_names_an_order_names_it(odd: dict[str, object]) -> None:
    lines = [{"order_id": 1, "status": "issued"}, odd, {"order_id": 3, "status": "issued"}]
    async with client_for(answering(200, json={"orders": lines})) as client:
        assert [change.order_id for change in await client.status_changes(5)] == [1, 2, 3]


@pytest.mark.parametrize("odd", [None, {}, {"order_id": None, "status": "issued"}, {"status": "issued"}, "order 2", []])
async def test_a_line_of_the_feed_that_names_no_order_is_left_out_and_counted(odd: object) -> None:
    observed: list[tuple[str, str]] = []
    lines = [{"order_id": 1, "status": "issued"}, odd, {"order_id": 3, "status": "issued"}]

    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params.get("offset", "0"))
        return httpx.Response(200, json={"orders": lines[offset : offset + 2], "page": {"total": 3}})

    async with client_for(answer, observe=lambda *told: observed.append(told)) as client:
        assert [change.order_id for change in await client.status_changes(5)] == [1, 3]
    assert ("order.changes", "odd-lines") in observed


async def test_a_feed_of_which_no_line_names_an_order_is_no_answer() -> None:
    async with client_for(answering(200, json={"orders": [{"id": 1}, {"id": 2}]})) as client:
        with pytest.raises(CaGarbledError):
            await client.status_changes(5)


async def test_a_feed_that_never_comes_to_rest_is_no_answer() -> None:
    async with client_for(feed_of(*([n, n + 1, n + 2] for n in range(1000)))) as client:
        with pytest.raises(CaGarbledError):
            await client.status_changes(5)


async def test_a_feed_that_ends_nowhere_is_no_answer() -> None:
    body = {"orders": [{"order_id": 1, "status": "issued"}] * 10_000, "page": {"total": 10**9}}
    async with client_for(answering(200, json=body)) as client:
        with pytest.raises(CaGarbledError):
            await client.status_changes(5)


def listing(orders: list[int], *, page: int) -> Answer:
    """The list of orders, in pages of at most so many."""

    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        entries = [{"id": number, "status": "issued"} for number in orders[offset : offset + page]]
        return httpx.Response(200, json={"orders": entries, "page": {"total": len(orders), "offset": offset}})

    return answer


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
async def test_every_order_is_listed_once_page_by_page(count: int) -> None:
    async with client_for(listing(list(range(count)), page=2)) as client:
        assert [order.order_id async for order in client.all_orders()] == list(range(count))


async def test_an_order_that_moves_to_the_next_page_meanwhile_is_listed_once() -> None:
    async with client_for(listing([1, 2, 2, 3], page=2)) as client:
        assert [order.order_id async for order in client.all_orders()] == [1, 2, 3]


async def test_a_list_that_repeats_itself_ends() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"orders": [{"id": 1, "status": "issued"}], "page": {"total": 10**9}})

    async with client_for(answer) as client:
        assert [order.order_id async for order in client.all_orders()] == [1]


@pytest.mark.parametrize("question", ["chain_if_there", "order_if_there"])
@pytest.mark.parametrize(("code", "is_missing"), [("not_found", True), ("not_found|route", False)])
async def test_what_is_not_there_is_told_from_a_call_that_does_not_exist(
    question: str, code: str, *, is_missing: bool
) -> None:
    body = {"errors": [{"code": code, "message": "?"}]}
    async with client_for(answering(404, json=body)) as client:
        try:
            found: object = await QUESTIONS[question](client)
        except CaRefusedError as error:
            found = error
    assert (found is None) is is_missing


QUESTIONS: dict[str, Callable[[DigiCertReader], Awaitable[object]]] = {
    "chain": lambda reader: reader.chain(CertificateId(1)),
    "chain_if_there": lambda reader: reader.chain_if_there(CertificateId(1)),
    "duplicates": lambda reader: reader.duplicates(OrderId(1)),
    "intermediates": lambda reader: reader.intermediates(),
    "order": lambda reader: reader.order(OrderId(1)),
    "order_if_there": lambda reader: reader.order_if_there(OrderId(1)),
    "orders": lambda reader: reader.orders(),
    "orders_by_alternative_id": lambda reader: reader.orders_by_alternative_id("ours-1"),
    "orders_with": lambda reader: reader.orders_with("ours-1", common_name="a", csr="b", created_from=NOW.date()),
    "product": lambda reader: reader.product("ssl_basic", container_id=1),
    "product_limits": lambda reader: reader.product_limits(1),
    "reissues": lambda reader: reader.reissues(OrderId(1)),
    "status_changes": lambda reader: reader.status_changes(5),
    "status_changes_since": lambda reader: reader.status_changes_since(NOW, NOW),
}


async def test_a_view_only_client_has_no_call_that_changes_anything() -> None:
    methods: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        return httpx.Response(500)

    offered = {name for name, _ in inspect.getmembers(DigiCertReader, inspect.iscoroutinefunction) if name[0] != "_"}
    assert offered - {"aclose", "ready", "quota_used"} == set(QUESTIONS)  # these three ask the CA nothing
    transport = httpx.MockTransport(answer)
    async with DigiCertReader(base_url=BASE, api_key=SecretStr(KEY), tls=NO_TLS, transport=transport) as reader:
        for ask in QUESTIONS.values():
            with pytest.raises(CaFaultError):
                await ask(reader)
    assert methods == ["GET"] * len(QUESTIONS)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999999999", 3600.0),
        ("Fri, 20 Nov 2026 12:01:40 GMT", 100.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 12:01:40 -0000", None),
        ("-3", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_when_to_come_back_is_read_in_both_forms(field: str | None, seconds: float | None) -> None:
    assert retry_after_in(field, NOW) == seconds


@given(st.text(max_size=60) | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ \S*", fullmatch=True))
def test_when_to_come_back_can_be_any_text(field: str) -> None:
    seconds = retry_after_in(field, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    ("status", "headers", "blocked"),
    [(429, {}, 5.0), (429, {"Retry-After": "30"}, 30.0), (503, {"Retry-After": "30"}, 30.0), (503, {}, 0.0)],
)
async def test_a_wish_of_the_ca_for_fewer_calls_is_heeded(status: int, headers: dict[str, str], blocked: float) -> None:
    accounts = MemoryAccounts()
    quota = Quota(accounts, key="ca", seconds=lambda: 1000.0, margin=timedelta(0))

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, json=THROTTLED)

    async with client_for(answer, quota=quota) as client:
        with pytest.raises(CaUnavailableError) as caught:
            await look(client)
    assert caught.value.retry_after == (float(headers["Retry-After"]) if headers else None)
    account = await accounts.load("ca")
    assert account is not None
    until = [share.blocked_until_ms for share in account.shares.values() if share.blocked_until_ms is not None]
    assert max(until, default=1_000_000) / 1000 - 1000.0 == blocked


async def test_a_call_beyond_the_quota_is_not_sent_and_is_observed_as_such() -> None:
    sent: list[httpx.Request] = []
    observed: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"id": 1, "status": "issued"})

    def observe(endpoint: str, result: str) -> None:
        observed.append((endpoint, result))

    quota = Quota(MemoryAccounts(), key="ca", windows=[RateWindow(2, 3600.0)])
    async with client_for(answer, quota=quota, observe=observe) as client:
        await look(client)
        await look(client)
        with pytest.raises(CaQuotaError) as caught:
            await place(client)
    assert not caught.value.maybe_done
    assert len(sent) == 2
    assert observed == [("order.info", "ok"), ("order.info", "ok"), ("order.place", "quota")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors": [{"code": "broken", "message": "We are broken."}]}', "broken: We are broken."),
        (b"<html><head><TITLE> Out for lunch </TITLE></head><body>x-dc-devkey: ...</body>", "Out for lunch"),
        (b"<html>", ""),
        (b"\xff\x00", ""),
    ],
)
async def test_what_a_failing_ca_says_is_kept_but_of_a_page_only_its_title(body: bytes, said: str) -> None:
    async with client_for(answering(502, content=body)) as client:
        with pytest.raises(CaFaultError) as caught:
            await look(client)
    assert caught.value.said == said


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"errors": [{"code": 1}]}', b'{"id": 1}']),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Content-Type"]), st.text(" aZ09:,-", max_size=20)),
)
async def test_no_answer_leads_to_an_error_without_a_type(status: int, body: bytes, headers: dict[str, str]) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, content=body)

    async with client_for(answer, tls=NO_TLS) as client:
        for call in (
            place,
            look,
            revoke,
            lambda each: each.chain(CertificateId(1)),
            lambda each: each.status_changes(5),
        ):
            with suppress(CaUnavailableError, CaRefusedError):
                await call(client)


async def test_a_feed_beyond_its_reach_is_not_asked_for() -> None:
    async with client_for(answering(200, json={})) as client:
        with pytest.raises(ValueError, match="minutes"):
            await client.status_changes(10_081)
        assert await client.status_changes(10_080) == ()


async def test_a_reason_that_the_ca_does_not_know_is_not_sent() -> None:
    async with client_for(answering(204, content=b"")) as client:
        with pytest.raises(ValueError, match="knows no revocation"):
            await client.revoke_certificate(CertificateId(1), RevocationReason.CERTIFICATE_HOLD, "")


@pytest.mark.parametrize("size", [1001, 100_000])
async def test_an_answer_beyond_the_size_limit_is_not_read(size: int) -> None:
    async with client_for(answering(200, content=b" " * size), max_body_bytes=1000) as client:
        with pytest.raises(CaGarbledError, match="beyond all bounds"):
            await look(client)


async def test_a_compressed_answer_is_not_unpacked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        stream = httpx.ByteStream(b"\x1f\x8b")
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream)

    async with client_for(answer) as client:
        with pytest.raises(CaGarbledError):
            await look(client)


class Held(httpx.AsyncBaseTransport):
    """Answers only when let go, and counts who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        self.arrived = asyncio.Semaphore(0)
        self.go = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.waiting += 1
        self.arrived.release()
        await self.go.wait()
        self.waiting -= 1
        return httpx.Response(200, json={"id": 1, "status": "issued"}, request=request)


async def test_no_more_calls_are_under_way_than_agreed() -> None:
    transport = Held()
    async with DigiCertClient(base_url=BASE, api_key=SecretStr(KEY), max_concurrency=2, transport=transport) as client:
        calls = [asyncio.ensure_future(look(client)) for _ in range(5)]
        await transport.arrived.acquire()
        await transport.arrived.acquire()
        for _ in range(20):
            await asyncio.sleep(0)
        assert transport.waiting == 2
        transport.go.set()
        await asyncio.gather(*calls)


async def test_a_call_that_gets_no_slot_in_time_was_never_sent() -> None:
    transport = Held()
    async with DigiCertClient(
        base_url=BASE, api_key=SecretStr(KEY), max_concurrency=1, timeout=0.05, transport=transport
    ) as client:
        first, second = await asyncio.gather(place(client), place(client), return_exceptions=True)
    assert isinstance(first, CaTimeoutError)
    assert isinstance(second, CaTimeoutError)
    assert (first.maybe_done, second.maybe_done) == (True, transport.waiting == 2)


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    transport = Held()
    async with DigiCertClient(base_url=BASE, api_key=SecretStr(KEY), max_concurrency=1, transport=transport) as client:
        call = asyncio.ensure_future(look(client))
        await transport.arrived.acquire()
        call.cancel()
        await asyncio.wait([call])
        transport.go.set()
        await look(client)


async def test_a_trust_store_of_ones_own_is_used() -> None:
    async with DigiCertClient(base_url=BASE, api_key=SecretStr(KEY), tls=ssl.create_default_context()) as client:
        assert BASE in repr(client)
