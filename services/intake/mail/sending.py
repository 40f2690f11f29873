"""Sending what waits in a request's record: claimed by compare-and-set, sent, then marked."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.intake.mail.allowance import WINDOW, Allowance
from services.intake.mail.composing import Composer
from services.intake.mail.model import Mail
from services.intake.mail.ports import SERVER, MailServer, MailSession, MailStore, NotTakenError
from services.intake.mail.queueing import Delivered, GivenUp, Pace, PutOff, Result, Unwelcome, final, moved, noted
from services.intake.model import RequestRecord
from shared.clock import Clock
from shared.errors import ConflictError, UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import MailMetrics
from shared.vocabulary.findings import printable

log = structlog.get_logger()

AT_ONCE = 20
"""Mails of one request in one session."""
LAST_NOTE_SECONDS = 5.0
"""For so long, at the end of the process, what the server took may still be noted."""


@dataclass(frozen=True)
class Sending:
    """Sends the due mails of one request.

    A mail is sent again, under the same Message-ID, only if nobody could note that it was sent: the process was killed
    between the server's word and the note at the end of the session, or that word was lost on its way. Who is cancelled
    still notes what the server has said.
    """

    requests: MailStore
    server: MailServer
    composer: Composer
    allowance: Allowance
    database: Gate
    gate: Gate
    """The mail server's: while that is away, nothing is claimed and no try is spent."""
    metrics: MailMetrics
    clock: Clock
    turn: timedelta
    """For so long from its claim on, one letter after the other is begun; the one under way then is never cut off."""
    lease: timedelta
    """Longer than a turn and the longest that a letter may take together: nobody else takes up what is under way."""
    pace: Pace
    _ending: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def finish(self, _grace_seconds: float) -> None:
        """Begin no further letter; those under way are the schedule's to wait for, or to cancel."""
        self._ending.set()

    async def look(self) -> None:
        """Find out whether the server is there, before there is a mail for it."""
        try:
            await self.server.probe()
        except UnavailableError as away:
            self.gate.close(away)

    async def advance(self, record: RequestRecord) -> None:
        """Take up the mails of this record that are due.

        Raises:
            ConflictError: another copy was faster, or something else happened to the request.
            UnavailableError: the database or the mail server is away.
        """
        if not self.gate.is_open:
            raise UnavailableError(SERVER, "nothing is sent until it is back")
        due = [mail for mail in record.mails if mail.due <= self._now_ms()]
        held = {mail.id for mail in [mail for mail in due if mail.is_named][self.allowance.left(record.sender) :]}
        taken = [mail for mail in due if mail.id not in held][:AT_ONCE]
        later, leased = self._in(WINDOW), self._in(self.lease)
        until: dict[str, int] = {**dict.fromkeys(held, later), **{mail.id: leased for mail in taken}}
        end = self.clock.now() + self.turn
        results: dict[str, Result] = {}
        self.allowance.spend(record.sender, sum(mail.is_named for mail in taken))
        try:
            claimed = await self.requests.replace(moved(record, until))
            if taken:
                await self._send(claimed, taken, results, end=end)
        finally:
            self.allowance.give_back(record.sender, sum(mail.is_named and mail.id not in results for mail in taken))

    async def _send(
        self, record: RequestRecord, taken: list[Mail], results: dict[str, Result], *, end: datetime
    ) -> None:
        """Send these, and note what came of each before the session ends: a server may be slow to say goodbye."""
        try:
            async with AsyncExitStack() as stack:
                try:
                    await self._letters(stack, record, taken, results, end=end)
                except asyncio.CancelledError:
                    await self._note_at_last(record, taken, results)
                    raise
                except (UnavailableError, TimeoutError):
                    await self._note_whole(record, taken, results)
                    raise
                await self._note_whole(record, taken, results)
        except UnavailableError as away:
            self.gate.close(away)
        except TimeoutError:
            self.gate.close(UnavailableError(SERVER, "no answer in time"))

    async def _letters(
        self,
        stack: AsyncExitStack,
        record: RequestRecord,
        mails: list[Mail],
        results: dict[str, Result],
        *,
        end: datetime,
    ) -> None:
        """Put into `results` what came of each; of those that were not tried, nothing."""
        async with asyncio.timeout(self.turn.total_seconds()):
            session = await stack.enter_async_context(self.server.session())
        for mail in mails:
            if self.clock.now() >= end or self._ending.is_set():
                break
            results[mail.id] = PutOff("no answer")  # until it has one: the session may end here
            results[mail.id] = await self._deliver(session, mail, record)

    async def _deliver(self, session: MailSession, mail: Mail, record: RequestRecord) -> Result:
        try:
            letter = self.composer.letter(mail, record)
        except Exception as error:
            log.exception("mail not composed; it is tried again", request=record.id, news=mail.news)
            return PutOff(f"not composed: {error}")
        try:
            await session.send(letter)
        except NotTakenError as refused:
            reason = printable(str(refused))
            if not refused.is_lasting:
                return PutOff(reason)
            return Unwelcome(reason) if refused.blames_us else GivenUp(reason)
        return Delivered()

    async def _note_whole(self, claimed: RequestRecord, taken: list[Mail], results: dict[str, Result]) -> None:
        """Note it, however long that takes; who is cancelled meanwhile has a little more time for it."""
        noting = asyncio.ensure_future(self._note(claimed, frozenset(mail.id for mail in taken), results))
        try:
            await asyncio.shield(noting)
        except asyncio.CancelledError:
            await _bounded(noting)
            raise
        self._count(claimed, taken, results)

    async def _note_at_last(self, claimed: RequestRecord, taken: list[Mail], results: dict[str, Result]) -> None:
        """Note it when cancelled: as well as it goes, in a bounded time."""
        await _bounded(asyncio.ensure_future(self._note(claimed, frozenset(mail.id for mail in taken), results)))
        self._count(claimed, taken, results)

    async def _note(self, claimed: RequestRecord, taken: frozenset[str], results: dict[str, Result]) -> None:
        """Write what came of it, however often that takes: what is not noted is sent again."""
        record: RequestRecord | None = claimed
        while record is not None:
            try:
                await self.requests.replace(noted(record, taken, results, now_ms=self._now_ms(), pace=self.pace))
            except ConflictError:
                record = await self._loaded(claimed.id)
            except UnavailableError as away:
                self.database.close(away)
                record = await self._loaded(claimed.id)
            else:
                return

    async def _loaded(self, request_id: str) -> RequestRecord | None:
        while True:
            await self.database.passed()
            try:
                return await self.requests.load(request_id)
            except UnavailableError as away:
                self.database.close(away)

    def _count(self, record: RequestRecord, taken: list[Mail], results: dict[str, Result]) -> None:
        for mail in taken:
            match final(mail, results.get(mail.id), self.pace):
                case Delivered():
                    self.metrics.sent(mail.news)
                case PutOff(reason):
                    self.metrics.put_off(mail.news)
                    log.info("mail put off", request=record.id, news=mail.news, mail=mail.id, reason=reason)
                case Unwelcome(reason):
                    self.metrics.unwelcome(mail.news)
                    text = "the mail server does not take mail from us"
                    log.warning(text, request=record.id, news=mail.news, mail=mail.id, reason=reason)
                case GivenUp(reason):
                    self.metrics.failed(mail.news)
                    log.warning("mail given up", request=record.id, news=mail.news, mail=mail.id, reason=reason)
                case None:
                    pass

    def _in(self, wait: timedelta) -> int:
        return self._now_ms() + milliseconds(wait.total_seconds())

    def _now_ms(self) -> int:
        return milliseconds(self.clock.now().timestamp())


async def _bounded(noting: asyncio.Future[None]) -> None:
    """Wait for this note, but not for ever: nobody else does while the process ends."""
    await asyncio.wait({noting}, timeout=LAST_NOTE_SECONDS)
    if not noting.cancel() and (failure := noting.exception()) is not None:
        log.error("mails not noted; what was sent is sent again", exc_info=failure)
