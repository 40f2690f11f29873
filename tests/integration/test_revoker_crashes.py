"""A process of the revoker dies at any of its steps, and another takes over: revoked at the CA, and recorded once."""

import random
from collections import defaultdict
from itertools import product
from typing import Any

import pytest

from shared.contracts import commands
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests.fakes.duties import command
from tests.fakes.offices import Ground, Office
from tests.fakes.revoking_offices import RevokingOffice
from tests.fakes.virtual_time import run_virtually

REASONS = (RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED)
ROUNDS, NEVER = 200, 10**6
KINDS = ("replace", "publish", "PUT", "GET")
WAYS: dict[str, dict[str, object]] = {
    "at once": {"revoke": "204"},
    "after an approval there": {"revoke": "201"},
    "with an answer that gets lost": {"faults": [{"endpoint": "certificate.revoke", "kind": "commit_then_drop"}]},
    "with a lost answer before an approval": {
        "revoke": "201",
        "faults": [{"endpoint": "certificate.revoke", "kind": "commit_then_drop"}],
    },
    "with a busy CA": {"faults": [{"endpoint": "certificate.revoke", "kind": "answer", "status": 503}]},
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


async def one_round(made: RevokingOffice, number: int, way: str, reason: RevocationReason, crash_at: int) -> list[str]:
    """Revoke this certificate in this way, with a process that dies at this step; gives the steps it took."""
    certificate, sandbox = made.certificates.all()[number], made.office.sandbox
    before = len(made.office.calls())
    made.office.knobs(revoke="by-role", faults=[])
    made.office.knobs(**WAYS[way])
    asked = commands.RevokeCertificate(request_id=certificate.id, reason=reason, notes="crash")
    life = await made.survive(command(asked, by="shop"), crash_at)
    story = f"{way}, at step {crash_at}: {life.passed[-1]}"
    stored = await made.certificates.load(certificate.id)
    assert stored is not None
    assert (stored.state, stored.revoked_for, stored.unpublished, stored.deadline_ms) == (
        CertificateState.REVOKED,
        reason,
        (),
        None,
    ), story
    types = [message.type for message in made.told_of(certificate.id)]
    assert types == ["ra.revocation.asked.v1", "ra.certificate.revoked.v1"], story
    order = sandbox.ledger.order(certificate.order_id)
    assert order is not None
    assert order.current.status == "revoked", story
    seen: list[Any] = [call for call in made.office.calls()[before:] if "revoke" in str(call)]
    assert seen, story
    return life.passed


def test_a_crash_at_any_of_its_steps_leaves_one_revocation_and_none_is_lost(ground: Ground) -> None:
    async def story() -> None:
        die = random.Random(20261123)  # noqa: S311 - repeatable, not secret
        kinds = list(product(WAYS, REASONS))
        made = await RevokingOffice.with_certificates(Office.opened(ground), ROUNDS + len(kinds))
        places: dict[str, list[tuple[str, RevocationReason, int]]] = defaultdict(list)
        for number, (way, reason) in enumerate(kinds):
            for step, what in enumerate(await one_round(made, number, way, reason, NEVER), start=1):
                places[" ".join(what.split()[:2])].append((way, reason, step))
        assert {f"{side} {kind}" for side in ("before", "after") for kind in KINDS} == set(places)
        chosen = [die.choice(each) for each in places.values()]
        anywhere = [each for found in places.values() for each in found]
        chosen += die.choices(anywhere, k=ROUNDS - len(chosen))
        for number, (way, reason, step) in enumerate(chosen, start=len(kinds)):
            passed = await one_round(made, number, way, reason, step)
            assert len(passed) == step, "there was such a step"

    run_virtually(story())
