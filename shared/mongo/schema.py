"""Indexes as data: created by whoever sets a database up, never by a duty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from shared.vocabulary.duties import Duty


@dataclass(frozen=True)
class Index:
    """An ascending index over one or more fields."""

    collection: str
    fields: tuple[str, ...]
    unique: bool = False

    @property
    def keys(self) -> list[tuple[str, int]]:
        """As the driver takes it."""
        return [(field, 1) for field in self.fields]


def _due_in(collection: str) -> tuple[Index, ...]:
    """What finding due work needs: the groups of which something is due, and what is due of a group."""
    return Index(collection, ("due", "approval_group")), Index(collection, ("approval_group", "due"))


INDEXES: Mapping[Duty, tuple[Index, ...]] = {
    Duty.INTAKE: (
        Index("requests", ("listed_for", "_id")),
        Index("requests", ("approval_group", "_id")),
        *_due_in("requests"),
        Index("requests", ("warn_due",)),
        Index("requests", ("untallied", "_id")),
    ),
    Duty.APPROVAL: (
        Index("cases", ("open_for", "_id")),
        Index("cases", ("open_for", "accepted_at")),
        *_due_in("cases"),
    ),
    Duty.ISSUER: (
        *_due_in("orders"),
        Index("orders", ("order_id",)),
        Index("orders", ("held_for", "_id")),
        Index("orders", ("state", "approval_group")),
        Index("refusals", ("request_id",)),
    ),
    Duty.REVOKER: (
        *_due_in("certificates"),
        Index("certificates", ("serial_number",)),
        Index("certificates", ("key", "_id")),
        Index("certificates", ("state", "approval_group")),
        Index("certificates", ("deadline_ms",)),
        Index("certificates", ("issuer", "_id")),
        Index("certificates", ("requesters", "_id")),
        Index("certificates", ("issued_ms",)),
        Index("certificates", ("campaigns", "_id")),
    ),
}


async def create_indexes(database: AsyncDatabase[dict[str, Any]], duty: Duty) -> None:
    """Create the duty's indexes; done with an operator's credential, and safe to repeat."""
    for index in INDEXES[duty]:
        await database[index.collection].create_index(index.keys, unique=index.unique)
