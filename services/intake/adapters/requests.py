"""Intake's requests in MongoDB."""

from collections.abc import Callable, Sequence

from services.intake.mail.ports import Backlog
from services.intake.model import RequestRecord
from services.intake.tally import Standing, Tally
from shared.mongo.database import POLL, Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId

LAST_ID = "g"
"""Sorts after every request id, which is hexadecimal."""


class MongoRequests(MongoStore[RequestRecord]):
    """The collection `requests`."""

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is told of every request that is written."""
        super().__init__(database, "requests", RequestRecord)
        self._changed = changed

    async def insert(self, aggregate: RequestRecord) -> bool:
        """Store a new one, marked for the tally."""
        is_new = await super().insert(aggregate.marked())
        self._changed()
        return is_new

    async def replace(self, aggregate: RequestRecord) -> RequestRecord:
        """Write it, marked for the tally if it may stand elsewhere than it is counted."""
        written = await super().replace(aggregate.marked())
        self._changed()
        return written

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
            oldest={"$min": "$waiting_since"},
        )
        if not found:
            return None
        return Backlog(sum(group["count"] for group in found), min(group["oldest"] for group in found))

    async def untallied(self, group: ApprovalGroupName, *, limit: int) -> Sequence[Standing]:
        """Up to `limit` marked requests of this group, oldest first."""
        condition = {"untallied": group, "_id": {"$gte": "0", "$lt": LAST_ID}}
        found = await self.pick(condition, ("state", "tallied", "tally"), limit=limit)
        return [Standing.model_validate(each) for each in found]

    async def note_tallied(self, tally: Tally) -> None:
        """Tell each request of the batch, once, as what it is counted; take its mark if it still stands there."""
        now = {"tally": tally.number}
        untold = {request: {"_id": request, "tally": {"$lt": tally.number}} for request in tally.batch}
        settled = [
            ({**untold[request], "state": state}, {**now, "tallied": state, "untallied": None})
            for request, state in tally.batch.items()
        ]
        if await self.amend(settled) < len(settled):  # some have changed since, or were told before
            moved = [
                (untold[request], {**now, "tallied": state, "untallied": tally.id})
                for request, state in tally.batch.items()
            ]
            await self.amend(moved)

    async def mark_all(self, group: ApprovalGroupName, *, begun: int) -> None:
        """Mark every request of this group that was last counted before this number, as counted nowhere."""
        counted_before = {"approval_group": group, "tally": {"$not": {"$gte": begun}}}
        await self.amend_all(counted_before, {"tally": begun, "tallied": None, "untallied": group})
