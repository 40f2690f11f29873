"""A duty whose handlers do what a test says, on the real runtime."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from shared.contracts import commands, events
from shared.errors import UnavailableError
from shared.identifiers import new_request_id
from shared.messaging.gate import Gate
from shared.messaging.messages import Delivery, Outcome, Outgoing, Received, publish_event, reply_ok
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Routes, Runtime, routes
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName, RequestId
from tests.fakes import duties, samples
from tests.fakes.duties import InProcess
from tests.world import NOW

Script = Callable[[Received[Any]], Awaitable[Outcome]]
WEB = ApprovalGroupName("web")
REFUSED_TYPE = "ra.message.refused.v1"


async def nothing(_message: Received[Any]) -> Outcome:
    return Outcome()


@dataclass
class Called:
    """Handlers are called by the runtime; here with whatever the test put in."""

    owner: "Scripted"

    async def __call__(self, message: Received[Any]) -> Outcome:
        self.owner.received.append(message)
        return await self.owner.script(message)


class Scripted(InProcess):
    def __init__(self, script: Script = nothing, *, duty: Duty = Duty.INTAKE, concurrency: int = 16) -> None:
        self.script = script
        self.received: list[Received[Any]] = []
        self.gate_states: list[bool] = []
        self._probes: asyncio.Queue[None] = asyncio.Queue()
        self.database_is_back = True
        super().__init__(duty)
        self.policy_states: list[bool] = []
        self.policy = PolicyGate(self.in_force, on_change=self.policy_states.append)
        self.gate = Gate("database", self._probe, on_change=self.gate_states.append)
        self.runtime = Runtime(
            duty,
            self.routes(),
            self.publisher,
            is_identity=lambda name: self.in_force.policy.identity(name) is not None,
            gates=[self.gate],
            policy=self.policy,
            audit=self.audit,
            metrics=self.messages,
            clock=self.clock,
            concurrency=concurrency,
        )

    def routes(self) -> Routes:
        handler = Called(self)
        if self.duty is Duty.ISSUER:
            return routes((commands.DenyRequest, handler), (events.RequestApproved, handler))
        return routes((commands.ShowStatus, handler), (events.RequestFailed, handler))

    async def until_probed(self, times: int) -> None:
        """Return when the gate has asked so often whether the database is back."""
        for _ in range(times):
            await self._probes.get()

    async def _probe(self) -> None:
        self._probes.put_nowait(None)
        if not self.database_is_back:
            raise UnavailableError("database", "the test took it away")


def question(request_id: RequestId | None = None, *, by: str = "shop", **changes: object) -> Delivery:
    """A well-formed question about a request; `changes` are made to the delivery."""
    asked = duties.command(commands.ShowStatus(request_id=request_id or new_request_id()), by=by)
    return replace(asked, **changes)  # type: ignore[arg-type]  # the fields of a Delivery


def news(**changes: object) -> Delivery:
    """A well-formed lifecycle event."""
    told = duties.event(failed_event(), sequence=3)
    return replace(told, **changes)  # type: ignore[arg-type]  # the fields of a Delivery


def witnessed_denial() -> Delivery:
    """A well-formed denial, as approval receives it and the issuer sees it pass."""
    return duties.command(samples.sample_commands()[commands.DenyRequest], by="alice")


def failed_event(request_id: RequestId | None = None) -> events.RequestFailed:
    return events.RequestFailed(request_id=request_id or new_request_id(), approval_group=WEB, findings=())


def amended(delivery: Delivery, **fields: Any) -> Delivery:
    """The delivery with these fields of its envelope changed, or removed where they are None."""
    envelope = json.loads(delivery.body) | fields
    body = json.dumps({name: value for name, value in envelope.items() if value is not None})
    return replace(delivery, body=body.encode())


def id_of(delivery: Delivery) -> str:
    return str(json.loads(delivery.body)["id"])


def answer_to(message: Received[Any]) -> Outgoing:
    """A reply, whatever it says."""
    return reply_ok(message, samples.STATUS, "well", at=NOW)


def follow_up(message: Received[Any]) -> Outgoing:
    """An event that follows from a message."""
    return publish_event(
        failed_event(RequestId(message.subject)), origin=message.id, sequence=2, policy_serial=1, at=NOW
    )
