"""The connection to RabbitMQ: a queue of one's own for what comes back, and confirmed publishing."""

import asyncio
import contextlib
import secrets

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)

from shared.client.errors import (
    AccessRefusedError,
    CredentialsError,
    NotConnectedError,
    SlowDownError,
    UnroutableCommandError,
)
from shared.client.ports import ConnectionLostError, Receiver
from shared.client.profile import Profile
from shared.config import Secret
from shared.contracts.envelope import CONTENT_TYPE
from shared.messaging.messages import Delivery, Outgoing
from shared.rabbit.topology import COMMANDS_EXCHANGE, REPLIES_EXCHANGE, session_queue_prefix

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 3.0
HEARTBEAT_SECONDS = 10
MESSAGES_KEPT = 10_000
"""How many messages the session's queue holds; older ones are dropped, as a reader this slow has given up."""

_LOST = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError, asyncio.TimeoutError, RuntimeError)


class AmqpConnection:
    """One session: when the connection, a channel or the consumer is lost, all of it is."""

    def __init__(self, profile: Profile, receiver: Receiver) -> None:
        self._identity = profile.identity
        self._receiver = receiver
        self._connection: AbstractConnection | None = None
        self._commands: AbstractExchange | None = None
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether nothing of it was lost."""
        return self._is_open

    async def open(self, connection: AbstractConnection) -> None:
        """Receive on this connection, then be ready to publish."""
        self._connection = connection
        self._is_open = True
        connection.close_callbacks.add(lambda *_: self._lose())
        await self._consume(await self._channel(connection))
        publishing = await self._channel(connection)
        self._commands = await publishing.get_exchange(COMMANDS_EXCHANGE, ensure=False)

    async def publish(self, message: Outgoing) -> None:
        """Publish persistently, mandatory, and wait for the broker's confirmation."""
        if self._commands is None or not self._is_open:
            raise ConnectionLostError
        try:
            await self._commands.publish(self._stamped(message), message.key, mandatory=True)
        except PublishError:
            raise UnroutableCommandError(
                f"No queue takes {message.type}: the broker is not set up for this policy. Tell an operator."
            ) from None
        except DeliveryError:
            raise SlowDownError(
                "The broker did not take the command: too many wait before it. Slow down, and repeat it later."
            ) from None
        except ChannelAccessRefused:
            self._lose()
            raise AccessRefusedError(
                f"The broker does not let {self._identity} send {message.type}: "
                "the policy gives this identity no permission that needs it. Ask an operator."
            ) from None
        except _LOST:
            self._lose()
            raise ConnectionLostError from None

    async def close(self) -> None:
        """End the session."""
        self._is_open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_LOST):
                await asyncio.wait_for(connection.close(), CLOSE_SECONDS)

    def _stamped(self, message: Outgoing) -> aio_pika.Message:
        return aio_pika.Message(
            message.body.encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            user_id=self._identity,
            message_id=message.id,
            type=message.type,
        )

    async def _channel(self, connection: AbstractConnection) -> AbstractChannel:
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        channel.close_callbacks.add(lambda *_: self._lose())
        return channel

    async def _consume(self, channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._lose())
        queue = await channel.declare_queue(
            session_queue_prefix(self._identity) + secrets.token_hex(8),
            exclusive=True,
            durable=False,
            arguments={"x-max-length": MESSAGES_KEPT, "x-overflow": "drop-head"},
        )
        await queue.bind(REPLIES_EXCHANGE, f"{self._identity}.#")
        await queue.consume(self._receive, no_ack=True)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        self._receiver.on_message(
            Delivery(
                body=message.body,
                sender=message.user_id,
                queue=message.consumer_tag or "",
                key=message.routing_key or "",
                exchange=message.exchange or "",
                message_id=message.message_id,
            )
        )

    def _lose(self) -> None:
        if self._is_open:
            self._is_open = False
            self._receiver.on_lost()


async def connect(profile: Profile, receiver: Receiver) -> AmqpConnection:
    """Open a session as the profile's identity; see `shared.client.ports.Connect`."""
    password = Secret(profile.broker.password_file).reveal()
    session = AmqpConnection(profile, receiver)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await session.open(await _dial(profile, password))
    except (*_LOST, asyncio.CancelledError) as error:
        await session.close()
        raise _explained(error, profile) from None
    return session


def _explained(error: BaseException, profile: Profile) -> BaseException:
    """What it means to the person who tried to connect; what is no failure of the connection stays as it is."""
    broker = profile.broker
    match error:
        case AuthenticationError() | ProbableAuthenticationError():
            return CredentialsError(
                f"The broker does not let {profile.identity} in: the name or the password is wrong. "
                f"Look at `identity` and at {broker.password_file}."
            )
        case ConnectionNotAllowed() | InvalidFrameError():
            return CredentialsError(
                f"The broker does not let {profile.identity} into virtual host {broker.virtual_host}: "
                "does it exist, and does the policy in force know this identity?"
            )
        case ChannelAccessRefused():
            return AccessRefusedError(
                f"The broker lets {profile.identity} in, but not receive answers: {_text(error)}. Ask an operator."
            )
        case ChannelNotFoundEntity():
            return NotConnectedError(f"The broker is not set up for the duties: {_text(error)}. Tell an operator.")
    if isinstance(error, _LOST):
        return NotConnectedError(
            f"The broker at {broker.host}:{broker.port} can't be reached: {_text(error)}. "
            "Is it running, and is the profile right?"
        )
    return error


async def _dial(profile: Profile, password: str) -> AbstractConnection:
    broker = profile.broker
    return await aio_pika.connect(
        host=broker.host,
        port=broker.port,
        login=profile.identity,
        password=password,
        virtualhost=broker.virtual_host,
        timeout=CONNECT_SECONDS,
        client_properties={"connection_name": f"ra {profile.identity}"},
        heartbeat=HEARTBEAT_SECONDS,
    )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
