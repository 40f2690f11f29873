"""The revoker's real steps, the real client and the sandbox in one event loop with a time of its own: see `offices`."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from services.revoker.accepting import Accepting
from services.revoker.adapters.digicert import DigiCertRevocation
from services.revoker.handlers import CertificateIssuedHandler, RevokeCertificateHandler
from services.revoker.revoking import Revoking
from shared.contracts import commands, events
from shared.errors import ConflictError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.messaging.gate import Gate
from shared.messaging.messages import Delivery, Outgoing
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Runtime, Settlement, routes
from shared.observability.metrics import EvidenceMetrics, MessageMetrics
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import RequestId
from tests.fakes.audit import RememberedTrail
from tests.fakes.broker import MemoryPublisher
from tests.fakes.duties import delivery_of, lifecycle
from tests.fakes.faults import CrashError
from tests.fakes.offices import REVOKERS_KEY, Life, Office, Stepping, client_of
from tests.fakes.stores import MemoryCertificates
from tests.fakes.virtual_time import VirtualClock
from tests.world import signing_key

LEASE, POLL = timedelta(seconds=20), timedelta(seconds=15)


@dataclass
class RevokingOffice:
    """What outlives a process of the revoker."""

    office: Office
    certificates: MemoryCertificates = field(default_factory=MemoryCertificates)
    broker: MemoryPublisher = field(default_factory=MemoryPublisher)

    @classmethod
    async def with_certificates(cls, office: Office, count: int) -> "RevokingOffice":
        """One whose revoker knows of so many certificates, which the issuer has obtained."""
        for _ in range(count):
            office.approve()
        async with office.process():
            await office.until()
        made = cls(office)
        process = RevokerProcess(made, Life())
        for issued in office.told():
            if issued.type == "ra.certificate.issued.v1":
                assert await process.runtime.handle(delivery_of(issued, "issuer")) is Settlement.ACKNOWLEDGE
        return made

    def told_of(self, request_id: RequestId) -> list[Outgoing]:
        """What was published of a request, each different message once."""
        found = {(each.id, each.body): each for each in lifecycle(self.broker.published) if request_id in each.body}
        return list(found.values())

    async def survive(self, delivery: Delivery, crash_at: int) -> Life:
        """A process that dies at this step, if it comes so far, and one that takes over; until all is settled."""
        life = Life(crash_at)
        try:
            await RevokerProcess(self, life).work(delivery)
        except CrashError:
            await asyncio.sleep(1)
            await RevokerProcess(self, Life()).work(delivery)
        return life


class RevokerProcess:
    """One process of the revoker, put together as its composition root does."""

    def __init__(self, made: RevokingOffice, life: Life) -> None:
        self.life, self.certificates, clock = life, made.certificates, VirtualClock()
        certificates: Any = Stepping(made.certificates, life)
        publisher: Any = Stepping(made.broker, life)
        in_force, key, registry = PolicyInForce(made.office.policy), signing_key(Duty.REVOKER), CollectorRegistry()
        self.revoking = Revoking(
            certificates=certificates,
            ca=DigiCertRevocation(client_of(made.office, life, REVOKERS_KEY)),
            publish=publisher.publish,
            in_force=in_force,
            key=key,
            clock=clock,
            lease=LEASE,
            poll=POLL,
        )
        issued = CertificateIssuedHandler(certificates, in_force, EvidenceMetrics(registry), clock)
        revoke = RevokeCertificateHandler(certificates, Accepting(in_force, key, clock), lambda _: None)
        self.runtime = Runtime(
            Duty.REVOKER,
            routes((events.CertificateIssued, issued), (commands.RevokeCertificate, revoke)),
            publisher,
            is_identity=lambda _: True,
            gates=[Gate("database", self._probe, on_change=lambda _: None)],
            policy=PolicyGate(in_force, on_change=lambda _: None),
            metrics=MessageMetrics(registry),
            clock=clock,
            audit=RememberedTrail(),
        )

    async def work(self, delivery: Delivery) -> None:
        """Take in the command, if it is not settled yet, and go on until nothing of it is due."""
        assert await self.runtime.handle(delivery) is Settlement.ACKNOWLEDGE
        while due := [each for each in self.certificates.all() if each.due is not None]:
            (certificate,) = due
            assert certificate.due is not None
            await asyncio.sleep(max(0.0, certificate.due / 1000 - VirtualClock().now().timestamp()))
            try:
                await self.revoking.advance(certificate)
            except ConflictError:
                continue
            except UnavailableError:
                await asyncio.sleep(2)

    async def _probe(self) -> None:
        """There is no database to be away."""
