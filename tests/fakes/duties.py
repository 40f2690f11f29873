"""The four duties in this process: their real handlers on the real runtime, over fakes of every server."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar, TypeVar

from prometheus_client import CollectorRegistry

from services.approval import handlers as approval
from services.approval import withdrawing
from services.approval.compatibility import Compatibility
from services.approval.due import DueCases
from services.approval.editing import EditHandler
from services.approval.holding import HeldCases
from services.approval.model import KnownFacts
from services.approval.passwords import PasswordCheckedHandler
from services.approval.resending import ResendVerdictHandler
from services.approval.verdicts import Verdicts
from services.approval.waiting import ListPendingHandler
from services.intake import blocking as intake_blocking
from services.intake import handlers as intake
from services.intake.announcing import Announcer
from services.intake.config import MailSettings
from services.intake.keeping import DeliveryHandler, ErasureHandler
from services.intake.ports import RequestStore
from services.intake.summary import ShowSummaryHandler
from services.issuer import blocking as issuer_blocking
from services.issuer import delivering, operators, sealed
from services.issuer import handlers as issuer
from services.issuer.books import Books, Pace
from services.issuer.erasing import Erasing
from services.issuer.feed import StatusFeed
from services.issuer.fit import FitChecks
from services.issuer.following import Following
from services.issuer.generating import Generating
from services.issuer.inspection import Inspection
from services.issuer.model import Order
from services.issuer.ordering import Ordering
from services.issuer.passwords import PasswordAskedHandler, Passwords
from services.issuer.recovering import Recovery
from services.issuer.withdrawing import WithdrawalAskedHandler
from services.revoker import campaigning, confirming
from services.revoker import handlers as revoker
from services.revoker.accepting import Accepting
from services.revoker.model import Certificate
from services.revoker.revoking import Revoking
from shared.contracts import commands, events
from shared.contracts.catalogue import COMMAND_OF, EVENTS
from shared.contracts.replies import Reply, Result
from shared.errors import ConflictError, UnavailableError
from shared.evidence.compatibility import sign_facts
from shared.evidence.in_force import PolicyInForce
from shared.identifiers import new_message_id
from shared.messaging.aggregate import Aggregate
from shared.messaging.gate import Gate
from shared.messaging.messages import (
    EVENTS as EVENTS_EXCHANGE,
)
from shared.messaging.messages import (
    REPLIES,
    Delivery,
    Outgoing,
    compose_command,
    publish_event,
)
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Routes, Runtime, Settlement, routes
from shared.messaging.schedule import milliseconds
from shared.observability.metrics import EvidenceMetrics, FactsMetrics, MessageMetrics
from shared.policy.compatibility import Combination, ProductFacts
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model
from shared.vocabulary.names import MessageId
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.audit import RememberedTrail
from tests.fakes.authority import FakeCa, FakeRevocations
from tests.fakes.broker import MemoryPublisher
from tests.fakes.faults import Steps
from tests.fakes.keymaker import MemoryKeyMaker
from tests.fakes.linter import MemoryLinter
from tests.fakes.published import MemoryPublishedKeys
from tests.fakes.stores import (
    MemoryBlockedKeys,
    MemoryCampaigns,
    MemoryCases,
    MemoryCertificates,
    MemoryFacts,
    MemoryFeedMarks,
    MemoryKeys,
    MemoryOrders,
    MemoryRefusals,
    MemoryRequests,
    MemoryTallies,
)
from tests.world import FixedClock, shared_ca, signing_key

GOOD_FOR, HELD = timedelta(hours=4), timedelta(seconds=10)
LEASE = timedelta(seconds=60)
LAG = timedelta(seconds=30)
POLL = timedelta(seconds=30)
PACE = Pace(lease=LEASE, lookup_lag=LAG, poll=POLL)

AggregateT = TypeVar("AggregateT", bound=Aggregate)


def delivery_of(outgoing: Outgoing, sender: str | None, *, queue: str = "a queue") -> Delivery:
    """A message as the broker would deliver it."""
    return Delivery(
        body=outgoing.body.encode(),
        sender=sender,
        queue=queue,
        key=outgoing.key,
        exchange=outgoing.exchange,
        message_id=outgoing.id,
    )


def command(data: Model, *, by: str, message_id: MessageId | None = None, subject: str | None = None) -> Delivery:
    """A command as this identity's client sends it."""
    asked = data.submission if isinstance(data, commands.SubmitRequest) else None
    about = subject or getattr(data, "request_id", None) or (asked and request_id_in(asked)) or by
    outgoing = compose_command(
        data,
        COMMAND_OF[type(data)],
        message_id=message_id or new_message_id(),
        sender=by,
        subject=about,
        at=world.NOW,
    )
    return delivery_of(outgoing, by)


