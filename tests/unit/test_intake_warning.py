"""Certificates that are about to expire: each warning once, none too late, none too many."""

from datetime import timedelta
from typing import Any

import pytest

from services.intake.expiry import next_warning, planned, warning_now
from services.intake.model import RequestRecord
from services.intake.warning import ExpiryWarnings
from shared.contracts import commands
from shared.errors import ConflictError, UnavailableError
from shared.messaging.messages import Outgoing
from shared.messaging.schedule import milliseconds
from shared.vocabulary.states import State
from tests.fakes.duties import Intake, data_of
from tests.fakes.lives import begin
from tests.fakes.mails import SHOP, mail_settings, policy_with_addresses
from tests.fakes.samples import sample_aggregates
from tests.world import DAY, NOW

MOMENT = timedelta(milliseconds=1)


class Warned:
    """A certificate that intake knows, and what its requesters are told of its end."""

    def __init__(self) -> None:
        self.duty = Intake(policy_with_addresses(), mailing=mail_settings())
        self.warnings = ExpiryWarnings(
            self.duty.requests, self.duty.announcer, self.duty.publisher.publish, self.duty.clock
        )
        self.life = begin().approved().issued()

    async def issued(self) -> RequestRecord:
        await self.duty.send(commands.SubmitRequest(submission=self.life.begun.evidence.submission), by="shop")
        for told in self.life.told:
            await self.duty.handle(told)
        return await self.record()

    async def record(self) -> RequestRecord:
        record = await self.duty.requests.load(self.life.begun.revision.request_id)
        assert record is not None
        return record

    async def at(self, days_before: float) -> list[int]:
        """Which warnings are given when it is so many days before the end."""
        not_after = (await self.record()).not_after
        assert not_after is not None
        self.duty.clock.instant = not_after - days_before * DAY
        before = len(self.duty.publisher.published)
        now_ms = milliseconds(self.duty.clock.now().timestamp())
        for _ in range(5):
            for record in await self.warnings.due(now_ms, limit=10):
                await self.warnings.advance(record)
        return [data_of(each)["days"] for each in self.duty.publisher.published[before:]]

    async def mails(self) -> list[str]:
        return [mail.to for mail in (await self.record()).mails if mail.news == "expiring"]


async def test_requesters_are_warned_once_at_each_time_and_not_in_between() -> None:
    warned = Warned()
    await warned.issued()
    seen = {days: await warned.at(days) for days in (31, 30, 29, 15, 14, 8, 7, 6.9, 2, 1, 0.5, 0, -1, -100)}
    assert seen == {days: [days] if days in {30, 14, 7, 1} else [] for days in seen}
    assert await warned.mails() == [SHOP] * 4
    assert (await warned.record()).warn_due is None


async def test_of_warnings_that_were_missed_only_the_nearest_is_given() -> None:
    warned = Warned()
    await warned.issued()
    assert await warned.at(5) == [7]
    assert await warned.at(5) == []
    assert await warned.at(1) == [1]
    assert len(await warned.mails()) == 2


async def test_what_has_expired_already_is_warned_of_no_more() -> None:
    warned = Warned()
    await warned.issued()
    assert await warned.at(-1) == []
    assert (await warned.record()).warn_due is None


async def test_a_revoked_certificate_is_warned_of_no_more() -> None:
    warned = Warned()
    warned.life = warned.life.revoked()
    await warned.issued()
    assert (await warned.record()).warn_due is None
    assert await warned.at(30) == []


async def test_a_revocation_that_comes_at_the_same_moment_is_not_undone_by_the_warning() -> None:
    warned = Warned()
    stale = await warned.issued()
    warned.life.revoked()
    await warned.duty.handle(warned.life.told[-1])
    warned.duty.clock.instant = stale.not_after - 30 * DAY if stale.not_after else NOW
    with pytest.raises(ConflictError):
        await warned.warnings.advance(stale)
    record = await warned.record()
    assert (record.state, record.warn_due) == (State.REVOKED, None)


async def test_while_the_broker_is_away_the_warning_waits_and_comes_once_with_the_same_id() -> None:
    warned = Warned()
    await warned.issued()
    warned.duty.publisher.away = True
    with pytest.raises(UnavailableError):
        await warned.at(30)
    assert await warned.mails() == []
    warned.duty.publisher.away = False
    assert await warned.at(30) == [30]
    assert await warned.mails() == [SHOP]


async def test_a_warning_that_two_copies_give_has_one_id_and_is_written_once() -> None:
    warned = Warned()
    record = await warned.issued()
    assert record.not_after is not None
    warned.duty.clock.instant = record.not_after - 30 * DAY
    told: list[Outgoing] = []

    async def publish(message: Outgoing) -> None:
        told.append(message)

    other = ExpiryWarnings(warned.duty.requests, warned.duty.announcer, publish, warned.duty.clock)
    await other.advance(record)
    with pytest.raises(ConflictError):
        await other.advance(record)
    assert len(told) == 2
    assert len({message.id for message in told}) == 1
    assert await warned.mails() == [SHOP]


@pytest.mark.parametrize(
    ("left", "following"), [(100 * DAY, 30), (30 * DAY + MOMENT, 30), (30 * DAY, 14), (10 * DAY, 7), (DAY, None)]
)
def test_the_first_warning_of_a_new_certificate_lies_ahead(left: timedelta, following: int | None) -> None:
    not_after = NOW + left
    expected = None if following is None else milliseconds((not_after - following * DAY).timestamp())
    assert next_warning(not_after, now=NOW) == expected


@pytest.mark.parametrize(("left", "days"), [(31, None), (30, 30), (10, 14), (7, 7), (0.1, 1), (0, None), (-1, None)])
def test_the_warning_that_holds_is_the_nearest_that_has_come(left: float, days: int | None) -> None:
    assert warning_now(NOW + left * DAY, now=NOW) == days


def test_without_an_end_there_is_no_warning() -> None:
    record: Any = sample_aggregates()[RequestRecord]
    issued = record.model_copy(update={"state": State.ISSUED, "not_after": None})
    assert planned(record, issued, now=NOW).warn_due is None
    assert warning_now(None, now=NOW) is None
