"""The full-screen desk before a running Registration Authority: from the list to the revoked certificate, by keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.desk.tui.key import HeldKey
from shared.client.client import RaClient
from shared.client.profile import read_anchor, read_profile
from shared.vocabulary.states import State
from tests import world
from tests.fakes.terminal import terminal
from tests.infrastructure import Stacks
from tests.system.way import approve, people_of, reach, submitted


def _with_more_rights(policy: dict[str, Any]) -> dict[str, Any]:
    """Alice may do all that the desk has a tab for."""
    policy["identities"]["alice"]["permissions"]["web"] += ["download", "revoke"]
    return policy


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    return module_stacks("desk", amend_policy=_with_more_rights)


async def test_from_the_list_to_the_revoked_certificate_by_keys_alone(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = read_profile(stack.profile_file("alice"))
    assert profile.signing is not None
    assert profile.trust is not None
    key = HeldKey(profile.signing.key_file, lambda: None)
    alice = RaClient(profile, signer=key, anchor=read_anchor(profile.trust.anchor_file), timeout_seconds=60.0)
    opened = terminal(alice, key, size=(120, 40), refresh_seconds=1.0)
    async with people_of(stack) as people, closing(alice), opened as desk:
        request_id = await submitted(people, world.content(name="the shop's own door"))
        await desk.shows("1 waiting", "0 of 2", "the shop's own door", "connected")
        await desk.press("enter")
        await desk.shows("Intake's signature verified")
        await desk.press("a")
        await desk.shows(f"Approve? Request {request_id}")
        await desk.press("ctrl+s")
        await desk.shows(f"Request {request_id} is pending: 1 of 2 approvals.", "decided")
        await approve(people, request_id, "ben")
        await reach(people, request_id, State.ISSUED)
        await desk.shows("0 waiting")
        await desk.press("6")
        await desk.shows("State issued")
        await desk.focus("#fetch")
        await desk.press("enter")
        await desk.shows(".pem is written")
        assert b"BEGIN CERTIFICATE" in _only_file(tmp_path)
        await desk.press("7", "enter")
        await desk.type("super")
        await desk.press("enter")
        await desk.shows("Reason superseded")
        await desk.focus("#revoke")
        await desk.press("enter")
        await desk.shows("Revoke this certificate, for good?")
        await desk.focus("#yes")
        await desk.press("enter")
        await desk.shows(f"Request {request_id} is revoked.", "State revoked")


@asynccontextmanager
async def closing(client: RaClient) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await client.close()


def _only_file(folder: Path) -> bytes:
    (path,) = folder.iterdir()
    return path.read_bytes()
