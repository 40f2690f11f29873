"""The four duties in this process behind a broker in memory, as the real client reaches them."""

import itertools
from collections import defaultdict
from pathlib import Path

from services.intake.tallying import Tallying
from shared.client.client import RaClient
from shared.client.errors import NotConnectedError
from shared.client.ports import ConnectionLostError, Receiver, Signer
from shared.client.profile import BrokerProfile, Profile
from shared.contracts.catalogue import COMMANDS
from shared.contracts.content import RequestContent
from shared.contracts.envelope import Envelope
from shared.evidence.anchor import Anchor
from shared.messaging.messages import EVENTS, Delivery, Outgoing
from shared.messaging.runtime import Settlement
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName, RequestId
from tests import world
from tests.fakes.duties import Approval, InProcess, Intake, Issuer, Revoker, delivery_of

CONTRACTS = {contract.name: contract for contract in COMMANDS}


class OfficeSession:
    """One identity's session; `office.cut_off` ends it as a broken connection would."""

    def __init__(self, office: "MemoryOffice", identity: IdentityName, receiver: Receiver) -> None:
        self._office = office
        self._identity = identity
        self.receiver = receiver
        self.is_open = True

    async def publish(self, message: Outgoing) -> None:
        if not self.is_open:
            raise ConnectionLostError
        await self._office.take(message, by=self._identity)

    async def close(self) -> None:
        self.is_open = False


class MemoryOffice:
    """Handles each command, and all that follows from it, before the next; it is away while `away` says why."""

    def __init__(self, policy_text: str | None = None) -> None:
        self.intake, self.approval = Intake(policy_text), Approval(policy_text)
        self.issuer, self.revoker = Issuer(policy_text), Revoker(policy_text)
        self.duties: tuple[InProcess, ...] = (self.intake, self.approval, self.issuer, self.revoker)
        self._tallying = Tallying(self.intake.requests, self.intake.tallies)
        self.commands: list[Model] = []
        """What was sent, read."""
        self.away: Exception | None = None
        self.deaf = False
        """Whether commands get lost."""
        self._sessions: defaultdict[str, list[OfficeSession]] = defaultdict(list)
        self._told = dict.fromkeys((duty.duty for duty in self.duties), 0)

    def client(self, identity: str, signer: Signer | None = None, *, timeout_seconds: float = 5.0) -> RaClient:
        profile = Profile(
            identity=IdentityName(identity),
            broker=BrokerProfile(host="h", port=1, virtual_host="v", password_file=Path("p")),
        )
        return RaClient(
            profile,
            signer=signer or world.signing_key(identity),
            anchor=Anchor.of(self.intake.in_force.policy),
            timeout_seconds=timeout_seconds,
            clock=world.FixedClock(),
            connect=self.connect,
        )

    async def connect(self, profile: Profile, receiver: Receiver) -> OfficeSession:
        if self.away is not None:
            raise self.away
        session = OfficeSession(self, profile.identity, receiver)
        self._sessions[profile.identity].append(session)
        return session

    def cut_off(self, reason: Exception | None = None) -> None:
        """The broker goes away, until `come_back`; whoever calls is told this."""
        self.away = reason or NotConnectedError("The broker at h:1 can't be reached: it is away. Is it running?")
        for session in itertools.chain(*self._sessions.values()):
            if session.is_open:
                session.is_open = False
                session.receiver.on_lost()

    def come_back(self) -> None:
        self.away = None

    def adopt(self, policy_text: str) -> None:
        """Put another policy in force, at every duty."""
        for duty in self.duties:
            duty.adopt(policy_text)

    async def submit(self, asked: RequestContent | None = None, *, by: str = "shop") -> RequestId:
        asked = asked or world.content()
        await self.client(by).submit(asked)
        return asked.request_id

    async def decide(self, request_id: str, *names: str, deny: bool = False) -> None:
        for name in names:
            client = self.client(name)
            case = await client.show_case(request_id)
            await (client.deny(case) if deny else client.approve(case))

    async def take(self, message: Outgoing, *, by: IdentityName) -> None:
        if self.deaf:
            return
        contract = CONTRACTS[message.type]
        envelope = Envelope[contract.model].model_validate_json(message.body)  # type: ignore[name-defined]  # chosen at run time
        self.commands.append(envelope.data)
        duty = next(duty for duty in self.duties if duty.duty == contract.duty)
        await self._handle(duty, delivery_of(message, by))
        await self._settle()

    async def _handle(self, duty: InProcess, delivery: Delivery) -> None:
        assert await duty.runtime.handle(delivery) is Settlement.ACKNOWLEDGE

    async def _settle(self) -> None:
        """Pass on what was published, until nobody has anything to say or to do."""
        await self._pass_on()
        await self.issuer.work_off()
        await self._pass_on()
        await self.revoker.work_off()
        await self._pass_on()
        for group in self.intake.in_force.policy.file.approval_groups:
            while (await self._tallying.advance(group)).batch:
                pass

    async def _pass_on(self) -> None:
        while fresh := [(duty, message) for duty in self.duties for message in self._fresh(duty)]:
            for duty, message in fresh:
                delivery = delivery_of(message, duty.duty)
                if message.exchange != EVENTS:
                    self._hand_over(delivery)
                    continue
                for other in self.duties:
                    if other is not duty and message.type in other.runtime._routes:
                        await self._handle(other, delivery)

    def _fresh(self, duty: InProcess) -> list[Outgoing]:
        done, self._told[duty.duty] = self._told[duty.duty], len(duty.publisher.published)
        return duty.publisher.published[done:]

    def _hand_over(self, delivery: Delivery) -> None:
        for session in self._sessions[delivery.key.split(".", 1)[0]]:
            if session.is_open:
                session.receiver.on_message(delivery)
