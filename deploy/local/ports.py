"""Free ports on the loopback interface.

They lie outside the range from which the kernel takes the near ends of outgoing connections. So a server
that is killed and started again finds its port free: no client was given it meanwhile, and none that looked
for the server has connected to itself.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deploy.local.process import LocalStackError

LOOPBACK = "127.0.0.1"
_LOWEST = 10_240
_HIGHEST = 65_535
_CLAIMS: set[int] = set()
"""What this process has handed out; a claim ends with the process."""


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
