"""What every call to the API passes: the record of calls, the faults, the rate limits and the key."""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.sandbox.errors import ApiError, invalid_key, too_many_requests
from tests.sandbox.knobs import Fault, FaultKind, Panel, RateWindow
from tests.sandbox.roles import ApiKey

PREFIX = "/services/v2"
KEY_IN_SCOPE = "sandbox.key"
MAX_CALLS = 100_000
_NUMBER = re.compile(r"(?<=/)\d+(?=/|$)")


@dataclass(slots=True)
class Call:
    """A call as it came; `status` is None while it is under way and where the connection was cut."""

    number: int
    method: str
    path: str
    query: str
    key: str | None
    role: str | None
    status: int | None = None
    fault: str | None = None


class CallLog:
    """Every call in order, the oldest forgotten past `MAX_CALLS`, and how many there were of each kind."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self._counts: Counter[str] = Counter()
        self._total = 0

    def begin(self, scope: Scope, key: ApiKey | None) -> Call:
        self._total += 1
        call = Call(
            number=self._total,
            method=scope["method"],
            path=scope["path"].removeprefix(PREFIX),
            query=scope["query_string"].decode("latin-1"),
            key=key.name if key else None,
            role=key.role.value if key else None,
        )
        self._calls.append(call)
        self._counts[f"{call.method} {_NUMBER.sub('{id}', call.path)}"] += 1
        return call

    def view(self, since: int = 0) -> dict[str, object]:
        """All calls whose number is greater, the total, and the counts by method and path."""
        return {
            "total": self._total,
            "counts": dict(self._counts),
            "calls": [asdict(call) for call in self._calls if call.number > since],
        }


class RateLimiter:
    """Rolling windows for each key."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[str, deque[float]] = {}

    def admits(self, key: ApiKey, windows: tuple[RateWindow, ...]) -> bool:
        """Whether this call fits into every window; one that does not is not counted."""
        now = self._now()
        seen = self._seen.setdefault(key.value, deque())
        longest = max(window.seconds for window in windows)
        while seen and seen[0] <= now - longest:
            seen.popleft()
        for window in windows:
            if sum(instant > now - window.seconds for instant in seen) >= window.calls:
                return False
        seen.append(now)
        return True


class Gate:
    """The outermost layer, as ASGI: it must be able to cut the connection."""

    def __init__(self, app: ASGIApp, calls: CallLog, keys: Mapping[str, ApiKey], panel: Panel) -> None:
        self._app = app
        self._calls = calls
        self._keys = keys
        self._panel = panel
        self._limiter = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        key = self._keys.get(Headers(scope=scope).get("x-dc-devkey", ""))
        call = self._calls.begin(scope, key)
        fault = self._panel.knobs.take_fault(call.method, call.path)
        if fault is None:
            await self._serve(scope, receive, _noting(call, send), key)
        else:
            call.fault = fault.kind.value
            await self._misbehave(fault, call, scope, receive, send, key=key)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, key: ApiKey | None) -> None:
        try:
            scope[KEY_IN_SCOPE] = self._admitted(key)
        except ApiError as error:
            await error.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admitted(self, key: ApiKey | None) -> ApiKey:
        if key is None:
            raise invalid_key()
        knobs = self._panel.knobs
        if knobs.rate_limits and not self._limiter.admits(key, knobs.rate_windows):
            raise too_many_requests()
        return key

    async def _misbehave(
        self, fault: Fault, call: Call, scope: Scope, receive: Receive, send: Send, *, key: ApiKey | None
    ) -> None:
        if fault.kind is FaultKind.DROP:
            await _cut(receive, send)
        elif fault.kind is FaultKind.ANSWER:
            await _answer(fault.status, fault.body.encode(), _noting(call, send))
        else:
            answer = _Kept()
            await self._serve(scope, receive, answer, key)
            await _finish(fault, answer, call, receive, send)


class _Kept:
    """Keeps an answer instead of sending it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])


async def _finish(fault: Fault, answer: _Kept, call: Call, receive: Receive, send: Send) -> None:
    """What comes of an answer that was worked out before the fault struck."""
    if fault.kind is FaultKind.COMMIT_THEN_DROP:
        await _cut(receive, send)
    elif fault.kind is FaultKind.MALFORMED:
        await _answer(answer.status, b'{"id": 1, "requests": [', _noting(call, send))
    else:
        await asyncio.sleep(fault.seconds)
        for message in answer.messages:
            await _noting(call, send)(message)


def _noting(call: Call, send: Send) -> Send:
    """Sends, and notes the status in the record."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
        await send(message)

    return sending


async def _answer(status: int, body: bytes, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _cut(receive: Receive, send: Send) -> None:
    """Cut the connection without a word, and wait until the server has noticed."""
    # ASGI has no message for this; uvicorn's `send` is a method of the cycle that holds the transport.
    send.__self__.transport.abort()  # type: ignore[attr-defined]  # only uvicorn ever calls this application
    while (await receive())["type"] != "http.disconnect":
        pass
