"""RabbitMQ's management interface, as far as the local set-up and the tests need it."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from deploy.local.process import LocalStackError, wait_until

_TIMEOUT_SECONDS = 30.0
_DELETIONS_AT_ONCE = 16


@dataclass(frozen=True)
class QueueState:
    """A queue as the broker last counted it; the counts may be a second old."""

    name: str
    messages: int
    ready: int
    unacknowledged: int
    consumers: int
    leader: str | None
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ConnectionState:
    """A client's connection."""

    name: str
    user: str
    virtual_host: str


class Management:
    """The administrator's calls; to be closed, or used as a context."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, auth=(user, password), timeout=_TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives up the connections."""
        self._http.close()

    def is_ready(self, amqp_port: int) -> bool:
        """Whether the node has started and listens for clients on this port."""
        try:
            return self._http.get(f"/api/health/checks/port-listener/{amqp_port}").is_success
        except httpx.TransportError:
            return False

    def apply_definitions(self, definitions: Mapping[str, Any]) -> None:
        """Imports virtual hosts, users, rights, exchanges, queues and bindings; waits for the queues."""
        self._call("POST", "/api/definitions", definitions)
        for name in {queue["vhost"] for queue in definitions.get("queues", ())}:
            self.await_queues(name)

    def create_virtual_host(self, name: str) -> None:
        """Makes a virtual host in which the administrator may do everything."""
        self._call("PUT", f"/api/vhosts/{_quoted(name)}", {})
        self.grant(name, "admin")

    def delete_virtual_host(self, name: str) -> None:
        """Removes a virtual host with all it holds; one that is not there is as good.

        The queues go first and all at once: by itself the broker takes a fifth of a second for each.
        """
        if self._call("GET", f"/api/vhosts/{_quoted(name)}", missing_ok=True) is None:
            return
        with ThreadPoolExecutor(_DELETIONS_AT_ONCE) as pool:
            for _ in pool.map(lambda queue: self.delete_queue(name, queue.name), self.queues(name)):
                pass
        self._call("DELETE", f"/api/vhosts/{_quoted(name)}", missing_ok=True)

    def virtual_hosts(self) -> tuple[str, ...]:
        """The names of all virtual hosts."""
        return tuple(found["name"] for found in self._call("GET", "/api/vhosts"))

    def create_user(self, name: str, password: str) -> None:
        """Makes a user without rights, or sets the password of one."""
        self._call("PUT", f"/api/users/{_quoted(name)}", {"password": password, "tags": ""})

    def delete_user(self, name: str) -> None:
        """Removes a user; one that is not there is as good."""
        self._call("DELETE", f"/api/users/{_quoted(name)}", missing_ok=True)

    def grant(
        self, virtual_host: str, user: str, *, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """Sets what a user may do in a virtual host."""
        rights = {"configure": configure, "write": write, "read": read}
        self._call("PUT", f"/api/permissions/{_quoted(virtual_host)}/{_quoted(user)}", rights)

    def queues(self, virtual_host: str) -> tuple[QueueState, ...]:
        """All queues of a virtual host."""
        return tuple(map(_queue, self._call("GET", f"/api/queues/{_quoted(virtual_host)}")))

    def queue(self, virtual_host: str, name: str) -> QueueState | None:
        """One queue, if it exists."""
        found = self._call("GET", f"/api/queues/{_quoted(virtual_host)}/{_quoted(name)}", missing_ok=True)
        return _queue(found) if found else None

    def delete_queue(self, virtual_host: str, name: str) -> None:
        """Removes a queue with its messages; one that is not there is as good."""
        self._call("DELETE", f"/api/queues/{_quoted(virtual_host)}/{_quoted(name)}", missing_ok=True)

    def await_queues(self, virtual_host: str, *, limit: float = 30.0) -> tuple[QueueState, ...]:
        """All queues of a virtual host, once each of them has a leader."""

        def all_led() -> tuple[tuple[QueueState, ...]] | None:
            queues = self.queues(virtual_host)
            return (queues,) if all(queue.leader for queue in queues) else None

        return wait_until(all_led, what=f"queues of {virtual_host} without a leader", limit=limit)[0]

    def connections(self, virtual_host: str | None = None) -> tuple[ConnectionState, ...]:
        """The open connections, of one virtual host or of all; a new one appears here within a second."""
        path = "/api/connections" if virtual_host is None else f"/api/vhosts/{_quoted(virtual_host)}/connections"
        return tuple(
            # A connection that is just being opened or closed has a name only.
            ConnectionState(found["name"], found.get("user", ""), found.get("vhost", ""))
            for found in self._call("GET", path)
        )

    def close_connection(self, name: str, *, reason: str = "closed by the local set-up") -> None:
        """Ends a client's connection from the broker's side; one that has gone is as good."""
        self._call("DELETE", f"/api/connections/{_quoted(name)}", headers={"X-Reason": reason}, missing_ok=True)

    def _call(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> Any:  # noqa: ANN401 - the interface's answers are JSON of many shapes, each parsed by its caller
        body = None if content is None else json.dumps(content)
        try:
            answer = self._http.request(
                method, path, content=body, headers={"Content-Type": "application/json", **(headers or {})}
            )
        except httpx.TransportError as error:
            raise LocalStackError(f"RabbitMQ's management interface: {method} {path}: {error!r}") from None
        if answer.is_success:
            return answer.json() if answer.content else None
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        raise LocalStackError(
            f"RabbitMQ's management interface: {method} {path}: {answer.status_code} {answer.text.strip()}"
        )


def _queue(found: Mapping[str, Any]) -> QueueState:
    return QueueState(
        name=found["name"],
        messages=found.get("messages", 0),
        ready=found.get("messages_ready", 0),
        unacknowledged=found.get("messages_unacknowledged", 0),
        consumers=found.get("consumers", 0),
        leader=found.get("leader") or None,
        arguments=found.get("arguments", {}),
    )


def _quoted(name: str) -> str:
    return quote(name, safe="")
