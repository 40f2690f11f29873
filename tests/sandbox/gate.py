"""What every call to the API passes: the record of calls, the faults, the rate limits and the key."""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.sandbox import spoiling
from tests.sandbox.errors import invalid_key, too_many_requests
from tests.sandbox.knobs import Fault, FaultKind, Knobs, Panel
from tests.sandbox.roles import ApiKey

PREFIX = "/services/v2"
KEY_IN_SCOPE = "sandbox.key"
MAX_CALLS = 100_000
DRIPS = 20
"""In so many pieces comes a slow body."""
_NUMBER = re.compile(r"(?<=/)\d+(?=/|$)")


@dataclass(slots=True)
class Call:
    """A call as it came; `status` is None while it is under way and where the connection was cut."""

    number: int
    at: float
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

    def begin(self, scope: Scope, key: ApiKey | None, at: float) -> Call:
        self._total += 1
        call = Call(
            number=self._total,
            at=at,
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

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen: dict[str, deque[float]] = {}

    def wait(self, key: ApiKey, knobs: Knobs) -> float:
        """0 if this call fits into every window, and then it counts; else in how many seconds one will fit."""
        now, windows = self._now(), knobs.rate_windows
        seen = self._seen.setdefault(key.value, deque())
        longest = max(window.seconds for window in windows)
        while seen and seen[0] <= now - longest:
            seen.popleft()
        wait = 0.0
        for window in windows:
            inside = [instant for instant in seen if instant > now - window.seconds]
            if len(inside) >= window.calls:
                wait = max(wait, inside[-window.calls] + window.seconds - now)
        if not wait or knobs.count_refused:
            seen.append(now)
        return wait


class Gate:
    """The outermost layer, as ASGI: it must be able to cut the connection."""

    def __init__(
        self, app: ASGIApp, calls: CallLog, keys: Mapping[str, ApiKey], panel: Panel, now: Callable[[], float]
    ) -> None:
        self._app = app
        self._calls = calls
        self._keys = keys
        self._panel = panel
        self._now = now
        self._limiter = RateLimiter(now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        key = self._keys.get(Headers(scope=scope).get("x-dc-devkey", ""))
        call = self._calls.begin(scope, key, self._now())
        fault = self._panel.knobs.take_fault(call.method, call.path)
        if fault is None:
            await self._serve(scope, receive, _noting(call, send), key)
        else:
            call.fault = fault.kind.value
            await self._misbehave(fault, call, scope, receive, send, key=key)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, key: ApiKey | None) -> None:
        knobs = self._panel.knobs
        if key is None:
            await invalid_key().response()(scope, receive, send)
        elif knobs.rate_limits and (wait := self._limiter.wait(key, knobs)):
            headers = self._retry_after(wait, knobs)
            await too_many_requests().response(headers)(scope, receive, send)
        else:
            scope[KEY_IN_SCOPE] = key
            await self._app(scope, receive, send)

    def _retry_after(self, wait: float, knobs: Knobs) -> dict[str, str]:
        if knobs.retry_after == "seconds":
            return {"Retry-After": str(ceil(wait))}
        if knobs.retry_after == "date":
            moment = datetime.fromtimestamp(ceil(self._now() + wait), UTC)
            return {"Retry-After": format_datetime(moment, usegmt=True)}
        return {}

    async def _misbehave(
        self, fault: Fault, call: Call, scope: Scope, receive: Receive, send: Send, *, key: ApiKey | None
    ) -> None:
        match fault.kind:
            case FaultKind.DROP:
                await _cut(receive, send)
            case FaultKind.HANG:
                await _pause(receive, fault.seconds)
                await _cut(receive, send)
            case FaultKind.ANSWER | FaultKind.HTML:
                await _send(spoiling.instead(fault), _noting(call, send))
            case _:
                kept = _Kept()
                await self._serve(scope, receive, kept, key)
                await _finish(fault, kept.answer(), call, receive, send)


class _Kept:
    """Keeps an answer instead of sending it."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self._messages.append(message)

    def answer(self) -> spoiling.Answer:
        start, *bodies = self._messages
        return spoiling.Answer(start["status"], start["headers"], b"".join(body.get("body", b"") for body in bodies))


async def _finish(fault: Fault, answer: spoiling.Answer, call: Call, receive: Receive, send: Send) -> None:
    """What comes of an answer that was worked out before the fault struck."""
    match fault.kind:
        case FaultKind.COMMIT_THEN_DROP:
            await _cut(receive, send)
        case FaultKind.SLOW:
            if await _pause(receive, fault.seconds):
                await _send(answer, _noting(call, send))
        case FaultKind.SLOW_BODY:
            await _drip(answer, fault.seconds, receive, _noting(call, send))
        case _:
            await _send(spoiling.spoilt(fault, answer), _noting(call, send))


def _noting(call: Call, send: Send) -> Send:
    """Sends, and notes the status in the record."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
        await send(message)

    return sending


async def _send(answer: spoiling.Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _drip(answer: spoiling.Answer, seconds: float, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    size = ceil(len(answer.body) / DRIPS) or 1
    for start in range(0, len(answer.body), size):
        if not await _pause(receive, seconds / DRIPS):
            return
        await send({"type": "http.response.body", "body": answer.body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _pause(receive: Receive, seconds: float) -> bool:
    """Let so many seconds pass; False, and at once, if the client has gone meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _gone(receive)
            return False
    return True


async def _cut(receive: Receive, send: Send) -> None:
    """Cut the connection without a word, and wait until the server has noticed."""
    # ASGI has no message for this; the server's `send` is a method of the cycle that holds the transport.
    send.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's and `InProcess`'s are such
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
