"""`/healthz`, `/readyz` and `/metrics` of a process."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def probes(
    registry: CollectorRegistry, readiness: Callable[[], Mapping[str, bool]], without: Sequence[str]
) -> Starlette:
    """The web application; `readiness` tells of each condition whether it holds.

    `without` is named, and does not make the process unready: what it could have and by its settings has not.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        conditions = dict(readiness())
        ready = all(conditions.values())
        body = {"ready": ready, "conditions": conditions, "without": list(without)}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ProbeServer:
    """Serves the probes beside the duty's work, on the same event loop, so that they tell of it."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._server = _Server(
            uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off", ws="none")
        )
        self._socket = socket.create_server((host, port))

    async def serve(self) -> None:
        """Serve until cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            await self._server.shutdown(sockets=[self._socket])
            raise
