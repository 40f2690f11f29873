"""Aggregates in MongoDB."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import structlog
from pydantic import ValidationError
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from shared.errors import ConflictError
from shared.messaging.aggregate import Aggregate
from shared.messaging.schedule import in_turn
from shared.mongo.database import POLL, Database, translated

log = structlog.get_logger()

AggregateT = TypeVar("AggregateT", bound=Aggregate)

PICKED_AT_ONCE = 1_000
"""How many documents come in one answer when only some of their fields are asked for."""


class MongoStore(Generic[AggregateT]):
    """A collection of aggregates; each write is one document, compared and set on its version."""

    def __init__(self, database: Database, collection: str, model: type[AggregateT]) -> None:
        self._collection = database.handle[collection]
        self._model = model

    async def insert(self, aggregate: AggregateT) -> bool:
        """Store a new one; `False`, and nothing changed, when its id is taken."""
        with translated():
            try:
                await self._collection.insert_one(_document(aggregate))
            except DuplicateKeyError:
                return False
        return True

    async def load(self, aggregate_id: str) -> AggregateT | None:
        """The aggregate as it was last written."""
        with translated():
            document = await self._collection.find_one({"_id": aggregate_id})
        return None if document is None else self._aggregate(document)

    async def replace(self, aggregate: AggregateT) -> AggregateT:
        """Write it if its version is still the stored one; returns it with its new version."""
        written = aggregate.model_copy(update={"version": aggregate.version + 1})
        with translated():
            result = await self._collection.replace_one(
                {"_id": aggregate.id, "version": aggregate.version}, _document(written)
            )
        if result.matched_count != 1:
            raise ConflictError(f"{aggregate.id} is no longer at version {aggregate.version}")
        return written

    async def find_due(self, now_ms: int, *, limit: int) -> list[AggregateT]:
        """Up to `limit` aggregates whose `due` is not later than `now_ms`: of each group in turn the longest due.

        One read, and one more for each approval group of which something is due.
        """
        is_due = {"due": {"$gte": 0, "$lte": now_ms}}
        with translated():
            groups = await self._collection.distinct("approval_group", is_due, comment=POLL)
        lanes = [
            await self.find({"approval_group": group, **is_due}, limit=-(-limit // len(groups)), by="due", comment=POLL)
            for group in groups
        ]
        return in_turn(lanes)[:limit]

    async def find(
        self,
        condition: Mapping[str, Any],
        *,
        limit: int,
        by: str = "_id",
        descending: bool = False,
        comment: str | None = None,
    ) -> list[AggregateT]:
        """Up to `limit` aggregates that fulfil a condition over indexed fields, in the order of the field `by`."""
        with translated():
            cursor = self._collection.find(
                dict(condition),
                limit=limit,
                batch_size=limit + 1,
                sort=[(by, -1 if descending else 1)],
                comment=comment,
            )
            found = [self._readable(document) async for document in cursor]
        return [aggregate for aggregate in found if aggregate is not None]

    async def pick(
        self, condition: Mapping[str, Any], fields: Sequence[str], *, limit: int | None
    ) -> list[dict[str, Any]]:
        """Of up to `limit` documents that fulfil a condition over indexed fields, or of all, `id` and these fields."""
        with translated():
            cursor = self._collection.find(
                dict(condition),
                dict.fromkeys(fields, 1),
                limit=limit or 0,
                sort=[("_id", 1)],
                batch_size=PICKED_AT_ONCE,
            )
            return [{"id": document.pop("_id"), **document} async for document in cursor]

    async def amend(self, changes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> int:
        """Set fields of one document for each condition, all in one command; how many of them were found.

        Each change is atomic by itself and raises the document's version, so that nobody writes over it unawares.
        """
        if not changes:
            return 0
        with translated():
            result = await self._collection.bulk_write(
                [UpdateOne(dict(condition), _amended(fields)) for condition, fields in changes], ordered=False
            )
        return result.matched_count

    async def amend_all(self, condition: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        """Set fields of every document that fulfils the condition, each atomically and with its version raised."""
        with translated():
            await self._collection.update_many(dict(condition), _amended(fields))

    async def grouped(
        self, condition: Mapping[str, Any], *, by: str, **sums: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """For each value of the field `by` among what fulfils the condition: that value as `_id`, and these sums."""
        with translated():
            stages = [{"$match": dict(condition)}, {"$group": {"_id": f"${by}", **sums}}]
            return [document async for document in self._collection.aggregate(stages)]

    def _readable(self, document: dict[str, Any]) -> AggregateT | None:
        """The aggregate, or nothing: one document that can't be read must not hold up all the others."""
        try:
            return self._aggregate(document)
        except ValidationError as error:
            log.error("unreadable document left out", collection=self._collection.name, mistakes=error.error_count())  # noqa: TRY400 - a trace would show its content
            return None

    def _aggregate(self, document: dict[str, Any]) -> AggregateT:
        return self._model.model_validate({"id": document.pop("_id"), **document})


def _document(aggregate: Aggregate) -> dict[str, Any]:
    document = aggregate.model_dump(mode="json")
    return {"_id": document.pop("id"), **document}


def _amended(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"$set": dict(fields), "$inc": {"version": 1}}
