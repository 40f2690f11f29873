"""The linter as the duties use it: one process beside theirs, which may be slow, hang or die without harm to them."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from shared.errors import UnavailableError
from shared.lint.kinds import LintKind
from shared.lint.serving import FINDINGS, LENGTH, question
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest
from shared.x509.certificate import MAX_CERTIFICATE_BYTES

log = structlog.get_logger()

MAX_BREAKDOWNS = 2
"""How often one certificate may bring the process down before it is refused for that."""

_PACKAGES = Path(__file__).resolve().parents[2]
_PROGRAM = ("-m", "shared.lint")
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_MAX_ANSWER = 1024 * 1024
_REMEMBERED = 256
_FAREWELL_SECONDS = 5.0
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Limits:
    """What the linter's process may take."""

    seconds: float = 10.0
    """For one certificate."""
    start_seconds: float = 15.0
    """For the process to be ready."""
    turn_seconds: float = 20.0
    """For those that wait before it. All three together are less than the runtime grants a handler."""
    certificate_bytes: int = MAX_CERTIFICATE_BYTES
    memory_bytes: int = 1024 * 1024 * 1024
    """Of addresses; the process uses some 60 MB."""
    waiting: int = 64
    """How many certificates may wait for their turn."""


class LintWorker:
    """Lints one certificate after the other in a process of its own, which starts when it is first needed.

    The event loop never waits for it. When the process hangs or dies it is replaced for the next certificate. That
    is nobody's fault as long as it happens once; a certificate that does it `MAX_BREAKDOWNS` times is refused for
    it, so that no request can hold up the others for ever.
    """

    def __init__(self, limits: Limits | None = None, *, program: Sequence[str] = _PROGRAM) -> None:
        """`program` is what Python runs, with the limits in seconds and in bytes as further arguments."""
        self._limits = limits or Limits()
        self._program = program
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._waiting = 0
        self._closed = False
        self._breakdowns: OrderedDict[Digest, int] = OrderedDict()

    @property
    def process_id(self) -> int | None:
        """The number of the running process, if there is one."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def lint(self, der: bytes, kind: LintKind) -> list[Finding]:
        """What speaks against this certificate; see `linter.lint`.

        A certificate beyond the limit in bytes has the one finding `lint.too-large`, one that brought the process
        down repeatedly `lint.failed`.

        Raises:
            UnavailableError: of `linter`: the process hung, died or does not start, too many certificates wait, or
                the worker is closed.
        """
        if len(der) > self._limits.certificate_bytes:
            message = f"certificates of more than {self._limits.certificate_bytes} bytes are not linted"
            return [finding("lint.too-large", message, value=f"{len(der)} bytes")]
        asked = question(der, kind)
        digest = digest_of(asked)
        try:
            answer = await self._in_turn(asked)
        except _BreakdownError as broken:
            log.warning("linter broke down", reason=str(broken), certificate=digest_of(der))
            return self._after_breakdown(digest, broken)
        self._breakdowns.pop(digest, None)
        return FINDINGS.validate_json(answer)

    async def probe(self) -> None:
        """Return once the process is ready, as the gate of `linter` asks.

        Raises:
            UnavailableError: it does not start.
        """
        await self._in_turn(None)

    async def warm_up(self) -> None:
        """Have the process ready before the first certificate; if it is not to be had, that is seen to later."""
        with suppress(UnavailableError):
            await self.probe()

    async def aclose(self) -> None:
        """End the process; what is still waiting is told that the linter is not available."""
        self._closed = True
        if self._process is not None:
            _kill(self._process)
        async with self._turn:
            await self._end()

    async def _in_turn(self, asked: bytes | None) -> bytes:
        if self._waiting >= self._limits.waiting:
            raise UnavailableError("linter", "too many certificates wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise UnavailableError("linter", "those that wait before take too long") from None
        finally:
            self._waiting -= 1
        try:
            return await self._exchange(asked)
        finally:
            self._turn.release()

    async def _exchange(self, asked: bytes | None) -> bytes:
        try:
            process = await self._within(self._limits.start_seconds, self._ready())
        except _BreakdownError as broken:
            raise UnavailableError("linter", f"it does not start: {broken}") from None
        return b"" if asked is None else await self._within(self._limits.seconds, _ask(process, asked))

    async def _within(self, seconds: float, step: Awaitable[_Result]) -> _Result:
        """What the step gives, in time; any other end of it ends the process, whose next words would mislead."""
        try:
            async with asyncio.timeout(seconds):
                return await step
        except (OSError, EOFError) as error:
            await self._end()
            self._check_open()
            reason = "it did not answer in time" if isinstance(error, TimeoutError) else f"it died: {error}"
            raise _BreakdownError(reason) from None
        except asyncio.CancelledError:
            await self._end()
            raise

    async def _ready(self) -> Process:
        self._check_open()
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._end()
        # Twice our own limit: it is for a process that nobody is left to end.
        arguments = (*self._program, str(2 * self._limits.seconds), str(self._limits.memory_bytes))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            cwd=_PACKAGES,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        if await _answer(self._process) != b"":
            raise EOFError("it is not the linter")
        return self._process

    async def _end(self) -> None:
        """Kill the process and let go of its pipes."""
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await process.communicate()

    def _after_breakdown(self, digest: Digest, broken: "_BreakdownError") -> list[Finding]:
        count = self._breakdowns.pop(digest, 0) + 1
        if count >= MAX_BREAKDOWNS:
            message = f"the linter broke down over this certificate {count} times"
            return [finding("lint.failed", message, value=broken)]
        self._breakdowns[digest] = count
        if len(self._breakdowns) > _REMEMBERED:
            self._breakdowns.popitem(last=False)
        raise UnavailableError("linter", str(broken))

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("linter", "the worker is closed")


class _BreakdownError(Exception):
    """The process hung or died while it was at work."""


def _kill(process: Process) -> None:
    """Have the process end, if it has not.

    `Process.kill` looks first whether it has, and by that reaps it. The event loop, whose business that is, would
    then not find its child, and would warn of it.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def _ask(process: Process, asked: bytes) -> bytes:
    if process.stdin is None:
        raise EOFError("its standard input is closed")
    process.stdin.write(asked)
    await process.stdin.drain()
    return await _answer(process)


async def _answer(process: Process) -> bytes:
    if process.stdout is None:
        raise EOFError("its standard output is closed")
    length = int.from_bytes(await process.stdout.readexactly(LENGTH))
    if length > _MAX_ANSWER:
        raise EOFError("its answer is too long")
    return await process.stdout.readexactly(length)
