"""The policy that the duties decide by: two officers' signatures, never an older one, whole or not at all."""

from collections.abc import Callable

import pytest

from deploy.local.process import wait_until
from deploy.local.stack import OFFICERS, Stack
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.states import State
from tests.infrastructure import Stacks
from tests.system.way import (
    approve,
    counters,
    have_in_force,
    people_of,
    reach,
    reload_policy,
    submitted,
    total,
)


def _in_force(stack: Stack, policy: Policy) -> Callable[[], bool]:
    return lambda: have_in_force(stack, policy)


def _tell(stack: Stack, change: Callable[[str], str], *officers: str) -> Policy:
    """Change the policy on disk, sign it as these officers, and tell every duty."""
    stack.policy_file.write_text(change(stack.policy_file.read_text()))
    stack.sign_policy(*officers)
    reload_policy(stack)
    return stack.policy


def _refusals(stack: Stack) -> float:
    return total(counters(stack), "ra_policy_refused_total")


def _quorum_of_three(text: str) -> str:
    return text.replace("quorum = 2", "quorum = 3").replace("serial = 1", "serial = 2")


async def test_a_policy_is_taken_up_with_two_officers_signatures_and_not_with_one(new_stack: Stacks) -> None:
    stack = new_stack("policy")
    first = stack.policy
    assert _in_force(stack, first)()
    before = stack.policy_file.read_text()

    changed = _tell(stack, _quorum_of_three, OFFICERS[0])
    wait_until(lambda: _refusals(stack) == len(Duty), what="a duty has not refused the policy of one officer", limit=30)
    assert _in_force(stack, first)()

    stack.sign_policy(*OFFICERS)
    _tell(stack, lambda text: text, *OFFICERS)
    wait_until(_in_force(stack, changed), what="the countersigned policy is not in force everywhere", limit=30)
    async with people_of(stack) as people:
        request_id = await submitted(people)
        await approve(people, request_id, "alice", "ben")
        assert (await people.shop.status(request_id)).request.state is State.PENDING
        await approve(people, request_id, "carol")
        await reach(people, request_id, State.ISSUED)

    _tell(stack, lambda _: before, *OFFICERS)
    wait_until(lambda: _refusals(stack) == 2 * len(Duty), what="a duty has not refused the older policy", limit=30)
    assert _in_force(stack, changed)()


async def test_a_duty_does_not_start_again_with_an_older_policy(new_stack: Stacks) -> None:
    stack = new_stack("older")
    before = stack.policy_file.read_text()
    changed = _tell(stack, _quorum_of_three, *OFFICERS)
    wait_until(_in_force(stack, changed), what="the policy is not in force everywhere", limit=30)
    stack.policy_file.write_text(before)
    stack.sign_policy(*OFFICERS)
    intake = stack.duties[Duty.INTAKE]
    intake.stop()
    intake.start()
    wait_until(lambda: not intake.is_running, what="intake runs with an older policy", limit=30)
    assert "policy.older" in intake.log()


@pytest.mark.parametrize("officers", [(), OFFICERS[:1]], ids=["unsigned", "signed by one"])
async def test_no_duty_starts_with_a_policy_that_lacks_a_second_officer(
    new_stack: Stacks, officers: tuple[str, ...]
) -> None:
    stack = new_stack("unsigned")
    stack.sign_policy(*officers)
    for process in stack.duties.values():
        process.stop()
        process.start()
    wait_until(
        lambda: not any(process.is_running for process in stack.duties.values()),
        what="a duty runs with a policy that nobody countersigned",
        limit=30,
    )
    assert all("policy.not-countersigned" in process.log() for process in stack.duties.values())
