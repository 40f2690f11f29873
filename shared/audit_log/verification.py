"""What audit logs prove, offline: nothing was changed, taken out, put in, cut off or told twice over. Pure.

A line changed, moved, put in or taken out breaks the chain, which anybody can see. Whoever owns a log's machine can
write the chain anew, but not what other duties have witnessed of it: their logs tell where it was cut or retold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.audit_log.entries import MAX_LINE_BYTES, Entry, EntryKind
from shared.contracts.audit import Checkpoint
from shared.errors import RefusedError
from shared.evidence.jws import Typ, payload_of, verify
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import Digest

MOST_FINDINGS = 100
"""Of one verification: a log that is broken in a thousand places is broken."""


class LogReport(Model):
    """What one log holds."""

    log: str
    duty: Duty
    entries: int
    first: int
    """The number of the first line that is here."""
    last: int
    began: datetime
    ended: datetime
    witnessed: int
    """The number of the last line that another duty's log vouches for; 0 if none does."""
    by: tuple[Duty, ...]
    """The duties whose logs vouch for something of it."""


class LogsReport(Model):
    """What was found in all of them."""

    logs: tuple[LogReport, ...]
    findings: tuple[Finding, ...]


@dataclass
class _Log:
    """One log as it is read."""

    name: str
    log: str
    duty: Duty
    first: int
    began: datetime
    ended: datetime
    digests: list[Digest | None] = field(default_factory=list)
    """Of its lines; none for those that are not here."""

    @property
    def last(self) -> int:
        return self.first + len(self.digests) - 1

    def digest(self, number: int) -> Digest | None:
        return self.digests[number - self.first] if self.first <= number <= self.last else None


@dataclass(frozen=True)
class _Word:
    """A checkpoint in a log: its own, or another's that it witnessed."""

    checkpoint: Checkpoint
    of: str
    by: Duty
    witnessed: bool


def verify_logs(
    files: Mapping[str, Iterable[bytes]], keys: Mapping[Duty, Sequence[PublicKey]], *, now: datetime
) -> LogsReport:
    """Check these logs, each on its own and each against what the others witnessed of it.

    `files` are the lines of each file with their ends, by the file's name; a log that was continued in another file
    is put together by its numbers.
    """
    verification = _Verification(keys, now)
    read = [log for name, lines in files.items() for log in verification.read(name, lines)]
    logs = verification.join(read)
    words = verification.trusted_words()
    verification.check_told_once(words)
    verification.check_witnessed(logs, words)
    return LogsReport(
        logs=tuple(_report(log, words) for log in logs), findings=tuple(verification.findings[:MOST_FINDINGS])
    )


