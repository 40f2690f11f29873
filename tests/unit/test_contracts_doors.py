"""Every door of every duty, as a table: a new one shows up here, and none is left without an answer."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.approval.__main__ import wire as wire_approval
from services.approval.config import CompatibilitySettings
from services.intake.__main__ import wire as wire_intake
from services.intake.config import SummarySettings
from services.issuer.__main__ import wire as wire_issuer
from services.revoker.__main__ import wire as wire_revoker
from shared.contracts.catalogue import COMMANDS, EVENTS, NEWS, EventContract, NewsContract
from shared.messaging.gate import Gate
from shared.messaging.witnessing import CheckpointHandler, witness_routes
from shared.observability.metrics import EvidenceMetrics, MessageMetrics
from shared.rabbit.topology import LISTENERS, WITNESSED, build
from shared.vocabulary.duties import Duty
from shared.worker import Work
from tests import world
from tests.fakes.audit import RememberedTrail
from tests.fakes.broker import MemoryPublisher
from tests.fakes.mails import mail_settings
from tests.world import FixedClock, pem, shared_ca, signing_key

WIRES: dict[Duty, Any] = {
    Duty.INTAKE: wire_intake,
    Duty.APPROVAL: wire_approval,
    Duty.ISSUER: wire_issuer,
    Duty.REVOKER: wire_revoker,
}

TOLD: tuple[EventContract | NewsContract, ...] = (*EVENTS, *NEWS)

# By duty: the type of each message it takes, and the duty that alone may send it; None for identities.
DOORS: dict[Duty, dict[str, Duty | None]] = {
    Duty.INTAKE: {
        "ra.request.submit.v1": None,
        "ra.options.show.v1": None,
        "ra.request.status.v1": None,
        "ra.request.list.v1": None,
        "ra.summary.show.v1": None,
        "ra.publication.list.v1": None,
        "ra.evidence.export.v1": None,
        "ra.request.edited.v1": Duty.APPROVAL,
        "ra.request.refused.v1": Duty.APPROVAL,
        "ra.request.approved.v1": Duty.APPROVAL,
        "ra.request.denied.v1": Duty.APPROVAL,
        "ra.request.withdrawn.v1": Duty.APPROVAL,
        "ra.request.expired.v1": Duty.APPROVAL,
        "ra.request.reminded.v1": Duty.APPROVAL,
        "ra.request.returned.v1": Duty.ISSUER,
        "ra.request.ordered.v1": Duty.ISSUER,
        "ra.request.failed.v1": Duty.ISSUER,
        "ra.certificate.issued.v1": Duty.ISSUER,
        "ra.certificate.quarantined.v1": Duty.ISSUER,
        "ra.certificate.delivered.v1": Duty.ISSUER,
        "ra.key.erased.v1": Duty.ISSUER,
        "ra.withdrawal.granted.v1": Duty.ISSUER,
        "ra.revocation.asked.v1": Duty.REVOKER,
        "ra.certificate.revoked.v1": Duty.REVOKER,
        "ra.revocation.failed.v1": Duty.REVOKER,
        "ra.key.blocked.v1": Duty.REVOKER,
    },
    Duty.APPROVAL: {
        "ra.request.accepted.v1": Duty.INTAKE,
        "ra.request.returned.v1": Duty.ISSUER,
        "ra.product.facts.v1": Duty.ISSUER,
        "ra.password.checked.v1": Duty.ISSUER,
        "ra.withdrawal.granted.v1": Duty.ISSUER,
        "ra.withdrawal.refused.v1": Duty.ISSUER,
        "ra.signing-certificate.list.v1": None,
        "ra.request.edit.v1": None,
        "ra.request.approve.v1": None,
        "ra.request.deny.v1": None,
        "ra.request.withdraw.v1": None,
        "ra.verdict.resend.v1": None,
        "ra.case.list.v1": None,
        "ra.case.show.v1": None,
    },
    Duty.ISSUER: {
        "ra.request.approved.v1": Duty.APPROVAL,
        "ra.withdrawal.asked.v1": Duty.APPROVAL,
        "ra.key.blocked.v1": Duty.REVOKER,
        "ra.password.asked.v1": Duty.APPROVAL,
        "ra.certificate.revoked.v1": Duty.REVOKER,
        "ra.request.deny.v1": None,
        "ra.certificate.download.v1": None,
        "ra.order.list.v1": None,
        "ra.order.show.v1": None,
        "ra.order.settle.v1": None,
        "ra.order.fail.v1": None,
        "ra.sealed.list.v1": None,
        "ra.sealed.erase.v1": None,
    },
    Duty.REVOKER: {
        "ra.certificate.issued.v1": Duty.ISSUER,
        "ra.certificate.quarantined.v1": Duty.ISSUER,
        "ra.certificate.revoke.v1": None,
        "ra.revocation.confirm.v1": None,
        "ra.revocation.deny.v1": None,
        "ra.revocation.show.v1": None,
        "ra.revocation.list.v1": None,
        "ra.certificate.list.v1": None,
        "ra.campaign.revoke.v1": None,
        "ra.campaign.show.v1": None,
    },
}
QUEUES: dict[Duty, set[str]] = {
    Duty.INTAKE: {
        "intake.commands",
        "intake.events",
        *(f"intake.submissions.{name}" for name in ("ben", "portal", "shop")),
    },
    Duty.APPROVAL: {"approval.commands", "approval.events"},
    Duty.ISSUER: {"issuer.commands", "issuer.events"},
    Duty.REVOKER: {"revoker.commands", "revoker.events"},
}


# What every duty takes beside: the others' words on their audit logs.
CHECKPOINTS: dict[Duty, dict[str, Duty | None]] = {
    duty: {f"ra.audit-log.{other}-checkpoint.v1": other for other in Duty if other is not duty} for duty in Duty
}


async def wired(duty: Duty, folder: Path) -> Work:
    """The duty as its own composition root puts it together, over no servers at all."""
    roots, key = folder / "roots.pem", folder / "key"
    roots.write_bytes(pem(shared_ca().root))
    key.write_text("a key that no CA knows")
    registry = CollectorRegistry()
    ca = SimpleNamespace(
        url="http://127.0.0.1:1",
        api_key_file=key,
        roots_file=roots,
        timeout_seconds=30.0,
        lookup_lag_seconds=30.0,
        safety_look_seconds=86_400.0,
        poll_seconds=30.0,
        concurrency=2,
        rate_windows=None,
    )
    worker = SimpleNamespace(
        settings=SimpleNamespace(
            ca=ca,
            opening_key_files=(),
            broker=SimpleNamespace(prefetch=16),
            screening=SimpleNamespace(blocklist=folder / "blocklist"),
            summary=SummarySettings(),
            policy=SimpleNamespace(file=folder / "policy.toml", officers=()),
            compatibility=CompatibilitySettings(),
            mail=mail_settings(),
        ),
        in_force=world.in_force(),
        clock=FixedClock(),
        key=signing_key(duty),
        database=SimpleNamespace(handle=defaultdict(SimpleNamespace)),
        messages=MessageMetrics(registry),
        evidence=EvidenceMetrics(registry),
        registry=registry,
        link=MemoryPublisher(),
        publish=MemoryPublisher().publish,
        open_gate=lambda name, probe, longest_pause=0.0: Gate(
            name, probe, on_change=lambda _: None, longest_pause=longest_pause
        ),
    )

    async def probe() -> None:
        """There is no database to be away."""

    work: Work = WIRES[duty](worker, Gate("database", probe, on_change=lambda _: None))
    for finish in work.finish:
        await finish(0.0)
    return work


@pytest.mark.parametrize("duty", list(Duty))
async def test_a_duty_takes_exactly_these_messages_from_exactly_these_senders(duty: Duty, tmp_path: Path) -> None:
    work = await wired(duty, tmp_path)
    witness = CheckpointHandler(RememberedTrail(), world.in_force(), FixedClock())
    taken = work.routes | witness_routes(duty, witness)
    assert {name: route.duty for name, route in taken.items()} == DOORS[duty] | CHECKPOINTS[duty]


@pytest.mark.parametrize("duty", list(Duty))
async def test_a_duty_consumes_exactly_these_queues_and_all_of_them_are_declared(duty: Duty, tmp_path: Path) -> None:
    work = await wired(duty, tmp_path)
    wanted: Any = work.subscriptions
    subscriptions = wanted() if callable(wanted) else wanted
    assert {each.queue for each in subscriptions} == QUEUES[duty]
    declared = {queue.name for queue in build(world.policy()).queues}
    assert QUEUES[duty] <= declared


async def test_a_duty_waits_for_exactly_these_beside_its_servers(tmp_path: Path) -> None:
    gates = {duty: [gate.name for gate in (await wired(duty, tmp_path)).gates] for duty in Duty}
    assert gates == {Duty.INTAKE: ["linter", "blocklist"], Duty.APPROVAL: [], Duty.ISSUER: [], Duty.REVOKER: []}


def test_every_command_has_one_duty_that_answers_it_and_any_other_is_a_declared_witness() -> None:
    for contract in COMMANDS:
        takers = {duty for duty, doors in DOORS.items() if contract.name in doors}
        assert contract.duty in takers
        for witness in takers - {contract.duty}:
            assert f"*.{contract.duty}.{contract.verb}" in WITNESSED[witness]


def test_every_event_is_taken_by_somebody_and_by_all_who_listen_to_it() -> None:
    for contract in TOLD:
        takers = {duty for duty in Duty if contract.name in DOORS[duty] | CHECKPOINTS[duty]}
        listeners = {duty for duty, keys in LISTENERS.items() if f"{contract.duty}.{contract.key}.#" in keys}
        assert takers == listeners != set()
        assert contract.duty not in takers, "no duty listens to itself"
        assert all((DOORS[taker] | CHECKPOINTS[taker])[contract.name] is contract.duty for taker in takers)
