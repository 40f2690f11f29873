"""Audit logs: what is written stays, and whatever is done to it afterwards is found."""

import asyncio
import errno
import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from shared.audit_log import writing
from shared.audit_log.entries import EntryKind, Record
from shared.audit_log.verification import LogsReport, verify_logs
from shared.audit_log.writing import AuditLog
from shared.errors import RefusedError, UnavailableError
from shared.evidence.jws import Typ
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import canonical_json, digest_of
from tests.world import NOW, FixedClock, signing_key

KEYS = {duty: (signing_key(duty).public,) for duty in Duty}
ENTRIES = 10_000
Lines = list[bytes]
Harm = Callable[[Lines], Lines]


def record(number: int) -> Record:
    return Record(kind=EntryKind.COMMAND, identity="shop", subject=f"request {number}", detail={"result": "handled"})


def opened(folder: Path, duty: Duty = Duty.ISSUER) -> AuditLog:
    return AuditLog(folder, duty, signing_key(duty), FixedClock())


async def witness(log: AuditLog, signed: str) -> None:
    await log.write(Record(kind=EntryKind.WITNESSED, identity="issuer", detail={"checkpoint": signed}))


def check(*logs: Lines) -> LogsReport:
    return verify_logs({f"log {place}": lines for place, lines in enumerate(logs)}, KEYS, now=NOW)


def codes(report: LogsReport) -> set[str]:
    return {found.code.removeprefix("audit-log.") for found in report.findings}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lines, Lines]:
    """The issuer's log of ten thousand lines, and intake's, which witnessed it twice."""
    return asyncio.run(written(tmp_path_factory.mktemp("logs")))


async def written(folder: Path) -> tuple[Lines, Lines]:
    issuer, intake = opened(folder), opened(folder, Duty.INTAKE)
    for half in (range(ENTRIES // 2), range(ENTRIES // 2, ENTRIES)):
        await issuer.write(*(record(number) for number in half))
        signed = await issuer.checkpoint()
        assert signed is not None
        await witness(intake, signed)
    await issuer.aclose()
    await intake.aclose()
    return issuer.path.read_bytes().splitlines(keepends=True), intake.path.read_bytes().splitlines(keepends=True)


def test_an_honest_log_holds_and_says_up_to_where_another_duty_vouches_for_it(honest: tuple[Lines, Lines]) -> None:
    report = check(*honest)
    assert report.findings == ()
    issuer = next(log for log in report.logs if log.duty is Duty.ISSUER)
    assert (issuer.first, issuer.last, issuer.entries) == (1, ENTRIES + 3, ENTRIES + 3)
    assert (issuer.witnessed, issuer.by) == (ENTRIES + 2, (Duty.INTAKE,))


def rechained(lines: Sequence[bytes], *, resign: bool = False) -> Lines:
    """The lines with numbers and digests made to fit again, as whoever owns the file can; with the duty's key also
    its checkpoints."""
    made: Lines = []
    previous = None
    for number, line in enumerate(lines, 1):
        entry = json.loads(line) | {"number": number, "previous": previous}
        if resign and entry["kind"] == "checkpoint":
            said = {"log": entry["log"], "duty": "issuer", "number": number - 1, "digest": previous}
            entry["detail"] = {"checkpoint": signing_key("issuer").sign(canonical_json(said), Typ.CHECKPOINT, NOW)}
        text = canonical_json(entry)
        previous = digest_of(text)
        made.append(text + b"\n")
    return made


def edit(lines: Lines) -> Lines:
    return [*lines[:700], lines[700].replace(b'"shop"', b'"ship"'), *lines[701:]]


def swap(lines: Lines) -> Lines:
    return [*lines[:700], lines[701], lines[700], *lines[702:]]


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (edit, {"broken"}),
        (lambda lines: [*lines[:700], *lines[701:]], {"broken"}),
        (lambda lines: [*lines[:700], lines[700], *lines[700:]], {"broken"}),
        (swap, {"broken"}),
        (lambda lines: lines[700:], {"beginning-missing"}),
        (lambda lines: lines[:9_000], {"truncated"}),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], {"line-invalid"}),
        (lambda lines: [*lines[:700], b"{}\n", *lines[700:]], {"line-invalid"}),
        (lambda lines: [*lines[:700], lines[700].replace(b":", b": ", 1), *lines[701:]], {"line-invalid", "broken"}),
        (lambda lines: rechained(edit(lines)), {"checkpoint-invalid", "rewritten"}),
        (lambda lines: rechained(edit(lines), resign=True), {"rewritten", "forked"}),
        (lambda lines: rechained(swap(lines), resign=True), {"rewritten", "forked"}),
        (lambda lines: rechained([*lines[:700], *lines[701:]], resign=True), {"rewritten"}),
        (lambda _: [], {"missing"}),
    ],
    ids=[
        "a line is edited",
        "a line is taken out",
        "a line is there twice",
        "two lines change places",
        "the first lines are missing",
        "the last lines are missing",
        "the last line has no end",
        "a line is put in",
        "a line is written differently",
        "a line is edited and the chain made anew",
        "a line is edited, the chain made and its checkpoints signed anew",
        "two lines change places and all is made anew",
        "a line is taken out and all is made anew",
        "the log is gone",
    ],
)
def test_whatever_is_done_to_a_log_is_found(honest: tuple[Lines, Lines], harm: Harm, found: set[str]) -> None:
    issuer, intake = honest
    assert found <= codes(check(harm(issuer), intake))


