"""Free ports on the loopback interface.

They lie outside the range from which the kernel takes the near ends of outgoing connections. So a server
that is killed and started again finds its port free: no client was given it meanwhile, and none that looked
for the server has connected to itself.
"""

import json
import random
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from deploy.local.process import LocalStackError

LOOPBACK = "127.0.0.1"
_LOWEST = 10_240
_HIGHEST = 65_535
_CLAIMS: set[int] = set()
"""What this process has handed out; a claim ends with the process."""


class KeptPorts:
    """Ports under names, kept in a file; one that is not given is chosen when it is first asked for."""

    def __init__(self, file: Path, given: Mapping[str, int | None] | None = None) -> None:
        self._file = file
        self._given = {name: port for name, port in (given or {}).items() if port is not None}

    def __getitem__(self, name: str) -> int:
        """The port of this name."""
        kept = self._read()
        if name not in kept:
            kept[name] = self._given.get(name) or free_ports(1)[0]
            self._write(kept)
        return kept[name]

    def settle(self, *, running: Collection[str] = ()) -> None:
        """Before a start: gives up what others have taken since the last one, except for what runs and is ours.

        Raises:
            LocalStackError: a port that was given is taken.
        """
        given = {name: port for name, port in self._given.items() if name not in running}
        for name, port in given.items():
            if not is_free(port):
                raise LocalStackError(f"Port {port}, which was asked for as {name} port, is in use already.")
        kept = {name: port for name, port in self._read().items() if name in running or is_free(port)}
        self._write(kept | given)

    def _read(self) -> dict[str, int]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}

    def _write(self, ports: Mapping[str, int]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.write_text(json.dumps(ports))


def free_ports(count: int) -> tuple[int, ...]:
    """So many distinct ports on which nobody listens and which no other process of ours has been given."""
    ports: list[int] = []
    for port in _candidates():
        if is_free(port) and _claim(port):
            ports.append(port)
        if len(ports) == count:
            return tuple(ports)
    raise LocalStackError("There are not enough free ports on this machine.")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def is_listening(port: int) -> bool:
    """Whether a server accepts connections on this port."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _candidates() -> Iterator[int]:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    outside = [port for port in range(_LOWEST, _HIGHEST + 1) if not low <= port <= high]
    candidates = outside or list(range(_LOWEST, _HIGHEST + 1))
    yield from random.sample(candidates, len(candidates))


def _claim(port: int) -> bool:
    """Keeps the port from other processes of ours, which may look for one before the server listens."""
    if port in _CLAIMS:
        return False
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0countersign-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    _CLAIMS.add(port)
    return True
