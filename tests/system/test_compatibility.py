"""Requests wait while nobody can tell whether the CA delivers them, and go on by themselves: over real processes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.stack import OFFICERS, Stack
from services.desk.__main__ import app
from shared.client.errors import CommandRefusedError
from shared.vocabulary.duties import Duty
from shared.vocabulary.fit import Fit
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests.infrastructure import Stacks, sandbox_of
from tests.system.way import People, eventually, people_of, reach, submitted

SOON = {"held_seconds": 1.0}
SILENCE = {
    "ca_choice": False,
    "faults": [
        {"kind": "answer", "endpoint": "order.info", "status": 404, "code": "not_found|order", "times": 1000},
    ],
}


def restart_issuer(stack: Stack) -> None:
    """It asks the CA anew when it starts."""
    stack.duties[Duty.ISSUER].stop()
    stack.duties[Duty.ISSUER].start()


async def verdict(people: People) -> tuple[Fit, set[str]]:
    """What `ra signing-certificates` says, to whom does not decide."""
    (standing,) = (await people.olga.list_signing_certificates()).signing_certificates
    return standing.fit, {found.code for found in standing.findings}


async def becomes(people: People, fit: Fit, *codes: str) -> None:
    async def holds() -> bool:
        return await verdict(people) == (fit, set(codes))

    await eventually(holds, f"the signing certificate is not {fit}")


async def held(people: People, code: str) -> RequestId:
    """A request with its quorum's approvals that waits for this reason."""
    request_id = await submitted(people)
    for approver in (people.alice, people.ben):
        result = await approver.approve(await approver.show_case(request_id))
    assert (result.state, result.approvals) == (State.PENDING, 2)
    assert [found.code for found in result.held_because] == [code]
    return request_id


def stack_with(new_stack: Stacks, compatibility: Mapping[str, object]) -> Stack:
    return new_stack("compatibility", overrides={Duty.APPROVAL: {"compatibility": compatibility}})


async def test_a_case_is_held_while_what_is_known_is_stale_and_goes_on_when_the_issuer_asks_anew(
    new_stack: Stacks,
) -> None:
    stack = stack_with(new_stack, {**SOON, "facts_good_for_seconds": 6.0})
    async with people_of(stack) as people:
        await becomes(people, Fit.UNKNOWN, "ca.facts-stale")
        request_id = await held(people, "ca.facts-stale")
        restart_issuer(stack)
        await reach(people, request_id, State.ISSUED)


async def test_where_the_ca_is_silent_an_officers_attestation_lets_a_held_case_go_on(new_stack: Stacks) -> None:
    stack = stack_with(new_stack, SOON)
    sandbox_of(stack).set_knobs(**SILENCE)
    restart_issuer(stack)
    async with people_of(stack) as people:
        await becomes(people, Fit.UNKNOWN, "ca.silent")
        request_id = await held(people, "ca.silent")
        attest(stack, "shop")
        assert await verdict(people) == (Fit.UNKNOWN, {"ca.silent"}), "the shop is no policy officer"
        attest(stack, OFFICERS[0])
        await reach(people, request_id, State.ISSUED)
        assert await verdict(people) == (Fit.COMPATIBLE, {"ca.attested"})


def attest(stack: Stack, signer: str) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    files = ("--policy", str(stack.policy_file), "--key", str(stack.key_file(signer)))
    attested = CliRunner().invoke(app, ["signing-certificates", "attest", "public-tls", "--until", until, *files])
    assert attested.exit_code == 0, attested.output


def of_yesterday(policy: dict[str, Any]) -> dict[str, Any]:
    policy["signing_certificates"]["public-tls"]["product"] = "ssl_of_yesterday"
    return policy


async def test_a_product_that_the_ca_does_not_have_is_refused_before_anything_is_sent(new_stack: Stacks) -> None:
    stack = new_stack("product", amend_policy=of_yesterday)
    async with people_of(stack) as people:
        request_id = await submitted(people)
        await people.alice.approve(await people.alice.show_case(request_id))
        with pytest.raises(CommandRefusedError) as refused:
            await people.ben.approve(await people.ben.show_case(request_id))
        assert [found.code for found in refused.value.findings] == ["ca.product-unknown"]
    assert not [call for call in sandbox_of(stack).calls()["calls"] if call["method"] == "POST"]
