"""A bare session of one identity: any bytes go out, and whatever comes back is seen as it came."""

import asyncio
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from deploy.local.stack import Stack
from shared.rabbit.topology import COMMANDS_EXCHANGE, REPLIES_EXCHANGE, session_queue_prefix
from tests.system.tampering import connected_as
from tests.system.way import PATIENCE

Document = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A reply, and by whom it was sent."""

    sender: str
    envelope: Document

    @property
    def code(self) -> str:
        code: str = self.envelope["data"]["code"]
        return code

    @property
    def findings(self) -> list[str]:
        return [found["code"] for found in self.envelope["data"]["findings"]]


@dataclass(frozen=True)
class Wire:
    """An identity's own session, opened by hand."""

    identity: str
    _commands: AbstractExchange
    _received: "asyncio.Queue[AbstractIncomingMessage]" = field(default_factory=asyncio.Queue)

    async def send(self, body: bytes, key: str, *, message_id: str | None = None, user_id: str | None = None) -> None:
        """Publish these bytes, confirmed; without `user_id` that property is missing."""
        message = aio_pika.Message(
            body, message_id=message_id, user_id=user_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await self._commands.publish(message, key, mandatory=True)

    async def ask(self, body: bytes, key: str, *, message_id: str) -> Answer:
        """Publish these bytes as oneself, and wait for the answer to them."""
        await self.send(body, key, message_id=message_id, user_id=self.identity)
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while True:
                message = await self._received.get()
                envelope = json.loads(message.body)
                if envelope.get("inreplyto") == message_id:
                    return Answer(str(message.user_id), envelope)

    async def note(self, message: AbstractIncomingMessage) -> None:
        await self._received.put(message)


@asynccontextmanager
async def wire_of(stack: Stack, identity: str) -> AsyncIterator[Wire]:
    async with connected_as(stack, identity) as channel:
        wire = Wire(identity, await channel.get_exchange(COMMANDS_EXCHANGE, ensure=False))
        queue = await channel.declare_queue(session_queue_prefix(identity) + secrets.token_hex(8), exclusive=True)
        await queue.bind(REPLIES_EXCHANGE, f"{identity}.#")
        await queue.consume(wire.note, no_ack=True)
        yield wire


def spoiled_signature(token: str) -> str:
    """The same JWS with one bit of its signature turned."""
    signed, _, signature = token.rpartition(".")
    raw = bytearray(urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[0] ^= 1
    return f"{signed}.{urlsafe_b64encode(raw).rstrip(b'=').decode()}"
