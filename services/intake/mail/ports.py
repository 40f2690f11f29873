"""What sending mails needs from the outside."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.intake.mail.composing import Letter
from services.intake.model import RequestRecord
from shared.messaging.aggregate import Store

SERVER = "mail"
"""The name under which a mail server is away."""


@dataclass(frozen=True)
class Backlog:
    """The mails that wait."""

    count: int
    oldest_ms: int


class NotTakenError(Exception):
    """The server answered, and did not take this letter."""

    def __init__(self, code: int, text: str, *, blames_us: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.is_lasting = code >= 500  # noqa: PLR2004 - permanent negative completion (RFC 5321 §4.2.1)
        self.blames_us = blames_us
        """Whether it does not want to pass on what we send, rather than this address being no good."""


class MailSession(Protocol):
    """A session with the mail server."""

    async def send(self, letter: Letter) -> None:
        """Return when the server has taken this letter.

        Raises:
            NotTakenError: it does not, now or ever.
            UnavailableError: of `mail`: the session is lost; whether the server took it is not known.
        """
        ...


class MailServer(Protocol):
    """The server that takes our mails."""

    def session(self) -> AbstractAsyncContextManager[MailSession]:
        """A session for a few letters.

        Raises:
            UnavailableError: of `mail`: the server is away, or does not want us.
        """
        ...

    async def probe(self) -> None:
        """Return when the server would take letters.

        Raises:
            UnavailableError: of `mail`: it would not.
        """
        ...


class MailStore(Store[RequestRecord], Protocol):
    """The requests, as far as their mails go."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` requests of which a mail may be sent: of each group in turn the longest due.

        Raises:
            UnavailableError: the database is away.
        """
        ...

    async def mail_backlog(self) -> Backlog | None:
        """How many mails wait, and since when the oldest; none if none does.

        Raises:
            UnavailableError: the database is away.
        """
        ...
