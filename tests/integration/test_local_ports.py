"""Ports for servers of the local set-up."""

import socket
import subprocess
import sys
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_ports, is_free, is_listening


def test_no_port_is_handed_out_twice() -> None:
    assert len({*free_ports(20), *free_ports(20)}) == 40


def test_no_port_is_handed_out_that_another_process_of_ours_was_given() -> None:
    ports = free_ports(5)
    asking = f"from deploy.local.ports import _claim; print([_claim(port) for port in {ports}])"
    answer = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str([False] * 5)


def test_clients_of_other_servers_are_never_given_such_a_port() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(low <= port <= high for port in free_ports(20))


def test_a_port_is_free_until_a_server_listens_on_it() -> None:
    (port,) = free_ports(1)
    assert is_free(port)
    assert not is_listening(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        assert is_listening(port)
    assert is_free(port)
