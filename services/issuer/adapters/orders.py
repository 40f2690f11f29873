"""The issuer's ledger in MongoDB."""

from collections.abc import Mapping, Sequence

from services.issuer.model import BlockedKey, EvidenceRefusal, FeedMark, Order
from services.issuer.ports import Backlog
from shared.mongo.database import Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, OrderId, RequestId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState


class MongoOrders(MongoStore[Order]):
    """The collection `orders`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "orders", Order)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Order]:
        """Up to `limit` entries whose `due` is not later than `now_ms`: of each group in turn the longest due."""
        return await self.find_due(now_ms, limit=limit)

    async def pending(self, order_ids: Sequence[OrderId]) -> Sequence[Order]:
        """The entries that wait at the CA as one of these orders."""
        condition = {"order_id": {"$in": list(order_ids)}, "state": OrderState.PENDING}
        return await self.find(condition, limit=len(order_ids))

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[OrderState],
        *,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Order]:
        """Up to `limit` entries of these groups in one of these states, by request id from `after` on, oldest first."""
        condition = {
            "state": {"$in": list(states)},
            "approval_group": {"$in": list(groups)},
            **({"_id": {"$gt": after}} if after else {}),
        }
        return await self.find(condition, limit=limit)

    async def holding(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Order]:
        """Up to `limit` entries of these groups that hold a private key, by request id from `after` on."""
        condition = {"held_for": {"$in": list(groups)}, **({"_id": {"$gt": after}} if after else {})}
        return await self.find(condition, limit=limit)

    async def backlog(self) -> Mapping[OrderState, Backlog]:
        """How many entries there are in each of the open states, and since when the oldest waits."""
        found = await self.grouped(
            {"state": {"$in": list(OPEN_ORDERS)}}, by="state", count={"$sum": 1}, oldest={"$min": "$accepted_at_ms"}
        )
        return {OrderState(each["_id"]): Backlog(each["count"], each["oldest"]) for each in found}


class MongoFeedMarks(MongoStore[FeedMark]):
    """The collection `feed`: one document."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "feed", FeedMark)


class MongoRefusals(MongoStore[EvidenceRefusal]):
    """The collection `refusals`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "refusals", EvidenceRefusal)


class MongoBlockedKeys(MongoStore[BlockedKey]):
    """The collection `blocked_keys`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "blocked_keys", BlockedKey)
