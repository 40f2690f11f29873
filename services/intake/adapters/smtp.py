"""SMTP: the only room that imports its client."""

import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
)

from services.intake.config import MailSettings, Tls
from services.intake.mail.composing import Letter
from services.intake.mail.ports import SERVER, NotTakenError
from shared.config import Secret
from shared.errors import RefusedError, UnavailableError
from shared.vocabulary.findings import finding

SHUTTING_DOWN = 421
"""The server ends the session (RFC 5321 §4.2.3), whatever it was asked."""
NOT_LOGGED_IN = frozenset({530, 534, 535, 538})
"""The server wants a login, or another one (RFC 4954 §6)."""
_NOT_ALLOWED = re.compile(
    r"\A5\.7\.\d+\b|\brelay(ing)? (is |access )?(denied|not)\b"
    r"|\b(unable to|not) relay\b|\bauthentication (is )?required\b",
    re.IGNORECASE,
)
"""How servers say that we may not send (RFC 3463 §3.8), and what those say that have no such codes."""


class SmtpServer:
    """A mail server that is reached anew for each session, and whose certificate is verified."""

    def __init__(self, settings: MailSettings) -> None:
        """Connect to nothing yet.

        Raises:
            RefusedError: `config.mail-ca-file` or `config.secret-unreadable`.
        """
        self._settings = settings
        self._password = None if settings.password_file is None else Secret(settings.password_file)
        if self._password is not None:
            self._password.reveal()
        self._context = _trusting(settings)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["SmtpSession"]:
        """A session, encrypted and logged in as the settings say."""
        settings = self._settings
        with _translated():
            client = SMTP(
                hostname=settings.host,
                port=settings.port,
                username=settings.username,
                password=self._revealed(),
                local_hostname=settings.from_address.rpartition("@")[2],
                timeout=settings.timeout_seconds,
                use_tls=settings.tls is Tls.IMPLICIT,
                start_tls=settings.tls is Tls.STARTTLS,
                tls_context=self._context,
            )
            await client.connect()
        try:
            yield SmtpSession(client, data_seconds=settings.data_timeout_seconds)
            with suppress(SMTPException, OSError):
                await client.quit()
        finally:
            client.close()

    async def probe(self) -> None:
        """Return when a session can be had in which we may send."""
        async with self.session() as session:
            await session.greet(self._settings.from_address)

    def _revealed(self) -> str | None:
        try:
            return None if self._password is None else self._password.reveal()
        except RefusedError as error:
            raise UnavailableError(SERVER, str(error)) from None


class SmtpSession:
    """An open session."""

    def __init__(self, client: SMTP, *, data_seconds: float) -> None:
        self._client = client
        self._data_seconds = data_seconds

    async def greet(self, sender: str) -> None:
        """Begin a letter from this address, and send none."""
        with _translated():
            await self._client.mail(sender)
            await self._client.rset()

    async def send(self, letter: Letter) -> None:
        """Return when the server has taken this letter."""
        with _translated():
            try:
                await self._client.mail(letter.sender)
                await self._client.rcpt(letter.recipient)
                await self._client.data(letter.content, timeout=self._data_seconds)
            except (SMTPRecipientRefused, SMTPDataError) as error:
                await self._not_taken(error)

    async def _not_taken(self, error: SMTPRecipientRefused | SMTPDataError) -> None:
        if error.code == SHUTTING_DOWN:
            raise error
        with suppress(SMTPException, OSError):  # a session that is lost is found out by the next letter
            await self._client.rset()
        raise NotTakenError(error.code, error.message, blames_us=_blames_us(error)) from None


def _blames_us(error: SMTPRecipientRefused | SMTPDataError) -> bool:
    """Whether it is not the address that is no good: we should have logged in, or may not send that way.

    Only the answer to the address is read so: what is said of a content is said of that letter alone.
    """
    if error.code in NOT_LOGGED_IN:
        return True
    return isinstance(error, SMTPRecipientRefused) and _NOT_ALLOWED.search(error.message) is not None


def _trusting(settings: MailSettings) -> ssl.SSLContext | None:
    if settings.tls is Tls.NONE:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # also what OpenSSL says of a file without certificates
        text = f"mail.ca_file: {settings.ca_file}: {error.strerror or error}; give a file of certificates in PEM"
        raise RefusedError(finding("config.mail-ca-file", text)) from None


@contextmanager
def _translated() -> Iterator[None]:
    """Turn every way in which the server can fail us into `UnavailableError`: also that it does not want us.

    A server that refuses our password or our own address refuses every mail: operators mend that, and nothing is lost.
    """
    try:
        yield
    except (SMTPException, OSError, TimeoutError) as error:
        raise UnavailableError(SERVER, str(error) or type(error).__name__) from error
