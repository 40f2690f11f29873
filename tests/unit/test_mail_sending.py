"""Sending mails: claimed, sent, marked; put off, given up, and never twice but after a crash."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.intake.mail import composing
from services.intake.mail import sending as mail_sending
from services.intake.mail.addressing import Address
from services.intake.mail.allowance import WINDOW, Allowance
from services.intake.mail.composing import Composer, Letter
from services.intake.mail.counting import MailCount
from services.intake.mail.model import News
from services.intake.mail.queueing import MOST_WAITING, REMEMBERED_UNDELIVERED, TOO_MANY, Pace, added, mails_of
from services.intake.mail.sending import AT_ONCE, Sending
from services.intake.mail.templates import Templates
from services.intake.model import RequestRecord
from shared.errors import ConflictError, UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.schedule import Schedule, milliseconds
from shared.observability.metrics import MailMetrics
from tests.fakes.faults import CrashError
from tests.fakes.mails import MemoryMailServer
from tests.fakes.samples import REQUEST, sample_aggregates
from tests.fakes.stores import MemoryRequests
from tests.world import NOW, FixedClock

TURN, LEASE = timedelta(minutes=2), timedelta(minutes=10)
NOW_MS = milliseconds(NOW.timestamp())
MINUTE = 60_000
TEMPLATES = Templates()


class Post:
    """One copy of what sends mails; several share a store, a server and a clock."""

    def __init__(self, other: "Post | None" = None, *, per_hour: int = 1_000) -> None:
        self.requests: MemoryRequests = other.requests if other else MemoryRequests()
        self.server: MemoryMailServer = other.server if other else MemoryMailServer()
        self.clock: FixedClock = other.clock if other else FixedClock()
        self.registry = CollectorRegistry()
        self.database = Gate("database", self._database_there, on_change=lambda _: None, longest_pause=0.0)
        self.gate = Gate("mail", self.server.probe, on_change=lambda _: None, longest_pause=0.0)
        self.metrics = MailMetrics(self.registry)
        self.sending = Sending(
            requests=self.requests,
            server=self.server,
            composer=Composer(TEMPLATES, "countersign@example.com", "Example Ltd", ""),
            allowance=Allowance(per_hour, self.clock.now),
            database=self.database,
            gate=self.gate,
            metrics=self.metrics,
            clock=self.clock,
            turn=TURN,
            lease=LEASE,
            pace=Pace(first_ms=MINUTE, longest_ms=8 * MINUTE, tries=6),
        )

    async def _database_there(self) -> None:
        if self.requests.away:
            raise UnavailableError("database", "the test took it away")

    async def has(self, *addresses: str, is_named: bool = False) -> None:
        """A request of which these are to be told."""
        kept: Any = sample_aggregates()[RequestRecord]
        empty = kept.model_copy(update={"mails": (), "due": None, "undelivered": ()})
        told = [Address(address, is_named) for address in addresses]
        mails = mails_of(News.ISSUED, told, origin="o", sequence=3, at_ms=NOW_MS)
        assert await self.requests.insert(added(empty, mails).record)

    async def stored(self) -> RequestRecord:
        record = await self.requests.load(REQUEST)
        assert record is not None
        return record

    async def work(self) -> int:
        """Take up what is due, as the schedule does; how much there was."""
        found = await self.requests.due(milliseconds(self.clock.now().timestamp()), limit=50)
        for record in found:
            await self.sending.advance(record)
        return len(found)

    def sent(self) -> list[str]:
        return [letter.recipient for letter in self.server.letters]

    def ids(self) -> list[str]:
        return [message_from_bytes(letter.content)["Message-ID"] for letter in self.server.letters]

    def counted(self, name: str) -> float:
        return self.registry.get_sample_value(f"ra_mails_{name}_total", {"news": "issued"}) or 0.0


def refusing(code: int, *addresses: str) -> Any:
    return lambda address: code if address in addresses else None


async def test_each_address_gets_a_letter_of_its_own_and_nothing_waits_any_more() -> None:
    post = Post()
    await post.has("a@example.com", "b@example.com")
    assert await post.work() == 1
    assert post.sent() == ["a@example.com", "b@example.com"]
    assert [message_from_bytes(letter.content)["To"] for letter in post.server.letters] == post.sent()
    record = await post.stored()
    assert (record.mails, record.due, record.undelivered) == ((), None, ())
    assert await post.work() == 0
    assert post.counted("sent") == 2


async def test_an_address_that_is_refused_for_good_is_given_up_at_once_and_harms_nobody() -> None:
    post = Post()
    post.server.answers = refusing(550, "gone@example.com")
    await post.has("a@example.com", "gone@example.com", "b@example.com")
    await post.work()
    assert post.sent() == ["a@example.com", "b@example.com"]
    record = await post.stored()
    assert record.mails == ()
    assert [(each.to, each.reason) for each in record.undelivered] == [("gone@example.com", "550 the test says no")]
    assert (post.counted("sent"), post.counted("failed"), post.counted("put_off")) == (2, 1, 0)


async def test_what_is_put_off_is_tried_ever_less_often_and_given_up_in_the_end() -> None:
    post, waits = Post(), []
    post.server.answers = refusing(451, "slow@example.com")
    await post.has("slow@example.com", "a@example.com")
    while (record := await post.stored()).due is not None:
        waits.append(record.due - milliseconds(post.clock.now().timestamp()))
        post.clock.advance(timedelta(milliseconds=waits[-1]))
        assert await post.work() == 1
    assert [wait // MINUTE for wait in waits] == [0, 1, 2, 4, 8, 8]
    assert post.sent() == ["a@example.com"]
    (given_up,) = (await post.stored()).undelivered
    assert given_up.reason == "451 the test says no; given up after 6 tries"
    assert (post.counted("put_off"), post.counted("failed")) == (5, 1)


async def test_while_the_server_is_away_no_try_is_spent_and_nothing_is_written_after_the_first() -> None:
    post = Post()
    post.server.away = True
    await post.has("a@example.com")
    await post.work()
    writes = post.requests.writes
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await post.work()
    assert post.requests.writes == writes
    assert [mail.tries for mail in (await post.stored()).mails] == [0]
    post.server.away = False
    await post.gate.passed()
    await post.work()
    assert post.sent() == ["a@example.com"]


async def test_a_server_that_goes_in_the_middle_gets_the_rest_when_it_is_back() -> None:
    post = Post()
    addresses = [f"a{number}@example.com" for number in range(5)]
    await post.has(*addresses)

    def go(_: object) -> None:
        post.server.away = len(post.server.letters) == 2

    post.server.on_send = go
    await post.work()
    assert post.sent() == addresses[:2]
    tries = {mail.to: mail.tries for mail in (await post.stored()).mails}
    assert tries == {addresses[2]: 1, addresses[3]: 0, addresses[4]: 0}
    post.server.away = False
    await post.gate.passed()
    await post.work()
    post.clock.advance(timedelta(minutes=1))
    await post.work()
    assert sorted(post.sent()) == addresses


async def test_after_a_crash_between_sending_and_marking_it_is_sent_again_under_the_same_message_id() -> None:
    post = Post()
    await post.has("a@example.com")

    def die(_: object) -> None:
        raise CrashError

    post.server.on_send = die
    with pytest.raises(CrashError):
        await post.work()
    post.server.on_send = lambda _: None
    another = Post(post)
    assert await another.work() == 0, "the lease still holds"
    another.clock.advance(LEASE)
    assert await another.work() == 1
    assert another.sent() == ["a@example.com"] * 2
    assert len(set(another.ids())) == 1
    assert post.server.letters[0] == post.server.letters[1]
    another.clock.advance(LEASE)
    assert await another.work() == 0


async def test_two_copies_never_send_the_same_mail() -> None:
    post = Post()
    other = Post(post)
    await post.has("a@example.com", "b@example.com")
    found = await post.requests.due(NOW_MS, limit=50)
    results = await asyncio.gather(
        *(each.sending.advance(record) for each in (post, other) for record in found), return_exceptions=True
    )
    assert [type(result) for result in results if result is not None] == [ConflictError]
    assert sorted(post.sent()) == ["a@example.com", "b@example.com"]


async def test_what_happens_to_the_request_meanwhile_is_kept_and_nothing_is_sent_twice() -> None:
    post = Post()
    server = SlowServer(post.clock, timedelta(0))
    post.server = server
    post = Post(post)
    await post.has("a@example.com")
    later = mails_of(News.REVOKED, [Address("a@example.com", is_named=False)], origin="r", sequence=4, at_ms=NOW_MS)

    async def revoke() -> None:
        await post.requests.replace(added(await post.stored(), later).record.model_copy(update={"sequence": 10}))

    server.meanwhile = revoke
    await post.work()
    server.meanwhile = None
    record = await post.stored()
    assert (record.sequence, record.mails) == (10, later)
    await post.work()
    assert len(set(post.ids())) == len(post.ids()) == 2


async def test_a_database_that_goes_while_a_mail_is_sent_is_waited_for_and_nothing_is_sent_twice() -> None:
    post = Post()
    await post.has("a@example.com")

    def go(_: object) -> None:
        post.requests.away = True

    post.server.on_send = go
    working = asyncio.ensure_future(post.work())
    while post.database.is_open:  # noqa: ASYNC110 - the gate tells nobody when it closes
        await asyncio.sleep(0)
    assert not working.done()
    post.requests.away = False
    await working
    post.clock.advance(LEASE)
    assert await post.work() == 0
    assert post.sent() == ["a@example.com"]


async def test_a_request_with_many_mails_is_sent_in_parts() -> None:
    post = Post()
    await post.has(*(f"a{number}@example.com" for number in range(AT_ONCE + 5)))
    await post.work()
    assert len(post.sent()) == AT_ONCE
    await post.work()
    assert len(set(post.sent())) == AT_ONCE + 5
    assert post.server.sessions == 2


async def test_a_requests_own_addresses_wait_when_its_sender_has_caused_too_many_and_the_policys_do_not() -> None:
    post = Post(per_hour=3)
    await post.has(*(f"a{number}@example.com" for number in range(5)), is_named=True)
    await post.work()
    assert len(post.sent()) == 3
    policy = mails_of(News.REVOKED, [Address("p@example.com", is_named=False)], origin="r", sequence=4, at_ms=NOW_MS)
    await post.requests.replace(added(await post.stored(), policy).record)
    await post.work()
    assert post.sent()[3:] == ["p@example.com"]
    writes = post.requests.writes
    post.clock.advance(WINDOW - timedelta(seconds=1))
    assert await post.work() == 0
    assert post.requests.writes == writes, "a flood that waits costs nothing"
    post.clock.advance(timedelta(seconds=1))
    await post.work()
    assert len(set(post.sent())) == 6


def test_each_sender_has_an_allowance_of_its_own_which_comes_back_after_an_hour() -> None:
    clock = FixedClock()
    allowance = Allowance(3, clock.now)
    allowance.spend("shop", 2)
    clock.advance(timedelta(minutes=30))
    allowance.spend("shop", 1)
    assert [allowance.left("shop"), allowance.left("portal")] == [0, 3]
    clock.advance(timedelta(minutes=30))
    assert allowance.left("shop") == 2


async def test_a_mail_that_cannot_be_composed_is_tried_again_and_the_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post()
    await post.has("bad@example.com", "a@example.com")

    def broken(self: Composer, mail: Any, record: RequestRecord) -> Any:
        if mail.to == "bad@example.com":
            raise ZeroDivisionError
        return letter(self, mail, record)

    letter = Composer.letter
    monkeypatch.setattr(Composer, "letter", broken)
    await post.work()
    assert post.sent() == ["a@example.com"]
    assert [(mail.to, mail.tries) for mail in (await post.stored()).mails] == [("bad@example.com", 1)]


def test_bytes_with_another_header_than_ours_are_no_mail() -> None:
    good = b"".join(f"{name}: x\r\n".encode() for name in composing.HEADERS)
    assert composing._checked(good + b"\r\nbody") == good + b"\r\nbody"
    for bad in (b"Bcc: a@example.com\r\n" + good, good + b"Bcc: a\r\n", good.replace(b"x", b"x\nBcc: a", 1), b""):
        with pytest.raises(ValueError, match="headers"):
            composing._checked(bad + b"\r\nbody")


async def test_what_one_record_holds_is_bounded_and_what_has_no_room_is_noted() -> None:
    post = Post()
    await post.has(*(f"a{number}@example.com" for number in range(MOST_WAITING + 5)))
    record = await post.stored()
    assert len(record.mails) == MOST_WAITING
    assert [(each.to, each.reason) for each in record.undelivered] == [
        (f"a{number}@example.com", TOO_MANY) for number in range(MOST_WAITING, MOST_WAITING + 5)
    ]
    post.server.answers = lambda _: 550
    for _ in range(3):
        await post.work()
    assert len((await post.stored()).undelivered) == REMEMBERED_UNDELIVERED


async def test_a_new_call_for_a_decision_takes_the_place_of_older_ones_to_its_address_and_of_nothing_else() -> None:
    post = Post()
    await post.has("a@example.com", "b@example.com")
    record = await post.stored()
    for number, news in enumerate([News.PENDING, News.REMINDER] * MOST_WAITING):
        told = [Address("a@example.com", is_named=False)]
        found = added(record, mails_of(news, told, origin=str(number), sequence=0, at_ms=NOW_MS + number))
        assert found.given_up == ()
        record = found.record
    waiting = [(mail.news, mail.to) for mail in record.mails]
    assert waiting == [("issued", "a@example.com"), ("issued", "b@example.com"), ("reminder", "a@example.com")]


class SlowServer(MemoryMailServer):
    """Needs a while for each letter, in which another copy looks for work."""

    def __init__(self, clock: FixedClock, each: timedelta) -> None:
        super().__init__()
        self._clock = clock
        self._each = each
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def send(self, letter: Letter) -> None:
        self._clock.advance(self._each)
        looking, self.meanwhile = self.meanwhile, None
        if looking is not None:
            await looking()
            self.meanwhile = looking
        await super().send(letter)


async def test_letters_that_take_longer_than_a_lease_in_all_are_each_sent_once() -> None:
    post = Post()
    server = SlowServer(post.clock, LEASE / 4)
    post.server = server
    post, other = Post(post), Post(post)
    server.meanwhile = other.work
    addresses = [f"a{number}@example.com" for number in range(AT_ONCE)]
    await post.has(*addresses)
    while await post.work():
        pass
    assert sorted(post.sent()) == sorted(addresses)


async def test_at_the_end_of_its_turn_the_letter_under_way_is_not_cut_off_and_no_other_is_begun() -> None:
    post = Post()
    post.server = SlowServer(post.clock, LEASE)
    post = Post(post)
    await post.has("a@example.com", "b@example.com")
    await post.work()
    assert post.sent() == ["a@example.com"]
    assert [(mail.to, mail.tries) for mail in (await post.stored()).mails] == [("b@example.com", 0)]


async def test_what_the_server_does_not_take_from_us_is_kept_for_as_long_as_it_takes_and_told() -> None:
    post = Post()
    post.server.blames_us, post.server.answers = True, refusing(550, "a@example.com")
    await post.has("a@example.com", "b@example.com")
    for _ in range(20):
        await post.work()
        post.clock.advance(timedelta(hours=1))
    assert post.sent() == ["b@example.com"]
    assert [mail.to for mail in (await post.stored()).mails] == ["a@example.com"]
    assert (post.counted("unwelcome"), post.counted("failed")) == (20, 0)
    post.server.answers = refusing(550)
    await post.work()
    assert post.sent() == ["b@example.com", "a@example.com"]


async def test_an_address_of_a_request_to_which_we_may_not_write_is_given_up_in_the_end() -> None:
    post = Post()
    post.server.blames_us, post.server.answers = True, refusing(550, "a@example.com")
    await post.has("a@example.com", is_named=True)
    for _ in range(6):
        assert await post.work() == 1
        post.clock.advance(timedelta(hours=1))
    (given_up,) = (await post.stored()).undelivered
    assert given_up.reason == "550 the test says no; given up after 6 tries"
    assert (post.counted("unwelcome"), post.counted("failed")) == (5, 1)


async def test_two_at_once_never_spend_more_than_one_senders_allowance() -> None:
    post = Post(per_hour=1)
    await post.has("a@example.com", "b@example.com", is_named=True)
    (record,) = await post.requests.due(NOW_MS, limit=50)
    another = record.model_copy(update={"id": "01a1f8d3-ea00-7c3a-8f21-5b7a9d3e6c99"})
    assert await post.requests.insert(another)
    await asyncio.gather(*(post.sending.advance(each) for each in (record, another)))
    assert len(post.sent()) == 1


async def test_what_was_spent_and_not_sent_comes_back() -> None:
    post = Post(per_hour=2)
    await post.has("a@example.com", "b@example.com", is_named=True)
    (record,) = await post.requests.due(NOW_MS, limit=50)
    await post.requests.replace(record)
    with pytest.raises(ConflictError):
        await post.sending.advance(record)
    assert post.sending.allowance.left(record.sender) == 2
    post.server.away = True
    await post.work()
    assert post.sending.allowance.left(record.sender) == 2
    await post.gate.aclose()


async def test_what_waits_is_counted_with_the_age_of_the_oldest() -> None:
    post = Post()
    counting = MailCount(post.requests, post.database, post.metrics, post.clock)
    found: list[Sequence[float | None]] = []
    for step in (lambda: post.has("a@example.com", "b@example.com"), post.work):
        await step()
        post.clock.advance(timedelta(seconds=90))
        await counting.count()
        names = ("ra_mails_waiting", "ra_mails_oldest_seconds")
        found.append([post.registry.get_sample_value(name) for name in names])
    assert found == [[2, 90], [0, 0]]


async def test_that_the_server_is_away_is_known_before_there_is_a_mail() -> None:
    post = Post()
    await post.sending.look()
    assert post.gate.is_open
    post.server.away = True
    await post.sending.look()
    assert not post.gate.is_open
    await post.gate.aclose()


class Ending:
    """A copy that works by its schedule until it is told to end."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._schedule = Schedule(
            post.requests,
            post.sending.advance,
            clock=post.clock,
            gate=post.database,
            concurrency=1,
            on_done=lambda: None,
            on_failure=lambda: None,
        )

    async def works_until(self, condition: asyncio.Event, *, grace_seconds: float = 0.001) -> None:
        """Work until this is so, then end as the process does."""
        running = asyncio.ensure_future(self._schedule.run())
        await condition.wait()
        await self._post.sending.finish(grace_seconds)
        await self._schedule.finish(grace_seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_ordinary_stop_while_a_letter_hangs_sends_nothing_again_that_was_taken() -> None:
    post = Post()
    post.server.hangs_at = "b@example.com"
    await post.has("a@example.com", "b@example.com", "c@example.com")
    await Ending(post).works_until(post.server.silent)
    assert [(mail.to, mail.tries) for mail in (await post.stored()).mails] == [
        ("b@example.com", 1),
        ("c@example.com", 0),
    ]
    post.server.hangs_at = None
    post.clock.advance(LEASE)
    await Post(post).work()
    assert post.sent() == ["a@example.com", "b@example.com", "c@example.com"]
    assert post.counted("sent") == 1


async def test_a_server_that_never_says_goodbye_does_not_keep_a_mail_from_being_noted() -> None:
    post = Post()
    post.server.says_goodbye = False
    await post.has("a@example.com")
    await Ending(post).works_until(post.server.silent)
    post.server.says_goodbye = True
    post.clock.advance(LEASE)
    assert await Post(post).work() == 0
    assert post.sent() == ["a@example.com"]


async def test_once_the_process_ends_no_further_letter_is_begun() -> None:
    post = Post()
    server = SlowServer(post.clock, timedelta(0))
    post.server = server
    post = Post(post)
    server.meanwhile = lambda: post.sending.finish(60)
    await post.has("a@example.com", "b@example.com")
    await post.work()
    assert post.sent() == ["a@example.com"]
    assert [(mail.to, mail.tries, mail.due) for mail in (await post.stored()).mails] == [("b@example.com", 0, NOW_MS)]


async def test_a_process_that_ends_without_its_database_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_sending, "LAST_NOTE_SECONDS", 0.001)
    post = Post()
    post.server.hangs_at = "b@example.com"
    await post.has("a@example.com", "b@example.com")

    def go(_: object) -> None:
        post.requests.away = True

    post.server.on_send = go
    async with asyncio.timeout(60):
        await Ending(post).works_until(post.server.silent)
    assert post.sent() == ["a@example.com"]
