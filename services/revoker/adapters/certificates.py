"""The revoker's certificates in MongoDB."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.revoker.model import CampaignRecord, Certificate
from services.revoker.ports import MOST_OF_A_KEY, Running
from shared.contracts.commands import ListCertificates
from shared.messaging.schedule import milliseconds
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
        campaign: Digest | None = None,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Certificate]:
        """Up to `limit` certificates of these groups in these states, by request id from `after` on, oldest first."""
        condition = {
            "state": {"$in": list(states)},
            "approval_group": {"$in": list(groups)},
            **({"campaigns": campaign} if campaign else {}),
            **({"_id": {"$gt": after}} if after else {}),
        }
        return await self.find(condition, limit=limit)

    async def these(self, ids: Sequence[RequestId]) -> Sequence[Certificate]:
        """The certificates of these requests that are known."""
        return await self.find({"_id": {"$in": list(ids)}}, limit=len(ids))

    async def live(
        self, groups: Sequence[ApprovalGroupName], wanted: ListCertificates, *, limit: int
    ) -> Sequence[Certificate]:
        """Up to `limit` of these groups' certificates that nobody has asked to revoke and that are `wanted`."""
        condition: dict[str, Any] = {"state": CertificateState.LIVE, "approval_group": {"$in": list(groups)}}
        condition |= {
            field: value
            for field, value in (("issuer", wanted.issuer), ("key", wanted.key), ("requesters", wanted.requester))
            if value is not None
        }
        if wanted.serial_numbers:
            condition["serial_number"] = {"$in": list(wanted.serial_numbers)}
        ids: dict[str, Any] = {"$in": list(wanted.request_ids)} if wanted.request_ids else {}
        if wanted.after is not None:
            ids["$gt"] = wanted.after
        issued = {
            sign: milliseconds(moment.timestamp())
            for sign, moment in (("$gte", wanted.issued_after), ("$lt", wanted.issued_before))
            if moment is not None
        }
        condition |= {field: value for field, value in (("_id", ids), ("issued_ms", issued)) if value}
        return await self.find(condition, limit=limit)

    async def of_campaign(self, campaign: Digest) -> dict[CertificateState, int]:
        """How many certificates of this campaign are in each state."""
        found = await self.grouped({"campaigns": campaign}, by="state", count={"$sum": 1})
        return {CertificateState(each["_id"]): each["count"] for each in found}

    async def running(self) -> Sequence[Running]:
        """The clocks of all revocations that are open or that the CA has refused."""
        fields = ["revocation.at", "revocation.deadline", "not_after"]
        found = await self.pick({"deadline_ms": {"$gte": 0}}, fields, limit=None)
        return [
            Running(
                RequestId(each["id"]),
                datetime.fromisoformat(each["revocation"]["at"]),
                datetime.fromisoformat(each["revocation"]["deadline"]),
                datetime.fromisoformat(each["not_after"]),
            )
            for each in found
        ]


class MongoCampaigns(MongoStore[CampaignRecord]):
    """The collection `campaigns`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "campaigns", CampaignRecord)