def request_id_in(statement: Any) -> str | None:
    """The request's id in a submission, not verified."""
    from shared.evidence.jws import payload_of  # noqa: PLC0415 - only submissions need it

    if statement.kind == "unsigned":
        return str(statement.content.request_id)
    found = json.loads(payload_of(statement.jws)).get("request_id")
    return None if found is None else str(found)


def event(data: events.LifecycleEvent, *, sequence: int, policy_serial: int = 1, origin: str | None = None) -> Delivery:
    """A lifecycle event as its duty publishes it, with this policy in force."""
    outgoing = publish_event(
        data, origin=origin or new_message_id(), sequence=sequence, policy_serial=policy_serial, at=world.NOW
    )
    return delivery_of(outgoing, outgoing.key.split(".", 1)[0])


@dataclass
class InProcess:
    """What the duties in this process have in common."""

    duty: Duty
    policy_text: str | None = None
    clock: FixedClock = field(default_factory=FixedClock)
    steps: Steps = field(default_factory=Steps)
    gates: ClassVar[tuple[str, ...]] = ("database",)

    def __post_init__(self) -> None:
        self.in_force = PolicyInForce(world.policy(self.policy_text))
        self.publisher = MemoryPublisher(self.steps)
        self.audit = RememberedTrail()
        self.registry = CollectorRegistry()
        self.messages = MessageMetrics(self.registry)
        self.evidence = EvidenceMetrics(self.registry)
        self.key = signing_key(self.duty)
        self.runtime = self.new_runtime()

    def new_runtime(self, *gates: Gate) -> Runtime:
        """What handles messages, over the stores and the publisher of now."""
        return Runtime(
            self.duty,
            self.routes(),
            self.publisher,
            is_identity=lambda name: self.in_force.policy.identity(name) is not None,
            gates=[*gates, *(Gate(name, self._probe, on_change=lambda _: None) for name in self.gates)],
            policy=PolicyGate(self.in_force, on_change=lambda _: None),
            audit=self.audit,
            metrics=self.messages,
            clock=self.clock,
        )

    def routes(self) -> Routes:
        """The duty's own handlers; see its `wire`."""
        raise NotImplementedError

    async def _probe(self) -> None:
        """What was away is always back when it is asked."""

    def adopt(self, policy_text: str) -> None:
        """Put another policy in force."""
        self.in_force.replace(world.policy(policy_text))

    async def handle(self, delivery: Delivery) -> list[Outgoing]:
        """Handle a delivery that is to be acknowledged; gives what was published."""
        before = len(self.publisher.published)
        assert await self.runtime.handle(delivery) is Settlement.ACKNOWLEDGE
        return self.publisher.published[before:]

    async def send(self, data: Model, *, by: str, message_id: MessageId | None = None) -> list[Outgoing]:
        """A command from this identity."""
        return await self.handle(command(data, by=by, message_id=message_id))

    async def ask(self, data: Model, *, by: str, message_id: MessageId | None = None) -> Reply[Any]:
        """The answer to a command."""
        (answer,) = replies(await self.send(data, by=by, message_id=message_id))
        return read_reply(answer, COMMAND_OF[type(data)].result)

    async def refused(self, data: Model, *, by: str, message_id: MessageId | None = None) -> list[str]:
        """The codes with which a command is refused; nothing else may follow from it."""
        follows = await self.send(data, by=by, message_id=message_id)
        assert len(follows) == 1, "a refusal has an answer and nothing else follows"
        answer = read_reply(follows[0], COMMAND_OF[type(data)].result)
        assert answer.code == "refused"
        assert answer.result is None
        return [found.code for found in answer.findings]

    def counted(self, metric: str, **labels: str) -> float:
        """A counter's value."""
        return self.registry.get_sample_value(f"{metric}_total", labels) or 0.0


def replies(published: list[Outgoing]) -> list[Outgoing]:
    return [message for message in published if message.exchange == REPLIES and message.key.endswith(".reply")]


