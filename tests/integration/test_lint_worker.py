import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from shared.errors import UnavailableError
from shared.lint.kinds import LintKind
from shared.lint.worker import Limits, LintWorker
from shared.vocabulary.findings import Finding, Severity, refuses
from shared.x509.certificate import parse_certificate
from shared.x509.comparison import TrustKind
from shared.x509.csr import parse_csr
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.template import would_be_certificate
from tests.world import make_csr, shared_ca

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
PUBLIC = LintKind.PUBLIC_TLS
SUBJECT = DistinguishedName.of(CN="h0.example.com")
PATIENCE = 60.0

# The real server around a linter of a test's choosing; what it is asked about says what it shall do.
STAND_IN = """
import os, sys, time
from shared.lint.serving import serve
from shared.vocabulary.findings import finding

def lint(der, kind):
    match der:
        case b"hang":
            time.sleep(3600)
        case b"die":
            os._exit(3)
        case b"print":
            print("not an answer", flush=True)
        case b"eat":
            return [finding("lint.ate", str(len(bytearray(1 << 31))))]
        case b"much":
            return [finding("lint.much", "x" * 900) for _ in range(3000)]
    return [finding("lint.stand-in", der.decode(), value=f"{kind} {sorted(os.environ)}")]

serve(lint, seconds=float(sys.argv[1]), memory=int(sys.argv[2]))
"""


@cache
def certificate(names: int) -> bytes:
    return would_be_certificate(
        parse_csr(make_csr("h0.example.com")),
        subject=SUBJECT,
        names=SubjectAltNames(dns=tuple(f"h{number}.example.com" for number in range(names))),
        extensions=(CertificateExtension(type="extendedKeyUsage", values=("serverAuth",)),),
        issuer=parse_certificate(shared_ca().intermediate),
        not_before=BEGIN,
        not_after=BEGIN + timedelta(days=100),
        trust=TrustKind.PUBLIC,
    )


@asynccontextmanager
async def closing(worker: LintWorker) -> AsyncIterator[LintWorker]:
    try:
        yield worker
    finally:
        await worker.aclose()


def stand_in(limits: Limits | None = None, program: str = STAND_IN) -> LintWorker:
    return LintWorker(limits, program=("-c", program))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells when a process ends
            await asyncio.sleep(0.01)


async def said(worker: LintWorker, der: bytes) -> str:
    return " ".join(found.message for found in await worker.lint(der, PUBLIC))


async def test_a_good_certificate_of_each_kind_has_no_errors() -> None:
    async with closing(LintWorker()) as worker:
        for kind in (PUBLIC, LintKind.PRIVATE):
            found = await worker.lint(certificate(1), kind)
            assert not refuses(found), found


async def test_a_flaw_comes_back_from_the_process_as_a_finding() -> None:
    async with closing(LintWorker()) as worker:
        found = await worker.lint(certificate(1)[:-1], PUBLIC)
        assert [finding.code for finding in found] == ["lint.failed"]
        assert [type(finding) for finding in found] == [Finding]
        assert refuses(found)


async def test_one_process_serves_one_certificate_after_the_other() -> None:
    async with closing(stand_in()) as worker:
        assert worker.process_id is None
        answers = await asyncio.gather(*(said(worker, f"number {number}".encode()) for number in range(50)))
        assert answers == [f"number {number}" for number in range(50)]
        first = worker.process_id
        await worker.probe()
        assert worker.process_id == first
        assert first not in (None, os.getpid())


async def test_the_duty_does_not_load_the_linter_itself() -> None:
    program = "import sys, shared.lint.worker; sys.exit('pkilint' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


async def test_the_process_knows_nothing_of_the_dutys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RA_SECRET", "hunter2")
    async with closing(stand_in()) as worker:
        (found,) = await worker.lint(b"x", PUBLIC)
        assert (found.value or "").startswith(PUBLIC)
        assert "RA_SECRET" not in (found.value or "")


