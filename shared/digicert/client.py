"""The client of DigiCert's Services API v2: every call bounded, no call ever repeated."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from shared.digicert.answers import Reply, chain_in, failure_of, nothing_in, parsed, revocation_in
from shared.digicert.errors import (
    CaGarbledError,
    CaRefusedError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)
from shared.digicert.models import (
    REVOCATION_REASONS,
    AlternateOrder,
    AlternateOrders,
    Intermediate,
    Intermediates,
    OrderBody,
    OrderInfo,
    OrderPage,
    PlacedOrder,
    Product,
    RevocationOutcome,
    StatusChange,
    StatusChanges,
)
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

ApiKey = SecretStr | Callable[[], str]
"""The key itself, or what fetches the present one before each call."""
Observe = Callable[[str, str], None]
"""Told of each call once: its endpoint, such as `order.place`, and `ok` or the error's `result`."""

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_FEED_MINUTES: Final = 10_080
MAX_PAGE: Final = 1000
MAX_ALTERNATES: Final = 5000
_NOT_FOUND: Final = 404
_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "countersign"}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class _Call:
    endpoint: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    params: Mapping[str, str | int] | None = None
    body: Mapping[str, object] | None = None

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class DigiCertClient:
    """Speaks to the CA with one API key. Close it, or use it as an asynchronous context manager.

    Every method raises `CaRefusedError` where the CA says no and `CaUnavailableError` where it gives no
    usable answer; see there for `maybe_done`. Nothing is ever sent twice: retrying is the caller's decision.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: ApiKey,
        timeout: float = 30.0,
        max_concurrency: int = 2,
        observe: Observe | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: up to and including `/services/v2`; https, unless the host is this machine.
            api_key: sent as `X-DC-DEVKEY` and shown nowhere.
            timeout: seconds that a call may take, and also that it may wait for its slot.
            max_concurrency: calls under way at a time; the CA advises against many.
            observe: told of each call's result, for metrics.
            max_body_bytes: longer answers are not read.
            tls: which servers to trust; the usual public authorities if not given.
            transport: a stand-in for the network.

        Raises:
            ValueError: the base URL would send the key in the clear, or carries credentials of its own.
        """
        self._base_url = _safe_base_url(base_url)
        self._timeout = timeout
        self._max_body_bytes = max_body_bytes
        self._observe: Observe = observe or _unobserved
        self._slots = asyncio.Semaphore(max_concurrency)
        self._http = httpx.AsyncClient(
            base_url=self._base_url,
            auth=_DeveloperKey(api_key),
            headers=_HEADERS,
            timeout=httpx.Timeout(timeout, connect=timeout / 2),
            limits=httpx.Limits(max_connections=max_concurrency),
            verify=tls or True,
            transport=transport,
            follow_redirects=False,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"DigiCertClient(base_url={self._base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        await self._http.aclose()

    async def place_order(self, product: str, order: OrderBody) -> PlacedOrder:
        """Order a certificate of this product.

        Raises:
            CaUnavailableError: with `maybe_done`, look under the alternative id before ordering again.
            CaRefusedError: nothing was ordered.
        """
        path = f"/order/certificate/{_segment(product)}"
        return await self._answer(
            _Call("order.place", "POST", path, body=order.as_json()), lambda reply: parsed(PlacedOrder, reply)
        )

    async def order(self, order: OrderId | str) -> OrderInfo:
        """The order with this number, or whose primary certificate has this serial number or thumbprint.

        A thumbprint is the SHA-1 of the DER in hexadecimal; for a serial number see `serial_number_text`.
        """
        path = f"/order/certificate/{_segment(order)}"
        return await self._answer(_Call("order.info", "GET", path), lambda reply: parsed(OrderInfo, reply))

    async def orders(
        self, *, offset: int = 0, limit: int = MAX_PAGE, filters: Mapping[str, str] | None = None
    ) -> OrderPage:
        """One page of the account's orders, oldest first; filters, `{"status": "issued"}`, are the CA's."""
        params = {f"filters[{name}]": value for name, value in (filters or {}).items()}
        call = _Call(
            "order.list",
            "GET",
            "/order/certificate",
            params={"limit": limit, "offset": offset, "sort": "date_created", **params},
        )
        return await self._answer(call, lambda reply: parsed(OrderPage, reply))

    async def orders_by_alternative_id(self, alternative_order_id: str) -> tuple[AlternateOrder, ...]:
        """Every order that the CA shows under this id; none now need not mean none, for the lookup may lag.

        A 404 of the order is none; a 404 of the route is an error, because it would say nothing about orders.
        """
        found: list[AlternateOrder] = []
        while True:
            page = await self._alternates(alternative_order_id, offset=len(found))
            found.extend(page.orders)
            if not page.orders or len(found) >= min(page.page.total, MAX_ALTERNATES):
                return tuple(dict.fromkeys(found))

    async def status_changes(self, minutes: int) -> tuple[StatusChange, ...]:
        """The orders whose status changed within the last so many minutes, at most `MAX_FEED_MINUTES`."""
        if not 1 <= minutes <= MAX_FEED_MINUTES:
            raise ValueError(f"the feed reaches back 1 to {MAX_FEED_MINUTES} minutes, not {minutes}")
        call = _Call("order.changes", "GET", "/order/certificate/status-changes", params={"minutes": minutes})
        return (await self._answer(call, lambda reply: parsed(StatusChanges, reply))).orders

    async def chain(self, certificate_id: CertificateId) -> tuple[bytes, ...]:
        """The certificate and its CAs in DER, leaf first, root last, as sent: verifying is the caller's."""
        path = f"/certificate/{_segment(certificate_id)}/download/format/pem_all"
        return await self._answer(_Call("certificate.download", "GET", path), chain_in)

    async def product(self, name_id: str) -> Product:
        """What the CA says of this product to this key."""
        path = f"/product/{_segment(name_id)}"
        return await self._answer(_Call("product.info", "GET", path), lambda reply: parsed(Product, reply))

    async def intermediates(self) -> tuple[Intermediate, ...]:
        """The intermediates that the account's products can meet."""
        call = _Call("intermediate.list", "GET", "/certificate/intermediates")
        return (await self._answer(call, lambda reply: parsed(Intermediates, reply))).intermediates

    async def revoke_certificate(
        self,
        certificate: CertificateId | str,
        reason: RevocationReason,
        comments: str,
        *,
        skip_approval: bool = True,
    ) -> RevocationOutcome:
        """Revoke the certificate with this number or serial number.

        Skipping approval works for an administrator's key; with another the outcome is a request that waits.

        Raises:
            ValueError: the reason is not one of `REVOCATION_REASONS`.
        """
        if reason not in REVOCATION_REASONS:
            raise ValueError(f"the CA knows no revocation for {reason}")
        call = _Call(
            "certificate.revoke",
            "PUT",
            f"/certificate/{_segment(certificate)}/revoke",
            body={"revocation_reason": reason.value, "comments": comments, "skip_approval": skip_approval},
        )
        return await self._answer(call, revocation_in)

    async def approve_request(self, request_id: int, comment: str) -> None:
        """Approve one of the CA's own requests, such as the one that a revocation without skipping makes."""
        call = _Call(
            "request.approve",
            "PUT",
            f"/request/{_segment(request_id)}/status",
            body={"status": "approved", "processor_comment": comment},
        )
        await self._answer(call, nothing_in)

    async def _alternates(self, alternative_order_id: str, *, offset: int) -> AlternateOrders:
        call = _Call(
            "order.alternate",
            "GET",
            f"/order/alternate/{_segment(alternative_order_id)}",
            params={"limit": MAX_PAGE, "offset": offset},
        )
        try:
            return await self._answer(call, lambda reply: parsed(AlternateOrders, reply))
        except CaRefusedError as error:
            if error.status == _NOT_FOUND and "not_found|route" not in error.codes:
                return AlternateOrders()
            raise

    async def _answer(self, call: _Call, read: Callable[[Reply], ValueT]) -> ValueT:
        """Make the call, read its answer, and tell the observer how it went."""
        try:
            answer = _read(call, await self._exchange(call), read)
        except (CaUnavailableError, CaRefusedError) as error:
            self._observe(call.endpoint, error.result)
            raise
        self._observe(call.endpoint, "ok")
        return answer

    async def _exchange(self, call: _Call) -> Reply:
        async with self._slot(call):
            reply = await self._reply(call)
        # Raised here and not where it was caught: the transport's error holds the request and so the key.
        if isinstance(reply, CaUnavailableError):
            raise reply
        if not reply.succeeded:
            raise failure_of(call.endpoint, reply, writes=call.writes)
        return reply

    @asynccontextmanager
    async def _slot(self, call: _Call) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise CaTimeoutError(call.endpoint, "no slot became free", maybe_done=False) from None
        try:
            yield
        finally:
            self._slots.release()

    async def _reply(self, call: _Call) -> Reply | CaUnavailableError:
        """The answer, or what kept it from coming."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(call)
        except _UnusableKeyError:
            return CaUnavailableError(call.endpoint, "the API key at hand is not usable", maybe_done=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return CaUnreachableError(call.endpoint, "no connection", maybe_done=False)
        except (TimeoutError, httpx.TimeoutException):
            return CaTimeoutError(call.endpoint, f"no answer within {self._timeout} s", maybe_done=call.writes)
        except httpx.HTTPError:
            return CaUnreachableError(call.endpoint, "the connection broke", maybe_done=call.writes)

    async def _send(self, call: _Call) -> Reply | CaUnavailableError:
        async with self._http.stream(call.method, call.path, params=call.params, json=call.body) as response:
            content = await self._body(response)
        if content is None:
            return CaGarbledError(call.endpoint, "an answer beyond all bounds", maybe_done=call.writes)
        return Reply(response.status_code, content)

    async def _body(self, response: httpx.Response) -> bytes | None:
        """The body as sent; None if it is too long, or compressed although we asked for none of that."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return None
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > self._max_body_bytes:
                return None
        return bytes(content)


class _UnusableKeyError(Exception):
    """The API key cannot be read, or cannot stand in a header; carries nothing of it."""


class _DeveloperKey(httpx.Auth):
    """Puts the key into the request at the last moment, so that it is nowhere else."""

    def __init__(self, api_key: ApiKey) -> None:
        self._api_key = api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-DC-DEVKEY"] = self._value()
        yield request

    def _value(self) -> str:
        key = self._api_key
        try:
            text = (key.get_secret_value() if isinstance(key, SecretStr) else key()).strip()
        except OSError:
            raise _UnusableKeyError from None
        if not text or not text.isascii() or not text.isprintable():
            raise _UnusableKeyError
        return text


def _read(call: _Call, reply: Reply, read: Callable[[Reply], ValueT]) -> ValueT:
    try:
        return read(reply)
    except ValueError as error:
        raise CaGarbledError(call.endpoint, f"an answer out of shape ({error})", maybe_done=call.writes) from None


def _safe_base_url(base_url: str) -> str:
    url = httpx.URL(base_url)
    if url.userinfo or not (url.scheme == "https" or (url.scheme == "http" and url.host in _LOOPBACK)):
        raise ValueError("the base URL must be https (or http on this machine) and carry no credentials")
    return base_url.rstrip("/")


def _segment(value: object) -> str:
    """A value as one segment of a path; dots alone would climb."""
    text = quote(str(value), safe="")
    if not text.strip("."):
        raise ValueError("an empty or dotted name cannot be looked up")
    return text


def _unobserved(_endpoint: str, _result: str) -> None:
    """Where nobody watches."""
