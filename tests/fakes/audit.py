"""An audit log in memory."""

from dataclasses import dataclass, field

from shared.audit_log.entries import Record


@dataclass
class RememberedTrail:
    """Keeps what is written to it."""

    records: list[Record] = field(default_factory=list)

    async def write(self, *records: Record) -> None:
        self.records += records
