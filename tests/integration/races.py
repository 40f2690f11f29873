"""Copies of approval in this process, over the real broker and database, for commands that meet one another.

What the copies consume is sent at once by the identities themselves; what they publish is read when all is answered.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika

from deploy.local.files import write_secret
from services.approval import rules
from services.approval.adapters.cases import MongoCases
from services.approval.model import Case
from shared.config import BrokerSettings, DatabaseSettings
from shared.contracts.statement import DecisionStatement
from shared.evidence.verification import verify_revision
from shared.messaging.gate import Gate
from shared.messaging.messages import Delivery
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Routes, Runtime
from shared.mongo.database import Database
from shared.rabbit.link import Link, Subscription
from shared.rabbit.topology import (
    EVENTS_EXCHANGE,
    commands_queue,
    definitions,
    events_queue,
    inbox_queue,
)
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model
from tests import world
from tests.fakes.duties import Approval, command
from tests.infrastructure import DutyDatabases, VirtualHost
from tests.world import NOW, Approved

PATIENCE_SECONDS = 120.0
LOOK_AGAIN_SECONDS = 0.05
IN_HAND = 16


class Copy(Approval):
    """One of several copies of approval: its cases are in the database that they share."""

    def __init__(self, database: Database, link: Link) -> None:
        self.stored, self.link = MongoCases(database), link
        super().__init__()
        self.consuming = Runtime(
            Duty.APPROVAL,
            self.routes(),
            link,
            is_identity=lambda name: self.in_force.policy.identity(name) is not None,
            gates=[Gate("database", self._probe, on_change=lambda _: None)],
            policy=PolicyGate(self.in_force, on_change=lambda _: None),
            audit=self.audit,
            metrics=self.messages,
            clock=self.clock,
        )

    def routes(self) -> Routes:
        self.cases: Any = self.stored
        return super().routes()


@dataclass
class Round:
    """One request, and what became of it."""

    begun: Approved
    case: Case | None = None
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By who was answered: the data of the answer."""
    events: list[Delivery] = field(default_factory=list)


@dataclass
class Arena:
    """Two copies of approval, and the identities that send to them."""

    virtual_host: VirtualHost
    database: Database
    folder: Path

    async def opened(self, begun: Approved, *approvals: DecisionStatement) -> Round:
        """A pending case with these approvals, as both copies find it."""
        _, verified = verify_revision(begun.evidence, world.in_force().anchor, now=NOW)
        case = rules.new_case(begun.evidence, verified, sequence=1, policy_serial=1, now=NOW)
        evidence = begun.evidence.model_copy(update={"decisions": approvals})
        assert await MongoCases(self.database).insert(case.model_copy(update={"evidence": evidence}))
        return Round(begun)

    async def run(self, rounds: Sequence[Round], sent: Sequence[Sequence[tuple[str, Model]]]) -> None:
        """Send to each round's request at once what belongs to it, and see what becomes of all."""
        by_id = {each.begun.revision.request_id: each for each in rounds}
        answers = defaultdict[str, int](int)
        for commands in sent:
            for who, _ in commands:
                answers[who] += 1
        async with self._copies():
            await self._send(sent, answers)
            for who, count in answers.items():
                for answer in await self._taken(inbox_queue(who), count):
                    envelope = json.loads(answer.body)
                    by_id[envelope["subject"]].replies[who] = envelope["data"]
        for told in await self._taken(events_queue(Duty.INTAKE), None):
            by_id[json.loads(told.body)["subject"]].events.append(told)
        for request_id, each in by_id.items():
            each.case = await MongoCases(self.database).load(request_id)

    @contextlib.asynccontextmanager
    async def _copies(self) -> AsyncIterator[None]:
        tasks, links = [], []
        for number in range(2):
            link = self._link(number)
            copy = Copy(self.database, link)
            queue = [Subscription(commands_queue(Duty.APPROVAL), IN_HAND)]
            tasks.append(asyncio.create_task(link.run(lambda queue=queue: queue, copy.consuming.handle)))  # type: ignore[misc]  # a list of one
            links.append(link)
        yield
        for link in links:
            await link.stop(grace_seconds=PATIENCE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _link(self, number: int) -> Link:
        broker = self.virtual_host.broker
        password_file = self.folder / "approval.password"
        write_secret(password_file, broker.password_for("approval"))
        settings = BrokerSettings(
            host=broker.host,
            port=broker.amqp_port,
            virtual_host=self.virtual_host.name,
            user="approval",
            password_file=password_file,
        )
        return Link(settings, name=f"approval-{number}", on_published=lambda _: None, on_change=lambda *_, **__: None)

    async def _send(self, sent: Sequence[Sequence[tuple[str, Model]]], who: Sequence[str] | dict[str, int]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            exchanges = {}
            for name in who:
                connection = await stack.enter_async_context(await aio_pika.connect(self.virtual_host.url(name)))
                channel = connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.initialize()
                exchanges[name] = await channel.get_exchange("ra.commands", ensure=False)
            for begin in range(0, len(sent), IN_HAND):
                together = [each for commands in sent[begin : begin + IN_HAND] for each in commands]
                deliveries = [(name, command(data, by=name)) for name, data in together]
                await asyncio.gather(*(_publish(exchanges[name], name, each) for name, each in deliveries))

    async def _taken(self, queue: str, count: int | None) -> list[Delivery]:
        """The next messages of a queue; by default all that are there."""
        taken: list[Delivery] = []
        async with await aio_pika.connect(self.virtual_host.url()) as connection, asyncio.timeout(PATIENCE_SECONDS):
            channel = connection.channel()
            await channel.initialize()
            found = await channel.get_queue(queue, ensure=False)
            while count is None or len(taken) < count:
                message = await found.get(no_ack=True, fail=False)
                if message is not None:
                    taken.append(_delivery(message, queue))
                elif count is None:
                    return taken
                else:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return taken


async def _publish(exchange: aio_pika.abc.AbstractExchange, user: str, delivery: Delivery) -> None:
    message = aio_pika.Message(delivery.body, user_id=user, message_id=delivery.message_id)
    await exchange.publish(message, delivery.key, mandatory=True)


def _delivery(message: aio_pika.abc.AbstractIncomingMessage, queue: str) -> Delivery:
    return Delivery(
        body=message.body,
        sender=message.user_id,
        queue=queue,
        key=message.routing_key or "",
        exchange=message.exchange or EVENTS_EXCHANGE,
        message_id=message.message_id,
    )


@contextlib.asynccontextmanager
async def arena(virtual_host: VirtualHost, databases: DutyDatabases, folder: Path) -> AsyncIterator[Arena]:
    """A virtual host with the whole topology, and approval's own database."""
    broker = virtual_host.broker
    passwords = {user: broker.password_for(user) for user in (*map(str, Duty), *world.policy().file.identities)}
    wanted = definitions(world.policy(), virtual_host=virtual_host.name, passwords=passwords)
    kinds = ("users", "permissions", "topic_permissions", "exchanges", "queues", "bindings")
    with broker.management() as management:
        management.apply_definitions({kind: wanted[kind] for kind in kinds})
    settings = DatabaseSettings(
        uri=databases.uri,
        name=databases.name(Duty.APPROVAL),
        user=str(Duty.APPROVAL),
        password_file=databases.password_file(Duty.APPROVAL),
    )
    database = Database(settings, name="races", count=lambda _: None)
    yield Arena(virtual_host, database, folder)
    await database.close()
