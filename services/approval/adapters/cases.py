"""Approval's cases in MongoDB."""

from collections.abc import Sequence

from services.approval.model import Case, KnownFacts
from shared.mongo.database import Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, RequestId

LAST_ID = "g"
"""Sorts after every request id, which is hexadecimal."""


class MongoCases(MongoStore[Case]):
    """The collection `cases`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "cases", Case)

    async def open_for(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Case]:
        """Up to `limit` undecided cases of these groups, oldest first: their ids are UUIDv7 and sort by time."""
        condition = {"open_for": {"$in": list(groups)}, "_id": {"$gt": after or "0", "$lt": LAST_ID}}
        return await self.find(condition, limit=limit)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Case]:
        """Up to `limit` held cases whose `due` is not later than `now_ms`, the longest due first."""
        return await self.find_due(now_ms, limit=limit)


class MongoFacts(MongoStore[KnownFacts]):
    """The collection `facts`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "facts", KnownFacts)
