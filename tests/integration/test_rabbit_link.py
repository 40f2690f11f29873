"""The link against the real broker: what it notices, what it survives, and what it leaves behind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import aio_pika
import pytest

from deploy.local.files import write_secret
from shared.config import BrokerSettings
from shared.errors import UnavailableError
from shared.identifiers import new_message_id
from shared.messaging.messages import Delivery, Outgoing, PutBy
from shared.messaging.ports import UnroutableError
from shared.messaging.runtime import Settlement
from shared.rabbit.link import Link, Subscription
from shared.rabbit.topology import (
    COMMANDS_EXCHANGE,
    DELIVERY_LIMIT,
    EVENTS_EXCHANGE,
    NO_RIGHT,
    REPLIES_EXCHANGE,
    commands_queue,
    definitions,
    events_queue,
    inbox_queue,
    parked_queue,
    waiting_queue,
)
from shared.vocabulary.duties import Duty
from tests import world
from tests.infrastructure import VirtualHost

PATIENCE_SECONDS = 60.0
GRACE_SECONDS = 30.0
COMMANDS, EVENTS = commands_queue(Duty.INTAKE), events_queue(Duty.INTAKE)
OPEN_KEY = "intake.request.accepted.web"
"""An event that intake may publish, and that a queue takes."""
UNROUTED_KEY = "intake.request.conjured.web"
"""One that it may publish, and that no queue takes."""
FOREIGN_KEY = "issuer.certificate.issued.web"


def note(key: str, exchange: str = EVENTS_EXCHANGE, body: str = "{}") -> Outgoing:
    return Outgoing(exchange=exchange, key=key, id=new_message_id(), type="ra.test.v1", body=body)


@dataclass
class Site:
    """A virtual host with the whole topology, and what an administrator does to it."""

    virtual_host: VirtualHost
    password_file: Path

    def __post_init__(self) -> None:
        broker = self.virtual_host.broker
        passwords = {user: broker.password_for(user) for user in (*map(str, Duty), *world.policy().file.identities)}
        self.wanted = definitions(world.policy(), virtual_host=self.virtual_host.name, passwords=passwords)
        self.apply("users", "permissions", "topic_permissions", "exchanges", "queues", "bindings")
        write_secret(self.password_file, passwords["intake"])

    def apply(self, *kinds: str) -> None:
        with self.virtual_host.broker.management() as management:
            management.apply_definitions({kind: self.wanted[kind] for kind in kinds})

    def delete_queue(self, name: str) -> None:
        with self.virtual_host.broker.management() as management:
            management.delete_queue(self.virtual_host.name, name)

    def restore_queues(self) -> None:
        self.apply("queues", "bindings")

    def forbid_events(self) -> None:
        (right,) = [
            each
            for each in self.wanted["topic_permissions"]
            if each["user"] == "intake" and each["exchange"] == EVENTS_EXCHANGE
        ]
        with self.virtual_host.broker.management() as management:
            management.apply_definitions({"topic_permissions": [right | {"write": NO_RIGHT}]})

    def allow_events(self) -> None:
        self.apply("topic_permissions")

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with await aio_pika.connect(self.virtual_host.url()) as connection:
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
            yield channel

    async def send(self, *bodies: str, user: str = "shop") -> None:
        """Commands of this identity to intake, which wait in its queue."""
        async with await aio_pika.connect(self.virtual_host.url(user)) as connection:
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
            exchange = await channel.get_exchange(COMMANDS_EXCHANGE, ensure=False)
            for body in bodies:
                message = aio_pika.Message(body.encode(), user_id=user, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await exchange.publish(message, f"{user}.intake.status", mandatory=True)

    async def take(self, queue: str, count: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """The next messages of a queue, as soon as they are there; they are acknowledged."""
        taken: list[aio_pika.abc.AbstractIncomingMessage] = []
        async with self.channel() as channel, asyncio.timeout(PATIENCE_SECONDS):
            found = await channel.get_queue(queue, ensure=False)
            async with found.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    taken.append(message)
                    if len(taken) == count:
                        break
        return taken


@dataclass
class Handling:
    """A handler that can be held up, and remembers."""

    held: bool = False
    settlement: Settlement = Settlement.ACKNOWLEDGE
    received: list[Delivery] = field(default_factory=list)
    finished: list[Delivery] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, delivery: Delivery) -> Settlement:
        self.received.append(delivery)
        if self.held:
            await self.go_on.wait()
        self.finished.append(delivery)
        return self.settlement

    @property
    def bodies(self) -> list[str]:
        return [delivery.body.decode() for delivery in self.received]


@dataclass
class Running:
    """A link at work."""

    link: Link
    task: asyncio.Task[None]
    changes: list[bool]
    published: list[str]


Start = Callable[..., Running]


@pytest.fixture
def site(virtual_host: VirtualHost, tmp_path: Path) -> Site:
    return Site(virtual_host, tmp_path / "password")


@pytest.fixture
async def start(site: Site) -> AsyncIterator[Start]:
    """Starts links, and stops them after the test."""
    started: list[Running] = []

    def begin(
        handle: Callable[[Delivery], Awaitable[Settlement]], *queues: str, prefetch: int = 16, user: str = "intake"
    ) -> Running:
        settings = BrokerSettings(
            host=site.virtual_host.broker.host,
            port=site.virtual_host.broker.amqp_port,
            virtual_host=site.virtual_host.name,
            user=user,
            password_file=site.password_file,
        )
        changes: list[bool] = []
        published: list[str] = []
        link = Link(settings, name="under test", on_published=published.append, on_change=changes.append)
        subscriptions = [Subscription(queue, prefetch) for queue in queues]
        running = Running(link, asyncio.create_task(link.run(lambda: subscriptions, handle)), changes, published)
        started.append(running)
        return running

    yield begin
    for running in started:
        await running.link.stop(grace_seconds=0.1)
        await running.task


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - the link has no event for what its owner sees
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(what) from None


async def until_up(running: Running) -> None:
    await until(lambda: running.link.is_up, "the link has not come up")


async def until_down(running: Running) -> None:
    await until(lambda: not running.link.is_up, "the link is still up")


async def test_it_hands_over_what_was_sent_with_its_sender_and_key_and_acknowledges_it(
    site: Site, start: Start
) -> None:
    await site.send("hello")
    handling = Handling()
    running = start(handling, COMMANDS)
    await until(lambda: bool(handling.finished), "nothing was handled")
    (delivery,) = handling.received
    assert (delivery.body, delivery.sender, delivery.key) == (b"hello", "shop", "shop.intake.status")
    assert (delivery.queue, delivery.exchange, delivery.redelivered) == (COMMANDS, COMMANDS_EXCHANGE, False)
    await running.link.stop(grace_seconds=GRACE_SECONDS)
    assert await _ready(site, COMMANDS) == 0


async def _ready(site: Site, queue: str) -> int:
    """How many messages the queue itself says it has to deliver."""
    async with site.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def test_a_consumer_that_the_broker_cancels_takes_the_link_down_until_the_queue_is_back(
    site: Site, start: Start
) -> None:
    handling = Handling()
    running = start(handling, COMMANDS, EVENTS)
    await until_up(running)
    site.delete_queue(COMMANDS)
    await until_down(running)
    site.restore_queues()
    await until_up(running)
    await site.send("after")
    await until(lambda: handling.bodies == ["after"], "the link came back and does not consume")
    assert running.changes[:3] == [False, True, False]
    assert running.changes[-1] is True


async def test_a_link_whose_queue_is_missing_from_the_start_waits_for_it(site: Site, start: Start) -> None:
    site.delete_queue(COMMANDS)
    handling = Handling()
    running = start(handling, COMMANDS)
    site.restore_queues()
    await site.send("late")
    await until(lambda: handling.bodies == ["late"], "the link never found its queue")
    assert running.changes == [False, True]


async def test_what_no_queue_takes_is_told_to_its_publisher_alone(start: Start) -> None:
    running = start(Handling())
    await until_up(running)
    messages = [note(UNROUTED_KEY if number % 3 == 0 else OPEN_KEY) for number in range(30)]
    results = await asyncio.gather(*map(running.link.publish, messages), return_exceptions=True)
    for message, result in zip(messages, results, strict=True):
        if message.key == UNROUTED_KEY:
            assert isinstance(result, UnroutableError)
        else:
            assert result is None
    assert running.published == [EVENTS_EXCHANGE] * 20
    assert running.link.is_up
    assert running.changes == [False, True]


async def test_what_is_published_is_persistent_and_carries_its_id_type_and_sender(site: Site, start: Start) -> None:
    running = start(Handling())
    await until_up(running)
    sent = note("shop.intake.reply", REPLIES_EXCHANGE, '{"a":1}')
    await running.link.publish(sent)
    (message,) = await site.take(inbox_queue("shop"), 1)
    assert (message.message_id, message.type, message.user_id) == (sent.id, sent.type, "intake")
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/cloudevents+json"
    assert json.loads(message.body) == {"a": 1}


async def test_a_publish_that_the_broker_refuses_is_unavailable_and_the_link_recovers(start: Start) -> None:
    running = start(Handling())
    await until_up(running)
    with pytest.raises(UnavailableError, match="refused"):
        await running.link.publish(note(FOREIGN_KEY))
    await until(lambda: running.changes == [False, True, False, True], "the link has not recovered")
    await running.link.publish(note(OPEN_KEY))


async def test_a_right_that_is_taken_away_and_given_back_costs_no_restart(site: Site, start: Start) -> None:
    site.forbid_events()
    running = start(Handling())
    await until_up(running)
    with pytest.raises(UnavailableError):
        await running.link.publish(note(OPEN_KEY))
    site.allow_events()

    async def published() -> None:
        while True:
            with contextlib.suppress(UnavailableError):
                return await running.link.publish(note(OPEN_KEY))
            await asyncio.sleep(0.01)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await published()


async def test_publishing_before_there_is_a_connection_is_unavailable(site: Site, start: Start) -> None:
    site.password_file.write_text("wrong")
    running = start(Handling())
    with pytest.raises(UnavailableError, match="not connected"):
        await running.link.publish(note(OPEN_KEY))


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("wrong"), Path.unlink], ids=["wrong", "missing"])
async def test_a_password_that_is_mended_lets_the_link_in_without_a_restart(
    site: Site, start: Start, spoil: Callable[[Path], object]
) -> None:
    good = site.password_file.read_text()
    spoil(site.password_file)
    running = start(Handling(), COMMANDS)
    await asyncio.wait([running.task], timeout=0.3)
    assert not running.task.done()
    assert running.changes == [False]
    write_secret(site.password_file, good)
    await until_up(running)


async def test_a_connection_that_the_broker_closes_comes_back_and_gets_unfinished_messages_again(
    site: Site, start: Start
) -> None:
    handling = Handling(held=True)
    running = start(handling, COMMANDS)
    await site.send("unfinished")
    await until(lambda: handling.bodies == ["unfinished"], "the message did not come")
    with site.virtual_host.broker.management() as management:
        own: Sequence[str] = ()

        def connected() -> bool:
            nonlocal own
            own = [each.name for each in management.connections(site.virtual_host.name) if each.user == "intake"]
            return bool(own)

        await until(connected, "the broker does not show the connection")
        for name in own:
            management.close_connection(name)
    await until(lambda: handling.bodies == ["unfinished"] * 2, "the message was not delivered again")
    assert [delivery.redelivered for delivery in handling.received] == [False, True]
    assert handling.finished == []
    handling.go_on.set()
    await until(lambda: len(handling.finished) == 1, "it was not finished")
    assert running.changes == [False, True, False, True]


async def test_a_message_that_is_left_is_delivered_again(site: Site, start: Start) -> None:
    handling = Handling(settlement=Settlement.LEAVE)
    start(handling, COMMANDS)
    await site.send("again")
    await until(lambda: bool(handling.received), "the message did not come")
    handling.settlement = Settlement.ACKNOWLEDGE
    await until(lambda: len(handling.received) == 2, "the message was not delivered again")
    assert handling.received[-1].redelivered


async def test_a_message_that_cannot_be_settled_at_all_is_parked_by_the_broker_and_hinders_no_other(
    site: Site, start: Start
) -> None:
    seen: list[bytes] = []

    async def handle(delivery: Delivery) -> Settlement:
        seen.append(delivery.body)
        if delivery.body == b"odd":
            raise ZeroDivisionError
        return Settlement.ACKNOWLEDGE

    running = start(handle, COMMANDS, prefetch=1)
    await site.send("odd", "even")
    (parked,) = await site.take(parked_queue(Duty.INTAKE), 1)
    assert (parked.body, parked.user_id) == (b"odd", "shop")
    await until(lambda: b"even" in seen, "the message behind it waits")
    assert seen.count(b"odd") == DELIVERY_LIMIT + 1
    assert running.changes == [False, True]


async def test_stopping_lets_work_in_hand_finish_and_takes_nothing_new(site: Site, start: Start) -> None:
    handling = Handling(held=True)
    running = start(handling, COMMANDS)
    await site.send("in hand")
    await until(lambda: handling.bodies == ["in hand"], "the message did not come")
    stopping = asyncio.create_task(running.link.stop(grace_seconds=GRACE_SECONDS))
    await until(running.link._stopping.is_set, "it does not stop")
    await until(lambda: not _is_consumed(site, COMMANDS), "it still consumes")
    await site.send("too late")
    handling.go_on.set()
    await stopping
    assert [delivery.body for delivery in handling.finished] == [b"in hand"]
    assert handling.bodies == ["in hand"]
    assert not running.link.is_up
    assert [message.body for message in await site.take(COMMANDS, 1)] == [b"too late"]


def _is_consumed(site: Site, queue: str) -> bool:
    with site.virtual_host.broker.management() as management:
        found = management.queue(site.virtual_host.name, queue)
    return found is not None and found.consumers > 0


async def test_stopping_leaves_what_does_not_finish_in_time_on_the_queue(site: Site, start: Start) -> None:
    handling = Handling(held=True)
    running = start(handling, COMMANDS)
    bodies = [f"unfinished {number}" for number in range(3)]
    await site.send(*bodies)
    await until(lambda: len(handling.received) == 3, "the messages did not come")
    await running.link.stop(grace_seconds=0.1)
    assert handling.finished == []
    left = await site.take(COMMANDS, 3)
    assert sorted(message.body.decode() for message in left) == bodies
    assert all(message.redelivered for message in left)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running.task


async def test_stopping_while_the_broker_does_not_let_it_in_ends_at_once(site: Site, start: Start) -> None:
    site.password_file.write_text("wrong")
    running = start(Handling(), COMMANDS)
    await running.link.stop(grace_seconds=GRACE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running.task
    assert running.changes == [False]


@pytest.mark.parametrize("prefetch", [1, 4])
async def test_no_more_messages_are_in_hand_than_agreed(site: Site, start: Start, prefetch: int) -> None:
    handling = Handling(held=True)
    start(handling, COMMANDS, prefetch=prefetch)
    await site.send(*(str(number) for number in range(20)))
    await until(lambda: len(handling.received) == prefetch, "too little came")
    assert await _ready(site, COMMANDS) == 20 - prefetch
    assert len(handling.received) == prefetch
    handling.go_on.set()
    await until(lambda: len(handling.finished) == 20, "not everything was handled")
    assert handling.bodies == [str(number) for number in range(20)]


async def test_one_queue_that_is_held_up_does_not_hold_up_another(site: Site, start: Start) -> None:
    seen: list[str] = []
    forever = asyncio.Event()

    async def handle(delivery: Delivery) -> Settlement:
        seen.append(delivery.queue)
        if delivery.queue == COMMANDS:
            await forever.wait()
        return Settlement.ACKNOWLEDGE

    start(handle, COMMANDS, EVENTS, prefetch=1)
    await site.send("held", "behind it")
    await until(lambda: seen == [COMMANDS], "the first did not come")
    async with site.channel() as channel:
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        await exchange.publish(aio_pika.Message(b"{}"), "approval.request.denied.web", mandatory=True)
    await until(lambda: seen == [COMMANDS, EVENTS], "the other queue waits too")


async def test_a_parked_message_keeps_its_bytes_and_says_who_sent_it_and_why_it_is_there(
    site: Site, start: Start
) -> None:
    running = start(Handling())
    await until_up(running)
    headers = {"x-ra-sender": "shop", "x-ra-reason": "handler failed", "x-ra-key": "shop.intake.status"}
    await running.link.park(b"\x00\xff", headers)
    (message,) = await site.take(parked_queue(Duty.INTAKE), 1)
    assert message.body == b"\x00\xff"
    assert {name: message.headers[name] for name in headers} == headers
    assert message.user_id == "intake"


async def test_what_was_put_by_comes_again_as_it_first_came(start: Start) -> None:
    handling = Handling()
    running = start(handling, waiting_queue(Duty.INTAKE))
    await until_up(running)
    came = Delivery(body=b"{}", sender="issuer", queue=EVENTS, key=FOREIGN_KEY, exchange=EVENTS_EXCHANGE)
    headers = {f"x-ra-{name}": getattr(came, name) for name in ("sender", "queue", "key", "exchange")}
    await running.link.put_by(came.body, headers | {"x-ra-waits-for": "3", "x-ra-seen-by": "2"})
    await until(lambda: bool(handling.received), "it did not come")
    (again,) = handling.received
    assert replace(again, message_id=None) == replace(came, put_by=PutBy(waits_for=3, seen_by=2))


async def test_without_its_parked_queue_nothing_is_parked_and_that_is_told(site: Site, start: Start) -> None:
    running = start(Handling())
    await until_up(running)
    site.delete_queue(parked_queue(Duty.INTAKE))
    with pytest.raises(UnavailableError, match="parked queue is missing"):
        await running.link.park(b"{}", {})
    site.restore_queues()
    await running.link.park(b"{}", {})
