"""Watching: what awaits one's decision, as it comes, and what was missed while the connection was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

from pydantic import ValidationError

from shared.client.errors import NoAnswerError, NotConnectedError
from shared.client.mailbox import Mailbox
from shared.clock import Clock
from shared.contracts.envelope import Envelope
from shared.contracts.notices import Awaited, DecisionAwaited
from shared.contracts.replies import PendingResult
from shared.vocabulary.model import Model

PAUSE_SECONDS = 1.0
OVERLAP = timedelta(minutes=2)
"""From how long before the loss on requests are looked for: clocks differ, and messages take their time."""
REMEMBERED = 10_000
MISSED = "it came while the connection was lost"


class ConnectionNews(Model):
    """The connection to the broker was lost, or is there again."""

    connection: Literal["lost", "regained"]


ResultT = TypeVar("ResultT")
News = DecisionAwaited | ConnectionNews
Listing = Callable[[datetime, str | None], Awaitable[PendingResult]]
"""One page of what waits and was accepted after this moment, after this request."""


@dataclass
class Watch:
    """Tells each piece of news once, though a notice may come twice and may be missed."""

    mailbox: Mailbox
    connected: Callable[[], Awaitable[object]]
    listing: Listing
    clock: Clock
    _told: dict[str, None] = field(default_factory=dict)
    """The ids of notices, and of requests that were told of: the newest ones."""

    async def news(self) -> AsyncIterator[News]:
        """Go on for ever; raises whatever else than being away keeps the connection from coming back."""
        with self.mailbox.watching() as arriving:
            await self.connected()
            while True:
                body = await arriving.get()
                if body is not None:
                    notice = self._read(body)
                    if notice is not None:
                        yield notice
                    continue
                since = self.clock.now() - OVERLAP
                yield ConnectionNews(connection="lost")
                await _patiently(self.connected)
                yield ConnectionNews(connection="regained")
                for missed in await _patiently(partial(self._missed, since)):
                    yield missed

    def _read(self, body: bytes) -> DecisionAwaited | None:
        """The notice, unless it can't be read or was told already."""
        try:
            envelope = Envelope[DecisionAwaited].model_validate_json(body)
        except ValidationError:
            return None
        is_new = self._is_new(envelope.id)
        self._is_new(envelope.data.request_id)
        return envelope.data if is_new else None

    async def _missed(self, since: datetime) -> list[DecisionAwaited]:
        """What waits by now and was never told of."""
        found: list[DecisionAwaited] = []
        after, more = None, True
        while more:
            page = await self.listing(since, after)
            requests = [case.request for case in page.cases if not case.decided_by_me]
            found += [
                DecisionAwaited(
                    request_id=each.request_id,
                    approval_group=each.approval_group,
                    name=each.name,
                    subject=each.subject,
                    requesters=each.requesters,
                    why=Awaited.SUBMITTED,
                    message=MISSED,
                )
                for each in requests
            ]
            after, more = page.next, page.more
        return [each for each in found if self._is_new(each.request_id)]

    def _is_new(self, each: str) -> bool:
        if each in self._told:
            return False
        self._told[each] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return True


async def _patiently(step: Callable[[], Awaitable[ResultT]]) -> ResultT:
    while True:
        try:
            return await step()
        except (NotConnectedError, NoAnswerError):
            await asyncio.sleep(PAUSE_SECONDS)
