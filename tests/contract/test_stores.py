"""What every store promises, shown of the one in memory and of the one in the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from services.approval.adapters.cases import MongoCases
from services.approval.model import Case
from services.intake.adapters.keys import MongoKeys
from services.intake.adapters.requests import MongoRequests
from services.intake.adapters.tallies import MongoTallies
from services.intake.mail.ports import Backlog as MailBacklog
from services.intake.mail.queueing import with_mails
from services.intake.model import KnownKey, RequestRecord
from services.intake.tally import Tally, first_tally
from services.issuer.adapters.accounts import MongoAccounts
from services.issuer.adapters.orders import MongoBlockedKeys, MongoFeedMarks, MongoOrders, MongoRefusals
from services.issuer.model import BlockedKey, EvidenceRefusal, FeedMark, Order
from services.issuer.ports import Backlog
from services.revoker.adapters.certificates import MongoCampaigns, MongoCertificates
from services.revoker.model import CampaignRecord, Certificate
from shared.config import DatabaseSettings
from shared.contracts.commands import ListCertificates
from shared.digicert.pacing import MemoryAccounts
from shared.digicert.quota import Account
from shared.errors import ConflictError
from shared.identifiers import following_id
from shared.messaging.aggregate import REMEMBERED_OUTCOMES, Aggregate
from shared.messaging.messages import Outcome
from shared.messaging.schedule import milliseconds
from shared.mongo.database import Database
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, IdentityName, MessageId, OrderId, RequestId
from shared.vocabulary.orders import OPEN_ORDERS, OrderState
from shared.vocabulary.revocations import CertificateState
from shared.vocabulary.states import State
from tests.fakes.samples import MOMENT, OUTGOING, STRANGE, sample_aggregates
from tests.fakes.stores import (
    MemoryBlockedKeys,
    MemoryCampaigns,
    MemoryCases,
    MemoryCertificates,
    MemoryFeedMarks,
    MemoryKeys,
    MemoryOrders,
    MemoryRefusals,
    MemoryRequests,
    MemoryTallies,
)
from tests.infrastructure import DutyDatabases

OWNERS: dict[type[Aggregate], Duty] = {
    RequestRecord: Duty.INTAKE,
    KnownKey: Duty.INTAKE,
    Tally: Duty.INTAKE,
    Case: Duty.APPROVAL,
    Order: Duty.ISSUER,
    EvidenceRefusal: Duty.ISSUER,
    BlockedKey: Duty.ISSUER,
    FeedMark: Duty.ISSUER,
    Account: Duty.ISSUER,
    Certificate: Duty.REVOKER,
    CampaignRecord: Duty.REVOKER,
}
IN_MEMORY: dict[type[Aggregate], Callable[[], Any]] = {
    RequestRecord: MemoryRequests,
    KnownKey: MemoryKeys,
    Tally: MemoryTallies,
    Case: MemoryCases,
    Order: MemoryOrders,
    EvidenceRefusal: MemoryRefusals,
    BlockedKey: MemoryBlockedKeys,
    FeedMark: MemoryFeedMarks,
    Account: MemoryAccounts,
    Certificate: MemoryCertificates,
    CampaignRecord: MemoryCampaigns,
}
IN_MONGO: dict[type[Aggregate], Callable[[Database], Any]] = {
    RequestRecord: MongoRequests,
    KnownKey: MongoKeys,
    Tally: MongoTallies,
    Case: MongoCases,
    Order: MongoOrders,
    EvidenceRefusal: MongoRefusals,
    BlockedKey: MongoBlockedKeys,
    FeedMark: MongoFeedMarks,
    Account: MongoAccounts,
    Certificate: MongoCertificates,
    CampaignRecord: MongoCampaigns,
}
WEB, MAIL, SHOP, BEN = ApprovalGroupName("web"), ApprovalGroupName("mail"), IdentityName("shop"), IdentityName("ben")


@dataclass
class Stores:
    """Makes stores over one server, all of them the same ones when asked again."""

    make: Callable[[type[Aggregate]], Any]

    def __call__(self, model: type[Aggregate]) -> Any:
        return self.make(model)


@pytest.fixture(params=["memory", "database"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        made = {model: build() for model, build in IN_MEMORY.items()}
        yield Stores(made.__getitem__)
        return
    databases: DutyDatabases = request.getfixturevalue("database")
    opened = {duty: _open(databases, duty) for duty in Duty}
    yield Stores(lambda model: IN_MONGO[model](opened[OWNERS[model]]))
    for each in opened.values():
        await each.close()


def _open(databases: DutyDatabases, duty: Duty) -> Database:
    settings = DatabaseSettings(
        uri=databases.uri, name=databases.name(duty), user=str(duty), password_file=databases.password_file(duty)
    )
    return Database(settings, name="contract", count=lambda _: None)


def sample(model: type[Aggregate], number: int = 0, **changes: object) -> Any:
    """The example of this kind, under an id of its own."""
    digest = digest_of(str(number).encode())
    ids: dict[type[Aggregate], str] = {
        KnownKey: digest,
        BlockedKey: digest,
        CampaignRecord: digest,
        Tally: f"group-{number}",
    }
    own = ids.get(model, request_id(number))
    return sample_aggregates()[model].model_copy(update={"id": own, **changes}, deep=True)


def request_id(number: int) -> RequestId:
    return RequestId(f"0190a0c0-1111-7000-8000-{number:012x}")


every_kind = pytest.mark.parametrize("model", list(OWNERS), ids=lambda model: model.__name__)


@every_kind
async def test_every_field_of_an_aggregate_comes_back_as_it_went_in(stores: Stores, model: type[Aggregate]) -> None:
    store, written = stores(model), sample(model)
    assert await store.insert(written)
    assert await store.load(written.id) == written
    assert (await store.load(written.id)).model_dump() == written.model_dump()


@every_kind
async def test_every_field_survives_being_replaced(stores: Stores, model: type[Aggregate]) -> None:
    store, first = stores(model), sample(model)
    await store.insert(first)
    second = await store.replace(first.followed_by(MessageId("c"), OUTGOING))
    assert second.version == first.version + 1
    assert await store.load(first.id) == second


def test_the_examples_fill_every_field() -> None:
    for model, example in sample_aggregates().items():
        for name, field in model.model_fields.items():
            if not field.is_required():
                assert getattr(example, name) != field.get_default(call_default_factory=True), (model, name)


async def test_an_id_that_is_taken_is_not_written_over(stores: Stores) -> None:
    store, first = stores(Case), sample(Case)
    assert await store.insert(first)
    assert not await store.insert(first.model_copy(update={"name": "another", "version": 9}))
    assert await store.load(first.id) == first


async def test_what_was_never_stored_is_not_there(stores: Stores) -> None:
    assert await stores(Case).load(request_id(1)) is None


async def test_an_id_that_looks_like_a_query_finds_nothing(stores: Stores) -> None:
    store = stores(Case)
    await store.insert(sample(Case))
    for odd in ("", "$ne", '{"$gt": ""}', request_id(0).upper()):
        assert await store.load(odd) is None


async def test_only_one_of_two_writers_of_the_same_version_wins(stores: Stores) -> None:
    store, first = stores(Order), sample(Order)
    await store.insert(first)
    won = await store.replace(first.model_copy(update={"attempt": 7}))
    with pytest.raises(ConflictError):
        await store.replace(first.model_copy(update={"attempt": 8}))
    assert await store.load(first.id) == won


async def test_what_is_not_stored_cannot_be_replaced(stores: Stores) -> None:
    with pytest.raises(ConflictError):
        await stores(Order).replace(sample(Order))
    assert await stores(Order).load(request_id(0)) is None


async def test_a_version_of_the_future_cannot_be_replaced(stores: Stores) -> None:
    store, first = stores(Order), sample(Order)
    await store.insert(first)
    with pytest.raises(ConflictError):
        await store.replace(first.model_copy(update={"version": first.version + 1}))


async def test_of_many_writers_at_once_exactly_one_wins(stores: Stores) -> None:
    store, first = stores(Order), sample(Order)
    await store.insert(first)
    results = await asyncio.gather(
        *(store.replace(first.model_copy(update={"attempt": number})) for number in range(10)), return_exceptions=True
    )
    lost = [result for result in results if isinstance(result, ConflictError)]
    assert len(lost) == 9
    assert (await store.load(first.id)).version == first.version + 1


@pytest.mark.parametrize(("model", "field"), [(Order, "attempt"), (KnownKey, "version")])
async def test_of_many_inserts_at_once_exactly_one_wins(stores: Stores, model: type[Aggregate], field: str) -> None:
    store = stores(model)
    won = await asyncio.gather(*(store.insert(sample(model, **{field: number})) for number in range(10)))
    assert sorted(won) == [False] * 9 + [True]
    assert getattr(await store.load(sample(model).id), field) == won.index(True)


async def test_outcomes_are_remembered_in_their_order_and_the_oldest_are_forgotten_first(stores: Stores) -> None:
    store = stores(Case)
    case = sample(Case, outcomes={})
    await store.insert(case)
    ids = [following_id("outcome", str(number)) for number in range(REMEMBERED_OUTCOMES + 5)]
    for message in ids:
        case = await store.replace(case.followed_by(message, OUTGOING))
    kept = await store.load(case.id)
    assert list(kept.outcomes) == ids[5:]
    assert kept.outcome_of(ids[-1]) == Outcome(publish=(OUTGOING,))
    assert kept.outcome_of(ids[0]) is None


async def test_a_store_keeps_nothing_that_its_caller_could_still_change(stores: Stores) -> None:
    store, first = stores(Case), sample(Case)
    await store.insert(first)
    first.outcomes.clear()
    assert (await store.load(first.id)).outcomes != {}


async def test_two_kinds_under_one_id_do_not_meet(stores: Stores) -> None:
    await stores(Order).insert(sample(Order))
    assert await stores(EvidenceRefusal).load(request_id(0)) is None


async def test_microseconds_and_text_of_all_kinds_are_kept(stores: Stores) -> None:
    store = stores(Case)
    changed_at = sample(Case).changed_at + timedelta(microseconds=1)
    for number, text in enumerate([STRANGE, "", "a.b", "$set", "\n\t", "x" * 100_000]):
        await store.insert(sample(Case, number, subject=text, changed_at=changed_at))
        found = await store.load(request_id(number))
        assert (found.subject, found.changed_at) == (text, changed_at)


async def ids_of(found: Any) -> list[int]:
    return [int(each.id[-12:], 16) for each in await found]


async def test_requests_are_listed_newest_first_page_by_page(stores: Stores) -> None:
    store = stores(RequestRecord)
    for number in (3, 1, 5, 2, 4):
        await store.insert(sample(RequestRecord, number, listed_for=(SHOP,) if number != 2 else (BEN, SHOP)))
    await store.insert(sample(RequestRecord, 6, listed_for=(BEN,)))
    assert await ids_of(store.of_identity(SHOP, before=None, limit=50)) == [5, 4, 3, 2, 1]
    assert await ids_of(store.of_identity(SHOP, before=None, limit=2)) == [5, 4]
    assert await ids_of(store.of_identity(SHOP, before=request_id(4), limit=2)) == [3, 2]
    assert await ids_of(store.of_identity(SHOP, before=request_id(1), limit=2)) == []
    assert await ids_of(store.of_identity(BEN, before=None, limit=50)) == [6, 2]
    assert await ids_of(store.of_identity(IdentityName("sho"), before=None, limit=50)) == []


async def test_a_page_of_requests_may_begin_at_an_id_that_is_not_there(stores: Stores) -> None:
    store = stores(RequestRecord)
    for number in (1, 5):
        await store.insert(sample(RequestRecord, number, listed_for=(SHOP,)))
    assert await ids_of(store.of_identity(SHOP, before=request_id(3), limit=5)) == [1]


async def test_requests_of_groups_are_listed_oldest_first_page_by_page(stores: Stores) -> None:
    store = stores(RequestRecord)
    for number, group in ((4, WEB), (2, MAIL), (1, WEB), (3, ApprovalGroupName("vpn")), (5, WEB)):
        await store.insert(sample(RequestRecord, number, approval_group=group))
    assert await ids_of(store.of_groups([WEB], after=None, limit=50)) == [1, 4, 5]
    assert await ids_of(store.of_groups([WEB, MAIL], after=None, limit=2)) == [1, 2]
    assert await ids_of(store.of_groups([WEB, MAIL], after=request_id(2), limit=2)) == [4, 5]
    assert await ids_of(store.of_groups([WEB], after=request_id(5), limit=2)) == []
    assert await ids_of(store.of_groups([ApprovalGroupName("we")], after=None, limit=2)) == []


async def test_a_request_beside_some_groups_is_noticed(stores: Stores) -> None:
    store = stores(RequestRecord)
    assert not await store.has_beside([])
    for number, group in enumerate((WEB, WEB, MAIL)):
        await store.insert(sample(RequestRecord, number, approval_group=group))
    assert not await store.has_beside([WEB, MAIL])
    assert await store.has_beside([WEB])
    assert await store.has_beside([MAIL])
    assert await store.has_beside([])


async def test_a_request_is_marked_while_it_may_stand_elsewhere_than_it_is_counted(stores: Stores) -> None:
    store = stores(RequestRecord)
    pending, issued = State.PENDING, State.ISSUED
    uncounted = {"tallied": None, "tally": 0, "untallied": None}
    await store.insert(sample(RequestRecord, 1, **uncounted, state=pending))
    await store.insert(sample(RequestRecord, 2, **uncounted, state=pending, approval_group=MAIL))
    await store.insert(sample(RequestRecord, 3, tallied=issued, tally=4, untallied=None, state=issued))
    (marked,) = await store.untallied(WEB, limit=10)
    assert (marked.id, marked.state, marked.tallied, marked.tally) == (request_id(1), pending, None, 0)
    record = await store.load(request_id(3))
    back = await store.replace(record.model_copy(update={"state": pending}))
    await store.replace(back.model_copy(update={"state": issued}))
    assert await ids_of(store.untallied(WEB, limit=10)) == [1, 3]
    assert await ids_of(store.untallied(WEB, limit=1)) == [1]


async def test_each_request_of_a_batch_is_told_once_as_what_it_is_counted(stores: Stores) -> None:
    store = stores(RequestRecord)
    before, counted, after = State.PENDING, State.APPROVED, State.ISSUED
    for number, state in ((1, counted), (2, after), (3, counted)):
        await store.insert(sample(RequestRecord, number, state=state, tallied=before, tally=6))
    tally = sample(Tally).model_copy(update={"id": WEB, "batch": {request_id(each): counted for each in (1, 2)}})
    for _ in range(2):
        await store.note_tallied(tally)
        found = {number: await store.load(request_id(number)) for number in (1, 2, 3)}
        assert [(each.tallied, each.tally, each.untallied) for each in found.values()] == [
            (counted, 7, None),
            (counted, 7, WEB),
            (before, 6, WEB),
        ]
        assert [each.version for each in found.values()] == [4, 4, 3]


async def test_a_new_beginning_marks_what_was_counted_before_it_and_nothing_else(stores: Stores) -> None:
    store, state = stores(RequestRecord), State.ISSUED
    for number, tally, group in ((1, 6, WEB), (2, 7, WEB), (3, 6, MAIL)):
        await store.insert(
            sample(RequestRecord, number, tallied=state, state=state, tally=tally, untallied=None, approval_group=group)
        )
    await store.mark_all(WEB, begun=7)
    found = [await store.load(request_id(number)) for number in (1, 2, 3)]
    assert [(each.tallied, each.tally, each.untallied) for each in found] == [
        (None, 7, WEB),
        (state, 7, None),
        (state, 6, None),
    ]
    assert [each.version for each in found] == [4, 3, 3]


async def test_tallies_are_found_by_group_as_far_as_there_are_any(stores: Stores) -> None:
    store = stores(Tally)
    assert await store.of_groups([WEB]) == []
    for group in (WEB, MAIL):
        await store.insert(first_tally(group))
    assert [each.id for each in await store.of_groups([WEB, ApprovalGroupName("vpn")])] == [WEB]


async def test_open_cases_are_listed_oldest_first_page_by_page_and_decided_ones_are_not(stores: Stores) -> None:
    store = stores(Case)
    for number, group in ((4, WEB), (2, MAIL), (1, WEB), (3, None), (5, WEB)):
        await store.insert(sample(Case, number, open_for=group))
    assert await ids_of(store.open_for([WEB], after=None, limit=50)) == [1, 4, 5]
    assert await ids_of(store.open_for([WEB, MAIL], after=None, limit=2)) == [1, 2]
    assert await ids_of(store.open_for([WEB, MAIL], after=request_id(2), limit=2)) == [4, 5]
    assert await ids_of(store.open_for([WEB], after=request_id(5), limit=2)) == []
    assert await ids_of(store.open_for([], after=None, limit=2)) == []


async def test_open_cases_are_found_by_their_lines_and_ids_too(stores: Stores) -> None:
    store = stores(Case)
    for number, group in ((4, WEB), (2, MAIL), (1, WEB), (3, None)):
        await store.insert(sample(Case, number, open_for=group))
    for limit in (1, 2, 50):
        for after in (None, request_id(1), request_id(2)):
            found = await store.open_for([MAIL, WEB], after=after, limit=limit)
            assert await store.waiting([MAIL, WEB], after=after, limit=limit) == [case.id for case in found]
            lines = await store.lines([MAIL, WEB], after=after, limit=limit)
            assert [(line.id, line.accepted_at) for line in lines] == [(case.id, case.accepted_at) for case in found]
    assert await ids_of(store.of_ids([request_id(4), request_id(3), request_id(9)])) == [3, 4]
    assert await store.of_ids([]) == []


async def test_pages_are_the_same_however_often_they_were_read_and_whatever_has_changed_meanwhile(
    stores: Stores,
) -> None:
    store = stores(Case)
    there = set(range(0, 40, 2))
    for number in sorted(there):
        await store.insert(sample(Case, number, open_for=WEB))
    for close, come in (((0, 2, 4), ()), ((6, 10, 30), (1, 5, 39)), (tuple(range(8, 30, 2)), (0,)), ((), (4, 41))):
        for limit in (3, 5):
            seen, after = [], None
            while page := await store.waiting([WEB], after=after, limit=limit):
                seen += page
                after = page[-1]
            assert seen == [request_id(number) for number in sorted(there)]
        for number in set(close) & there:
            case = await store.load(request_id(number))
            await store.replace(case.model_copy(update={"open_for": None}))
            there.discard(number)
        for number in set(come) - there:
            known = await store.load(request_id(number))
            if known is None:
                await store.insert(sample(Case, number, open_for=WEB))
            else:
                await store.replace(known.model_copy(update={"open_for": WEB}))
            there.add(number)


async def test_a_decided_case_leaves_the_list_and_a_returned_one_is_there_again(stores: Stores) -> None:
    store = stores(Case)
    await store.insert(sample(Case, 1, open_for=WEB))
    closed = await store.replace((await store.load(request_id(1))).model_copy(update={"open_for": None}))
    assert await ids_of(store.open_for([WEB], after=None, limit=5)) == []
    await store.replace(closed.model_copy(update={"open_for": WEB}))
    assert await ids_of(store.open_for([WEB], after=None, limit=5)) == [1]


async def test_the_oldest_undecided_case_of_each_group_is_found_by_when_it_was_accepted(stores: Stores) -> None:
    store, begun = stores(Case), sample(Case).accepted_at
    assert await store.oldest() == {}
    for number, group, hours in ((1, WEB, 3), (2, WEB, 1), (3, MAIL, 2), (4, None, 0), (5, WEB, 2)):
        accepted_at = begun + timedelta(hours=hours)
        await store.insert(sample(Case, number, approval_group=group or WEB, open_for=group, accepted_at=accepted_at))
    assert await store.oldest() == {WEB: begun + timedelta(hours=1), MAIL: begun + timedelta(hours=2)}


@pytest.mark.parametrize("model", [Order, Certificate, Case], ids=lambda model: model.__name__)
async def test_work_is_due_from_its_very_millisecond_on_and_never_without_a_time(
    stores: Stores, model: type[Aggregate]
) -> None:
    store, now = stores(model), 1_800_000_000_000
    for number, due in enumerate([None, 0, now - 1, now, now + 1]):
        await store.insert(sample(model, number, due=due))
    assert sorted(await ids_of(store.due(now, limit=50))) == [1, 2, 3]
    assert len(await store.due(now, limit=2)) == 2
    assert await ids_of(store.due(-1, limit=50)) == []


@pytest.mark.parametrize("model", [Order, Certificate, RequestRecord], ids=lambda model: model.__name__)
async def test_what_has_waited_longest_is_found_first(stores: Stores, model: type[Aggregate]) -> None:
    store = stores(model)
    for number, due in enumerate([500, 100, 400, 200, 300]):
        await store.insert(sample(model, number, due=due))
    assert await ids_of(store.due(1000, limit=3)) == [1, 3, 4]


@pytest.mark.parametrize("model", [Order, Certificate, RequestRecord], ids=lambda model: model.__name__)
async def test_what_is_due_is_found_in_turn_from_each_group_that_has_some(
    stores: Stores, model: type[Aggregate]
) -> None:
    store = stores(model)
    for number in range(8):
        await store.insert(sample(model, number, due=number, approval_group=WEB))
    for number in (20, 21):
        await store.insert(sample(model, number, due=number, approval_group=MAIL))
    found = await ids_of(store.due(1000, limit=6))
    assert sorted(found) in ([0, 1, 2, 3, 20, 21], [0, 1, 2, 20, 21])
    assert {*found[:2]} == {0, 20}
    assert {*found[2:4]} == {1, 21}


async def test_whoever_is_to_be_warned_is_found_from_that_very_millisecond_on_the_longest_due_first(
    stores: Stores,
) -> None:
    store = stores(RequestRecord)
    for number, warn_due in enumerate([None, 1_000, 0, 1_001, 999]):
        await store.insert(sample(RequestRecord, number, warn_due=warn_due, due=None))
    assert await ids_of(store.warn_due(1_000, limit=50)) == [2, 4, 1]
    assert await ids_of(store.warn_due(1_000, limit=2)) == [2, 4]
    assert await ids_of(store.warn_due(-1, limit=50)) == []


async def test_mails_that_wait_are_counted_with_the_time_of_the_oldest(stores: Stores) -> None:
    store, (mail,) = stores(RequestRecord), sample(RequestRecord).mails
    assert await store.mail_backlog() is None
    await store.insert(with_mails(sample(RequestRecord, 0), ()))
    assert await store.mail_backlog() is None
    for number, (group, times) in enumerate([(WEB, [5, 3]), (MAIL, [4]), (WEB, [6])], 1):
        mails = [mail.model_copy(update={"at_ms": at_ms}) for at_ms in times]
        await store.insert(with_mails(sample(RequestRecord, number, approval_group=group), mails))
    assert await store.mail_backlog() == MailBacklog(4, 3)


async def test_entries_are_found_by_the_orders_as_which_they_wait_at_the_ca(stores: Stores) -> None:
    store = stores(Order)
    for number, state in enumerate((OrderState.PENDING, OrderState.ISSUED, OrderState.PENDING, OrderState.PENDING)):
        await store.insert(sample(Order, number, order_id=OrderId(100 + number), state=state))
    found = await ids_of(store.pending([OrderId(100), OrderId(101), OrderId(102), OrderId(7)]))
    assert sorted(found) == [0, 2]


async def test_entries_are_listed_by_group_and_state_page_by_page(stores: Stores) -> None:
    store = stores(Order)
    unclear, failed = OrderState.UNCLEAR, OrderState.FAILED
    for number, group, state in ((4, WEB, unclear), (2, MAIL, failed), (1, WEB, failed), (3, None, unclear)):
        await store.insert(sample(Order, number, approval_group=group, state=state))
    assert await ids_of(store.listed([WEB, MAIL], [unclear, failed], after=None, limit=50)) == [1, 2, 4]
    assert await ids_of(store.listed([WEB, MAIL], [unclear, failed], after=request_id(1), limit=1)) == [2]
    assert await ids_of(store.listed([WEB], [failed], after=None, limit=50)) == [1]
    assert await ids_of(store.listed([], [failed], after=None, limit=50)) == []


async def test_what_waits_is_counted_by_state_with_the_time_of_the_oldest(stores: Stores) -> None:
    store = stores(Order)
    assert await store.backlog() == {}
    for number, state in enumerate([*OPEN_ORDERS, OrderState.PENDING, OrderState.ISSUED]):
        await store.insert(sample(Order, number, state=state, accepted_at_ms=1000 - number))
    found = await store.backlog()
    assert set(found) == set(OPEN_ORDERS)
    assert found[OrderState.PENDING] == Backlog(2, 996)
    assert found[OrderState.UNCLEAR] == Backlog(1, 997)


LISTED: dict[str, tuple[dict[str, object], list[int]]] = {
    "all": ({}, [0, 1, 2, 3]),
    "by request": ({"request_ids": (request_id(1), request_id(3), request_id(9))}, [1, 3]),
    "by request, from one on": ({"request_ids": (request_id(1), request_id(3)), "after": request_id(1)}, [3]),
    "from one on": ({"after": request_id(1)}, [2, 3]),
    "by serial number": ({"serial_numbers": ("a1", "a2", "a9")}, [1, 2]),
    "by issuer": ({"issuer": "CN=1"}, [1, 3]),
    "by key": ({"key": digest_of(b"0")}, [0, 2]),
    "by requester": ({"requester": BEN}, [2, 3]),
    "issued from a moment on": ({"issued_after": MOMENT + timedelta(hours=2)}, [2, 3]),
    "issued before a moment": ({"issued_before": MOMENT + timedelta(hours=2)}, [0, 1]),
    "by several": ({"issuer": "CN=1", "requester": BEN, "issued_after": MOMENT}, [3]),
}


@pytest.mark.parametrize("case", LISTED)
async def test_good_certificates_are_found_by_what_a_campaign_names(stores: Stores, case: str) -> None:
    store, (wanted, expected) = stores(Certificate), LISTED[case]
    for number in range(6):
        issued = MOMENT + timedelta(hours=number)
        await store.insert(
            sample(
                Certificate,
                number,
                state=CertificateState.REVOKING if number == 4 else CertificateState.LIVE,
                approval_group=MAIL if number == 5 else WEB,
                serial_number=f"a{number}",
                issuer=f"CN={number % 2}",
                key=digest_of(str(number % 2).encode()),
                requesters=(SHOP, BEN) if number > 1 else (SHOP,),
                issued_ms=milliseconds(issued.timestamp()),
            )
        )
    ask = ListCertificates.model_validate(wanted)
    assert await ids_of(store.live([WEB], ask, limit=50)) == expected
    assert await ids_of(store.live([WEB], ask, limit=1)) == expected[:1]


async def test_certificates_of_a_campaign_are_counted_listed_and_found_by_their_requests(stores: Stores) -> None:
    store, one, other = stores(Certificate), digest_of(b"one"), digest_of(b"other")
    states = [CertificateState.REVOKED, CertificateState.REVOKED, CertificateState.LIVE, CertificateState.REVOKING]
    for number, (state, campaigns) in enumerate(zip(states, [(one,), (other, one), (one,), (other,)], strict=True)):
        await store.insert(sample(Certificate, number, state=state, campaigns=campaigns, approval_group=WEB))
    assert await store.of_campaign(one) == {CertificateState.REVOKED: 2, CertificateState.LIVE: 1}
    assert await store.of_campaign(digest_of(b"none")) == {}
    listed = store.listed([WEB], list(CertificateState), campaign=one, after=request_id(0), limit=50)
    assert await ids_of(listed) == [1, 2]
    assert await ids_of(store.these([request_id(3), request_id(0), request_id(9)])) == [0, 3]
