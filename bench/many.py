"""What summary and list need with very many requests in the database, against what they need with a hundred.

The handlers are asked as by an approver, over a database server of their own; the broker's part is the same for both.
Times are told as a ratio: that holds on any machine. Besides, it is counted what they read.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.figures import Figure
from shared.clock import SystemClock
from shared.contracts import commands
from shared.evidence.in_force import PolicyInForce
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName
from tests import world
from tests.fakes.crowd import Crowd
from tests.fakes.large import Large, large_databases

MOST_RATIO = 2.0
ROUNDS = 60
PAGE = 50
GROUPS = (ApprovalGroupName("web"),)
FEW = Crowd(GROUPS, closed=0, pending=100)
MANY = Crowd(GROUPS, closed=100_000, pending=5_000, first=100)


async def measure() -> list[Figure]:
    """Figures with few requests and with many."""
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        async with large_databases(Path(folder), PolicyInForce(world.policy()), SystemClock()) as large:
            large.settle(FEW)
            few = await _timed(large)
            large.settle(MANY)
            many = await _timed(large)
            return [
                Figure("closed and pending requests", MANY.closed + MANY.pending, ""),
                *(
                    figure
                    for name in few
                    for figure in (
                        Figure(f"{name}, with these over with 100", many[name] / few[name], "", at_most=MOST_RATIO),
                        Figure(f"  {name}, with these", 1000 * many[name], "ms"),
                    )
                ),
                *await _read(large),
            ]


async def _timed(large: Large) -> dict[str, float]:
    """Seconds, the median of many rounds; what a process learns at its first call, it knows by then."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "summary": large.summary,
        "first page of the list": lambda: large.pending(commands.ListPending(limit=PAGE)),
    }
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, ask in asked.items():
            begun = time.perf_counter()
            await ask()
            took[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in took.items()}


async def _read(large: Large) -> list[Figure]:
    """What one call of each reads."""
    for watched in large.watched.values():
        watched.clear()
    await large.summary()
    await large.pending(commands.ListPending(limit=PAGE))
    tallies = sum(number for _, number in large.watched[Duty.INTAKE].given)
    *ids, cases = [number for _, number in large.watched[Duty.APPROVAL].given]
    looked_at = await asyncio.to_thread(large.looked_at, Duty.APPROVAL)
    return [
        Figure("documents read for a summary", tallies, "", at_most=2 * len(GROUPS)),
        Figure(f"cases read for a page of {PAGE}", cases, "", at_most=PAGE, at_least=PAGE),
        Figure("  ids read from the index", sum(ids), "", at_most=PAGE + 1),
        Figure("  documents that the server looked at", looked_at, "", at_most=2 * PAGE + 1),
    ]
