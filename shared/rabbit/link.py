"""The link to RabbitMQ: one connection that comes back, its consumers and its publishing channel.

Deliveries are settled by hand. When the connection, a channel or a consumer is lost, the whole session is torn down
and built anew: what was not acknowledged is delivered again, and handling it again is safe.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError

from shared.config import BrokerSettings, Secret
from shared.contracts.envelope import CONTENT_TYPE
from shared.errors import RefusedError, UnavailableError
from shared.messaging.messages import Delivery, Outgoing
from shared.messaging.policy_gate import taken_up
from shared.messaging.ports import NotTakenError, UnroutableError
from shared.messaging.runtime import Settlement
from shared.rabbit.topology import EXCHANGES, PARKED_EXCHANGE, waiting_queue

log = structlog.get_logger()

CONNECT_SECONDS = 10.0
CONFIRM_SECONDS = 15.0
CLOSE_SECONDS = 3.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
HEARTBEAT_SECONDS = 10

_LOST = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError, asyncio.TimeoutError, RuntimeError)


@dataclass(frozen=True)
class Subscription:
    """A queue to consume, and how many of its messages may be in hand at once."""

    queue: str
    prefetch: int


class Link:
    """One process's connection to RabbitMQ."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        name: str,
        on_published: Callable[[str], None],
        on_change: Callable[[bool], None],
    ) -> None:
        """`on_published` is told the exchange of each confirmed message; `on_change` whether the link is up."""
        self._settings = settings
        self._password = Secret(settings.password_file)
        self._name = name
        self._on_published = on_published
        self._on_change = on_change
        self._lost = asyncio.Event()
        self._stopping = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}
        self._consumers: list[tuple[Any, str]] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self.is_up = False
        on_change(False)  # noqa: FBT003 - the callback's only argument is the state

    async def run(
        self, wanted: Callable[[], Sequence[Subscription]], handle: Callable[[Delivery], Awaitable[Settlement]]
    ) -> None:
        """Stay connected and consume until `stop`; every loss is followed by a new session.

        `wanted` is asked for the subscriptions at the beginning of each session.
        """
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            subscriptions = wanted()
            try:
                await self._open(subscriptions, handle)
            except _LOST as error:
                log.warning("broker not reached", reason=_text(error), retry_seconds=pause)
                await self._close()
                await self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            except RefusedError as error:
                log.error("broker credentials unreadable", reason=str(error))  # noqa: TRY400 - no trace of a secret
                await self._close()
                await self._pause(LONGEST_PAUSE)
                continue
            opened_at = asyncio.get_running_loop().time()
            self._note(up=True)
            log.info("broker connected", queues=[subscription.queue for subscription in subscriptions])
            await self._until_lost_or_stopping()
            if not self._stopping.is_set():
                self._note(up=False)
                log.warning("broker session lost")
                await self._close()
                lasted = asyncio.get_running_loop().time() - opened_at
                pause = FIRST_PAUSE if lasted > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
                await self._pause(pause)

    def renew(self) -> None:
        """Begin a new session, with the subscriptions that are wanted now."""
        self._lost.set()

    async def quiesce(self) -> None:
        """Take no more messages; what is in flight goes on, and can be published and settled."""
        self._stopping.set()
        for queue, tag in self._consumers:
            with contextlib.suppress(*_LOST):
                await asyncio.wait_for(queue.cancel(tag), CLOSE_SECONDS)
        self._consumers.clear()

    async def stop(self, *, grace_seconds: float) -> None:
        """Stop consuming, let what is in flight finish within the grace period, and leave the rest unsettled."""
        await self.quiesce()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=grace_seconds)
        await self._close()
        self._note(up=False)

    async def publish(self, message: Outgoing) -> None:
        """Publish persistently, mandatory, and wait for the broker's confirmation.

        Raises:
            UnavailableError: the broker is away, refused, or did not confirm in time.
            UnroutableError: no queue takes this message.
            NotTakenError: a queue refused it.
        """
        await self._publish(
            message.exchange, message.key, message.body.encode(), {"message_id": message.id, "type": message.type}
        )
        self._on_published(message.exchange)

    async def park(self, body: bytes, headers: dict[str, str]) -> None:
        """Put a message into this duty's parked queue, confirmed.

        Raises:
            UnavailableError: the broker is away, refused, or did not confirm in time.
        """
        await self._set_aside("parked", self._settings.user, body, headers)

    async def put_by(self, body: bytes, headers: dict[str, str]) -> None:
        """Put a message into this duty's queue of what waits for a newer policy, confirmed.

        Raises:
            UnavailableError: the broker is away, refused, or did not confirm in time.
        """
        await self._set_aside("waiting", self._waiting_queue, body, headers)

    @property
    def _waiting_queue(self) -> str:
        return waiting_queue(self._settings.user)

    async def _set_aside(self, what: str, key: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self._publish(PARKED_EXCHANGE, key, body, {"headers": dict(headers)})
        except (UnroutableError, NotTakenError) as error:
            raise UnavailableError("broker", f"the {what} queue is missing or full") from error

    async def _publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> None:
        target = self._exchanges.get(exchange)
        if target is None:
            raise UnavailableError("broker", "not connected")
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            user_id=self._settings.user,
            **properties,
        )
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await target.publish(message, key, mandatory=True)
        except PublishError:
            raise UnroutableError(f"{exchange} {key}") from None
        except DeliveryError as error:
            raise NotTakenError(f"{exchange} {key}: {_text(error)}") from None
        except _LOST as error:
            self._lost.set()
            raise UnavailableError("broker", _text(error)) from error

    async def _open(
        self, subscriptions: Sequence[Subscription], handle: Callable[[Delivery], Awaitable[Settlement]]
    ) -> None:
        self._lost = lost = asyncio.Event()
        settings = self._settings
        self._connection = connection = await aio_pika.connect(
            host=settings.host,
            port=settings.port,
            login=settings.user,
            password=self._password.reveal(),
            virtualhost=settings.virtual_host,
            timeout=CONNECT_SECONDS,
            client_properties={"connection_name": self._name},
            heartbeat=HEARTBEAT_SECONDS,
        )
        connection.close_callbacks.add(lambda *_: lost.set())
        self._channel = await self._new_channel(connection, lost)
        self._exchanges = {name: await self._channel.get_exchange(name, ensure=False) for name in EXCHANGES}
        for subscription in subscriptions:
            await self._consume(connection, subscription, handle, lost)

    async def _new_channel(self, connection: AbstractConnection, lost: asyncio.Event) -> AbstractChannel:
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        channel.close_callbacks.add(lambda *_: lost.set())
        return channel

    async def _consume(
        self,
        connection: AbstractConnection,
        subscription: Subscription,
        handle: Callable[[Delivery], Awaitable[Settlement]],
        lost: asyncio.Event,
    ) -> None:
        channel = await self._new_channel(connection, lost)
        await channel.set_qos(prefetch_count=subscription.prefetch)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._consumer_cancelled(subscription.queue, lost))
        queue = await channel.get_queue(subscription.queue, ensure=False)

        async def on_message(message: AbstractIncomingMessage) -> None:
            task = asyncio.create_task(self._settle(message, subscription.queue, handle))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

        tag = await queue.consume(on_message)
        self._consumers.append((queue, tag))

    def _consumer_cancelled(self, queue: str, lost: asyncio.Event) -> None:
        log.error("the broker cancelled a consumer", queue=queue)
        lost.set()

    async def _settle(
        self,
        message: AbstractIncomingMessage,
        queue: str,
        handle: Callable[[Delivery], Awaitable[Settlement]],
    ) -> None:
        delivery = Delivery(
            body=message.body,
            sender=message.user_id,
            queue=queue,
            key=message.routing_key or "",
            exchange=message.exchange or "",
            message_id=message.message_id,
            redelivered=bool(message.redelivered),
        )
        if queue == self._waiting_queue:
            delivery = taken_up(delivery, message.headers, self._settings.user)
        try:
            settlement = await handle(delivery)
        except Exception:
            # Not even its own failure could be dealt with: the broker counts, and parks it after so many deliveries.
            log.exception("a message could not be settled; it will be delivered again", queue=queue)
            with contextlib.suppress(*_LOST):
                await message.reject(requeue=True)
            return
        if settlement is Settlement.LEAVE:
            self._lost.set()  # the broker delivers it again to the next session
            return
        try:
            await message.ack()
        except _LOST as error:
            log.warning("not acknowledged; it will be delivered again", queue=queue, reason=_text(error))

    async def _until_lost_or_stopping(self) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._lost, self._stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _close(self) -> None:
        self._consumers.clear()
        self._exchanges = {}
        for task in tuple(self._in_flight):
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_LOST):
                await asyncio.wait_for(connection.close(), CLOSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _note(self, *, up: bool) -> None:
        if up is not self.is_up:
            self.is_up = up
            self._on_change(up)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
