"""The audit logs of four real processes: what they did stands in them, and what is taken out of them is missed."""

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.stack import Stack
from services.desk.__main__ import app
from services.desk.exits import Exit
from shared.vocabulary.duties import Duty
from tests.infrastructure import Stacks
from tests.system.way import People, eventually, issued, people_of

SOON = 0.2
"""Seconds between two checkpoints."""


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    """One whose duties tell of their logs all the time."""
    return module_stacks("audit", overrides={duty: {"audit_log": {"checkpoint_seconds": SOON}} for duty in Duty})


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


def entries(folder: Path, duty: Duty) -> list[dict[str, Any]]:
    lines = (folder / f"{duty}-1.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def verified(stack: Stack, paths: Iterable[Path]) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(
        app, ["--json", "audit", "log", "verify", *map(str, paths), "--anchor", str(stack.anchor_file)]
    )
    return result.exit_code, json.loads(result.stdout)


async def test_the_way_of_a_request_stands_in_the_logs_and_what_is_cut_off_is_missed(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    request_id = await issued(people)
    folder = stack.directory / "audit-log"

    async def all_is_witnessed() -> bool:
        status, found = verified(stack, [folder])
        assert status == Exit.OK, found
        issuer = next(log for log in found["logs"] if log["duty"] == "issuer")
        told = max(entry["number"] for entry in entries(folder, Duty.ISSUER) if entry["kind"] == "told")
        return bool(issuer["witnessed"] >= told and set(issuer["by"]) == {"intake", "approval", "revoker"})

    await eventually(all_is_witnessed, "the other duties have not witnessed the issuer's log")

    told = [
        (duty, entry["kind"], entry["identity"], entry["detail"]["type"])
        for duty in Duty
        for entry in entries(folder, duty)
        if entry["subject"] == request_id and entry["detail"].get("result", "handled") == "handled"
    ]
    for each in (
        (Duty.INTAKE, "command", "shop", "ra.request.submit.v1"),
        (Duty.INTAKE, "told", "intake", "ra.request.accepted.v1"),
        (Duty.APPROVAL, "event", "intake", "ra.request.accepted.v1"),
        (Duty.APPROVAL, "command", "alice", "ra.request.approve.v1"),
        (Duty.APPROVAL, "command", "ben", "ra.request.approve.v1"),
        (Duty.APPROVAL, "told", "approval", "ra.request.approved.v1"),
        (Duty.ISSUER, "event", "approval", "ra.request.approved.v1"),
        (Duty.ISSUER, "told", "issuer", "ra.certificate.issued.v1"),
        (Duty.REVOKER, "event", "issuer", "ra.certificate.issued.v1"),
        (Duty.INTAKE, "event", "issuer", "ra.certificate.issued.v1"),
    ):
        assert each in told

    copies = [tmp_path / path.name for path in folder.glob("*.jsonl")]
    for copy in copies:
        lines = (folder / copy.name).read_bytes().splitlines(keepends=True)
        if copy.name == "issuer-1.jsonl":
            issued_at = next(place for place, line in enumerate(lines) if b"ra.certificate.issued.v1" in line)
            lines = lines[:issued_at]
        copy.write_bytes(b"".join(lines))
    status, found = verified(stack, copies)
    assert status == Exit.REFUSED
    assert {finding["code"] for finding in found["findings"]} == {"audit-log.truncated"}
