"""Screening as a duty lives with it: beside the event loop, and with a list of keys that somebody else keeps."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.intake.adapters.blocklist import BlocklistFolder
from services.intake.config import ScreeningSettings
from shared.contracts import commands
from shared.errors import UnavailableError
from shared.messaging import gate as gates
from shared.vocabulary.findings import Severity, finding
from shared.x509.csr import parse_csr
from shared.x509.weakness import HASHES_FILE
from tests import world
from tests.fakes.duties import Intake, command, data_of, lifecycle, replies
from tests.vectors.x509.make_weak import blocklist, record

PATIENCE = 30.0
PUBLISHED = finding("key.blocklisted", "the private half of this key has been published")


def submission() -> commands.SubmitRequest:
    return commands.SubmitRequest(submission=world.submission(world.content()))


async def test_the_event_loop_goes_on_while_a_request_is_screened() -> None:
    duty, begun, finish = Intake(), threading.Event(), threading.Event()

    def take_long() -> None:
        begun.set()
        assert finish.wait(PATIENCE), "nobody else had a turn meanwhile"

    duty.published.when = take_long
    screening = asyncio.create_task(duty.runtime.handle(command(submission(), by="shop")))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    answer = await duty.ask(commands.ShowOptions(), by="shop")
    assert answer.code == "ok"
    assert not screening.done()
    finish.set()
    await screening
    assert [data_of(told)["code"] for told in replies(duty.publisher.published)] == ["ok", "ok"]
    assert len(lifecycle(duty.publisher.published)) == 1


async def test_a_published_key_is_refused_together_with_all_other_findings() -> None:
    duty = Intake()
    duty.published.says = [PUBLISHED]
    asked = world.content(csr=world.make_csr("www.example.net"))
    said = commands.SubmitRequest(submission=world.submission(asked))
    assert await duty.refused(said, by="shop") == ["name.dns-outside", PUBLISHED.code]


async def test_what_is_no_csr_is_looked_up_nowhere() -> None:
    duty = Intake()
    duty.published.away = True
    said = commands.SubmitRequest(submission=world.submission(world.content(csr="no CSR")))
    assert await duty.refused(said, by="shop") == ["csr.unreadable"]


async def test_while_the_blocklist_cannot_be_used_a_submission_waits_and_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "FIRST_PAUSE", 0.0)
    duty, looks = Intake(), 0
    duty.published.away = True

    def look() -> None:
        nonlocal looks
        looks += 1
        assert duty.publisher.published == []
        duty.published.away = looks < 3

    duty.published.when = look
    published = await duty.send(submission(), by="shop")
    assert looks == 3
    assert len(lifecycle(published)) == 1
    assert duty.counted("ra_handlings_retried", type="ra.request.submit.v1") == 2


# The operator's folder


@pytest.fixture(scope="module")
def listed() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def folder(tmp_path: Path, listed: ec.EllipticCurvePrivateKey) -> BlocklistFolder:
    """A blocklist that holds this key."""
    for name, content in blocklist({record(listed.public_key().public_numbers().x, 5)}).items():
        (tmp_path / name).write_bytes(content)
    return BlocklistFolder(tmp_path)


def spki(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return parse_csr(world.make_csr(key=key)).spki


def test_a_key_of_the_list_is_found_and_another_is_not(
    folder: BlocklistFolder, listed: ec.EllipticCurvePrivateKey
) -> None:
    (found,) = folder.check(spki(listed))
    assert (found.code, found.value, found.severity) == ("key.blocklisted", "firmware", Severity.ERROR)
    assert folder.check(spki()) == []


async def test_a_damaged_blocklist_is_away_until_it_is_mended(folder: BlocklistFolder) -> None:
    await folder.probe()
    assert folder.folder is not None
    hashes = folder.folder / HASHES_FILE
    good = hashes.read_bytes()
    os.truncate(hashes, 160)
    with pytest.raises(UnavailableError) as away:
        await folder.probe()
    assert away.value.dependency == "blocklist"
    with pytest.raises(UnavailableError):
        folder.check(spki())
    hashes.write_bytes(good)
    await folder.probe()
    assert folder.check(spki()) == []


async def test_without_a_blocklist_no_key_is_on_it_and_nothing_is_away(listed: ec.EllipticCurvePrivateKey) -> None:
    none = BlocklistFolder(ScreeningSettings().blocklist)
    await none.probe()
    assert none.check(spki(listed)) == []
