"""A policy that two duties have and the others do not yet: what depends on it waits, and no request fails for it."""

import tomllib
from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from typing import Any

import httpx
import pytest

from deploy.local.process import wait_until
from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.clock import SystemClock
from shared.evidence.anchor import Anchor
from shared.evidence.file import read_evidence, verify_evidence
from shared.evidence.jws import payload_of
from shared.evidence.steps import Issuance, Revision, Verdict
from shared.policy.policy import Policy
from shared.policy.resolution import resolve_again
from shared.rabbit.topology import definitions
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName, Digest, IdentityName, RequestId
from shared.vocabulary.permissions import Permission
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.infrastructure import Stacks
from tests.system.way import (
    People,
    approve,
    client_of,
    counters,
    eventually,
    have_in_force,
    parked,
    people_of,
    reach,
    reload_policy,
    submitted,
)

Document = dict[str, Any]

INTAKE, APPROVAL, ISSUER, REVOKER = Duty.INTAKE, Duty.APPROVAL, Duty.ISSUER, Duty.REVOKER
LOOK_AGAIN = {
    "decision.outdated-revision",
    "decision.already-made",
    "decision.not-an-approver",
    "decision.too-late",
    "request.unknown",
}
"""With what approvers may be refused while the duties differ: the request has not come, was decided, or changed."""


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    return module_stacks("rollout", amend_policy=_with_dora)


def _with_dora(example: Document) -> Document:
    """Dora is known, and decides nothing yet."""
    amended = deepcopy(example)
    amended["identities"]["dora"] = amended["identities"]["carol"] | {
        "person": "dora",
        "permissions": {"web": ["view"]},
    }
    return amended


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


@pytest.fixture
async def dora(stack: Stack) -> AsyncIterator[RaClient]:
    async with client_of(stack, "dora") as client:
        yield client


def change(stack: Stack) -> Policy:
    """Sign another policy: a quorum of three and dora among the approvers, or of two and without her."""
    document = tomllib.loads(stack.policy_file.read_text())
    larger = document["approval_groups"]["web"]["quorum"] == 2
    document["approval_groups"]["web"]["quorum"] = 3 if larger else 2
    document["signing_certificates"]["public-tls"]["max_validity_days"] -= 1
    document["identities"]["dora"]["permissions"]["web"] = ["decide", "view"] if larger else ["view"]
    stack._write_signed(document)
    policy = stack.policy
    wanted = definitions(policy, virtual_host=stack.virtual_host, passwords={})
    with stack.broker.management() as management:
        management.apply_definitions({"topic_permissions": wanted["topic_permissions"]})
    return policy


def tell(stack: Stack, duties: Sequence[Duty], policy: Policy) -> None:
    """Have these duties take up the policy on disk."""
    reload_policy(stack, duties)
    wait_until(lambda: have_in_force(stack, policy, duties), what="the policy is not taken up", limit=30)
    for duty in duties:
        stack.duties[duty].await_ready()


def waits_for_policy(stack: Stack, duty: Duty) -> bool:
    process = stack.duties[duty]
    conditions: dict[str, bool] = httpx.get(process.ready_url, trust_env=False).json()["conditions"]
    shown = 'ra_dependency_up{dependency="policy"} 0.0' in process.metrics()
    return shown and not conditions["policy"]


def refusals(stack: Stack) -> set[str]:
    """The codes with which any message was refused so far."""
    return {
        dict(labels)["code"]
        for (_, name, labels), count in counters(stack).items()
        if name == "ra_refusals_total" and count
    }


async def decide(approvers: Sequence[RaClient], requests: Sequence[RequestId]) -> None:
    """Every approver looks at every request and approves what they see."""
    for approver in approvers:
        for request_id in requests:
            try:
                await approver.approve(await approver.show_case(request_id))
            except CommandRefusedError as refused:
                if not {found.code for found in refused.findings} <= LOOK_AGAIN:
                    raise


PAIRS = {
    "intake and approval": ((INTAKE, APPROVAL), {ISSUER}),
    "issuer and revoker": ((ISSUER, REVOKER), {APPROVAL, INTAKE}),
    "intake and issuer": ((INTAKE, ISSUER), {APPROVAL}),
    "approval and revoker": ((APPROVAL, REVOKER), {ISSUER, INTAKE}),
    "intake and revoker": ((INTAKE, REVOKER), {APPROVAL}),
    "approval and issuer": ((APPROVAL, ISSUER), {INTAKE, REVOKER}),
}


@pytest.mark.parametrize(("first", "waiting"), PAIRS.values(), ids=PAIRS)
async def test_with_a_policy_at_two_duties_only_nothing_is_issued_under_the_wrong_one_and_no_request_fails(
    stack: Stack, people: People, dora: RaClient, first: tuple[Duty, ...], waiting: set[Duty]
) -> None:
    approvers = [people.alice, people.ben, people.carol]
    policies = {stack.policy.digest: stack.policy}
    begun = await submitted(people)
    await approve(people, begun, "alice")

    policy = change(stack)
    policies[policy.digest] = policy
    if policy.file.identities[IdentityName("dora")].may(Permission.DECIDE, ApprovalGroupName("web")):
        approvers.insert(0, dora)
    tell(stack, first, policy)
    asked = world.content()
    await people.shop.submit(asked)
    requests = (begun, asked.request_id)

    async def wait_for_it() -> bool:
        await decide(approvers, requests)
        return all(waits_for_policy(stack, duty) for duty in waiting)

    await eventually(wait_for_it, f"not all of {sorted(waiting)} wait for the policy")
    for duty in waiting:
        assert f'"wanted": {policy.serial}' in stack.duties[duty].log()

    tell(stack, [duty for duty in Duty if duty not in first], policy)

    async def all_issued() -> bool:
        states = [(await people.shop.status(request_id)).request.state for request_id in requests]
        assert not {State.FAILED, State.QUARANTINED, State.DENIED} & set(states)
        await decide(approvers, requests)
        return set(states) == {State.ISSUED}

    await eventually(all_issued, "a request was not issued after the policy was brought out to all")
    for request_id in requests:
        exported = await people.shop.export_evidence(request_id)
        _check_evidence(exported.evidence.encode(), policies)
        await people.shop.revoke(request_id, RevocationReason.SUPERSEDED)
        await reach(people, request_id, State.REVOKED)
    assert set(parked(stack).values()) == {0}
    assert refusals(stack) <= LOOK_AGAIN


def _check_evidence(data: bytes, policies: dict[Digest, Policy]) -> None:
    """One policy decided: issuer and approval had the same one, the revision is its, and by it everything holds."""
    file = read_evidence(data)
    evidence = file.evidence
    verdict = Verdict.read(payload_of(evidence.verdict or ""), code="a.b")
    issuance = Issuance.read(payload_of(evidence.issuance or ""), code="a.b")
    revision = Revision.read(payload_of(evidence.revisions[-1].jws), code="a.b")
    assert verdict.policy_digest == issuance.policy_digest
    policy = policies[issuance.policy_digest]
    assert resolve_again(policy, revision.policy) == revision.policy
    assert verify_evidence(file, Anchor.of(policy), now=SystemClock().now()).issued
