"""Approval's cases in MongoDB."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.approval.model import Case, KnownFacts
from shared.mongo.database import POLL, Database, translated
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
        """Up to `limit` cases whose `due` is not later than `now_ms`: of each group in turn the longest due."""
        return await self.find_due(now_ms, limit=limit)

    async def oldest(self) -> Mapping[ApprovalGroupName, datetime]:
        """Of each group with undecided cases: when the oldest of them was accepted; two reads for each group at most.

        The requests' ids can't tell: clients choose them.
        """
        with translated():
            groups = await self._collection.distinct("open_for", {"open_for": {"$gt": ""}}, comment=POLL)
        found = [
            await self.find({"open_for": group}, limit=1, by="accepted_at", comment=POLL) for group in sorted(groups)
        ]
        return {case.approval_group: case.accepted_at for cases in found for case in cases}


class MongoFacts(MongoStore[KnownFacts]):
    """The collection `facts`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "facts", KnownFacts)
