"""Approval's cases in MongoDB."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from services.approval.model import Case, KnownFacts
from services.approval.ports import Line
from shared.mongo.database import POLL, Database, translated
from shared.mongo.ranges import Ranges
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, RequestId

LAST_ID = "g"
"""Sorts after every request id, which is hexadecimal."""
_LINE_FIELDS = tuple(Line.model_fields)[1:]


class MongoCases(MongoStore[Case]):
    """The collection `cases`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "cases", Case)
        self._ranges = Ranges()

    async def waiting(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestId]:
        """The ids of up to `limit` undecided cases of these groups, oldest first, from the index alone."""
        return [RequestId(each["id"]) for each in await self._open(groups, (), after=after, limit=limit)]

    async def lines(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Line]:
        """The lines of the same cases."""
        found = await self._open(groups, _LINE_FIELDS, after=after, limit=limit)
        return [Line.model_validate(each) for each in found]

    async def of_ids(self, ids: Sequence[RequestId]) -> Sequence[Case]:
        """The cases with these ids, oldest first."""
        return await self.find({"_id": {"$in": list(ids)}}, limit=len(ids)) if ids else []

    async def _open(
        self, groups: Sequence[ApprovalGroupName], fields: Sequence[str], *, after: RequestId | None, limit: int
    ) -> list[dict[str, Any]]:
        """Of each group by itself, as no server reads several in one order without reading more than it gives."""
        found = [each for group in groups for each in await self._open_for(group, fields, after or "0", limit)]
        return sorted(found, key=itemgetter("id"))[:limit]

    async def _open_for(
        self, group: ApprovalGroupName, fields: Sequence[str], begin: str, limit: int
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for end in [*self._ranges.after(group, begin), LAST_ID]:
            condition = {"open_for": group, "_id": {"$gt": begin, "$lte": end}}
            part = await self.pick(condition, fields, limit=limit - len(found))
            found += part
            if len(found) == limit:
                self._ranges.learn(group, found[-1]["id"])
                break
            if not part:
                self._ranges.forget(group, end)
            begin = end
        return found

    async def open_for(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Case]:
        """Up to `limit` undecided cases of these groups, oldest first: their ids are UUIDv7 and sort by time."""
        found = await self.of_ids(await self.waiting(groups, after=after, limit=limit))
        return [case for case in found if case.open_for is not None]

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
