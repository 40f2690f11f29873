"""Mails from the real database through a real SMTP server, which comes and goes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from deploy.local.ports import LOOPBACK
from services.intake.__main__ import wire_mail
from services.intake.adapters.requests import MongoRequests
from services.intake.adapters.smtp import SmtpServer as SmtpClient
from services.intake.config import MailSettings
from services.intake.mail.composing import Letter
from services.intake.mail.ports import NotTakenError
from shared.clock import SystemClock
from shared.config import DatabaseSettings
from shared.contracts import commands
from shared.messaging.gate import Gate
from shared.mongo.database import Database
from shared.observability.metrics import MailMetrics, MessageMetrics
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from tests import world
from tests.fakes.duties import Intake
from tests.fakes.mails import ALICE, CAROL, SHOP, mail_settings, policy_with_addresses
from tests.fakes.smtp import PASSWORD, TAKEN, USER, SmtpServer, root_file, server_context
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


@dataclass
class Copy:
    """One process of intake, as far as its mails go."""

    registry: CollectorRegistry
    ups: dict[str, bool]

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
    database = Gate("database", probe, on_change=lambda _: None)
    jobs = wire_mail(worker, mailing, MailMetrics(registry), requests, database)
    running = [asyncio.ensure_future(job()) for job in jobs.run]
    yield Copy(registry, ups)
    for finish in jobs.finish:
        await finish(5.0)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what is looked at is kept in the database
            await asyncio.sleep(0.05)


async def nothing_waits(requests: MongoRequests) -> bool:
    return await requests.mail_backlog() is None


async def submit(duty: Intake, number: int, *emails: str) -> RequestId:
    asked = world.content(name=f"request {number}", emails=emails or (f"owner{number}@example.com",))
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
        assert waiting.count == 4 * MANY
        await server.start()

        await until(partial(nothing_waits, requests))
    assert Counter(server.recipients) == Counter(
        {SHOP: MANY, ALICE: MANY, CAROL: MANY, **{f"owner{n}@example.com": 1 for n in range(MANY)}}
    )
    told = Counter((str(letter["To"]), str(letter["Subject"])) for letter in server.letters)
    assert set(told.values()) == {1}
    assert len({letter["Message-ID"] for letter in server.letters}) == len(server.letters) == 4 * MANY


def secured(server: SmtpServer, tmp_path: Path, **changes: Any) -> MailSettings:
    """Settings with which this server can be reached and believed."""
    password = tmp_path / "mail.password"
    password.write_text(f"{PASSWORD}\n")
    return mail_settings(
        **{
            "port": server.port,
            "tls": "implicit" if server.implicit else "starttls",
            "ca_file": root_file(tmp_path),
            "username": USER,
            "password_file": password,
            **QUICK,
            **changes,
        }
    )


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # that library sees STARTTLS alone
@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
async def test_mails_go_encrypted_and_with_a_password(
    *, implicit: bool, server: SmtpServer, requests: MongoRequests, tmp_path: Path
) -> None:
    server.tls, server.implicit, server.login = server_context(tmp_path), implicit, True
    await server.start()
    mailing = secured(server, tmp_path)
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    async with posting(requests, mailing):
        await submit(duty, 1)
        await until(partial(nothing_waits, requests))
    (letter,) = [letter for letter in server.letters if letter["To"] == "owner1@example.com"]
    assert letter["Subject"] == "Received: request 1"
    assert letter["From"] == "Example Ltd <countersign@example.com>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"].datetime == world.NOW
    parts = [part.get_content_type() for part in letter.iter_parts()]
    assert parts == ["text/plain", "text/html"]
    assert all("request 1" in str(part.get_content()) for part in letter.iter_parts() if isinstance(part, EmailMessage))
    assert not letter.defects


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a server or with what we know of it, and how it is said."""

    says: str
    settings: Callable[[Path], dict[str, Any]] = lambda _: {}
    host: str = LOOPBACK
    offers_tls: bool = True


def _file(name: str, content: str, folder: Path) -> Path:
    path = folder / name
    path.write_text(content)
    return path


