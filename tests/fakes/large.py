"""Intake's and approval's databases with a crowd in them, and what is asked of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from deploy.local.database import DatabaseServer
from deploy.local.files import write_secret
from services.approval.adapters.cases import MongoCases
from services.approval.waiting import ListPendingHandler
from services.intake.adapters.requests import MongoRequests
from services.intake.adapters.tallies import MongoTallies
from services.intake.summary import ShowSummaryHandler
from shared.clock import Clock
from shared.config import DatabaseSettings
from shared.contracts import commands
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.replies import PendingResult, SummaryResult
from shared.evidence.in_force import PolicyInForce
from shared.identifiers import new_message_id
from shared.messaging.messages import Outcome, Received
from shared.mongo.database import Database
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName
from tests.fakes.crowd import Crowd
from tests.fakes.duties import read_reply

DUTIES = (Duty.INTAKE, Duty.APPROVAL)
PASSWORD = "known"


@dataclass
class Watched(CommandListener):
    """What the driver asks of one database, and how many documents it is given."""

    commands: list[dict[str, Any]] = field(default_factory=list)
    given: list[tuple[str, int]] = field(default_factory=list)

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor")
        if cursor is not None:
            documents = [*cursor.get("firstBatch", ()), *cursor.get("nextBatch", ())]
            self.given.append((cursor["ns"].partition(".")[2], len(documents)))

    def failed(self, event: CommandFailedEvent) -> None:
        raise AssertionError(event.failure)

    def clear(self) -> None:
        self.commands.clear()
        self.given.clear()


@dataclass(frozen=True)
class Large:
    """Both databases, watched, and what an approver asks of them."""

    server: DatabaseServer
    watched: Mapping[Duty, Watched]
    databases: Mapping[Duty, Database]
    summary_handler: ShowSummaryHandler
    list_handler: ListPendingHandler

    async def summary(self) -> SummaryResult:
        """As alice is answered."""
        result: SummaryResult = _result(await self.summary_handler(_received(commands.ShowSummary())), SummaryResult)
        return result

    async def pending(self, ask: commands.ListPending) -> PendingResult:
        """As alice is answered."""
        result: PendingResult = _result(await self.list_handler(_received(ask)), PendingResult)
        return result

    def settle(self, crowd: Crowd) -> None:
        """Put a crowd into both."""
        with self.server.admin() as client:
            crowd.settle(*(client[str(duty)] for duty in DUTIES))

    def looked_at(self, duty: Duty) -> int:
        """How many documents the server says it looks at for the finds that it was asked for."""
        finds = [each for each in self.watched[duty].commands if "find" in each]
        with self.server.admin() as client:
            return sum(_explained(client[str(duty)], each) for each in finds)


@asynccontextmanager
async def large_databases(folder: Path, in_force: PolicyInForce, clock: Clock) -> AsyncIterator[Large]:
    """On a server of their own, as what is in them takes long to drop; the folder is the caller's to remove."""
    server = DatabaseServer(folder)
    server.start()
    opened: dict[Duty, Database] = {}
    try:
        server.provision({duty: str(duty) for duty in DUTIES}, dict.fromkeys(DUTIES, PASSWORD))
        watched = {duty: Watched() for duty in DUTIES}
        opened |= {duty: _opened(server, folder, duty, watched[duty]) for duty in DUTIES}
        requests, tallies = MongoRequests(opened[Duty.INTAKE]), MongoTallies(opened[Duty.INTAKE])
        summary = ShowSummaryHandler(requests, tallies, in_force, clock)
        pending = ListPendingHandler(MongoCases(opened[Duty.APPROVAL]), in_force, clock)
        yield Large(server, watched, opened, summary, pending)
    finally:
        for each in opened.values():
            await each.close()
        server.kill()


def _opened(server: DatabaseServer, folder: Path, duty: Duty, watched: Watched) -> Database:
    """As a duty opens it, but with a listener of ours."""
    secret = folder / "password"
    write_secret(secret, PASSWORD)
    settings = DatabaseSettings(uri=server.uri, name=str(duty), user=str(duty), password_file=secret)
    opened = Database(settings, name="large", count=lambda _: None)
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        settings.uri,
        username=settings.user,
        password=PASSWORD,
        authSource=settings.name,
        retryWrites=False,
        event_listeners=[watched],
    )
    opened._client.close()
    opened._client, opened.handle = client, client[settings.name]
    return opened


def _explained(database: Any, command: dict[str, Any]) -> int:
    asked = {name: command[name] for name in ("find", "filter", "projection", "sort", "limit") if name in command}
    told = database.command("explain", asked, verbosity="executionStats")
    return int(told["executionStats"]["totalDocsExamined"])


def _received(data: Model) -> Received[Any]:
    name = COMMAND_OF[type(data)].name
    return Received(new_message_id(), name, "alice", IdentityName("alice"), order=0, data=data)


def _result(outcome: Outcome, kind: Any) -> Any:
    (answer,) = outcome.publish
    return read_reply(answer, kind).result
