"""Mails from the real database through a real SMTP server, which comes and goes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.intake.__main__ import wire_mail
from services.intake.adapters.requests import MongoRequests
from services.intake.config import MailSettings
from shared.clock import SystemClock
from shared.config import DatabaseSettings
from shared.contracts import commands
from shared.messaging.gate import Gate
from shared.mongo.database import Database
from shared.observability.metrics import MessageMetrics
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from tests import world
from tests.fakes.duties import Intake
from tests.fakes.mails import mail_settings
from tests.fakes.smtp import SmtpServer
from tests.infrastructure import DutyDatabases

MANY = 200
PATIENCE_SECONDS = 60.0
QUICK = {"retry_seconds": 0.2, "request_mails_per_hour": 10_000}


@pytest.fixture
async def requests(database: DutyDatabases) -> AsyncIterator[MongoRequests]:
    settings = DatabaseSettings(
        uri=database.uri,
        name=database.name(Duty.INTAKE),
        user=str(Duty.INTAKE),
        password_file=database.password_file(Duty.INTAKE),
    )
    opened = Database(settings, name="mail", count=lambda _: None)
    yield MongoRequests(opened)
    await opened.close()


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    """Its port is its own, and nobody listens there yet."""
    made = SmtpServer()
    await made.start()
    await made.stop()
    yield made
    await made.stop()


def policy_with_addresses() -> str:
    return world.policy_text(
        **{
            'description = "The web shop\'s deployment system"': 'description = ""\nemails = ["shop@example.com"]',
            'person = "alice"': 'person = "alice"\nemails = ["alice@example.com"]',
        }
    )


@dataclass
class Copy:
    """One process of intake, as far as its mails go."""

    registry: CollectorRegistry

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def posting(requests: MongoRequests, mailing: MailSettings) -> AsyncIterator[Copy]:
    """A process that sends what waits, as intake's composition root puts it together."""
    registry = CollectorRegistry()
    ups: dict[str, bool] = {}

    async def probe() -> None:
        """The database is there."""

    def open_gate(name: str, probe: Any, *, longest_pause: float) -> Gate:
        return Gate(name, probe, on_change=partial(ups.__setitem__, name), longest_pause=longest_pause)

    worker: Any = SimpleNamespace(
        registry=registry, clock=SystemClock(), messages=MessageMetrics(registry), open_gate=open_gate
    )
    jobs = wire_mail(worker, mailing, requests, Gate("database", probe, on_change=lambda _: None))
    running = [asyncio.ensure_future(job()) for job in jobs.run]
    yield Copy(registry)
    for finish in jobs.finish:
        await finish(5.0)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what is looked at is kept in the database
            await asyncio.sleep(0.05)


async def submit(duty: Intake, number: int) -> RequestId:
    asked = world.content(name=f"request {number}", emails=(f"owner{number}@example.com",))
    await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    return asked.request_id


async def test_a_server_that_was_away_for_200_requests_gets_every_mail_and_none_twice(
    requests: MongoRequests, server: SmtpServer
) -> None:
    mailing = mail_settings(port=server.port, **QUICK)
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    async with posting(requests, mailing), posting(requests, mailing):
        for number in range(MANY):
            await submit(duty, number)
        assert server.letters == []
        waiting = await requests.mail_backlog()
        assert waiting is not None
        assert waiting.count == 3 * MANY
        await server.start()

        async def is_done() -> bool:
            return await requests.mail_backlog() is None

        await until(is_done)
    assert Counter(server.recipients) == Counter(
        {"shop@example.com": MANY, "alice@example.com": MANY, **{f"owner{n}@example.com": 1 for n in range(MANY)}}
    )
    told = Counter((str(letter["To"]), str(letter["Subject"])) for letter in server.letters)
    assert set(told.values()) == {1}
    assert len({letter["Message-ID"] for letter in server.letters}) == len(server.letters) == 3 * MANY
