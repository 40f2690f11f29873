"""The issuer's ledger in MongoDB."""

from collections.abc import Sequence

from services.issuer.model import EvidenceRefusal, Order
from shared.mongo.database import Database
from shared.mongo.store import MongoStore


class MongoOrders(MongoStore[Order]):
    """The collection `orders`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "orders", Order)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Order]:
        """Up to `limit` entries whose `due` is not later than `now_ms`, the longest due first."""
        return await self.find_due(now_ms, limit=limit)


class MongoRefusals(MongoStore[EvidenceRefusal]):
    """The collection `refusals`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "refusals", EvidenceRefusal)
