"""An attacker's hands: somebody else's broker credentials, and somebody else's database."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aio_pika

from deploy.local.management import Management
from deploy.local.process import wait_until
from deploy.local.stack import Stack
from shared.messaging.messages import Outgoing
from shared.rabbit.topology import EVENTS_EXCHANGE, NO_RIGHT, definitions
from shared.vocabulary.duties import Duty

Document = dict[str, Any]


@asynccontextmanager
async def connected_as(stack: Stack, user: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel under a stolen password."""
    connection = await aio_pika.connect(
        host=stack.broker.host,
        port=stack.broker.amqp_port,
        login=user,
        password=stack.password_file(user).read_text().strip(),
        virtualhost=stack.virtual_host,
    )
    async with connection:
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        yield channel


async def publish_as(stack: Stack, user: str, message: Outgoing) -> None:
    """Publish a well-formed message under a stolen password."""
    await send(stack, user, exchange=message.exchange, key=message.key, body=message.body.encode(), user_id=user)


async def send(stack: Stack, user: str, *, exchange: str, key: str, body: bytes, user_id: str | None) -> None:
    """Publish any bytes."""
    async with connected_as(stack, user) as channel:
        target = await channel.get_exchange(exchange, ensure=False)
        properties = aio_pika.Message(body, user_id=user_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await target.publish(properties, key, mandatory=True)


@contextmanager
def muted(stack: Stack, duty: Duty) -> Iterator[None]:
    """While this lasts, the broker refuses every event of this duty: it stores, and can't publish."""
    wanted = definitions(stack.policy, virtual_host=stack.virtual_host, passwords={})["topic_permissions"]
    (right,) = [each for each in wanted if each["user"] == duty and each["exchange"] == EVENTS_EXCHANGE]
    with stack.broker.management() as management:
        management.apply_definitions({"topic_permissions": [right | {"write": NO_RIGHT}]})
        _reconnect(management, stack, str(duty))  # a channel remembers what it was allowed
        try:
            yield
        finally:
            management.apply_definitions({"topic_permissions": [right]})


def _reconnect(management: Management, stack: Stack, user: str) -> None:
    def own() -> set[str]:
        return {each.name for each in management.connections(stack.virtual_host) if each.user == user}

    wait_until(lambda: bool(own()), what=f"{user} is not connected", limit=30)
    before = own()
    for name in before:
        management.close_connection(name)
    wait_until(lambda: bool(own() - before), what=f"{user} has not come back", limit=30)


def documents(stack: Stack, duty: Duty, collection: str) -> list[Document]:
    with stack.database.admin() as client:
        return list(client[stack.databases[duty]][collection].find())


def rewrite(stack: Stack, duty: Duty, collection: str, request_id: str, change: Callable[[Document], None]) -> None:
    """Change a stored document behind its duty's back."""
    with stack.database.admin() as client:
        found = client[stack.databases[duty]][collection]
        document = found.find_one({"_id": request_id})
        assert document is not None
        change(document)
        found.replace_one({"_id": request_id}, document)


def altered_payload(token: str, change: Callable[[Document], None]) -> str:
    """A JWS whose payload was changed under its old signature."""
    header, payload, signature = token.split(".")
    said = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    change(said)
    forged = urlsafe_b64encode(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"
