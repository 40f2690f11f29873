"""Mails without a mail server: settings, and a server in memory that does what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from services.intake.config import MailSettings
from services.intake.mail.composing import Letter
from services.intake.mail.ports import SERVER, MailSession, NotTakenError
from shared.errors import UnavailableError
from tests import world

SHOP, PORTAL, ALICE = (f"{name}@example.com" for name in ("shop", "portal", "alice"))
CAROL = "carol@example.net"


def policy_with_addresses() -> str:
    """The example policy, in which two systems and two of three approvers have an address."""
    return world.policy_text(
        **{
            'description = "The web shop\'s deployment system"': f'description = "s"\nemails = ["{SHOP}"]',
            "must_sign = false": f'must_sign = false\nemails = ["{PORTAL}"]',
            'person = "alice"': f'person = "alice"\nemails = ["{ALICE}"]',
            'person = "carol"': f'person = "carol"\nemails = ["{CAROL}"]',
        }
    )


def mail_settings(**changes: Any) -> MailSettings:
    """Settings of a server on this machine, which is not there."""
    return MailSettings.model_validate(
        {
            "host": "127.0.0.1",
            "port": 1,
            "tls": "none",
            "from_address": "countersign@example.com",
            "organisation": "Example Ltd",
            "request_domains": ("example.com",),
            **changes,
        }
    )


class MemoryMailServer:
    """Keeps what it takes; `answers` gives a code for an address that is not taken."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.answers: Callable[[str], int | None] = lambda _: None
        self.blames_us = False
        """Whether those answers are about who sends."""
        self.away = False
        self.on_send: Callable[[Letter], None] = lambda _: None
        """Called when it has taken a letter, and before it says so."""
        self.sessions = 0
        self.hangs_at: str | None = None
        """The address on a letter to which it never answers."""
        self.says_goodbye = True
        self.silent = asyncio.Event()
        """Set once it does not answer."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[MailSession]:
        await self.probe()
        self.sessions += 1
        yield self
        if not self.says_goodbye:
            await self._hang()

    async def _hang(self) -> None:
        self.silent.set()
        await asyncio.Event().wait()

    async def probe(self) -> None:
        if self.away:
            raise UnavailableError(SERVER, "the test took it away")

    async def send(self, letter: Letter) -> None:
        await self.probe()
        if letter.recipient == self.hangs_at:
            await self._hang()
        code = self.answers(letter.recipient)
        if code is not None:
            raise NotTakenError(code, "the test says no", blames_us=self.blames_us)
        self.letters.append(letter)
        self.on_send(letter)
