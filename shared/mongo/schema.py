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


INDEXES: Mapping[Duty, tuple[Index, ...]] = {
    Duty.INTAKE: (Index("requests", ("listed_for", "_id")),),
    Duty.APPROVAL: (Index("cases", ("open_for", "_id")),),
    Duty.ISSUER: (Index("orders", ("due",)), Index("refusals", ("request_id",))),
    Duty.REVOKER: (Index("certificates", ("due",)),),
}


async def create_indexes(database: AsyncDatabase[dict[str, Any]], duty: Duty) -> None:
    """Create the duty's indexes; done with an operator's credential, and safe to repeat."""
    for index in INDEXES[duty]:
        await database[index.collection].create_index(index.keys, unique=index.unique)