def notices(published: list[Outgoing]) -> list[Outgoing]:
    return [message for message in published if message.exchange == REPLIES and message.key.endswith(".notice")]


def lifecycle(published: list[Outgoing]) -> list[Outgoing]:
    return [message for message in published if message.exchange == EVENTS_EXCHANGE]


def data_of(outgoing: Outgoing) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outgoing.body)["data"]
    return found


def read_reply(outgoing: Outgoing, result: type[Result] = Result) -> Reply[Any]:
    return Reply[result].model_validate(data_of(outgoing))  # type: ignore[valid-type]  # a model chosen at run time


class Intake(InProcess):
    gates = ("database", "linter", "blocklist")

    def __init__(
        self,
        policy_text: str | None = None,
        *,
        mailing: MailSettings | None = None,
        kept: RequestStore | None = None,
    ) -> None:
        """`kept` are the requests, if not those in memory."""
        self.mailing = mailing
        self.requests, self.keys, self.tallies = MemoryRequests(), MemoryKeys(), MemoryTallies()
        self._kept = kept or self.requests
        self.published = MemoryPublishedKeys()
        self.linter = MemoryLinter()
        super().__init__(Duty.INTAKE, policy_text)

    def routes(self) -> Routes:
        requests, in_force, clock = self._kept, self.in_force, self.clock
        self.announcer = Announcer(in_force, clock, self.mailing)
        submit = intake.SubmitRequestHandler(
            requests, self.keys, in_force, self.published, self.linter, self.key, self.announcer, clock
        )
        lifecycle_handler = intake.LifecycleHandler(requests, self.keys, in_force, self.announcer, clock)
        return routes(
            (commands.SubmitRequest, submit),
            (commands.ShowOptions, intake.ShowOptionsHandler(in_force, clock)),
            (commands.ShowStatus, intake.ShowStatusHandler(requests, in_force, clock)),
            (commands.ListRequests, intake.ListRequestsHandler(requests, clock)),
            (commands.ShowSummary, ShowSummaryHandler(self.requests, self.tallies, in_force, clock)),
            (commands.ListPublications, intake.ListPublicationsHandler(requests, in_force, clock)),
            (commands.ExportEvidence, intake.ExportEvidenceHandler(requests, in_force, clock)),
            (events.KeyBlocked, intake_blocking.KeyBlockedHandler(self.keys, in_force, clock)),
            (events.CertificateDelivered, DeliveryHandler(requests, in_force, clock)),
            (events.KeyErased, ErasureHandler(requests, in_force, self.announcer, clock)),
            *((contract.model, lifecycle_handler) for contract in EVENTS if contract.duty is not Duty.INTAKE),
        )


@dataclass
class MemoryAttestations:
    """Attests every combination for as long as it is told."""

    day: date | None = None

    def until(self, combination: Combination) -> date | None:
        return self.day if combination.product else None


class Approval(InProcess):
    """Approval, which has heard that everything goes together; `work_off` plays the scheduler's part."""

    def __init__(self, policy_text: str | None = None) -> None:
        self.cases, self.facts, self.linter = MemoryCases(), MemoryFacts(), MemoryLinter()
        self.attested = MemoryAttestations()
        super().__init__(Duty.APPROVAL, policy_text)
        self.hear()

    def hear(self) -> None:
        """Have heard just now that everything goes together."""
        self.know(world.product_facts(world.combination(self.in_force.policy), at=self.clock.now()))

    def know(self, *facts: ProductFacts) -> None:
        """Have heard this and nothing else from the issuer."""
        self.facts.documents = {
            told.combination.signing_certificate: KnownFacts(
                id=told.combination.signing_certificate, token=sign_facts(told, signing_key(Duty.ISSUER))
            ).model_dump_json()
            for told in facts
        }

    def adopt(self, policy_text: str) -> None:
        """Put another policy in force, which the issuer has asked the CA about."""
        super().adopt(policy_text)
        self.hear()

    def routes(self) -> Routes:
        cases, in_force, clock = self.cases, self.in_force, self.clock
        verdicts = Verdicts(in_force, self.key, clock)
        compatibility = Compatibility(self.facts, in_force, self.attested.until, clock, GOOD_FOR)
        held = HeldCases(in_force, verdicts, compatibility, clock, HELD)
        self.due = DueCases(cases, in_force, verdicts, held, self.publisher.publish, clock)
        decision = approval.DecisionHandler(cases, in_force, verdicts, compatibility, held, clock)
        withdrawals = withdrawing.Withdrawals(in_force, clock)
        settled = withdrawing.WithdrawalSettledHandler(cases, withdrawals, clock)
        ages = FactsMetrics(CollectorRegistry())
        return routes(
            (events.RequestAccepted, approval.RequestAcceptedHandler(cases, in_force, self.evidence, clock)),
            (events.PasswordChecked, PasswordCheckedHandler(cases, in_force, clock)),
            (events.RequestReturned, approval.RequestReturnedHandler(cases, in_force, verdicts, withdrawals, clock)),
            (events.WithdrawalGranted, settled),
            (events.WithdrawalRefused, settled),
            (
                events.ProductFactsTaken,
                approval.ProductFactsHandler(self.facts, in_force, self.evidence, ages, clock),
            ),
            (commands.EditRequest, EditHandler(cases, in_force, self.linter, self.key, clock)),
            (commands.ApproveRequest, decision),
            (commands.DenyRequest, decision),
            (commands.ResendVerdict, ResendVerdictHandler(cases, in_force, verdicts, clock)),
            (commands.WithdrawRequest, withdrawing.WithdrawRequestHandler(cases, in_force, withdrawals, clock)),
            (commands.ListPending, ListPendingHandler(cases, in_force, clock)),
            (commands.ShowCase, approval.ShowCaseHandler(cases, in_force, verdicts, clock)),
            (
                commands.ListSigningCertificates,
                approval.ListSigningCertificatesHandler(compatibility, in_force, clock),
            ),
        )


