"""One duty's process: what all four have in common, wired top to bottom."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from starlette.applications import Starlette

from shared.audit_log.entries import EntryKind, Record
from shared.audit_log.writing import DEPENDENCY, AuditLog
from shared.clock import SystemClock
from shared.config import DutySettings, HttpSettings, Secret, read_settings
from shared.errors import RefusedError, UnavailableError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey
from shared.messaging.auditing import AuditedPublisher, GatedTrail
from shared.messaging.gate import LONGEST_PAUSE, Gate
from shared.messaging.messages import Outgoing
from shared.messaging.policy_gate import PolicyGate
from shared.messaging.runtime import Routes, Runtime
from shared.messaging.witnessing import CheckpointHandler, Checkpoints, witness_routes
from shared.mongo.database import Database
from shared.mongo.store import MongoStore
from shared.observability.http import ProbeServer, probes
from shared.observability.logs import configure_logs
from shared.observability.metrics import (
    DatabaseMetrics,
    DependencyMetrics,
    EvidenceMetrics,
    MessageMetrics,
    PolicyMetrics,
    new_registry,
    note_build,
)
from shared.policy.policy import Policy
from shared.rabbit.link import Link, Subscription
from shared.rabbit.topology import waiting_queue
from shared.signed_policy import PolicyKeeper, PolicyMemory, read_signed_policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding

log = structlog.get_logger()

PING_EVERY_SECONDS = 3.0

SettingsT = TypeVar("SettingsT", bound=DutySettings)


class Worker(Generic[SettingsT]):
    """The servers and the policy of one duty's process, opened but not yet at work.

    Raises:
        RefusedError: a setting, the policy, the evidence key or a secret is not usable.
    """

    def __init__(self, duty: Duty, settings: SettingsT) -> None:
        self.duty = duty
        self.settings = settings
        self.clock = SystemClock()
        self.in_force = PolicyInForce(read_signed_policy(settings.policy, self.clock))
        self.key = self._evidence_key()
        self._check_key(self.in_force.policy)
        self.registry = new_registry()
        self.messages = MessageMetrics(self.registry)
        self.evidence = EvidenceMetrics(self.registry)
        self._dependencies = DependencyMetrics(self.registry)
        self.policies = PolicyMetrics(self.registry)
        self.policies.in_force(self.in_force.policy.digest, self.in_force.policy.serial)
        note_build(self.registry, duty=str(duty), version=product_version())
        Secret(settings.broker.password_file).reveal()
        self.database = Database(
            settings.database, name=f"countersign-{duty}", count=DatabaseMetrics(self.registry).count
        )
        self.link = Link(
            settings.broker,
            name=f"countersign-{duty}",
            on_published=self.messages.published,
            on_change=lambda up: self._dependencies.set("broker", up=up),
        )
        self._publisher: AuditedPublisher | None = None

    def begin_audit_log(self) -> "Audit":
        """Begin to write down what this process does; on the running event loop.

        Raises:
            RefusedError: `config.audit-log-unusable`.
        """
        audit_log = AuditLog(self.settings.audit_log.folder, self.duty, self.key, self.clock)
        gate = self.open_gate(DEPENDENCY, audit_log.probe)
        trail = GatedTrail(audit_log.write, gate)
        publisher = AuditedPublisher(self.duty, self.link, trail)
        self._publisher = publisher
        return Audit(audit_log, gate, trail, publisher)

    async def publish(self, message: Outgoing) -> None:
        """Publish what follows from no message, such as the work of a schedule, and write it down before.

        Raises:
            UnavailableError: the broker is away.
        """
        if self._publisher is None:
            raise ValueError("nothing is published before the audit log is begun")
        await self._publisher.publish(message)

    def keep_policy(self) -> PolicyKeeper:
        """What keeps the policy in force up to date."""
        return PolicyKeeper(
            settings=self.settings.policy,
            in_force=self.in_force,
            memory=MongoStore(self.database, "policy", PolicyMemory),
            metrics=self.policies,
            clock=self.clock,
            check=self._check_key,
            changed=self.link.renew,
        )

    def open_gate(
        self, name: str, probe: Callable[[], Awaitable[None]], *, longest_pause: float = LONGEST_PAUSE
    ) -> Gate:
        """The gate of something that this duty depends on; made on the running event loop."""
        return Gate(name, probe, on_change=lambda up: self._dependencies.set(name, up=up), longest_pause=longest_pause)

    def open_policy_gate(self) -> PolicyGate:
        """The gate before which events wait for a policy that is not in force here yet."""
        return PolicyGate(self.in_force, on_change=lambda up: self._dependencies.set(PolicyGate.name, up=up))

    def consuming(self, subscriptions: Callable[[], Sequence[Subscription]]) -> Callable[[], Sequence[Subscription]]:
        """These, and the queue of what this duty has put by."""
        put_by = Subscription(waiting_queue(self.duty), self.settings.broker.prefetch)
        return lambda: [*subscriptions(), put_by]

    def _evidence_key(self) -> SigningKey:
        path = self.settings.evidence.key_file
        try:
            return SigningKey.from_file(path)
        except (OSError, ValueError) as error:
            raise RefusedError(finding("config.evidence-key-unreadable", f"{path}: {error}")) from None

    def _check_key(self, policy: Policy) -> None:
        """Refuse a policy that does not name this duty's key: nobody would believe what the duty signs."""
        if self.key.public not in policy.duty_keys(self.duty):
            text = f"{self.settings.evidence.key_file}: the policy does not name this key as one of {self.duty}'s"
            raise RefusedError(finding("config.evidence-key-unknown", text, value=self.key.public.x))


