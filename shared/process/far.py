"""The far end of the pipe: one question in, one answer out, again and again."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from shared.process import LENGTH, frame

_NOT_DUMPABLE = (4, 0, 0, 0, 0)  # PR_SET_DUMPABLE of prctl(2)


def serve(answer: Callable[[bytes], bytes], *, seconds: float, memory: int, niceness: int = 0) -> None:
    """Answer until standard input ends.

    The process allows itself `memory` bytes of addresses, and is ended by the system when it is at one question for
    longer than `seconds`, so that it can't outlive by much whoever forgot it. Its memory can't be dumped, and is not to
    be looked at by other processes of the same user.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(*_NOT_DUMPABLE)  # what a program that collects dumps would get in spite of the limit
    os.nice(niceness)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it ends the process, whatever Python is at
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the duty, which ends this process in its turn
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    _write(answers, b"")
    while (asked := _read(sys.stdin.buffer)) is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        said = answer(asked)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answers, said)


def _read(stream: BinaryIO) -> bytes | None:
    length = stream.read(LENGTH)
    return stream.read(int.from_bytes(length)) if len(length) == LENGTH else None


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(frame(content))
    stream.flush()
