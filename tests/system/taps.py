"""Taps on the way to a server: they let everything through, until the message comes at which a process is to be killed.

They run in threads of their own, so that a test can start and await processes meanwhile.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from types import TracebackType
from typing import Self

import bson

LOOPBACK = "127.0.0.1"
OP_MSG = 2013
ACK, PUBLISH = (60, 80), (60, 40)
METHOD_FRAME = 1
PATIENCE_SECONDS = 60.0


class Verdict(Enum):
    """What becomes of a frame."""

    PASS = "pass"
    HOLD = "hold"
    """It goes no further, nor does anything behind it; the moment has come."""
    LAST = "last"
    """It still passes; the moment has come."""


Rule = Callable[[bool, bytes], Verdict]
"""Judges a frame; the first argument says whether it is on its way to the server."""


def pass_all(_there: bool, _frame: bytes) -> Verdict:  # noqa: FBT001 - the shape of a rule
    return Verdict.PASS


class Tap:
    """Listens in a server's place."""

    def __init__(self, port: int, frames: Callable[[socket.socket], Iterator[bytes]]) -> None:
        """`port` is the server's; `frames` cuts what comes over a connection into messages."""
        self._server_port = port
        self._frames = frames
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._rule: Rule = pass_all
        self._judging = threading.Lock()
        self._come = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def watch(self, rule: Rule) -> None:
        """Judge by this rule from now on."""
        with self._judging:
            self._come.clear()
            self._rule = rule

    def await_moment(self) -> None:
        """Return when the rule has said that the moment has come."""
        assert self._come.wait(PATIENCE_SECONDS), "the moment did not come"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((LOOPBACK, self._server_port))
                for there, source, target in ((True, client, server), (False, server, client)):
                    threading.Thread(target=self._pump, args=(there, source, target), daemon=True).start()

    def _pump(self, there: bool, source: socket.socket, target: socket.socket) -> None:  # noqa: FBT001 - a thread's argument
        with contextlib.suppress(OSError), source, target:
            for frame in self._frames(source):
                with self._judging:
                    verdict = self._rule(there, frame)
                if verdict is Verdict.HOLD:
                    self._come.set()
                    _until_gone(source if there else target)
                    return
                target.sendall(frame)
                if verdict is Verdict.LAST:
                    self._come.set()


def _until_gone(client: socket.socket) -> None:
    """Wait until the client's process is dead; what it still says, nobody hears."""
    while client.recv(65_536):
        pass


def mongo_frames(source: socket.socket) -> Iterator[bytes]:
    """The messages of MongoDB's wire protocol."""
    while header := _exactly(source, 4):
        yield header + _exactly(source, struct.unpack("<i", header)[0] - 4)


def amqp_frames(source: socket.socket) -> Iterator[bytes]:
    """The frames of AMQP 0-9-1, and its greeting."""
    while first := _exactly(source, 1):
        if first == b"A":
            yield first + _exactly(source, 7)
            continue
        rest = _exactly(source, 6)
        yield first + rest + _exactly(source, struct.unpack(">I", rest[2:])[0] + 1)


def _exactly(source: socket.socket, count: int) -> bytes:
    """So many bytes; none where the connection has ended."""
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def at_write(verb: str, collection: str, *, nth: int = 1, after: bool) -> Rule:
    """The so-manyth `insert` or `update` of this collection: before the database has it, or before its answer."""
    seen, asked = 0, -1

    def rule(there: bool, frame: bytes) -> Verdict:  # noqa: FBT001 - the shape of a rule
        nonlocal seen, asked
        request, response_to, kind = struct.unpack("<iii", frame[4:16])
        if there and kind == OP_MSG and frame[20] == 0:
            (length,) = struct.unpack("<i", frame[21:25])
            if bson.decode(frame[21 : 21 + length]).get(verb) == collection:
                seen += 1
                if seen == nth and not after:
                    return Verdict.HOLD
                asked = request if seen == nth else asked
        return Verdict.HOLD if not there and response_to == asked else Verdict.PASS

    return rule


def at_publish(exchange: str, *, after: bool) -> Rule:
    """A message to this exchange: before the broker has it, or before its confirmation."""
    name = bytes([len(exchange)]) + exchange.encode()
    channel: bytes | None = None

    def rule(there: bool, frame: bytes) -> Verdict:  # noqa: FBT001 - the shape of a rule
        nonlocal channel
        if there and _method(frame) == PUBLISH and frame[13 : 13 + len(name)] == name:
            channel = frame[1:3]
            return Verdict.PASS if after else Verdict.HOLD
        confirmed = not there and _method(frame) == ACK and frame[1:3] == channel
        return Verdict.HOLD if confirmed else Verdict.PASS

    return rule


def at_acknowledgement(*, after: bool) -> Rule:
    """The acknowledgement of a delivery: before the broker has it, or just when it has."""

    def rule(there: bool, frame: bytes) -> Verdict:  # noqa: FBT001 - the shape of a rule
        if not there or _method(frame) != ACK:
            return Verdict.PASS
        return Verdict.LAST if after else Verdict.HOLD

    return rule


def _method(frame: bytes) -> tuple[int, ...]:
    return struct.unpack(">HH", frame[7:11]) if frame[0] == METHOD_FRAME else ()
