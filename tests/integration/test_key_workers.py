import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from services.issuer.making.ports import KeyMaker, Made
from services.issuer.making.worker import KeyWorkers, Limits
from shared.errors import RefusedError, UnavailableError
from shared.password import Password
from shared.x509.csr import parse_csr
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.keypairs import decrypted_pkcs8, public_key_der
from shared.x509.names import DistinguishedName, SubjectAltNames
from tests.world import DAY, NOW, shared_ca

WORDS = "gravel-Pilot7-umbra-tofu"
PASSWORD = Password(WORDS)
SUBJECT = DistinguishedName.of(CN="www.example.com")
NAMES = SubjectAltNames(dns=("www.example.com",))
PATIENCE = 60.0

# The real process around jobs of a test's choosing: the type of key says what it shall do.
STAND_IN = """
import json, os, sys, time
from shared.process import far
from services.issuer.making.workshop import answer

def stand_in(asked):
    match json.loads(asked)["key_type"]:
        case "hang":
            time.sleep(3600)
        case "die":
            os._exit(3)
        case "raise":
            raise ValueError(asked)
        case "print":
            print(asked, flush=True)
            print(asked, file=sys.stderr, flush=True)
            return b'{"packed": "AA=="}'
        case "nice":
            return json.dumps({"bug": str(os.nice(0))}).encode()
    return answer(asked)

far.serve(stand_in, seconds=float(sys.argv[1]), memory=1 << 30, niceness=10)
"""


@asynccontextmanager
async def closing(workers: KeyWorkers) -> AsyncIterator[KeyWorkers]:
    try:
        yield workers
    finally:
        await workers.aclose()


def stand_in(limits: Limits | None = None) -> KeyWorkers:
    return KeyWorkers(limits, program=("-c", STAND_IN))


async def make(maker: KeyMaker, kind: str = "ecdsa-p256", *extensions: CertificateExtension) -> Made:
    return await maker.make(PASSWORD, kind, SUBJECT, NAMES, extensions)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells what another process is at
            await asyncio.sleep(0.01)


async def test_a_key_is_made_requested_certified_and_packed() -> None:
    async with closing(KeyWorkers()) as workers:
        made = await make(workers, "ecdsa-p384")
        csr = parse_csr(made.csr)
        assert (csr.subject, csr.names, csr.spki) == (SUBJECT, NAMES, made.public_key)
        assert public_key_der(decrypted_pkcs8(made.pkcs8, PASSWORD)) == made.public_key
        leaf = shared_ca().certify(
            made.csr, NAMES.dns, common_name="www.example.com", not_before=NOW, not_after=NOW + DAY
        )
        packed = await workers.pack(
            made.pkcs8,
            PASSWORD,
            leaf,
            [shared_ca().intermediate],
            friendly_name="www",
            encryption=Pkcs12Encryption.PBES2_AES_256,
        )
        read = load_pkcs12(packed, WORDS.encode())
        assert read.key is not None
        assert len(read.additional_certs) == 1


async def test_a_refusal_comes_back_with_its_findings() -> None:
    bad = CertificateExtension(type="keyUsage", values=("encipherOnly",))
    async with closing(KeyWorkers()) as workers:
        with pytest.raises(RefusedError, match=r"csr\.unfit"):
            await make(workers, "ecdsa-p256", bad)
        made = await make(workers)
        with pytest.raises(RefusedError, match=r"key\.unopenable"):
            await workers.pack(
                made.pkcs8,
                Password("another"),
                shared_ca().intermediate,
                [],
                friendly_name="www",
                encryption=Pkcs12Encryption.PBES2_AES_256,
            )


async def test_what_nobody_foresaw_is_a_bug_that_tells_nothing_of_the_job() -> None:
    async with closing(KeyWorkers()) as workers:
        with pytest.raises(RuntimeError, match="ValueError") as failed:
            await make(workers, "rsa-1024")
        assert WORDS not in str(failed.value)
        assert (await make(workers)).csr


@pytest.mark.parametrize("kind", ["die", "raise", "hang"])
async def test_a_process_that_dies_at_work_is_replaced_and_the_job_is_for_later(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with closing(stand_in(Limits(seconds=2.0 if kind == "hang" else PATIENCE))) as workers:
        with pytest.raises(UnavailableError) as away:
            await make(workers, kind)
        assert away.value.dependency == "key maker"
        assert (await make(workers, "ed25519")).csr
    said = capfd.readouterr()
    assert WORDS not in said.out + said.err


async def test_a_process_that_is_killed_at_work_is_replaced() -> None:
    async with closing(stand_in()) as workers:
        await workers.probe()
        (victim,) = workers.process_ids
        hanging = asyncio.create_task(make(workers, "hang"))
        await asyncio.sleep(0)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            await hanging
        assert (await make(workers, "ed25519")).csr
        assert workers.process_ids != [victim]


async def test_the_password_is_in_no_argument_no_environment_and_no_output(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RA_SECRET", "hunter2")
    async with closing(stand_in()) as workers:
        with pytest.raises(RuntimeError, match="another job"):
            await make(workers, "print")
        (process,) = workers.process_ids
        for file in ("cmdline", "environ"):
            content = await asyncio.to_thread(Path(f"/proc/{process}/{file}").read_bytes)
            assert content
            assert WORDS.encode() not in content
            assert b"hunter2" not in content
    said = capfd.readouterr()
    assert WORDS not in said.out + said.err


async def test_the_processes_give_way_to_the_duty() -> None:
    async with closing(stand_in()) as workers:
        with pytest.raises(RuntimeError) as told:
            await make(workers, "nice")
        assert int(str(told.value).split()[-1]) == os.nice(0) + 10


async def test_the_processes_leave_no_dump_of_their_memory() -> None:
    program = """
import ctypes, resource, sys
from shared.process import far

def answer(_asked):
    return f"{ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)} {resource.getrlimit(resource.RLIMIT_CORE)}".encode()

far.serve(answer, seconds=60.0, memory=1 << 30)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(b"\0\0\0\1x")
    assert said.endswith(b"0 (0, 0)")


async def test_jobs_go_to_the_process_with_the_least_to_do() -> None:
    async with closing(stand_in(Limits(processes=2))) as workers:
        await workers.probe()
        hanging = asyncio.create_task(make(workers, "hang"))
        await asyncio.sleep(0)
        for _ in range(3):
            assert (await make(workers, "ed25519")).csr
        assert len(workers.process_ids) == 2
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_beyond_so_many_jobs_the_rest_is_for_later() -> None:
    async with closing(stand_in(Limits(waiting=2))) as workers:
        answers = await asyncio.gather(*(make(workers, "ed25519") for _ in range(5)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, UnavailableError)]
        assert len(refused) == 2  # one is at work, two wait


async def test_closing_ends_the_processes_and_tells_those_who_wait() -> None:
    workers = stand_in(Limits(processes=2))
    await workers.probe()
    processes = workers.process_ids
    waiting = [asyncio.create_task(make(workers, "hang")) for _ in range(4)]
    await asyncio.sleep(0)
    await workers.aclose()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 4
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


async def test_the_event_loop_goes_on_while_a_large_key_is_made() -> None:
    async with closing(KeyWorkers()) as workers:
        await workers.probe()
        ticks = 0
        making = asyncio.create_task(make(workers, "rsa-3072"))
        while not making.done():
            await asyncio.sleep(0)
            ticks += 1
        assert (await making).csr
        assert ticks > 100