async def test_the_event_loop_goes_on_while_a_thousand_names_are_linted() -> None:
    async with closing(LintWorker()) as worker:
        await worker.probe()
        ticks = 0
        linting = asyncio.create_task(worker.lint(certificate(1000), PUBLIC))
        while not linting.done():
            await asyncio.sleep(0)
            ticks += 1
        assert not refuses(await linting)
        assert ticks > 100


async def test_a_process_that_is_killed_at_work_is_replaced() -> None:
    async with closing(stand_in()) as worker:
        await worker.probe()
        victim = worker.process_id
        assert victim is not None
        hanging = asyncio.create_task(worker.lint(b"hang", PUBLIC))
        await asyncio.sleep(0)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(UnavailableError) as away:
            await hanging
        assert away.value.dependency == "linter"
        assert await said(worker, b"after") == "after"
        assert worker.process_id not in (None, victim)


async def test_a_process_that_is_killed_at_rest_is_replaced_unnoticed() -> None:
    async with closing(LintWorker()) as worker:
        await worker.probe()
        victim = worker.process_id
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        await until(lambda: worker.process_id is None)
        assert not refuses(await worker.lint(certificate(1), PUBLIC))


@pytest.mark.parametrize(("der", "seconds"), [(b"hang", 2.0), (b"die", PATIENCE), (b"much", PATIENCE)])
async def test_a_certificate_that_breaks_the_linter_is_refused_the_second_time_and_others_go_on(
    der: bytes, seconds: float
) -> None:
    async with closing(stand_in(Limits(seconds=seconds))) as worker:
        with pytest.raises(UnavailableError) as away:
            await worker.lint(der, PUBLIC)
        assert away.value.dependency == "linter"
        assert await said(worker, b"another") == "another"
        found = await worker.lint(der, PUBLIC)
        assert [(finding.code, finding.severity) for finding in found] == [("lint.failed", Severity.ERROR)]
        assert await said(worker, b"another") == "another"


async def test_a_certificate_that_met_a_dead_process_once_is_not_held_responsible_later() -> None:
    async with closing(stand_in()) as worker:
        for _ in range(3):
            await worker.probe()
            innocent = asyncio.create_task(worker.lint(b"innocent", PUBLIC))
            victim = worker.process_id
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            with suppress(UnavailableError):
                await innocent
            assert await said(worker, b"innocent") == "innocent"


async def test_too_much_memory_is_an_error_in_the_process_and_not_on_the_machine() -> None:
    async with closing(stand_in(Limits(memory_bytes=1 << 30))) as worker:
        with pytest.raises(UnavailableError):
            await worker.lint(b"eat", PUBLIC)
        assert await said(worker, b"after") == "after"


async def test_what_a_library_prints_is_no_answer() -> None:
    async with closing(stand_in()) as worker:
        assert await said(worker, b"print") == "print"


async def test_a_certificate_beyond_the_limit_never_reaches_the_process() -> None:
    async with closing(stand_in(Limits(certificate_bytes=10))) as worker:
        assert [found.code for found in await worker.lint(b"12345678901", PUBLIC)] == ["lint.too-large"]
        assert worker.process_id is None
        assert await said(worker, b"1234567890") == "1234567890"


async def test_beyond_the_bounded_queue_the_linter_is_not_available() -> None:
    async with closing(stand_in(Limits(waiting=3))) as worker:
        answers = await asyncio.gather(*(said(worker, b"x") for _ in range(5)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, UnavailableError)]
        assert len(refused) == 1  # one is at work, three wait
        assert await said(worker, b"later") == "later"


async def test_nobody_waits_for_their_turn_for_ever() -> None:
    async with closing(stand_in(Limits(seconds=2.0, turn_seconds=0.2))) as worker:
        await worker.probe()
        hanging = asyncio.create_task(worker.lint(b"hang", PUBLIC))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="wait before"):
            await worker.lint(b"patient", PUBLIC)
        with pytest.raises(UnavailableError, match="in time"):
            await hanging


