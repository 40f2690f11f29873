"""Aggregates in memory: the same contract as MongoDB's, shown by tests/contract."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from services.approval.model import Case, KnownFacts
from services.approval.ports import Line
from services.intake.mail.ports import Backlog
from services.intake.model import KnownKey, RequestRecord
from services.intake.tally import Standing, Tally
from services.issuer.model import BlockedKey, EvidenceRefusal, FeedMark, Order
from services.issuer.ports import Backlog as OrderBacklog
from services.revoker.model import CampaignRecord, Certificate
from services.revoker.ports import MOST_OF_A_KEY, Running
from shared.contracts.commands import ListCertificates
from shared.errors import ConflictError, UnavailableError
from shared.messaging.aggregate import Aggregate
from shared.messaging.schedule import in_turn, milliseconds
from shared.vocabulary.names import ApprovalGroupName, Digest, IdentityName, OrderId, RequestId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.vocabulary.revocations import CertificateState
from tests.fakes.faults import Steps

AggregateT = TypeVar("AggregateT", bound=Aggregate)


class MemoryStore(Generic[AggregateT]):
    """Keeps documents as JSON, so that nothing is shared with the caller; `away` makes it unavailable."""

    def __init__(self, model: type[AggregateT]) -> None:
        self._model = model
        self.documents: dict[str, str] = {}
        self.away = False
        self.steps = Steps()
        self.writes = 0

    async def insert(self, aggregate: AggregateT) -> bool:
        self._reach()
        await asyncio.sleep(0)
        if aggregate.id in self.documents:
            return False
        self._write(aggregate)
        return True

    async def load(self, aggregate_id: str) -> AggregateT | None:
        self._reach()
        await asyncio.sleep(0)  # as with any server, others get their turn
        document = self.documents.get(aggregate_id)
        return None if document is None else self._model.model_validate_json(document)

    async def replace(self, aggregate: AggregateT) -> AggregateT:
        known = await self.load(aggregate.id)
        if known is None or known.version != aggregate.version:
            raise ConflictError(aggregate.id)
        written = aggregate.model_copy(update={"version": aggregate.version + 1})
        self._write(written)
        return written

    def all(self) -> list[AggregateT]:
        return [self._model.model_validate_json(document) for _, document in sorted(self.documents.items())]

    def _write(self, aggregate: AggregateT) -> None:
        self.steps.step("before writing")
        self.documents[aggregate.id] = aggregate.model_dump_json()
        self.writes += 1
        self.steps.step("after writing")

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("database", "the test took it away")


WorkT = TypeVar("WorkT", Order, Certificate, Case, RequestRecord)


def _due(works: list[WorkT], now_ms: int, limit: int) -> list[WorkT]:
    waiting = sorted((work.due, work.id, work) for work in works if work.due is not None and work.due <= now_ms)
    lanes: dict[str | None, list[WorkT]] = {}
    for _, _, work in waiting:
        lanes.setdefault(work.approval_group, []).append(work)
    return in_turn(lanes.values())[:limit]


class MemoryRequests(MemoryStore[RequestRecord]):
    def __init__(self) -> None:
        super().__init__(RequestRecord)

    async def insert(self, aggregate: RequestRecord) -> bool:
        return await super().insert(aggregate.marked())

    async def replace(self, aggregate: RequestRecord) -> RequestRecord:
        return await super().replace(aggregate.marked())

    async def untallied(self, group: ApprovalGroupName, *, limit: int) -> Sequence[Standing]:
        marked: list[Standing] = []
        for request_id in sorted(self.documents):
            self._reach()
            await asyncio.sleep(0)  # a server does not look at all of them at one moment
            record = self._model.model_validate_json(self.documents[request_id])
            if record.untallied == group and len(marked) < limit:
                fields = {name: getattr(record, name) for name in Standing.model_fields}
                marked.append(Standing.model_validate(fields))
        return marked

    async def note_tallied(self, tally: Tally) -> None:
        for request_id, state in tally.batch.items():
            self._reach()
            await asyncio.sleep(0)
            record = self._model.model_validate_json(self.documents[request_id])
            if record.tally < tally.number:
                mark = None if record.state is state else tally.id
                self._amend(record, tally=tally.number, tallied=state, untallied=mark)

    async def mark_all(self, group: ApprovalGroupName, *, begun: int) -> None:
        for request_id in [record.id for record in self.all() if record.approval_group == group]:
            self._reach()
            await asyncio.sleep(0)
            record = self._model.model_validate_json(self.documents[request_id])
            if record.tally < begun:
                self._amend(record, tally=begun, tallied=None, untallied=group)

    def _amend(self, record: RequestRecord, **fields: object) -> None:
        self._write(record.model_copy(update={**fields, "version": record.version + 1}))

    async def of_identity(
        self, identity: IdentityName, *, before: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        self._reach()
        found = [record for record in self.all() if identity in record.listed_for]
        return [record for record in reversed(found) if before is None or record.id < before][:limit]

    async def of_groups(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestRecord]:
        self._reach()
        found = [record for record in self.all() if record.approval_group in groups]
        return [record for record in found if after is None or record.id > after][:limit]

    async def has_beside(self, groups: Sequence[ApprovalGroupName]) -> bool:
        self._reach()
        return any(record.approval_group not in groups for record in self.all())

    async def due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        self._reach()
        return _due(self.all(), now_ms, limit)

    async def warn_due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        self._reach()
        waiting = sorted((each.warn_due, each.id, each) for each in self.all() if each.warn_due is not None)
        return [each for due, _, each in waiting if due <= now_ms][:limit]

    async def mail_backlog(self) -> Backlog | None:
        self._reach()
        mails = [mail for record in self.all() for mail in record.mails]
        return Backlog(len(mails), min(mail.at_ms for mail in mails)) if mails else None


class MemoryTallies(MemoryStore[Tally]):
    def __init__(self) -> None:
        super().__init__(Tally)

    async def of_groups(self, groups: Sequence[ApprovalGroupName]) -> Sequence[Tally]:
        self._reach()
        await asyncio.sleep(0)
        return [tally for tally in self.all() if tally.id in groups]


class MemoryKeys(MemoryStore[KnownKey]):
    def __init__(self) -> None:
        super().__init__(KnownKey)


class MemoryCases(MemoryStore[Case]):
    def __init__(self) -> None:
        super().__init__(Case)

    async def waiting(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[RequestId]:
        return [case.id for case in await self.open_for(groups, after=after, limit=limit)]

    async def lines(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Line]:
        found = await self.open_for(groups, after=after, limit=limit)
        return [Line.model_validate({name: getattr(case, name) for name in Line.model_fields}) for case in found]

    async def of_ids(self, ids: Sequence[RequestId]) -> Sequence[Case]:
        self._reach()
        return [case for case in self.all() if case.id in ids]

    async def open_for(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Case]:
        self._reach()
        found = [case for case in self.all() if case.open_for in groups]
        return [case for case in found if after is None or case.id > after][:limit]

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Case]:
        self._reach()
        return _due(self.all(), now_ms, limit)

    async def oldest(self) -> Mapping[ApprovalGroupName, datetime]:
        self._reach()
        oldest: dict[ApprovalGroupName, datetime] = {}
        for case in self.all():
            if case.open_for is not None:
                oldest[case.open_for] = min(case.accepted_at, oldest.get(case.open_for, case.accepted_at))
        return oldest


class MemoryFacts(MemoryStore[KnownFacts]):
    def __init__(self) -> None:
        super().__init__(KnownFacts)


class MemoryOrders(MemoryStore[Order]):
    def __init__(self) -> None:
        super().__init__(Order)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Order]:
        self._reach()
        return _due(self.all(), now_ms, limit)

    async def pending(self, order_ids: Sequence[OrderId]) -> Sequence[Order]:
        self._reach()
        return [order for order in self.all() if order.order_id in order_ids and order.state is OrderState.PENDING]

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[OrderState],
        *,
        after: RequestId | None,
        limit: int,
    ) -> Sequence[Order]:
        self._reach()
        found = [order for order in self.all() if order.approval_group in groups and order.state in states]
        return [order for order in found if after is None or order.id > after][:limit]

    async def holding(
        self, groups: Sequence[ApprovalGroupName], *, after: RequestId | None, limit: int
    ) -> Sequence[Order]:
        self._reach()
        found = [order for order in self.all() if order.held_for in groups]
        return [order for order in found if after is None or order.id > after][:limit]

    async def backlog(self) -> Mapping[OrderState, OrderBacklog]:
        self._reach()
        accepted: dict[OrderState, list[int]] = {}
        for order in self.all():
            if order.state in OPEN_ORDERS:
                accepted.setdefault(order.state, []).append(order.accepted_at_ms)
        return {state: OrderBacklog(len(times), min(times)) for state, times in accepted.items()}


class MemoryFeedMarks(MemoryStore[FeedMark]):
    def __init__(self) -> None:
        super().__init__(FeedMark)


class MemoryBlockedKeys(MemoryStore[BlockedKey]):
    def __init__(self) -> None:
        super().__init__(BlockedKey)


class MemoryRefusals(MemoryStore[EvidenceRefusal]):
    def __init__(self) -> None:
        super().__init__(EvidenceRefusal)


class MemoryCertificates(MemoryStore[Certificate]):
    def __init__(self) -> None:
        super().__init__(Certificate)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[Certificate]:
        self._reach()
        return _due(self.all(), now_ms, limit)

    async def of_serial(self, serial_number: str) -> Sequence[Certificate]:
        self._reach()
        return [each for each in self.all() if each.serial_number == serial_number]

    async def of_key(self, key: Digest) -> Sequence[Certificate]:
        self._reach()
        return [each for each in reversed(self.all()) if each.key == key][:MOST_OF_A_KEY]

    async def listed(
        self,
        groups: Sequence[ApprovalGroupName],
        states: Sequence[CertificateState],
        *,
        after: RequestId | None,
        limit: int,
        campaign: Digest | None = None,
    ) -> Sequence[Certificate]:
        self._reach()
        found = [each for each in self.all() if each.approval_group in groups and each.state in states]
        found = [each for each in found if campaign is None or campaign in each.campaigns]
        return [each for each in found if after is None or each.id > after][:limit]

    async def these(self, ids: Sequence[RequestId]) -> Sequence[Certificate]:
        self._reach()
        return [each for each in self.all() if each.id in ids]

    async def live(
        self, groups: Sequence[ApprovalGroupName], wanted: ListCertificates, *, limit: int
    ) -> Sequence[Certificate]:
        self._reach()
        after, before = wanted.issued_after, wanted.issued_before
        return [
            each
            for each in self.all()
            if each.state is CertificateState.LIVE
            and each.approval_group in groups
            and (not wanted.request_ids or each.id in wanted.request_ids)
            and (not wanted.serial_numbers or each.serial_number in wanted.serial_numbers)
            and wanted.issuer in (None, each.issuer)
            and wanted.key in (None, each.key)
            and (wanted.requester is None or wanted.requester in each.requesters)
            and (after is None or each.issued_ms >= milliseconds(after.timestamp()))
            and (before is None or each.issued_ms < milliseconds(before.timestamp()))
            and (wanted.after is None or each.id > wanted.after)
        ][:limit]

    async def of_campaign(self, campaign: Digest) -> dict[CertificateState, int]:
        self._reach()
        return dict(Counter(each.state for each in self.all() if campaign in each.campaigns))

    async def running(self) -> Sequence[Running]:
        self._reach()
        return [
            Running(each.id, each.asked.at, each.asked.deadline, each.not_after)
            for each in self.all()
            if each.deadline_ms is not None
        ]


class MemoryCampaigns(MemoryStore[CampaignRecord]):
    def __init__(self) -> None:
        super().__init__(CampaignRecord)
