"""The way of a request whose key pair the issuer makes: three duties in one process, and the messages between them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.intake.model import RequestRecord
from services.issuer.model import Order
from shared.contracts import commands
from shared.contracts.content import RequestContent
from shared.contracts.replies import DownloadResult
from shared.evidence.steps import DecisionKind
from shared.messaging.messages import EVENTS, REPLIES, Outgoing
from shared.messaging.schedule import milliseconds
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from tests import world
from tests.fakes.duties import Approval, InProcess, Intake, Issuer, delivery_of, read_reply
from tests.fakes.faults import Steps

LISTENERS = {
    "intake.request.accepted": (Duty.APPROVAL,),
    "approval.password.asked": (Duty.ISSUER,),
    "issuer.password.checked": (Duty.APPROVAL,),
    "approval.request.refused": (Duty.INTAKE,),
    "approval.request.approved": (Duty.INTAKE, Duty.ISSUER),
    "issuer.request.failed": (Duty.INTAKE,),
    "issuer.request.ordered": (Duty.INTAKE,),
    "issuer.certificate.issued": (Duty.INTAKE,),
    "issuer.certificate.quarantined": (Duty.INTAKE,),
    "issuer.certificate.delivered": (Duty.INTAKE,),
    "issuer.key.erased": (Duty.INTAKE,),
}


@dataclass
class Way:
    """Each message goes to whoever listens to it, as the broker would see to it."""

    policy_text: str = field(default_factory=world.generating_policy)
    steps: Steps = field(default_factory=Steps)

    def __post_init__(self) -> None:
        self.intake, self.approval = Intake(self.policy_text), Approval(self.policy_text)
        self.issuer = Issuer(self.policy_text, steps=self.steps)
        self.duties: dict[Duty, InProcess] = {
            Duty.INTAKE: self.intake,
            Duty.APPROVAL: self.approval,
            Duty.ISSUER: self.issuer,
        }
        self.told: list[Outgoing] = []

    async def submit(self, asked: RequestContent, *, by: str = "shop") -> Any:
        data = commands.SubmitRequest(submission=world.submission(asked, by=by))
        return await self.intake.ask(data, by=by)

    async def pass_on(self, *, but: tuple[str, ...] = ()) -> None:
        """Deliver what was published to those who listen, and what follows from that, until nothing does."""
        seen: dict[Duty, set[str]] = {duty: {told.id for told in self.told} for duty in self.duties}
        for process in self.duties.values():
            process.clock.instant = self.issuer.clock.instant
        while True:
            new = [
                (duty, message)
                for duty, process in self.duties.items()
                for message in process.publisher.published
                if message.exchange == EVENTS and message.id not in seen[duty]
            ]
            if not new:
                return
            for duty, message in new:
                seen[duty].add(message.id)
                if message.key.rsplit(".", 1)[0] in but:
                    continue
                self.told.append(message)
                for listener in LISTENERS.get(message.key.rsplit(".", 1)[0], ()):
                    await self.duties[listener].handle(delivery_of(message, duty))

    async def approve(self, request_id: RequestId, *by: str) -> list[Any]:
        case = await self.approval.cases.load(request_id)
        assert case is not None
        answers = []
        for name in by:
            said = world.decision(case.revision, request_id, by=name, kind=DecisionKind.APPROVE)
            command = commands.ApproveRequest(request_id=request_id, decision=said)
            answers.append(await self.approval.ask(command, by=name))
        return answers

    async def issue(self, asked: RequestContent) -> Order:
        """From the submission to the certificate."""
        await self.submit(asked)
        await self.pass_on()
        await self.approve(asked.request_id, "alice", "ben")
        await self.pass_on()
        await self.work_off(asked.request_id)
        await self.pass_on()
        return await self.order(asked.request_id)

    async def work_off(self, request_id: RequestId) -> None:
        """Let the issuer's scheduler work until the order is at its end."""
        for _ in range(40):
            order = await self.order(request_id)
            if order.due is None or (order.held is not None and order.due == order.held.erase_ms):
                return
            self.issuer.clock.advance(late(order.due, self.issuer.clock.now()))
            await self.issuer.ordering.advance(order)
        raise AssertionError("the order does not come to an end")

    async def order(self, request_id: RequestId) -> Order:
        order = await self.issuer.orders.load(request_id)
        assert order is not None
        return order

    async def record(self, request_id: RequestId) -> RequestRecord:
        record = await self.intake.requests.load(request_id)
        assert record is not None
        return record

    async def download(self, request_id: RequestId, form: str = "der-pkcs12", *, by: str = "shop") -> DownloadResult:
        reply = await self._asked(commands.DownloadCertificate(request_id=request_id, format=form), by=by)
        assert isinstance(reply.result, DownloadResult), reply.findings
        return reply.result

    async def not_downloaded(self, request_id: RequestId, form: str = "der-pkcs12", *, by: str = "shop") -> list[str]:
        reply = await self._asked(commands.DownloadCertificate(request_id=request_id, format=form), by=by)
        assert reply.code == "refused"
        return [found.code for found in reply.findings]

    async def _asked(self, data: commands.DownloadCertificate, *, by: str) -> Any:
        before = len(self.issuer.publisher.published)
        await self.issuer.send(data, by=by)
        published = self.issuer.publisher.published[before:]
        (answer,) = [message for message in published if message.exchange == REPLIES]
        return read_reply(answer, DownloadResult)

    def bodies(self) -> str:
        """All that was ever published and all that is stored, as text."""
        published = (message.body for duty in self.duties.values() for message in duty.publisher.published)
        stored = (
            text
            for store in (self.intake.requests, self.intake.keys, self.approval.cases, self.issuer.orders)
            for text in store.documents.values()
        )
        return "\n".join((*published, *stored))


def late(due_ms: int, now: datetime) -> timedelta:
    """How long until then."""
    return timedelta(milliseconds=max(0, due_ms - milliseconds(now.timestamp())))
