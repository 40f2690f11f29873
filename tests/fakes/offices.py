"""The issuer's real ledger, the real client and the sandbox in one event loop with a time of its own.

An office is what outlives its processes: the database, the broker, the CA. A process can die at any of its steps: each
write, each call of the CA, each publish and each acknowledgement, before or after it.
"""

import asyncio
import contextlib
import shutil
import ssl
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from deploy.local import toml
from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.books import Books, Pace
from services.issuer.erasing import Erasing
from services.issuer.feed import StatusFeed
from services.issuer.fit import FitChecks
from services.issuer.following import Following
from services.issuer.generating import Generating
from services.issuer.handlers import RequestApprovedHandler
from services.issuer.inspection import Inspection
from services.issuer.ordering import Ordering
from services.issuer.passwords import Passwords
from services.issuer.recovering import Recovery
from services.issuer.rounds import Rounds
from shared.contracts import events
from shared.digicert.client import DigiCertClient
from shared.digicert.pacing import MemoryAccounts, Quota
from shared.digicert.quota import RateWindow
from shared.evidence.in_force import PolicyInForce
from shared.messaging.gate import Gate
from shared.messaging.messages import Delivery, Outgoing
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Runtime, Settlement, routes
from shared.messaging.schedule import Schedule
from shared.observability.metrics import EvidenceMetrics, MessageMetrics, OrderMetrics
from shared.policy.policy import Policy, parse_policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName, RequestId
from tests import world
from tests.fakes.audit import RememberedTrail
from tests.fakes.broker import MemoryPublisher
from tests.fakes.duties import event, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.keymaker import MemoryKeyMaker
from tests.fakes.linter import MemoryLinter
from tests.fakes.stores import MemoryBlockedKeys, MemoryFeedMarks, MemoryOrders, MemoryRefusals
from tests.fakes.virtual_time import VirtualClock
from tests.sandbox.account import Sandbox
from tests.sandbox.app import build_app
from tests.sandbox.catalogue import CONTAINER_ID, ORGANIZATION_ID, PUBLIC_CA_CERT_ID
from tests.sandbox.clock import SandboxClock
from tests.sandbox.endpoints import ENDPOINTS
from tests.sandbox.gate import PREFIX
from tests.sandbox.inprocess import InProcess
from tests.sandbox.knobs import Panel
from tests.sandbox.ledger import Ledger
from tests.sandbox.roles import ApiKey, Role
from tests.world import signing_key

KEY = ApiKey("orders", Role.ORDERS, "a-key")
REVOKERS_KEY = ApiKey("revocations", Role.REVOKE_ONLY, "another-key")
BASE = f"http://127.0.0.1{PREFIX}"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TIMEOUT = 10.0
PACE = Pace(
    lease=timedelta(seconds=2 * TIMEOUT),
    lookup_lag=timedelta(seconds=30),
    poll=timedelta(seconds=15),
    safety=timedelta(minutes=20),
)
LOOK_EVERY_SECONDS = 5.0
PATIENCE_SECONDS = timedelta(days=3).total_seconds()


def policy_of(folder: Path, groups: tuple[str, ...] = ("web",)) -> Policy:
    """The example policy for the sandbox in this folder, with these approval groups."""
    parsed = tomllib.loads(world.policy_text())
    signing = parsed["signing_certificates"]["public-tls"]
    signing |= {"organization_id": ORGANIZATION_ID, "ca_cert_id": PUBLIC_CA_CERT_ID, "container_id": CONTAINER_ID}
    signing["approval_groups"] = list(groups)
    parsed["approval_groups"] = dict.fromkeys(groups, parsed["approval_groups"]["web"])
    for identity in parsed["identities"].values():
        identity["permissions"] = dict.fromkeys(groups, identity["permissions"]["web"])
    return parse_policy(toml.dumps(parsed).encode(), lambda name: (folder / name).read_bytes())


