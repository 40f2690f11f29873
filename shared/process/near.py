"""The near end of the pipe: a process that may be slow, hang or die without harm to the one that started it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shared.errors import UnavailableError
from shared.process import LENGTH, frame

_PACKAGES = Path(__file__).resolve().parents[2]
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_MAX_ANSWER = 1024 * 1024
_FAREWELL_SECONDS = 5.0
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Patience:
    """How long a process may take, and how much may wait for it."""

    seconds: float
    """For one question."""
    start_seconds: float
    """For the process to be ready."""
    turn_seconds: float
    """For those that wait before it."""
    waiting: int
    """How many questions may wait for their turn."""


class BreakdownError(Exception):
    """The process hung or died while it was at work on a question."""


class Helper:
    """Answers one question after the other in a process of its own, which starts when it is first needed.

    The event loop never waits for it. When the process hangs or dies it is replaced for the next question.
    """

    def __init__(
        self, name: str, program: Sequence[str], patience: Patience, *arguments: str, silent: bool = False
    ) -> None:
        """`program` is what Python runs, with the seconds that it may take and `arguments` as further arguments.

        `name` is what it is called when it is not available. A silent one has no standard error.
        """
        self._name = name
        # Twice our own limit: it is for a process that nobody is left to end.
        self._program = (*program, str(2 * patience.seconds), *arguments)
        self._patience = patience
        self._silent = silent
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._waiting = 0
        self._closed = False

    @property
    def process(self) -> Process | None:
        """The running process, if there is one."""
        process = self._process
        return process if process is not None and process.returncode is None else None

    @property
    def load(self) -> int:
        """How many questions wait or are being answered."""
        return self._waiting + self._turn.locked()

    async def ask(self, question: bytes) -> bytes:
        """The answer.

        Raises:
            BreakdownError: the process hung or died over this question, or was killed meanwhile.
            UnavailableError: it does not start, too many questions wait, or it is closed.
        """
        return await self._in_turn(question)

    async def probe(self) -> None:
        """Return once the process is ready.

        Raises:
            UnavailableError: it does not start.
        """
        await self._in_turn(None)

    async def warm_up(self) -> None:
        """Have the process ready before the first question; if it is not to be had, that is seen to later."""
        with suppress(UnavailableError):
            await self.probe()

    async def aclose(self) -> None:
        """End the process; what is still waiting is told that it is not available."""
        self._closed = True
        if self._process is not None:
            _kill(self._process)
        async with self._turn:
            await self._end()

    async def _in_turn(self, question: bytes | None) -> bytes:
        if self._waiting >= self._patience.waiting:
            raise UnavailableError(self._name, "too many wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience.turn_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise UnavailableError(self._name, "those that wait before take too long") from None
        finally:
            self._waiting -= 1
        try:
            return await self._exchange(question)
        finally:
            self._turn.release()

    async def _exchange(self, question: bytes | None) -> bytes:
        try:
            process = await self._within(self._patience.start_seconds, self._ready())
        except BreakdownError as broken:
            raise UnavailableError(self._name, f"it does not start: {broken}") from None
        return b"" if question is None else await self._within(self._patience.seconds, _ask(process, question))

    async def _within(self, seconds: float, step: Awaitable[_Result]) -> _Result:
        """What the step gives, in time; any other end of it ends the process, whose next words would mislead."""
        try:
            async with asyncio.timeout(seconds):
                return await step
        except (OSError, EOFError) as error:
            await self._end()
            self._check_open()
            reason = "it did not answer in time" if isinstance(error, TimeoutError) else f"it died: {error}"
            raise BreakdownError(reason) from None
        except asyncio.CancelledError:
            await self._end()
            raise

    async def _ready(self) -> Process:
        self._check_open()
        if (process := self.process) is not None:
            return process
        await self._end()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._program,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL if self._silent else None,
            cwd=_PACKAGES,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        if await _answer(self._process) != b"":
            raise EOFError(f"it is not the {self._name}")
        return self._process

    async def _end(self) -> None:
        """Kill the process and let go of its pipes."""
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await process.communicate()

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError(self._name, "the worker is closed")


def _kill(process: Process) -> None:
    """Have the process end, if it has not.

    `Process.kill` looks first whether it has, and by that reaps it. The event loop, whose business that is, would
    then not find its child, and would warn of it.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def _ask(process: Process, question: bytes) -> bytes:
    if process.stdin is None:
        raise EOFError("its standard input is closed")
    process.stdin.write(frame(question))
    await process.stdin.drain()
    return await _answer(process)


async def _answer(process: Process) -> bytes:
    if process.stdout is None:
        raise EOFError("its standard output is closed")
    length = int.from_bytes(await process.stdout.readexactly(LENGTH))
    if length > _MAX_ANSWER:
        raise EOFError("its answer is too long")
    return await process.stdout.readexactly(length)