@dataclass(frozen=True)
class Audit:
    """The audit log of a process and what writes to it."""

    log: AuditLog
    gate: Gate
    trail: GatedTrail
    publisher: AuditedPublisher

    async def note(self, policy: Policy) -> None:
        """Write down by which policy is decided from now on."""
        record = Record(
            kind=EntryKind.POLICY, identity="", subject=policy.digest, detail={"serial": str(policy.serial)}
        )
        await self.trail.write(record)


@dataclass(frozen=True)
class Work:
    """What a duty does: the messages it handles and what it does by itself."""

    routes: Routes
    subscriptions: Callable[[], Sequence[Subscription]]
    """What to consume under the policy in force."""
    gates: Sequence[Gate] = ()
    """Of what the duty depends on beside broker and database."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    finish: Sequence[Callable[[float], Awaitable[None]]] = ()
    """At shutdown, with the grace period in seconds, before the servers are let go."""
    conditions: dict[str, Callable[[], bool]] = field(default_factory=dict)
    """What else readiness depends on."""
    without: Sequence[str] = ()
    """What the duty could have and by its settings has not: it works, and its operator is told."""


def product_version() -> str:
    """The installed version, or that of a source tree."""
    try:
        return metadata.version("countersign")
    except metadata.PackageNotFoundError:
        return "0.1.0+source"


def main(duty: Duty, settings_model: type[SettingsT], wire: Callable[[Worker[SettingsT], Gate], Work]) -> int:
    """Run a duty's process until SIGTERM or SIGINT; the exit status is 0, or 78 for what an operator must mend."""
    arguments = _arguments(duty)
    configure_logs(str(duty))
    try:
        settings = read_settings(arguments.config, settings_model)
        worker = Worker(duty, settings)
        if arguments.check_config:
            asyncio.run(_dry_run(worker, wire))
            sys.stdout.write(f"{arguments.config}: good; policy {worker.in_force.policy.digest}\n")
            return 0
        asyncio.run(_run(worker, wire))
    except RefusedError as error:
        for found in error.findings:
            sys.stderr.write(f"{duty}: {found.code}: {found.message}\n")
        return 78  # EX_CONFIG of sysexits.h
    return 0


def _arguments(duty: Duty) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{duty}", description=f"The duty {duty} of the Registration Authority."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the duty's settings (TOML)")
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="read the settings, the policy, the keys and the secrets, say what is wrong with them, and end",
    )
    return parser.parse_args()


async def _dry_run(worker: Worker[SettingsT], wire: Callable[[Worker[SettingsT], Gate], Work]) -> None:
    gate = worker.open_gate("database", worker.database.ping)
    wire(worker, gate)
    await gate.aclose()
    await worker.database.close()


