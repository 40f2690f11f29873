"""A password and the private key under it leave no trace: not in messages, databases, files or logs, at no moment."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import bson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from deploy.local.stack import Stack
from shared.identifiers import new_request_id
from shared.rabbit.topology import parked_queue
from shared.sealing import OpeningKey, seal
from shared.vocabulary.duties import Duty
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.names import RequestId
from shared.vocabulary.states import State
from tests.infrastructure import sandbox_of
from tests.system.traces import TAP, Moment, moment, put, tap, written
from tests.system.way import People, approve, eventually, people_of, reach, submitted
from tests.world import wanting


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with people_of(stack) as everybody:
        yield everybody


def bytes_of(key: EllipticCurvePrivateKey) -> dict[str, bytes]:
    """All that whoever has one of these has the key with."""
    value = key.private_numbers().private_value
    return {
        "PKCS#8": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "the key's DER": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "the secret number": value.to_bytes(key.key_size // 8, "big"),
    }


async def test_password_and_private_key_leave_no_trace_from_the_submission_to_the_erasure(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    await tap(stack)
    password = secrets.token_urlsafe(24)
    request_id = RequestId(new_request_id())
    sealed = seal(password, request_id, OpeningKey.from_file(stack.opening_key_file).public)
    moments: dict[str, Moment] = {}
    sandbox = sandbox_of(stack)
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    try:
        await submitted(people, wanting(request_id, sealed=sealed))
        moments["before the approval"] = await moment(stack, tmp_path / "submitted")
        await approve(people, request_id)
        await reach(people, request_id, State.ORDERED)
        moments["between order and certificate"] = await moment(stack, tmp_path / "ordered")
        sandbox.issue(sandbox.orders()[-1]["id"])
        await reach(people, request_id, State.ISSUED)
    finally:
        sandbox.reset_knobs()
    moments["after the issue"] = await moment(stack, tmp_path / "issued")
    file = await people.shop.download(request_id, DownloadFormat.DER_PKCS12)

    async def is_erased() -> bool:
        return request_id not in {each.request_id for each in (await people.olga.list_sealed(limit=200)).held}

    await eventually(is_erased, "what was downloaded is still held")
    moments["after the download"] = await moment(stack, tmp_path / "downloaded")

    key = pkcs12.load_pkcs12(file.content, password.encode()).key
    assert isinstance(key, EllipticCurvePrivateKey)
    hidden = {"the password": password.encode(), **bytes_of(key)}
    assert {when: there for when, then in moments.items() if (there := then.holding(hidden))} == {}
    known = {"the request": request_id.encode(), "the sealed password": sealed.encode()[-64:]}
    for then in moments.values():
        told = {(place.partition(" ")[0], name.partition(",")[0]) for place, name in then.holding(known)}
        assert {
            ("message", "the sealed password"),
            ("document", "the sealed password"),
            ("file", "the request"),
        } <= told


async def test_what_is_planted_in_any_of_these_places_is_found_in_whatever_form(stack: Stack, tmp_path: Path) -> None:
    await tap(stack)
    canary = secrets.token_bytes(48)
    logs = [
        *(stack.duties[duty].program.log_file for duty in Duty),
        *sorted((stack.directory / "audit-log").glob("*.jsonl")),
        *sorted((stack.broker.directory / "log").glob("*.log")),
    ]
    assert len(logs) > 2 * len(Duty)
    for _, text in written(canary):
        await put(stack, TAP, text)
        await put(stack, parked_queue(Duty.INTAKE), text)
    with stack.database.admin() as client:
        for name in stack.databases.values():
            for number, (_, text) in enumerate(written(canary)):
                client[name]["canaries"].insert_one({"_id": number, "bytes": bson.Binary(text)})
    for path in logs:
        with path.open("ab") as log:
            log.writelines(text + b"\n" for _, text in written(canary))

    found = (await moment(stack, tmp_path / "files")).holding({"canary": canary})
    wanted = {f"canary, {form}" for form, _ in written(canary)}

    def forms_in(kind: str, where: str) -> set[str]:
        return {name for place, name in found if place.startswith(kind) and where in place}

    assert forms_in("message", f" in {TAP}") == wanted
    assert forms_in("message", f" in {parked_queue(Duty.INTAKE)}") == wanted
    for name in stack.databases.values():
        assert forms_in("document", f" in {name} canaries") == wanted
    for path in logs:
        assert forms_in("file", path.name) == wanted
    assert forms_in("file", "broker/mnesia") == wanted
    assert forms_in("file", "database/data") == wanted