class Issuer(InProcess):
    """The issuer; the scheduler's part is played by `advance` and `work_off`."""

    def __init__(self, policy_text: str | None = None, *, steps: Steps | None = None) -> None:
        steps = steps or Steps()
        self.orders, self.refusals, self.marks = MemoryOrders(), MemoryRefusals(), MemoryFeedMarks()
        self.blocked = MemoryBlockedKeys()
        self.orders.steps = steps
        self.passwords, self.maker = Passwords([world.opening_key()]), MemoryKeyMaker(steps)
        self.offered: list[Order] = []
        super().__init__(Duty.ISSUER, policy_text, steps=steps)
        self.ca = FakeCa(self.clock, steps=steps)
        self.linter, self.attested = MemoryLinter(), MemoryAttestations()
        self.ordering = self.new_copy()

    def new_copy(self, pace: Pace = PACE) -> Ordering:
        """Another process of the same duty, which begins now."""
        books = Books(self.orders, self.publisher.publish, self.in_force, self.clock, pace)
        return Ordering(
            books=books,
            recovery=Recovery(self.ca, self.clock, pace, begun=self.clock.now()),
            following=Following(books, self.ca, on_pending=lambda: None),
            ca=self.ca,
            blocked=self.blocked,
            fit=self.new_fit(),
            in_force=self.in_force,
            key=self.key,
            inspection=Inspection(self.linter, self.in_force, [shared_ca().root], self.clock),
            generating=Generating(self.maker, self.maker, self.passwords, self.clock),
            erasing=Erasing(self.in_force, self.key, self.clock),
            metrics=self.evidence,
            clock=self.clock,
        )

    def new_fit(self) -> FitChecks:
        """What tells of the CA's products."""
        failed = self.messages.work_failed
        return FitChecks(
            self.ca, self.in_force, self.attested.until, self.key, self.publisher.publish, self.clock, failed
        )

    async def read_feed(self) -> None:
        """A round of the status feed, if anything waits at the CA."""
        pending = (await self.orders.backlog()).get(OrderState.PENDING)
        if pending is not None:
            await self.feed().read(pending.oldest_ms)

    def feed(self) -> StatusFeed:
        """What reads the CA's status feed."""
        return StatusFeed(self.orders, self.marks, self.ca, self.offered.append, self.clock, PACE.poll)

    def routes(self) -> Routes:
        orders, in_force, clock = self.orders, self.in_force, self.clock
        approved = issuer.RequestApprovedHandler(
            orders, self.refusals, in_force, self.evidence, clock, self.offered.append
        )
        erasing = Erasing(in_force, self.key, clock)
        download = delivering.DownloadCertificateHandler(
            orders, self.publisher.publish, in_force, self.key, erasing, clock
        )
        return routes(
            (events.RequestApproved, approved),
            (events.KeyBlocked, issuer_blocking.KeyBlockedHandler(self.blocked, in_force, clock)),
            (events.WithdrawalAsked, WithdrawalAskedHandler(orders, in_force, erasing, clock)),
            (events.PasswordAsked, PasswordAskedHandler(self.passwords, in_force, self.evidence, clock)),
            (events.CertificateRevoked, delivering.CertificateRevokedHandler(orders, in_force, erasing, clock)),
            (commands.DenyRequest, issuer.DenialWitness(orders, in_force, clock)),
            (commands.DownloadCertificate, download),
            (commands.ListSealed, sealed.ListSealedHandler(orders, in_force, clock)),
            (commands.EraseSealed, sealed.EraseSealedHandler(orders, in_force, erasing, clock)),
            (commands.ListOrders, operators.ListOrdersHandler(orders, in_force, clock)),
            (
                commands.ShowOrder,
                operators.ShowOrderHandler(orders, in_force, lambda since: self.feed().age(since), clock),
            ),
            (commands.SettleOrder, operators.SettleOrderHandler(orders, in_force, clock, self.offered.append)),
            (commands.FailOrder, operators.FailOrderHandler(orders, in_force, clock, self.offered.append)),
        )

    async def work_off(self) -> None:
        """Advance what is due, letting time pass, until nothing is due any more."""
        await work_off(self.orders.due, self.ordering.advance, self.clock)