async def _run(worker: Worker[SettingsT], wire: Callable[[Worker[SettingsT], Gate], Work]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    changed = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    gate = worker.open_gate("database", worker.database.ping)
    audit = worker.begin_audit_log()
    work = wire(worker, gate)
    policy = worker.open_policy_gate()
    witness = CheckpointHandler(audit.trail, worker.in_force, worker.clock)
    runtime = Runtime(
        worker.duty,
        work.routes | witness_routes(worker.duty, witness),
        audit.publisher,
        is_identity=lambda name: worker.in_force.policy.identity(name) is not None,
        gates=[audit.gate, gate, *work.gates],
        policy=policy,
        audit=audit.trail,
        metrics=worker.messages,
        clock=worker.clock,
    )

    def readiness() -> dict[str, bool]:
        return {
            "broker": worker.link.is_up,
            "database": gate.is_open,
            audit.gate.name: audit.gate.is_open,
            policy.name: policy.is_open,
            **{other.name: other.is_open for other in work.gates},
            **{name: holds() for name, holds in work.conditions.items()},
        }

    server = _probe_server(worker.settings.http, probes(worker.registry, readiness, work.without))
    keeper = worker.keep_policy()
    checkpoints = Checkpoints(
        worker.duty,
        audit.log,
        worker.link.publish,
        in_force=worker.in_force,
        clock=worker.clock,
        every_seconds=worker.settings.audit_log.checkpoint_seconds,
    )

    async def begin() -> None:
        await _when_there(keeper.admit, gate)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.link.run(worker.consuming(work.subscriptions), runtime.handle), name="broker link")
            group.create_task(_reload_on(changed, keeper, gate), name="policy")
            group.create_task(_note_policies(worker.in_force, audit), name="audit log of policies")
            group.create_task(checkpoints.run(), name="audit log's checkpoints")
            for job in work.background:
                group.create_task(_forever(job), name="background")

    tasks = [
        asyncio.create_task(server.serve(), name="probes"),
        asyncio.create_task(gate.keep_probing(PING_EVERY_SECONDS), name="database ping"),
        asyncio.create_task(begin(), name="work"),
    ]
    log.info("started", port=worker.settings.http.port, policy=worker.in_force.policy.digest)
    if work.without:
        log.warning("works without", what=work.without)
    stop = asyncio.create_task(stopping.wait(), name="stop")
    done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    grace = worker.settings.grace_seconds
    await worker.link.quiesce()
    for finish in work.finish:
        await finish(grace)
    with contextlib.suppress(UnavailableError, TimeoutError):
        async with asyncio.timeout(grace):
            await checkpoints.tell()
    await worker.link.stop(grace_seconds=grace)
    for task in (stop, *tasks):
        task.cancel()
    await asyncio.gather(stop, *tasks, return_exceptions=True)
    for opened in (gate, audit.gate, *work.gates):
        await opened.aclose()
    await audit.log.aclose()
    await worker.database.close()
    for task in done - {stop}:
        task.result()  # a part of the process ended by itself: say why
    log.info("stopped")


def _probe_server(settings: HttpSettings, app: Starlette) -> ProbeServer:
    try:
        return ProbeServer(app, settings.host, settings.port)
    except OSError as error:
        where = f"http: {settings.host}:{settings.port}"
        raise RefusedError(finding("config.port-unusable", f"{where}: {os.strerror(error.errno or 0)}")) from None


async def _forever(job: Callable[[], Awaitable[None]]) -> None:
    await job()


async def _when_there(step: Callable[[], Awaitable[None]], gate: Gate) -> None:
    """Take a step as soon as the database is there for it."""
    while True:
        await gate.passed()
        try:
            await step()
        except UnavailableError as away:
            gate.close(away)
        else:
            return


async def _note_policies(in_force: PolicyInForce, audit: Audit) -> None:
    noted = ""
    while True:
        policy = in_force.policy
        if policy.digest == noted:
            await in_force.changed()
            continue
        await audit.note(policy)
        noted = policy.digest


async def _reload_on(changed: asyncio.Event, keeper: PolicyKeeper, gate: Gate) -> None:
    while True:
        await changed.wait()
        changed.clear()
        await _when_there(keeper.reload, gate)