async def test_who_gives_up_waiting_leaves_no_answer_behind_for_the_next() -> None:
    async with closing(stand_in()) as worker:
        await worker.probe()
        hanging = asyncio.create_task(worker.lint(b"hang", PUBLIC))
        await _asked(worker, 1)
        hanging.cancel()
        with suppress(asyncio.CancelledError):
            await hanging
        assert hanging.cancelled()
        assert await said(worker, b"next") == "next"


@pytest.mark.parametrize(
    "program", ["raise SystemExit(1)", "import time; time.sleep(3600)", "print('hello, this is no linter at all')"]
)
async def test_a_linter_that_does_not_start_is_not_available_and_no_certificates_fault(program: str) -> None:
    async with closing(stand_in(Limits(start_seconds=0.5), program)) as worker:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="does not start"):
                await worker.lint(b"x", PUBLIC)
        with pytest.raises(UnavailableError, match="does not start"):
            await worker.probe()


async def test_a_program_that_says_something_else_first_is_not_the_linter() -> None:
    program = "import sys, time; sys.stdout.buffer.write(b'\\0\\0\\0\\1x'); sys.stdout.flush(); time.sleep(3600)"
    async with closing(stand_in(Limits(start_seconds=30), program)) as worker:
        with pytest.raises(UnavailableError, match="not the linter"):
            await worker.probe()


async def test_closing_ends_the_process_and_tells_those_who_wait() -> None:
    worker = stand_in()
    await worker.probe()
    process = worker.process_id
    assert process is not None
    waiting = [asyncio.create_task(worker.lint(b"hang", PUBLIC)) for _ in range(3)]
    await _asked(worker, 3)
    await worker.aclose()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 3
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(UnavailableError, match="closed"):
        await worker.lint(b"x", PUBLIC)
    await worker.aclose()


async def test_a_process_that_has_ended_is_reaped_by_the_event_loop_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It died and the event loop has not noticed yet, when it is to be killed: at the end, or after a breakdown."""
    reap, may_reap = os.waitpid, threading.Event()

    def reap_later(process: int, options: int) -> tuple[int, int]:
        if threading.current_thread() is not threading.main_thread():
            assert may_reap.wait(PATIENCE)
        return reap(process, options)

    monkeypatch.setattr(os, "waitpid", reap_later)
    worker = stand_in()
    await worker.probe()
    process = worker.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the event loop is not to notice it yet
    closing = asyncio.create_task(worker.aclose())
    await asyncio.sleep(0)
    may_reap.set()
    await closing
    assert caplog.messages == []
    assert worker.process_id is None


async def test_a_process_without_its_duty_ends_by_itself() -> None:
    async with closing(stand_in()) as worker:
        await worker.probe()
        process = worker._helper._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        await until(lambda: worker.process_id is None)
        assert process.returncode == 0


async def test_a_hanging_process_without_its_duty_ends_by_its_own_limit() -> None:
    async with closing(stand_in(Limits(seconds=0.5))) as worker:
        await worker.probe()
        process = worker._helper._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(b"\x00\x00\x00\x0fpublic-tls\nhang")
        await until(lambda: worker.process_id is None)
        assert process.returncode == -signal.SIGALRM


@pytest.mark.parametrize("names", [1, 100, 250])
async def test_the_time_for_a_certificate_is_measured_and_printed(names: int) -> None:
    async with closing(LintWorker()) as worker:
        await worker.probe()
        begun = time.perf_counter()
        for _ in range(10):
            assert not refuses(await worker.lint(certificate(names), PUBLIC))
        print(f"linted {names} names in {100 * (time.perf_counter() - begun):.1f} ms")  # noqa: T201 - the measurement


async def _asked(worker: LintWorker, times: int) -> None:
    """Return once so many certificates are with the worker, and one of them has its turn."""
    while worker._helper._waiting < times - 1 or not worker._helper._turn.locked():  # noqa: ASYNC110 - it says so to nobody
        await asyncio.sleep(0)
