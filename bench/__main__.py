"""`python -m bench`: the figures of the benches that are named, or of all, as a table; 1 when a limit is missed."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench import duty, many, screening
from bench.figures import Figure, as_json, as_table

BENCHES: Mapping[str, Callable[[], Awaitable[Sequence[Figure]]]] = {
    "screening": screening.measure,
    "hostile": duty.measure,
    "many": many.measure,
}


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; without any, all")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    if unknown := set(arguments.benches) - BENCHES.keys():
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    figures = asyncio.run(_measured(arguments.benches or list(BENCHES)))
    print(as_json(figures) if arguments.json else as_table(figures))
    return 0 if all(figure.holds for figure in figures) else 1


async def _measured(names: Sequence[str]) -> list[Figure]:
    return [figure for name in names for figure in await BENCHES[name]()]


if __name__ == "__main__":
    sys.exit(main())
