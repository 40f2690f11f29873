"""Making one call of the CA's API: bounded in time and size, paced, counted, and never repeated."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from shared.digicert.answers import Reply, failure_of, retry_after_in
from shared.digicert.errors import (
    CaGarbledError,
    CaKeyUnusableError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)
from shared.digicert.pacing import Quota
from shared.errors import UnavailableError

ApiKey = SecretStr | Callable[[], str]
"""The key itself, or what fetches the present one before each call."""
Observe = Callable[[str, str], None]
"""Told of each call once: its endpoint, such as `order.place`, and `ok`, `odd-lines`, or the error's `result`."""

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
PATIENCE: Final = 10.0
"""For how many seconds a call waits for its turn where nobody says otherwise."""
_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "countersign"}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `endpoint` names it in messages and metrics."""

    endpoint: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    params: Mapping[str, str | int] | None = None
    body: Mapping[str, object] | None = None

    @property
    def writes(self) -> bool:
        """Whether it could change anything at the CA."""
        return self.method != "GET"


class CaConnection:
    """Speaks to the CA with one API key. Close it, or use it as an asynchronous context manager."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: ApiKey,
        timeout: float = 30.0,
        max_concurrency: int = 2,
        quota: Quota | None = None,
        patience: float = PATIENCE,
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
            quota: asked before each call; without one, only the CA limits the rate.
            patience: seconds that a call may wait for its turn under the quota.
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
        self._quota = quota
        self._patience = patience
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
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def ready(self, endpoint: str) -> None:
        """Return when the rate limit lets a call go.

        Raises:
            CaQuotaError: it does not within the time that a call may wait for its turn.
            UnavailableError: the accounts are away.
        """
        if self._quota is not None:
            await self._quota.ready(endpoint, self._timeout)

    async def quota_used(self) -> dict[float, float]:
        """Which part of each rate window is used up, by its length in seconds; nothing where calls are not paced.

        Raises:
            UnavailableError: the accounts are away.
        """
        return {} if self._quota is None else await self._quota.used()

    async def aclose(self) -> None:
        """Close the connections; of no use afterwards."""
        await self._http.aclose()
        if self._quota is not None:
            with contextlib.suppress(UnavailableError):
                await self._quota.aclose()

    async def _answer(
        self, call: Call, read: Callable[[Reply], ValueT], *, result: Callable[[ValueT], str] = lambda _: "ok"
    ) -> ValueT:
        """Make the call, read its answer, and tell the observer how it went: where it was read, what `result` says."""
        try:
            answer = _read(call, await self._exchange(call), read)
        except (CaUnavailableError, CaRefusedError) as error:
            self._observe(call.endpoint, error.result)
            raise
        self._observe(call.endpoint, result(answer))
        return answer

    async def _exchange(self, call: Call) -> Reply:
        async with self._slot(call), self._turn(call):
            reply = await self._reply(call)
        # Raised here and not where it was caught: the transport's error holds the request and so the key.
        if isinstance(reply, CaUnavailableError):
            raise reply
        if reply.succeeded:
            return reply
        failure = failure_of(call.endpoint, reply, writes=call.writes)
        await self._heed(failure)
        raise failure

    @asynccontextmanager
    async def _slot(self, call: Call) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise CaTimeoutError(call.endpoint, "no slot became free", maybe_done=False) from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncIterator[None]:
        if self._quota is None:
            yield
            return
        async with self._quota.permit(call.endpoint, self._patience):
            yield

    async def _heed(self, failure: CaUnavailableError | CaRefusedError) -> None:
        """Let everybody who uses the key know that the CA wants fewer calls, or none for a while."""
        if self._quota is None or not isinstance(failure, CaUnavailableError):
            return
        if isinstance(failure, CaThrottledError) or failure.retry_after is not None:
            with contextlib.suppress(UnavailableError):  # whoever can't tell the others can't call either
                await self._quota.refused(failure.retry_after)

    async def _reply(self, call: Call) -> Reply | CaUnavailableError:
        """The answer, or what kept it from coming."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(call)
        except _UnusableKeyError:
            return CaKeyUnusableError(call.endpoint, "the API key at hand is not usable", maybe_done=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return CaUnreachableError(call.endpoint, "no connection", maybe_done=False)
        except (TimeoutError, httpx.TimeoutException):
            return CaTimeoutError(call.endpoint, f"no answer within {self._timeout} s", maybe_done=call.writes)
        except httpx.HTTPError:
            return CaUnreachableError(call.endpoint, "the connection broke", maybe_done=call.writes)

    async def _send(self, call: Call) -> Reply | CaUnavailableError:
        async with self._http.stream(call.method, call.path, params=call.params, json=call.body) as response:
            content = await self._body(response)
        if content is None:
            return CaGarbledError(call.endpoint, "an answer beyond all bounds", maybe_done=call.writes)
        wait = retry_after_in(response.headers.get("Retry-After"), datetime.now(UTC))
        return Reply(response.status_code, content, wait)

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


def segment(value: object) -> str:
    """A value as one segment of a path; dots alone would climb."""
    text = quote(str(value), safe="")
    if not text.strip("."):
        raise ValueError("an empty or dotted name cannot be looked up")
    return text


def _read(call: Call, reply: Reply, read: Callable[[Reply], ValueT]) -> ValueT:
    try:
        return read(reply)
    except ValueError as error:
        raise CaGarbledError(call.endpoint, f"an answer out of shape ({error})", maybe_done=call.writes) from None


def _safe_base_url(base_url: str) -> str:
    url = httpx.URL(base_url)
    if url.userinfo or not (url.scheme == "https" or (url.scheme == "http" and url.host in _LOOPBACK)):
        raise ValueError("the base URL must be https (or http on this machine) and carry no credentials")
    return base_url.rstrip("/")


def _unobserved(_endpoint: str, _result: str) -> None:
    """Where nobody watches."""
