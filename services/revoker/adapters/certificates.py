"""The revoker's certificates in MongoDB."""

from collections.abc import Sequence

from services.revoker.model import Certificate
from shared.mongo.database import Database
from shared.mongo.store import MongoStore


class MongoCertificates(MongoStore[Certificate]):
    """The collection `certificates`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "certificates", Certificate)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Certificate]:
        """Up to `limit` certificates whose `due` is not later than `now_ms`, the longest due first."""
        return await self.find_due(now_ms, limit=limit)