class _Verification:
    def __init__(self, keys: Mapping[Duty, Sequence[PublicKey]], now: datetime) -> None:
        self.findings: list[Finding] = []
        self._keys = keys
        self._now = now
        self._words: list[tuple[str, Entry]] = []

    def read(self, name: str, lines: Iterable[bytes]) -> Iterator[_Log]:
        """The log in this file; more than one if lines of several are in it, which is a finding."""
        log: _Log | None = None
        for place, line in enumerate(lines, 1):
            entry = self._entry(name, place, line)
            if entry is None:
                continue
            if log is not None and self._follows(log, entry, place):
                log.ended = entry.at
            else:
                if log is not None:
                    yield log
                log = _Log(name, entry.log, entry.duty, entry.number, entry.at, entry.at)
                if entry.number == 1 and entry.previous is not None:
                    self._find("audit-log.broken", f"{name}:{place}: the first line of a log names one before it")
            log.digests.append(digest_of(line.rstrip(b"\n")))
            if entry.kind in {EntryKind.CHECKPOINT, EntryKind.WITNESSED}:
                self._words.append((f"{name}:{place}", entry))
        if log is not None:
            yield log

    def _entry(self, name: str, place: int, line: bytes) -> Entry | None:
        text = line.removesuffix(b"\n")
        if len(line) > MAX_LINE_BYTES or text == line:
            self._find("audit-log.line-invalid", f"{name}:{place}: the line is too long or has no end")
            return None
        try:
            entry = Entry.read(text, code="audit-log.line-invalid")
        except RefusedError as refused:
            self._find("audit-log.line-invalid", f"{name}:{place}: {refused.findings[0].message}")
            return None
        if entry.canonical() != text:
            self._find("audit-log.line-invalid", f"{name}:{place}: the line is not in its canonical form")
        return entry

    def _follows(self, log: _Log, entry: Entry, place: int) -> bool:
        """Whether a line goes on where the log is; if it does not, that is found."""
        where = f"{log.name}:{place}"
        if (entry.log, entry.duty) != (log.log, log.duty):
            self._find("audit-log.broken", f"{where}: this line is of another log")
        elif entry.number != log.last + 1:
            self._find("audit-log.broken", f"{where}: line {entry.number} follows line {log.last}")
        elif entry.previous != log.digests[-1]:
            self._find(
                "audit-log.broken", f"{where}: line {entry.number} names another line {log.last} than the one before it"
            )
        else:
            return True
        return False

    def join(self, read: Sequence[_Log]) -> list[_Log]:
        """The files of each log put together; what is missing between them, or there twice, is found."""
        joined: list[_Log] = []
        for log in sorted(read, key=lambda each: (each.log, each.first)):
            before = joined[-1] if joined and joined[-1].log == log.log else None
            if before is None:
                joined.append(log)
                if log.first != 1:
                    self._find("audit-log.beginning-missing", f"{log.name}: lines 1 to {log.first - 1} are not here")
                continue
            both = range(log.first, min(log.last, before.last) + 1)
            if any(before.digest(number) != log.digest(number) for number in both):
                self._find(
                    "audit-log.forked",
                    f"{before.name} and {log.name} tell line {log.first} and what follows differently",
                )
            elif log.first > before.last + 1:
                self._find("audit-log.broken", f"{log.name}: lines {before.last + 1} to {log.first - 1} are not here")
            new = log.digests[max(0, before.last + 1 - log.first) :]
            before.digests += [None] * (log.first - before.last - 1) + new
            before.ended = max(before.ended, log.ended)
        return joined

    def trusted_words(self) -> list[_Word]:
        """The checkpoints in all logs whose signatures hold."""
        words = []
        for where, entry in self._words:
            token = entry.detail.get("checkpoint", "")
            try:
                said = Checkpoint.read(payload_of(token), code="audit-log.checkpoint-invalid")
                verify(token, Typ.CHECKPOINT, self._keys.get(said.duty, ()), now=self._now)
            except RefusedError as refused:
                self._find("audit-log.checkpoint-invalid", f"{where}: {refused.findings[0].message}")
                continue
            witnessed = entry.kind is EntryKind.WITNESSED
            if not witnessed and (said.log, said.duty, said.number, said.digest) != (
                entry.log,
                entry.duty,
                entry.number - 1,
                entry.previous,
            ):
                self._find("audit-log.checkpoint-invalid", f"{where}: the checkpoint is not of the line before it")
                continue
            words.append(_Word(said, where, entry.duty, witnessed))
        return words

    def check_told_once(self, words: Sequence[_Word]) -> None:
        """A duty that says two things of one line has told its log twice over, whether or not both are here."""
        said: dict[tuple[str, int], _Word] = {}
        for word in words:
            other = said.setdefault((word.checkpoint.log, word.checkpoint.number), word)
            if other.checkpoint.digest != word.checkpoint.digest:
                text = f"{other.of} and {word.of}: {word.checkpoint.duty} signed two different lines"
                self._find("audit-log.forked", f"{text} {word.checkpoint.number}")

    def check_witnessed(self, logs: Sequence[_Log], words: Sequence[_Word]) -> None:
        """Each log must hold what other logs witnessed of it."""
        known = {log.log: log for log in logs}
        last: dict[str, _Word] = {}
        for word in words:
            if not word.witnessed:
                continue
            said = word.checkpoint
            log = known.get(said.log)
            if log is not None and (digest := log.digest(said.number)) is not None and digest != said.digest:
                self._find(
                    "audit-log.rewritten", f"{log.name}: line {said.number} is not the one that {word.of} witnessed"
                )
            if said.log not in last or last[said.log].checkpoint.number < said.number:
                last[said.log] = word
        for name, word in last.items():
            log = known.get(name)
            if log is None:
                text = f"{word.of}: a log of {word.checkpoint.duty} was witnessed that is not here"
                self._find("audit-log.missing", text, value=name)
            elif word.checkpoint.number > log.last:
                text = f"{log.name} ends at line {log.last}; {word.of} witnessed its line {word.checkpoint.number}"
                self._find("audit-log.truncated", text)

    def _find(self, code: str, text: str, *, value: str | None = None) -> None:
        self.findings.append(finding(code, text, value=value))


def _report(log: _Log, words: Iterable[_Word]) -> LogReport:
    vouched = [
        word
        for word in words
        if word.witnessed
        and word.checkpoint.log == log.log
        and log.digest(word.checkpoint.number) == word.checkpoint.digest
    ]
    return LogReport(
        log=log.log,
        duty=log.duty,
        entries=len(log.digests),
        first=log.first,
        last=log.last,
        began=log.began,
        ended=log.ended,
        witnessed=max((word.checkpoint.number for word in vouched), default=0),
        by=tuple(sorted({word.by for word in vouched})),
    )
