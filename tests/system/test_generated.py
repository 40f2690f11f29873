"""A key pair made by the issuer, over a real broker, a real database and four processes: from `ra` to the file."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12

from deploy.local.stack import Stack
from shared.client.profile import read_anchor
from shared.clock import SystemClock
from shared.evidence.file import read_evidence, verify_evidence
from shared.identifiers import new_request_id
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests.system.way import People, approve, eventually, pending_at_approval, people_of, reach
from tests.world import PASSWORD

ROOT = Path(__file__).parents[2]


def ra(stack: Stack, identity: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.desk", "--profile", str(stack.profile_file(identity)), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


async def test_a_key_pair_is_made_after_approval_and_handed_over_once(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    request_id, secret = RequestId(new_request_id()), tmp_path / "password"
    secret.write_text(PASSWORD)
    done = ra(
        stack,
        "shop",
        *("submit", "generated", "--key-type", "ecdsa-p256", "--password-file", str(secret)),
        *("--dn", "CN=www.example.com", "--san", "dns:www.example.com", "--request-id", request_id),
    )
    assert done.returncode == 0, done.stderr
    await pending_at_approval(people, request_id)
    await approve(people, request_id)
    await reach(people, request_id, State.ISSUED)
    held = await people.olga.list_sealed(limit=200)
    assert request_id in {each.request_id for each in held.held}

    target = tmp_path / "identity.p12"
    target.write_bytes(b"something else")
    words = ("download", request_id, "--format", "der-pkcs12", "-o", str(target))
    assert ra(stack, "shop", *words).returncode != 0, "what is there already is found before the only copy is spent"
    target.unlink()
    done = ra(stack, "shop", *words)
    assert done.returncode == 0, done.stderr
    assert target.stat().st_mode & 0o777 == 0o600
    bag = pkcs12.load_pkcs12(target.read_bytes(), PASSWORD.encode())
    assert bag.key is not None
    assert bag.cert is not None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert bag.key.public_key().public_bytes(*form) == bag.cert.certificate.public_key().public_bytes(*form)
    again = ra(stack, "shop", *words, "--force")
    assert "download.erased" in again.stderr

    async def is_told() -> bool:
        exported = await people.shop.export_evidence(request_id)
        return read_evidence(exported.evidence.encode()).evidence.erasure is not None

    await eventually(is_told, "the erasure is not in the evidence")
    exported = await people.shop.export_evidence(request_id)
    story = verify_evidence(
        read_evidence(exported.evidence.encode()), read_anchor(stack.anchor_file), now=SystemClock().now()
    )
    assert story.steps[-1].endswith("issuer erased the private key (pkcs12): downloaded, shop")


async def test_a_password_that_is_easy_to_guess_is_refused_before_it_is_sent(stack: Stack, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("password12345678")
    done = ra(
        stack,
        "shop",
        *(
            "submit",
            "generated",
            "--key-type",
            "ecdsa-p256",
            "--password-file",
            str(secret),
            "--dn",
            "CN=www.example.com",
        ),
    )
    assert done.returncode != 0
    assert "password.too-weak" in done.stderr
    assert "password12345678" not in done.stdout + done.stderr
