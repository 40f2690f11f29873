"""The revoker's certificates in MongoDB."""

from collections.abc import Sequence
from datetime import datetime

from services.revoker.model import Certificate
from services.revoker.ports import MOST_OF_A_KEY, Running
from shared.mongo.database import Database
from shared.mongo.store import MongoStore
from shared.vocabulary.names import ApprovalGroupName, Digest, RequestId
from shared.vocabulary.revocations import CertificateState


class MongoCertificates(MongoStore[Certificate]):
    """The collection `certificates`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "certificates", Certificate)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Certificate]:
        """Up to `limit` certificates whose `due` is not later than `now_ms`, the longest due first."""
        return await self.find_due(now_ms, limit=limit)

    async def of_serial(self, serial_number: str) -> Sequence[Certificate]:
        """The certificates with this serial number."""
        return await self.find({"serial_number": serial_number}, limit=MOST_OF_A_KEY)

    async def of_key(self, key: Digest) -> Sequence[Certificate]:
        """The certificates with this public key, the latest first."""
        return await self.find({"key": key}, limit=MOST_OF_A_KEY, descending=True)

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[CertificateState],
        *,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Certificate]:
        """Up to `limit` certificates of these groups in these states, by request id from `after` on, oldest first."""
        condition = {
            "state": {"$in": list(states)},
            "approval_group": {"$in": list(groups)},
            **({"_id": {"$gt": after}} if after else {}),
        }
        return await self.find(condition, limit=limit)

    async def running(self) -> Sequence[Running]:
        """The clocks of all open revocations."""
        found = await self.pick({"deadline_ms": {"$gte": 0}}, ["revocation.at", "revocation.deadline"], limit=None)
        return [
            Running(
                RequestId(each["id"]),
                datetime.fromisoformat(each["revocation"]["at"]),
                datetime.fromisoformat(each["revocation"]["deadline"]),
            )
            for each in found
        ]
