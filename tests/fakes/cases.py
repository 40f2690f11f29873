"""A case before its approvers, and what they say."""

from dataclasses import dataclass
from datetime import datetime

from services.approval.model import Case
from shared.contracts import commands, events
from shared.contracts.content import RequestContent
from shared.contracts.replies import DecisionResult
from shared.evidence.steps import DecisionKind
from shared.messaging.messages import Outgoing
from shared.vocabulary.model import Model
from shared.vocabulary.names import ApprovalGroupName, Digest, MessageId, RequestId
from tests import world
from tests.fakes.duties import Approval, event
from tests.world import NOW, Approved, decision

WEB = ApprovalGroupName("web")


@dataclass
class Opened:
    """A request with approval."""

    duty: Approval
    begun: Approved

    @property
    def id(self) -> RequestId:
        return self.begun.revision.request_id

    @property
    def digest(self) -> Digest:
        return self.begun.digest

    def accepted_event(self, evidence: events.Evidence | None = None) -> events.RequestAccepted:
        return events.RequestAccepted(request_id=self.id, approval_group=WEB, evidence=evidence or self.begun.evidence)

    def approval_by(self, name: str, *, at: datetime = NOW, note: str = "") -> commands.ApproveRequest:
        said = decision(self.digest, self.id, by=name, at=at, note=note)
        return commands.ApproveRequest(request_id=self.id, decision=said)

    def denial_by(self, name: str, *, at: datetime = NOW, note: str = "") -> commands.DenyRequest:
        said = decision(self.digest, self.id, by=name, at=at, note=note, kind=DecisionKind.DENY)
        return commands.DenyRequest(request_id=self.id, decision=said)

    def withdrawal(self) -> commands.WithdrawRequest:
        return commands.WithdrawRequest(request_id=self.id)

    async def send(self, said: Model, *, by: str, message_id: MessageId | None = None) -> list[Outgoing]:
        return await self.duty.send(said, by=by, message_id=message_id)

    async def refused(self, said: Model, *, by: str) -> list[str]:
        return await self.duty.refused(said, by=by)

    async def approve(self, name: str, *, at: datetime = NOW) -> DecisionResult:
        answer = await self.duty.ask(self.approval_by(name, at=at), by=name)
        assert isinstance(answer.result, DecisionResult), answer.findings
        return answer.result

    async def decide(self, how: str) -> list[Outgoing]:
        """Bring the request to this end; gives what its last step published."""
        if how == "denied":
            return await self.send(self.denial_by("alice"), by="alice")
        if how == "withdrawn":
            return await self.send(self.withdrawal(), by="shop")
        await self.approve("alice")
        return await self.send(self.approval_by("ben"), by="ben")

    async def stored(self) -> Case:
        case = await self.duty.cases.load(self.id)
        assert case is not None
        return case


async def open_case(
    asked: RequestContent | None = None, *, duty: Approval | None = None, policy_text: str | None = None
) -> Opened:
    """A request that intake accepted and approval has opened a case for."""
    case = Opened(duty or Approval(policy_text), world.accepted(asked))
    await case.duty.handle(event(case.accepted_event(), sequence=1))
    return case
