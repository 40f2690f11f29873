"""What hostile requests do to a running intake: its linter never hears of them, and its probes go on answering."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.figures import Figure
from bench.hostile import hostile_requests
from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.client.profile import read_profile
from shared.vocabulary.duties import Duty
from tests import world

ANSWER_SECONDS = 60.0
PROBE_SECONDS = 10.0
AT_ONCE = 16
"""Requests under way at the same time: more than intake takes in hand."""
PATHS = ("/healthz", "/readyz")


@dataclass
class Probing:
    """How the probes were answered."""

    seconds: list[float] = field(default_factory=list)
    unanswered: int = 0
    """Not at all, too late, or with anything but 200."""


async def measure() -> list[Figure]:
    """Figures of a stack of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        stack = Stack(Path(folder))
        try:
            await asyncio.to_thread(stack.up)
            return await besiege(stack, [text for _, text in hostile_requests()])
        finally:
            await asyncio.to_thread(stack.destroy)


async def besiege(stack: Stack, texts: list[str]) -> list[Figure]:
    """Figures of a running stack to which these requests are submitted."""
    profile = read_profile(stack.profile_file("shop"))
    async with RaClient.from_profile(profile, timeout_seconds=ANSWER_SECONDS) as shop:
        await shop.submit(world.content())  # so that the linter is there, and has been asked before
        linter = _linter_of(stack)
        before = _bytes_read(linter)
        with _probed(stack) as probing:
            begun = time.perf_counter()
            refused = await _submit_all(shop, texts)
            took = time.perf_counter() - begun
        during = _bytes_read(linter)
        await shop.submit(world.content())
        return [
            Figure("hostile requests", len(texts), ""),
            Figure("  not refused", len(texts) - refused, "", at_most=0),
            Figure("  bytes given to the linter", during - before, "", at_most=0),
            Figure("  the same for one good request", _bytes_read(linter) - during, "", at_least=1),
            Figure("  probes meanwhile", len(probing.seconds), "", at_least=1),
            Figure("  probes not answered with 200", probing.unanswered, "", at_most=0),
            Figure("  slowest answer to a probe", 1000 * max(probing.seconds, default=0.0), "ms"),
            Figure("  time for all of them", took, "s"),
        ]


async def _submit_all(shop: RaClient, texts: list[str]) -> int:
    """How many of these requests are refused."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def is_refused(text: str) -> bool:
        async with slots:
            try:
                await shop.submit(world.content(csr=text))
            except CommandRefusedError:
                return True
            return False

    return sum(await asyncio.gather(*map(is_refused, texts)))


@contextmanager
def _probed(stack: Stack) -> Iterator[Probing]:
    """Ask intake for its health and its readiness, from a thread of its own, one after the other without a pause."""
    probing, done = Probing(), threading.Event()
    base = stack.duties[Duty.INTAKE].ready_url.removesuffix(PATHS[1])

    def ask() -> None:
        with httpx.Client(base_url=base, timeout=PROBE_SECONDS, trust_env=False) as http:
            while not done.is_set():
                for path in PATHS:
                    _ask(http, path, probing)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield probing
    finally:
        done.set()
        thread.join()


def _ask(http: httpx.Client, path: str, probing: Probing) -> None:
    begun = time.perf_counter()
    try:
        answered = http.get(path).status_code == httpx.codes.OK
    except httpx.HTTPError:
        answered = False
    probing.seconds.append(time.perf_counter() - begun)
    probing.unanswered += not answered


def _linter_of(stack: Stack) -> int:
    """The number of the linter's process: a child of intake's."""
    intake = stack.duties[Duty.INTAKE].program.process
    if intake is None:
        raise RuntimeError("intake does not run")
    for status in Path("/proc").glob("[0-9]*/stat"):
        parent = int(status.read_text().rpartition(")")[2].split()[1])
        if parent == intake.pid and b"shared.lint" in status.with_name("cmdline").read_bytes():
            return int(status.parent.name)
    raise RuntimeError("intake has no linter")


def _bytes_read(process: int) -> int:
    """How many bytes a process has read so far (proc(5)); the linter reads nothing but what it is asked."""
    (line,) = [line for line in Path(f"/proc/{process}/io").read_text().splitlines() if line.startswith("rchar:")]
    return int(line.split()[1])
