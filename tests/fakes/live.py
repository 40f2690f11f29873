"""The duties' real handlers in this process, over the real broker and the real database: for what copies race for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.files import write_secret
from services.approval.adapters.cases import MongoCases
from services.intake.adapters.keys import MongoKeys
from services.intake.adapters.requests import MongoRequests
from services.issuer.adapters.orders import MongoOrders, MongoRefusals
from shared.client.client import RaClient
from shared.client.profile import BrokerProfile, Profile
from shared.config import BrokerSettings, DatabaseSettings
from shared.messaging.messages import Outgoing
from shared.mongo.database import Database
from shared.rabbit.link import Link, Subscription
from shared.rabbit.topology import commands_queue, definitions, events_queue
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import IdentityName
from tests import world
from tests.fakes.authority import FakeCa
from tests.fakes.duties import Approval, InProcess, Intake, Issuer
from tests.infrastructure import DutyDatabases, VirtualHost
from tests.world import FixedClock, signing_key

PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.02
PREFETCH = 16


async def nothing(_: Outgoing) -> None:
    """What usually happens before a message is published."""


@dataclass
class Copy:
    """One process of a duty, as far as a process is its handlers, its connection and its pool."""

    duty: Any
    link: Link
    database: Database
    told: list[Outgoing] = field(default_factory=list)
    """What it published, in its order."""
    before_publishing: Callable[[Outgoing], Awaitable[None]] = nothing

    async def publish(self, message: Outgoing) -> None:
        await self.before_publishing(message)
        await self.link.publish(message)
        self.told.append(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)


@dataclass(frozen=True)
class Ground:
    """A virtual host with the whole topology, and a database for each duty."""

    virtual_host: VirtualHost
    databases: DutyDatabases
    folder: Path

    def __post_init__(self) -> None:
        broker = self.virtual_host.broker
        users = (*map(str, Duty), *world.policy().file.identities)
        passwords = {user: broker.password_for(user) for user in users}
        with broker.management() as management:
            management.apply_definitions(
                definitions(world.policy(), virtual_host=self.virtual_host.name, passwords=passwords)
            )
        for user, password in passwords.items():
            write_secret(self._password_file(user), password)

    def _password_file(self, user: str) -> Path:
        return self.folder / f"{user}.broker"

    def _broker(self, user: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.virtual_host.broker.ports.amqp,
            "virtual_host": self.virtual_host.name,
            "password_file": self._password_file(user),
        }

    def client(self, identity: str) -> RaClient:
        """The client of this identity."""
        name = IdentityName(identity)
        profile = Profile(identity=name, broker=BrokerProfile(**self._broker(identity)))
        return RaClient(profile, signer=signing_key(identity), timeout_seconds=PATIENCE_SECONDS, clock=FixedClock())

    def copy_of(self, duty: InProcess) -> Copy:
        """This duty, taken off its fakes."""
        name = duty.duty
        settings = DatabaseSettings(
            uri=self.databases.uri,
            name=self.databases.name(name),
            user=str(name),
            password_file=self.databases.password_file(name),
        )
        database = Database(settings, name=str(name), count=lambda _: None)
        link = Link(
            BrokerSettings(user=str(name), **self._broker(str(name))),
            name=str(name),
            on_published=lambda _: None,
            on_change=lambda _: None,
        )
        copy, taken_off = Copy(duty, link, database), duty.__dict__
        match duty:
            case Intake():
                requests = MongoRequests(database)
                taken_off |= {"requests": requests, "_kept": requests, "keys": MongoKeys(database)}
            case Approval():
                taken_off |= {"cases": MongoCases(database)}
            case Issuer():
                taken_off |= {"orders": MongoOrders(database), "refusals": MongoRefusals(database)}
        taken_off |= {"publisher": copy}
        duty.runtime = duty.new_runtime()
        if isinstance(duty, Issuer):
            duty.ordering = duty.new_copy()
        return copy


@dataclass
class Copies:
    """Two copies of approval and of the issuer, and one of intake, at work; they have one CA."""

    intake: Copy
    approvals: tuple[Copy, Copy]
    issuers: tuple[Copy, Copy]
    ca: FakeCa

    @property
    def all(self) -> tuple[Copy, ...]:
        return (self.intake, *self.approvals, *self.issuers)

    def events(self) -> list[Outgoing]:
        """The events that were published, each once."""
        told = (message for copy in self.all for message in copy.told)
        return list({message.id: message for message in told if message.exchange == "ra.events"}.values())

    async def work_off(self) -> None:
        """What the issuer's schedule has to do; of two copies now the one and now the other does it."""
        orders, turn = self.issuers[0].duty.orders, 0
        while due := await orders.due(2**62, limit=50):
            await asyncio.gather(
                *(self.issuers[(turn + at) % 2].duty.ordering.advance(order) for at, order in enumerate(due))
            )
            turn += 1


@asynccontextmanager
async def at_work(ground: Ground) -> AsyncIterator[Copies]:
    """The duties' copies, connected."""
    issuers = [Issuer(), Issuer()]
    issuers[1].ca = issuers[0].ca
    approvals = [ground.copy_of(Approval()) for _ in range(2)]
    copies = Copies(
        ground.copy_of(Intake()),
        (approvals[0], approvals[1]),
        (ground.copy_of(issuers[0]), ground.copy_of(issuers[1])),
        issuers[0].ca,
    )
    async with AsyncExitStack() as stack:
        for copy in copies.all:
            stack.push_async_callback(copy.database.close)
            name = copy.duty.duty
            queues = [Subscription(queue, PREFETCH) for queue in (events_queue(name), commands_queue(name))]
            running = asyncio.create_task(copy.link.run(partial(list, queues), copy.duty.runtime.handle))
            stack.push_async_callback(_ended, running)
            stack.push_async_callback(copy.link.stop, grace_seconds=PATIENCE_SECONDS)
        await until(lambda: all(copy.link.is_up for copy in copies.all))
        yield copies


async def _ended(running: "asyncio.Task[None]") -> None:
    await running


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)