class Ground:
    """The CA that all offices of a test module have; making or loading its keys takes longer than any story."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "ca").mkdir()
        self._authority = Sandbox.opened(folder / "ca", (KEY,), SandboxClock(world.NOW.timestamp)).authority
        self._policies: dict[tuple[str, ...], Policy] = {}
        self._number = count()

    def sandbox(self, clock: SandboxClock) -> Sandbox:
        """The account as it is before anybody orders."""
        folder = self._folder / str(next(self._number))
        folder.mkdir()
        for name in ("orders.jsonl", "imported.pem"):
            shutil.copyfile(self._folder / "ca" / name, folder / name)
        panel = Panel()
        ledger = Ledger(folder, self._authority, panel, clock.now)
        keys = {key.value: key for key in (KEY, REVOKERS_KEY)}
        return Sandbox(self._authority, ledger, keys, panel, clock)

    def policy(self, groups: tuple[str, ...]) -> Policy:
        """The policy for this CA, with these groups."""
        if groups not in self._policies:
            self._policies[groups] = policy_of(self._folder / "ca", groups)
        return self._policies[groups]


class Life(Steps):
    """The steps of one process, which takes no further one once it has died."""

    def __init__(self, crash_at: int | None = None) -> None:
        super().__init__(crash_at)
        self.died = asyncio.Event()

    def step(self, what: str) -> None:
        if self.died.is_set():
            raise CrashError(what)
        try:
            super().step(what)
        except CrashError:
            self.died.set()
            raise


@dataclass(frozen=True)
class Stepping:
    """A store or a publisher, each of whose effects is a step of the process that has it."""

    inner: Any
    life: Life

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.inner, name)
        if name not in {"insert", "replace", "publish"}:
            return act

        async def stepped(argument: Any) -> Any:
            self.life.step(f"before {name}")
            result = await act(argument)
            self.life.step(f"after {name}")
            return result

        return stepped


class SteppingTransport(httpx.AsyncBaseTransport):
    """The way to the sandbox."""

    def __init__(self, inner: InProcess, life: Life, office: "Office") -> None:
        self._inner = inner
        self._life = life
        self._refused = office.refused
        self._late = office.late

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(PREFIX)
        self._life.step(f"before {request.method} {path}")
        for name, left in self._refused.items():
            if left and ENDPOINTS[name].is_called(request.method, path):
                self._refused[name] -= 1
                raise httpx.ConnectError("nobody listens", request=request)
        for name, seconds in self._late.items():
            if ENDPOINTS[name].is_called(request.method, path):
                await asyncio.sleep(seconds)
        response = await self._inner.handle_async_request(request)
        self._life.step(f"after {request.method} {path}")
        return response


@dataclass
class Office:
    """What outlives a process of the issuer."""

    sandbox: Sandbox
    policy: Policy
    clock: VirtualClock
    windows: tuple[RateWindow, ...] = ()
    """The CA's rate limit as far as the issuer knows; none: it does not pace its calls."""
    latency: Callable[[], float] = lambda: 0.05
    pace: Pace = PACE
    orders: MemoryOrders = field(default_factory=MemoryOrders)
    marks: MemoryFeedMarks = field(default_factory=MemoryFeedMarks)
    accounts: MemoryAccounts = field(default_factory=MemoryAccounts)
    refusals: MemoryRefusals = field(default_factory=MemoryRefusals)
    broker: MemoryPublisher = field(default_factory=MemoryPublisher)
    approvals: list[Delivery] = field(default_factory=list)
    """All that approval ever published."""
    unsettled: list[Delivery] = field(default_factory=list)
    """What of it the issuer has not acknowledged."""
    in_hand: list[Delivery] = field(default_factory=list)
    """What of that a process is handling."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    refused: dict[str, int] = field(default_factory=dict)
    """How many calls more meet nobody at the CA, by endpoint."""
    late: dict[str, float] = field(default_factory=dict)
    """How many seconds calls are on their way to the CA beside the usual, by endpoint."""

    @classmethod
    def opened(cls, ground: "Ground", groups: tuple[str, ...] = ("web",), **settings: Any) -> "Office":
        """A new one, in a running virtual loop."""
        clock = VirtualClock()
        return cls(ground.sandbox(SandboxClock(clock.seconds)), ground.policy(groups), clock, **settings)

    def knobs(self, **settings: object) -> None:
        self.sandbox.panel.knobs = self.sandbox.panel.knobs.changed(settings)

    def approve(self, group: str = "web", *, csr: str | None = None) -> RequestId:
        """A request of this group that its approvers have approved now."""
        now = self.clock.now()
        asked = world.content(approval_group=group, csr=csr)
        revision = world.revision_of(asked, self.policy)
        begun = world.judged(world.accepted(asked, at=now, revision=revision), at=now)
        approved = events.RequestApproved(
            request_id=asked.request_id, approval_group=ApprovalGroupName(group), evidence=begun.evidence
        )
        delivery = event(approved, sequence=2, origin=asked.request_id)
        self.approvals.append(delivery)
        self.deliver(delivery)
        return asked.request_id

    def deliver(self, *deliveries: Delivery) -> None:
        """The broker has these for the issuer."""
        self.unsettled.extend(deliveries)
        self.arrived.set()

    def placed(self) -> list[Any]:
        """The orders at the CA."""
        return self.sandbox.ledger.placed()

    def calls(self) -> list[dict[str, Any]]:
        found: Any = self.sandbox.calls.view()["calls"]
        return list(found)

    def told(self) -> list[Outgoing]:
        """The lifecycle events, each once."""
        return list({message.id: message for message in lifecycle(self.broker.published)}.values())

    def is_settled(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not self.unsettled and all('"due":null' in document for document in self.orders.documents.values())

    async def until(self, holds: Callable[[], bool] | None = None, look_every: float = LOOK_EVERY_SECONDS) -> None:
        """Let time pass until this holds; by default, until all is settled."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (holds or self.is_settled)():  # noqa: ASYNC110 - time is virtual, and looking costs none of it
                await asyncio.sleep(look_every)

    @asynccontextmanager
    async def process(self, *, ahead: timedelta = timedelta(0)) -> AsyncIterator["Process"]:
        """A running process of the issuer, which ends in order; its clock may be wrong."""
        process = Process(self, ahead=ahead)
        running = asyncio.create_task(process.live())
        try:
            yield process
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def survive(self, crash_at: int) -> Life:
        """A process that dies at this step, if it comes so far, and one that takes over; until all is settled."""
        process = Process(self, crash_at)
        settled = asyncio.create_task(self.until())
        running = asyncio.create_task(process.live())
        await asyncio.wait([settled, running], return_when=asyncio.FIRST_COMPLETED)
        for task in (settled, running):
            task.cancel()
        await asyncio.gather(settled, running, return_exceptions=True)
        if process.life.died.is_set():
            async with self.process():
                await self.until()
        return process.life


