"""The far end of the pipe: one certificate in, its findings out, again and again, in a process of its own.

A frame is its length in four bytes, most significant first, and its content. A request is the kind, a line feed
and the DER; an answer is the findings as JSON. An empty frame says that the process is ready.
"""

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from pydantic import TypeAdapter

from shared.lint.kinds import LintKind
from shared.vocabulary.findings import Finding

LENGTH = 4
FINDINGS: TypeAdapter[list[Finding]] = TypeAdapter(list[Finding])


def frame(content: bytes) -> bytes:
    """The content with its length in front."""
    return len(content).to_bytes(LENGTH) + content


def question(der: bytes, kind: LintKind) -> bytes:
    """The frame that asks about a certificate."""
    return frame(kind.encode() + b"\n" + der)


def serve(lint: Callable[[bytes, LintKind], Sequence[Finding]], *, seconds: float, memory: int) -> None:
    """Answer with what `lint` finds, until standard input ends.

    The process allows itself `memory` bytes of addresses, and is ended by the system when it is at one certificate
    for longer than `seconds`, so that it can't outlive by much whoever forgot it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it ends the process, whatever Python is at
    logging.getLogger("pkilint").setLevel(logging.CRITICAL)  # it logs what it also reports as a finding
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the duty, which ends this process in its turn
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    _write(answers, b"")
    while (asked := _read(sys.stdin.buffer)) is not None:
        kind, _, der = asked.partition(b"\n")
        signal.setitimer(signal.ITIMER_REAL, seconds)
        found = lint(der, LintKind(kind.decode()))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answers, FINDINGS.dump_json(list(found)))


def _read(stream: BinaryIO) -> bytes | None:
    length = stream.read(LENGTH)
    return stream.read(int.from_bytes(length)) if len(length) == LENGTH else None


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(frame(content))
    stream.flush()