class Revoker(InProcess):
    """The revoker; the scheduler's part is played by `work_off`."""

    def __init__(self, policy_text: str | None = None, *, steps: Steps | None = None) -> None:
        steps = steps or Steps()
        self.certificates = MemoryCertificates()
        self.certificates.steps = steps
        self.campaigns = MemoryCampaigns()
        self.offered: list[Certificate] = []
        self.ca = FakeRevocations(steps=steps)
        super().__init__(Duty.REVOKER, policy_text, steps=steps)
        self.revoking = Revoking(
            certificates=self.certificates,
            ca=self.ca,
            publish=self.publisher.publish,
            in_force=self.in_force,
            key=self.key,
            clock=self.clock,
            lease=LEASE,
            poll=POLL,
        )

    def routes(self) -> Routes:
        certificates, in_force, clock = self.certificates, self.in_force, self.clock
        accepting = Accepting(in_force, self.key, clock)
        issued = revoker.CertificateIssuedHandler(certificates, in_force, self.evidence, clock)
        confirmation = confirming.ConfirmationHandler(certificates, in_force, clock, self.offered.append)
        return routes(
            (events.CertificateIssued, issued),
            (events.CertificateQuarantined, issued),
            (
                commands.RevokeCertificate,
                revoker.RevokeCertificateHandler(certificates, accepting, self.offered.append),
            ),
            (
                commands.RevokeCampaign,
                campaigning.RevokeCampaignHandler(certificates, self.campaigns, accepting, self.offered.append),
            ),
            (commands.ShowCampaign, campaigning.ShowCampaignHandler(certificates, self.campaigns, accepting)),
            (commands.ListCertificates, campaigning.ListCertificatesHandler(certificates, accepting)),
            (commands.ConfirmRevocation, confirmation),
            (commands.DenyRevocation, confirmation),
            (commands.ShowRevocation, confirming.ShowRevocationHandler(certificates, in_force, clock)),
            (commands.ListRevocations, confirming.ListRevocationsHandler(certificates, in_force, clock)),
        )

    async def work_off(self) -> None:
        """Advance what is due, letting time pass, until nothing is due any more."""
        await work_off(self.certificates.due, self.revoking.advance, self.clock)


MOST_ROUNDS = 60


async def work_off(find: Callable[..., Any], advance: Callable[[Any], Any], clock: FixedClock) -> None:
    """As `Schedule` does it: what is due is advanced, what fails stays due, and time goes on."""
    for _ in range(MOST_ROUNDS):
        forever = milliseconds((clock.now() + timedelta(days=1)).timestamp())
        waiting = await find(forever, limit=50)
        if not waiting:
            return
        earliest = min(work.due for work in waiting)
        late = timedelta(milliseconds=max(0, earliest - milliseconds(clock.now().timestamp())))
        clock.advance(late)
        for work in await find(milliseconds(clock.now().timestamp()), limit=50):
            try:
                await advance(work)
            except ConflictError:
                continue
            except UnavailableError:
                clock.advance(timedelta(seconds=2))
    raise AssertionError("the work does not come to an end")
