"""News of the audit logs: a duty's word on what its log is, for the others to keep."""

from typing import Annotated

from pydantic import Field

from shared.contracts.statement import CompactJws
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, MessageIdField

MOST_ENTRIES = 10**15


class Checkpoint(Model):
    """What a log is, up to one line of it; the duty signs this."""

    log: MessageIdField
    duty: Duty
    number: Annotated[int, Field(ge=1, le=MOST_ENTRIES)]
    """Of its last line."""
    digest: DigestField
    """Of that line, which names all before it."""


class AuditLogCheckpoint(Model):
    """A duty's audit log has come this far; the other duties write it into theirs."""

    checkpoint: CompactJws


class IntakeCheckpoint(AuditLogCheckpoint):
    """Of intake's audit log."""


class ApprovalCheckpoint(AuditLogCheckpoint):
    """Of approval's audit log."""


class IssuerCheckpoint(AuditLogCheckpoint):
    """Of the issuer's audit log."""


class RevokerCheckpoint(AuditLogCheckpoint):
    """Of the revoker's audit log."""


CHECKPOINT_OF: dict[Duty, type[AuditLogCheckpoint]] = {
    Duty.INTAKE: IntakeCheckpoint,
    Duty.APPROVAL: ApprovalCheckpoint,
    Duty.ISSUER: IssuerCheckpoint,
    Duty.REVOKER: RevokerCheckpoint,
}
