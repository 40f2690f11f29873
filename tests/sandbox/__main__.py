"""`python -m tests.sandbox --port N --state DIR`: run the sandbox on this machine's loopback address."""

import argparse
import json
import os
import socket
from pathlib import Path

import uvicorn

from tests.sandbox.account import Sandbox
from tests.sandbox.app import build_app
from tests.sandbox.authority import write_atomically
from tests.sandbox.catalogue import (
    CONTAINER_ID,
    IMPORTED_ORDER_ID,
    ORGANIZATION_ID,
    PRIVATE_CA_CERT_ID,
    PUBLIC_CA_CERT_ID,
)
from tests.sandbox.gate import PREFIX
from tests.sandbox.roles import ApiKey, Role, generated_keys, parse_key

HOST = "127.0.0.1"
READY_FILE = "sandbox.json"
KEYS_FILE = "keys.json"
GRACE_SECONDS = 1


class AnnouncingServer(uvicorn.Server):
    """Writes the ready file once it accepts connections, and removes it before it no longer does."""

    def __init__(self, config: uvicorn.Config, ready_file: Path, announcement: dict[str, object]) -> None:
        super().__init__(config)
        self._ready_file = ready_file
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        write_atomically(self._ready_file, json.dumps(self._announcement, indent=2).encode())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ready_file.unlink(missing_ok=True)
        await super().shutdown(sockets=sockets)


def main() -> None:
    options = _options()
    state: Path = options.state
    state.mkdir(parents=True, exist_ok=True)
    (state / READY_FILE).unlink(missing_ok=True)
    keys = _keys(options, state)
    app = build_app(Sandbox.opened(state, keys))
    with _listener(options.port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="h11",
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        AnnouncingServer(config, state / READY_FILE, _announcement(port, keys)).run(sockets=[listener])


def _listener(port: int) -> socket.socket:
    """A bound socket that names its protocol: asyncio turns Nagle's delay off for no other."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="folder of the CA, the orders and the ready file")
    parser.add_argument("--key", action="append", default=[], type=parse_key, help="NAME:ROLE:VALUE, may be repeated")
    parser.add_argument("--api-keys", type=Path, help="file with one NAME:ROLE:VALUE a line")
    return parser.parse_args()


def _keys(options: argparse.Namespace, state: Path) -> tuple[ApiKey, ...]:
    """The keys given; else those of the last run; else fresh ones, one for each role."""
    given: list[ApiKey] = list(options.key)
    if options.api_keys is not None:
        lines = options.api_keys.read_text(encoding="utf-8").split()
        given.extend(parse_key(line) for line in lines)
    keys = tuple(given) or _stored_keys(state / KEYS_FILE) or generated_keys()
    entries = [{"name": key.name, "role": key.role.value, "value": key.value} for key in keys]
    write_atomically(state / KEYS_FILE, json.dumps(entries, indent=2).encode())
    return keys


def _stored_keys(file: Path) -> tuple[ApiKey, ...]:
    if not file.exists():
        return ()
    entries = json.loads(file.read_text(encoding="utf-8"))
    return tuple(ApiKey(entry["name"], Role(entry["role"]), entry["value"]) for entry in entries)


def _announcement(port: int, keys: tuple[ApiKey, ...]) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "port": port,
        "base_url": f"http://{HOST}:{port}{PREFIX}",
        "admin_url": f"http://{HOST}:{port}/admin",
        "api_keys": {key.role.value: key.value for key in reversed(keys)},
        "api_keys_by_name": {key.name: key.value for key in keys},
        "organization_id": ORGANIZATION_ID,
        "container_id": CONTAINER_ID,
        "ca_cert_id": PUBLIC_CA_CERT_ID,
        "private_ca_cert_id": PRIVATE_CA_CERT_ID,
        "imported_order_id": IMPORTED_ORDER_ID,
    }


if __name__ == "__main__":
    main()
