"""An approval in the issuer's ledger."""

import json
from dataclasses import dataclass

from services.issuer.model import Order
from shared.contracts import events
from shared.contracts.content import RequestContent
from shared.messaging.messages import Delivery
from shared.vocabulary.names import ApprovalGroupName, RequestId
from tests import world
from tests.fakes.duties import Issuer, event, lifecycle
from tests.world import Approved, decision, verdict

WEB = ApprovalGroupName("web")


@dataclass
class Accepted:
    """A request that approval has approved and the issuer was told of."""

    issuer: Issuer
    begun: Approved

    @property
    def id(self) -> RequestId:
        return self.begun.revision.request_id

    def approved_event(self, evidence: events.Evidence | None = None) -> events.RequestApproved:
        return events.RequestApproved(request_id=self.id, approval_group=WEB, evidence=evidence or self.begun.evidence)

    def delivery(self, evidence: events.Evidence | None = None, *, sequence: int = 2) -> Delivery:
        return event(self.approved_event(evidence), sequence=sequence, origin=f"{self.id}/{sequence}")

    async def approve_again(self, *, sequence: int) -> None:
        """The same people in the same words, in another round."""
        decisions = tuple(decision(self.begun.digest, self.id, by=name) for name in ("alice", "ben"))
        token = verdict(self.begun.digest, self.id, decisions, sequence=sequence)
        evidence = self.begun.evidence.model_copy(update={"decisions": decisions, "verdict": token})
        await self.issuer.handle(self.delivery(evidence, sequence=sequence))

    async def stored(self) -> Order:
        order = await self.issuer.orders.load(self.id)
        assert order is not None
        return order

    def sequences(self) -> list[int]:
        """The sequence numbers of these events."""
        told = {message.id: message for message in lifecycle(self.issuer.publisher.published)}
        return [int(json.loads(message.body)["sequence"]) for message in told.values() if self.id in message.body]

    def happened(self) -> list[str]:
        """The types of the lifecycle events about this request, each once, in their order."""
        told = {message.id: message for message in lifecycle(self.issuer.publisher.published)}
        return [message.type for message in told.values() if self.id in message.body]


async def accept(asked: RequestContent | None = None, *, issuer: Issuer | None = None) -> Accepted:
    """An approval that holds, accepted into the ledger and not yet ordered."""
    case = Accepted(issuer or Issuer(), world.approved(asked))
    await case.issuer.handle(case.delivery())
    return case
