"""A broker and duties in memory, as `RaClient` sees them: each command is answered by a function of the test."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

from shared.client.ports import ConnectionLostError, Receiver
from shared.client.profile import Profile
from shared.contracts.catalogue import COMMANDS, CommandContract
from shared.contracts.envelope import Envelope
from shared.contracts.replies import Result
from shared.messaging.messages import Delivery, Outgoing, Received, reply_ok
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName

Answer = Callable[[Received[Model]], Result | Outgoing | Exception | None]
"""A result; a whole message; what publishing raises; or None for silence."""


class FakeSession:
    """One session; `lose` ends it as a broken connection would."""

    def __init__(self, broker: "FakeBroker", receiver: Receiver) -> None:
        self._broker = broker
        self._receiver = receiver
        self.is_open = True

    async def publish(self, message: Outgoing) -> None:
        if not self.is_open:
            raise ConnectionLostError
        self._broker.published.append(message)
        await asyncio.sleep(0)
        received, contract = _read(message)
        answer = self._broker.answers[contract.model](received)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Result):
            answer = reply_ok(received, answer, "Done.", at=datetime.now(UTC))
        if answer is not None:
            self.deliver(answer, sender=str(contract.duty))

    async def close(self) -> None:
        self.is_open = False

    def deliver(self, message: Outgoing, *, sender: str | None) -> None:
        """Hand over a message whose `user_id` is this one."""
        self._receiver.on_message(Delivery(message.body.encode(), sender, queue="session", key=message.key))

    def lose(self) -> None:
        self.is_open = False
        self._receiver.on_lost()


class FakeBroker:
    """Opens sessions and keeps what was published."""

    def __init__(self) -> None:
        self.answers: dict[type[Model], Answer] = {}
        self.published: list[Outgoing] = []
        self.sessions: list[FakeSession] = []
        self.refuses: Exception | None = None

    async def connect(self, profile: Profile, receiver: Receiver) -> FakeSession:
        if self.refuses is not None:
            raise self.refuses
        assert profile.identity
        self.sessions.append(FakeSession(self, receiver))
        return self.sessions[-1]

    @property
    def session(self) -> FakeSession:
        return self.sessions[-1]

    def commands(self) -> list[Model]:
        """What was sent, read."""
        return [_read(message)[0].data for message in self.published]


def _read(message: Outgoing) -> tuple[Received[Model], CommandContract]:
    contract = next(contract for contract in COMMANDS if contract.name == message.type)
    envelope = Envelope[contract.model].model_validate_json(message.body)  # type: ignore[name-defined]  # chosen at run time
    sender = IdentityName(message.key.split(".", 1)[0])
    assert json.loads(message.body)["source"] == f"/identities/{sender}"
    received: Received[Model] = Received(envelope.id, envelope.type, envelope.subject, sender, 0, envelope.data)
    return received, contract