def test_two_ways_of_going_on_from_the_same_line_are_a_fork(honest: tuple[Lines, Lines]) -> None:
    issuer, intake = honest
    other = [*issuer[:5_000], *rechained([*issuer[:5_000], *reversed(issuer[5_000:])], resign=True)[5_000:]]
    assert "forked" in codes(check(issuer, other, intake))


def test_a_checkpoint_that_another_made_counts_for_nothing(honest: tuple[Lines, Lines]) -> None:
    issuer, intake = honest
    stolen = [line.replace(b'"duty":"issuer"', b'"duty":"intake"') for line in issuer]
    assert "checkpoint-invalid" in codes(check(rechained(stolen), intake))


def test_a_log_in_two_files_is_one(honest: tuple[Lines, Lines]) -> None:
    issuer, intake = honest
    report = check(issuer[6_000:], intake, issuer[:6_000])
    assert report.findings == ()
    assert {log.entries for log in report.logs if log.duty is Duty.ISSUER} == {ENTRIES + 3}


# Writing


async def test_a_log_goes_on_where_the_process_before_left_it(tmp_path: Path) -> None:
    first = opened(tmp_path)
    await first.write(record(1))
    await first.aclose()
    second = opened(tmp_path)
    await second.write(record(2))
    await second.aclose()
    assert second.path == first.path
    report = check(second.path.read_bytes().splitlines(keepends=True))
    assert (report.findings, report.logs[0].entries) == ((), 4)


async def test_what_a_crash_left_unfinished_is_cut_off_and_told(tmp_path: Path) -> None:
    first = opened(tmp_path)
    await first.write(record(1))
    await first.aclose()
    with first.path.open("ab") as file:
        file.write(b'{"at":"2026')
    second = opened(tmp_path)
    await second.aclose()
    lines = second.path.read_bytes().splitlines(keepends=True)
    assert check(lines).findings == ()
    assert json.loads(lines[-1])["detail"] == {"cut": digest_of(b'{"at":"2026')}


async def test_two_copies_of_a_duty_write_two_logs(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert (first.path.name, second.path.name) == ("issuer-1.jsonl", "issuer-2.jsonl")
    assert first.name != second.name
    await first.aclose()
    await second.aclose()


def test_a_log_whose_last_line_is_no_line_of_ours_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "issuer-1.jsonl").write_bytes(b"{}\n")
    with pytest.raises(RefusedError, match="audit-log-unusable"):
        opened(tmp_path)


def test_without_its_folder_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="audit-log-unusable"):
        opened(tmp_path / "not mounted")


async def test_a_full_disk_is_said_and_what_was_written_in_part_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)

    def half(file: int, data: bytes, start: int) -> None:
        os.pwrite(file, data[: len(data) // 2], start)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(writing, "_write_at", half)
        with pytest.raises(UnavailableError, match="No space left"):
            await log.write(record(1), record(2))
    await log.probe()
    await log.write(record(3))
    await log.aclose()
    lines = log.path.read_bytes().splitlines(keepends=True)
    assert check(lines).findings == ()
    assert [json.loads(line)["subject"] for line in lines] == ["", "", "request 3"]


async def test_a_checkpoint_is_made_only_of_something_new(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert await log.checkpoint() is not None
    assert await log.checkpoint() is None
    await witness(log, "what another told")
    assert await log.checkpoint() is None, "or two idle duties would answer one another for ever"
    await log.write(record(1))
    assert await log.checkpoint() is not None
    await log.aclose()


def test_checkpoints_from_the_future_are_not_believed(honest: tuple[Lines, Lines]) -> None:
    report = verify_logs({"log": honest[0]}, KEYS, now=NOW - timedelta(days=1))
    assert codes(report) == {"checkpoint-invalid"}