WRONG = {
    "another password": Wrong("535", lambda folder: {"password_file": _file("other", "guessed", folder)}),
    "a certificate that nobody vouches for": Wrong("CERTIFICATE_VERIFY_FAILED", lambda _: {"ca_file": None}),
    "a certificate of another name": Wrong("CERTIFICATE_VERIFY_FAILED", host="mail.example.net"),
    "no TLS, whoever took it away": Wrong(
        "STARTTLS", lambda _: {"username": None, "password_file": None}, offers_tls=False
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_server_that_cannot_be_believed_or_does_not_believe_us_gets_no_mail_and_none_is_lost(
    wrong: Wrong, server: SmtpServer, requests: MongoRequests, tmp_path: Path
) -> None:
    server.tls = server_context(tmp_path, host=wrong.host) if wrong.offers_tls else None
    server.login = wrong.offers_tls
    await server.start()
    mailing = secured(server, tmp_path, **wrong.settings(tmp_path))
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    with capture_logs() as logs:
        async with posting(requests, mailing) as copy:
            await submit(duty, 1)

            async def is_known() -> bool:
                return copy.ups.get("mail") is False

            await until(is_known)
    assert server.letters == []
    waiting = await requests.mail_backlog()
    assert waiting is not None
    assert waiting.count == 4
    assert any(wrong.says in line.get("reason", "") for line in logs), logs
    assert PASSWORD not in str(logs)


async def test_an_address_that_the_server_refuses_is_given_up_and_the_others_are_told(
    server: SmtpServer, requests: MongoRequests
) -> None:
    server.answers = lambda address: "550 5.1.1 nobody here" if address == "gone@example.com" else TAKEN
    await server.start()
    mailing = mail_settings(port=server.port, **QUICK)
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    async with posting(requests, mailing) as copy:
        asked = await submit(duty, 1, "gone@example.com", "there@example.com")
        await until(partial(nothing_waits, requests))
        assert sorted(server.recipients) == sorted([SHOP, ALICE, CAROL, "there@example.com"])
        assert copy.value("ra_mails_failed_total", news="received") == 1
        assert copy.value("ra_mails_sent_total", news="received") == 2
        assert copy.value("ra_mails_sent_total", news="pending") == 2
    record = await requests.load(asked)
    assert record is not None
    assert [(each.to, each.reason) for each in record.undelivered] == [("gone@example.com", "550 5.1.1 nobody here")]


async def test_a_server_that_takes_its_time_to_say_that_it_took_a_mail_gets_each_once(
    server: SmtpServer, requests: MongoRequests
) -> None:
    server.late_seconds = 1.0
    await server.start()
    mailing = mail_settings(port=server.port, **{**QUICK, "timeout_seconds": 0.2})
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    async with posting(requests, mailing), posting(requests, mailing):
        await submit(duty, 1)
        await until(partial(nothing_waits, requests))
    assert sorted(server.recipients) == sorted([SHOP, ALICE, CAROL, "owner1@example.com"])


SAYS_OF_US = (
    "530 5.7.0 Authentication required",
    "535 5.7.8 bad credentials",
    "550 relay not permitted",
    "550 Relaying denied",
    "554 5.7.1 <a@example.com>: Relay access denied",
)
SAYS_OF_THE_ADDRESS = (
    "550 5.1.1 nobody here",
    "550 no such user",
    "552 5.2.2 mailbox full",
    "553 5.1.3 bad address 5.7.1",
    "550 <relay@example.com> is unknown",
)


@pytest.mark.parametrize("answer", [*SAYS_OF_US, *SAYS_OF_THE_ADDRESS])
async def test_what_a_server_says_of_us_is_told_from_what_it_says_of_an_address(
    answer: str, server: SmtpServer
) -> None:
    server.answers = lambda address: answer if address == "a@example.com" else TAKEN
    await server.start()
    async with SmtpClient(mail_settings(port=server.port)).session() as session:
        with pytest.raises(NotTakenError) as refused:
            await session.send(Letter("countersign@example.com", "a@example.com", b"Subject: x\r\n\r\ny\r\n"))
        await session.send(Letter("countersign@example.com", "b@example.com", b"Subject: x\r\n\r\ny\r\n"))
    assert refused.value.is_lasting
    assert refused.value.blames_us == (answer in SAYS_OF_US)
    assert server.recipients == ["b@example.com"]


async def test_when_the_word_of_the_server_is_lost_the_mail_comes_again_under_the_same_message_id(
    server: SmtpServer, requests: MongoRequests
) -> None:
    server.breaks = lambda: len(server.letters) == 1
    await server.start()
    mailing = mail_settings(port=server.port, **QUICK)
    duty = Intake(policy_with_addresses(), mailing=mailing, kept=requests)
    async with posting(requests, mailing):
        await submit(duty, 1)
        await until(partial(nothing_waits, requests))
    first, *others = server.letters
    assert sorted(server.recipients) == sorted([server.recipients[0], SHOP, ALICE, CAROL, "owner1@example.com"])
    (again,) = [letter for letter in others if letter["Message-ID"] == first["Message-ID"]]
    assert again.as_bytes() == first.as_bytes()
