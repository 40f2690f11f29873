"""Writes an audit log: nothing counts as written before it is on the disk, and one process writes a log."""

import asyncio
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from shared.audit_log.entries import MAX_LINE_BYTES, EntryKind, Head, Record, head_after
from shared.clock import Clock
from shared.contracts.audit import Checkpoint
from shared.errors import RefusedError, UnavailableError
from shared.evidence.jws import SigningKey, Typ
from shared.identifiers import new_message_id
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of

DEPENDENCY = "audit log"
MOST_COPIES = 100
"""Of one duty whose logs are in one folder."""

Waiting = tuple[Sequence[Record], "asyncio.Future[None]"]


class AuditLog:
    """The log of one process; what is told at once is written at once."""

    def __init__(self, folder: Path, duty: Duty, key: SigningKey, clock: Clock) -> None:
        """Take the first of the duty's logs in this folder that no process writes, or begin one.

        Raises:
            RefusedError: `config.audit-log-unusable`.
        """
        self._duty = duty
        self._key = key
        self._clock = clock
        try:
            self.path, self._file = _take(folder, duty)
            self._length, self._head, cut = _resume(self._file, duty)
        except (OSError, RefusedError) as error:
            text = f"{folder}: the audit log cannot be written: {error}"
            raise RefusedError(finding("config.audit-log-unusable", text)) from None
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._news = 0
        """How many lines there are beside those that tell of checkpoints, since the last one."""
        opened = Record(kind=EntryKind.OPENED, identity=duty, detail={"cut": cut} if cut else {})
        try:
            self._append([opened])
        except OSError as error:
            raise RefusedError(finding("config.audit-log-unusable", f"{self.path}: {error.strerror}")) from None

    @property
    def name(self) -> str:
        """The id of the log, which its lines bear."""
        return self._head.log

    async def write(self, *records: Record) -> None:
        """Write these, one after the other.

        Raises:
            UnavailableError: they are not on the disk.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((records, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="audit log")
        await written

    async def probe(self) -> None:
        """Find out whether it can be written.

        Raises:
            UnavailableError: it can't.
        """
        await self.write(Record(kind=EntryKind.OPENED, identity=self._duty, detail={"after": "a failure to write"}))

    async def checkpoint(self) -> str | None:
        """Sign what it is and write that down too; none if nothing was written since but checkpoints.

        Raises:
            UnavailableError: it can't be written.
        """
        if self._news == 0:
            return None
        while self._writer is not None:  # the line before a checkpoint is the one that it is of
            await asyncio.wait([self._writer])
        said = self._head.checkpoint()
        if said is None:
            return None
        signed = self._sign(said)
        await self.write(Record(kind=EntryKind.CHECKPOINT, identity=self._duty, detail={"checkpoint": signed}))
        return signed

    async def aclose(self) -> None:
        """Let what waits be written, and the log go."""
        while self._writer is not None:
            await asyncio.wait([self._writer])
        os.close(self._file)

    def _sign(self, said: Checkpoint) -> str:
        return self._key.sign(said.canonical(), Typ.CHECKPOINT, self._clock.now())

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                records = [record for each, _ in waiting for record in each]
                try:
                    await asyncio.to_thread(self._append, records)
                except OSError as error:
                    for _, written in waiting:
                        _settle(written, UnavailableError(DEPENDENCY, f"{self.path}: {error.strerror}"))
                else:
                    for _, written in waiting:
                        _settle(written, None)
        finally:
            self._writer = None

    def _append(self, records: Sequence[Record]) -> None:
        """All of these, or none: what was written in part is taken back before the next try."""
        head, lines = self._head, []
        for record in records:
            line, head = head.follow(record, self._clock.now())
            lines.append(line)
        data = b"".join(lines)
        os.ftruncate(self._file, self._length)
        _write_at(self._file, data, self._length)
        os.fdatasync(self._file)
        self._length += len(data)
        self._head = head
        told = sum(record.kind not in {EntryKind.CHECKPOINT, EntryKind.WITNESSED} for record in records)
        self._news = 0 if told == 0 and records[-1].kind is EntryKind.CHECKPOINT else self._news + told


def _settle(written: "asyncio.Future[None]", failure: UnavailableError | None) -> None:
    if written.cancelled():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


def _take(folder: Path, duty: Duty) -> tuple[Path, int]:
    for copy in range(1, MOST_COPIES + 1):
        path = folder / f"{duty}-{copy}.jsonl"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return path, file
    raise OSError(f"{MOST_COPIES} processes write logs of {duty} here already")


def _resume(file: int, duty: Duty) -> tuple[int, Head, str]:
    """Where the log ends, where it has come to, and the digest of a line that was not finished and is cut off."""
    length = os.fstat(file).st_size
    tail = _read_at(file, max(0, length - 2 * MAX_LINE_BYTES), length)
    whole, _, unfinished = tail.rpartition(b"\n")
    end = length - len(unfinished)
    if end == 0:
        return 0, Head(new_message_id(), duty), digest_of(unfinished) if unfinished else ""
    head = head_after(whole.rpartition(b"\n")[2])
    if head.duty is not duty:
        raise RefusedError(finding("audit-log.line-invalid", f"this is a log of {head.duty}"))
    return end, head, digest_of(unfinished) if unfinished else ""


def _read_at(file: int, start: int, end: int) -> bytes:
    data = b""
    while start + len(data) < end:
        more = os.pread(file, end - start - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def _write_at(file: int, data: bytes, start: int) -> None:
    while data:
        written = os.pwrite(file, data, start)
        data, start = data[written:], start + written
