"""The sandbox without sockets: a transport for `httpx` that calls it in the same event loop.

With a loop whose time is a test's own, days of orders take seconds; see `tests/fakes/virtual_time.py`.
"""

import asyncio
from collections.abc import Callable

import httpx
from starlette.types import ASGIApp, Message


class InProcess(httpx.AsyncBaseTransport):
    """Carries calls to the application; the way there and the way back take `latency` each time."""

    def __init__(self, app: ASGIApp, latency: Callable[[], float] = lambda: 0.0) -> None:
        self._app = app
        self._latency = latency

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        cycle = _Cycle(await request.aread())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 1),
        }
        await asyncio.sleep(self._latency())
        await self._app(scope, cycle.receive, cycle.send)
        await asyncio.sleep(self._latency())
        if cycle.transport.is_cut:
            raise httpx.RemoteProtocolError("the connection was cut", request=request)
        return httpx.Response(cycle.status, headers=cycle.headers, content=bytes(cycle.body), request=request)


class _Line:
    """What the sandbox cuts."""

    def __init__(self) -> None:
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


class _Cycle:
    """One call and its answer, as a server holds them."""

    def __init__(self, content: bytes) -> None:
        self.transport = _Line()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self._content: bytes | None = content

    async def receive(self) -> Message:
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}
        if not self.transport.is_cut:
            await asyncio.Event().wait()  # the client is there for as long as it waits for us
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
