"""The lines of an audit log, and how each is chained to the one before it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.audit import MOST_ENTRIES, Checkpoint
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import Digest, DigestField, MessageIdField

MAX_LINE_BYTES = 256 * 1024
Word = Annotated[str, StringConstraints(max_length=255)]
Detail = Annotated[str, StringConstraints(max_length=128 * 1024)]


class EntryKind(StrEnum):
    """What a line tells of."""

    OPENED = "opened"
    """A process began a log, or went on with it."""
    COMMAND = "command"
    """An identity's command was handled or refused."""
    EVENT = "event"
    """Another duty's event was handled or refused."""
    TOLD = "told"
    """The duty is about to publish an event of its own."""
    POLICY = "policy"
    """Another policy came into force."""
    CHECKPOINT = "checkpoint"
    """The duty signed what the log is up to the line before."""
    WITNESSED = "witnessed"
    """Another duty's checkpoint came."""


class Record(Model):
    """What is to be written, before it has its place in a log."""

    kind: EntryKind
    identity: Word
    """Who acted, as the broker knows them."""
    subject: Word = ""
    """The request it is about, or what else."""
    detail: dict[Word, Detail] = Field(default_factory=dict)


class Entry(Record):
    """One line, without its end."""

    log: MessageIdField
    """Of the whole log, whatever files it is in."""
    duty: Duty
    number: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    at: AwareDatetime
    previous: DigestField | None
    """The digest of the line before; none on the first."""


@dataclass(frozen=True)
class Head:
    """Where a log has come to: what its next line must name."""

    log: str
    duty: Duty
    number: int = 0
    digest: Digest | None = None

    def follow(self, record: Record, at: datetime) -> tuple[bytes, "Head"]:
        """The line that tells this, with its end, and where the log has come to with it."""
        entry = Entry(**dict(record), log=self.log, duty=self.duty, number=self.number + 1, at=at, previous=self.digest)
        line = entry.canonical()
        return line + b"\n", Head(self.log, self.duty, entry.number, digest_of(line))

    def checkpoint(self) -> Checkpoint | None:
        """What the duty signs of the log as it is; nothing of one without a line."""
        if self.digest is None:
            return None
        return Checkpoint(log=self.log, duty=self.duty, number=self.number, digest=self.digest)


def head_after(line: bytes) -> Head:
    """Where a log has come to with this line, its end left out.

    Raises:
        RefusedError: `audit-log.line-invalid`.
    """
    entry = Entry.read(line, code="audit-log.line-invalid")
    return Head(entry.log, entry.duty, entry.number, digest_of(line))