class Process:
    """One process of the issuer, put together as its composition root does."""

    def __init__(self, office: Office, crash_at: int | None = None, *, ahead: timedelta = timedelta(0)) -> None:
        self.office = office
        self.life = life = Life(crash_at)
        self.registry = registry = CollectorRegistry()
        clock, pace = VirtualClock(ahead), office.pace
        self.in_force = PolicyInForce(office.policy)
        self.gate = Gate("database", self._probe, on_change=lambda _: None)
        orders: Any = Stepping(office.orders, life)
        publisher: Any = Stepping(office.broker, life)
        self.client = self._client()
        ca = DigiCertAuthority(self.client, clock)
        orders_wait, key = asyncio.Event(), signing_key(Duty.ISSUER)
        books = Books(orders, publisher.publish, self.in_force, clock, pace)
        self.maker = MemoryKeyMaker(life)
        evidence, root = EvidenceMetrics(registry), office.sandbox.authority.root.certificate
        ordering = Ordering(
            books=books,
            recovery=Recovery(ca, clock, pace, begun=clock.now()),
            following=Following(books, ca, on_pending=orders_wait.set),
            ca=ca,
            blocked=MemoryBlockedKeys(),
            fit=FitChecks(ca, self.in_force, lambda _: None, key, publisher.publish, clock, self._failed),
            in_force=self.in_force,
            key=key,
            inspection=Inspection(MemoryLinter(), self.in_force, [world.der(root)], clock),
            generating=Generating(self.maker, self.maker, Passwords([world.opening_key()]), clock),
            erasing=Erasing(self.in_force, key, clock),
            metrics=evidence,
            clock=clock,
        )
        self.failures: list[None] = []
        self.schedule = Schedule(
            orders,
            ordering.advance,
            clock=clock,
            gate=self.gate,
            concurrency=2,
            on_done=lambda: None,
            on_failure=self._failed,
        )
        marks: Any = Stepping(office.marks, life)
        self.rounds = Rounds(
            orders=orders,
            feed=StatusFeed(orders, marks, ca, self.schedule.offer, clock, pace.poll),
            quota_used=self.client.quota_used,
            metrics=OrderMetrics(registry),
            clock=clock,
            gate=self.gate,
            poll_seconds=pace.poll.total_seconds(),
            on_failure=self._failed,
            wake=orders_wait,
        )
        approved = RequestApprovedHandler(orders, office.refusals, self.in_force, evidence, clock, self.schedule.offer)
        self.runtime = Runtime(
            Duty.ISSUER,
            routes((events.RequestApproved, approved)),
            publisher,
            is_identity=lambda _: True,
            gates=[self.gate],
            policy=PolicyGate(self.in_force, on_change=lambda _: None),
            audit=RememberedTrail(),
            metrics=MessageMetrics(registry),
            clock=clock,
        )

    async def live(self) -> None:
        """Work until it dies or is cancelled."""
        jobs: list[Callable[[], Awaitable[None]]] = [self.schedule.run, self.rounds.run, self._take_in]
        tasks = [asyncio.ensure_future(job()) for job in jobs]
        asyncio.get_running_loop().set_exception_handler(_not_of_crashes)
        try:
            await self.life.died.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.schedule.finish(0)
            assert not self.failures, "a step failed through a fault of ours"

    async def _take_in(self) -> None:
        office = self.office
        while True:
            office.arrived.clear()
            for delivery in [each for each in office.unsettled if each not in office.in_hand]:
                office.in_hand.append(delivery)
                try:
                    assert await self.runtime.handle(delivery) is Settlement.ACKNOWLEDGE
                    self.life.step("before acknowledging")
                    office.unsettled.remove(delivery)
                finally:
                    office.in_hand.remove(delivery)
                self.life.step("after acknowledging")
            await office.arrived.wait()

    def _client(self) -> DigiCertClient:
        quota = None
        if self.office.windows:
            accounts: Any = Stepping(self.office.accounts, self.life)
            none = timedelta(0)  # all clocks run equally fast
            quota = Quota(accounts, key="ca", windows=self.office.windows, call_seconds=TIMEOUT, margin=none)
        return client_of(self.office, self.life, KEY, quota)

    async def _probe(self) -> None:
        """There is no database to be away."""

    def _failed(self) -> None:
        self.failures.append(None)


def client_of(office: Office, life: Life, key: ApiKey, quota: Quota | None = None) -> DigiCertClient:
    """The client of one process, each of whose calls is a step of it."""
    return DigiCertClient(
        base_url=BASE,
        api_key=SecretStr(key.value),
        timeout=TIMEOUT,
        quota=quota,
        tls=NO_TLS,
        transport=SteppingTransport(InProcess(build_app(office.sandbox), office.latency), life, office),
    )


def _not_of_crashes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A process that died asks nobody for the results of its tasks."""
    if not isinstance(context.get("exception"), CrashError):
        loop.default_exception_handler(context)
