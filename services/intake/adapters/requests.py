"""Intake's requests in MongoDB."""

from collections.abc import Sequence

from services.intake.mail.ports import Backlog
from services.intake.model import RequestRecord
from shared.mongo.database import POLL, Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId

LAST_ID = "g"
"""Sorts after every request id, which is hexadecimal."""


class MongoRequests(MongoStore[RequestRecord]):
    """The collection `requests`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "requests", RequestRecord)

    async def of_identity(
        self, identity: IdentityName, *, before: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        """Up to `limit` requests of this identity, newest first: their ids are UUIDv7 and sort by time."""
        condition = {"listed_for": identity, "_id": {"$gte": "0", "$lt": before or LAST_ID}}
        return await self.find(condition, limit=limit, descending=True)

    async def of_groups(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        """Up to `limit` requests of these groups, oldest first."""
        condition = {"approval_group": {"$in": list(groups)}, "_id": {"$gt": after or "0", "$lt": LAST_ID}}
        return await self.find(condition, limit=limit)

    async def has_beside(self, groups: Sequence[ApprovalGroupName]) -> bool:
        """Whether there is a request of any other group."""
        return bool(await self.find({"approval_group": {"$nin": list(groups)}}, limit=1, by="approval_group"))

    async def due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` requests of which a mail may be sent: of each group in turn the longest due."""
        return await self.find_due(now_ms, limit=limit)

    async def warn_due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` requests whose requesters are to be warned by now, the longest due first."""
        return await self.find({"warn_due": {"$gte": 0, "$lte": now_ms}}, limit=limit, by="warn_due", comment=POLL)

    async def mail_backlog(self) -> Backlog | None:
        """How many mails wait, and since when the oldest; none if none does."""
        found = await self.grouped(
            {"due": {"$gte": 0}},
            by="approval_group",
            count={"$sum": {"$size": "$mails"}},
            oldest={"$min": {"$min": "$mails.at_ms"}},
        )
        if not found:
            return None
        return Backlog(sum(group["count"] for group in found), min(group["oldest"] for group in found))
