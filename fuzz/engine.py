"""The process in which atheris tries one target: `python -m fuzz.engine TARGET SEEDS [options of libFuzzer…]`.

`python -m fuzz` starts it; it writes the target's seeds into the folder SEEDS and never returns. Its exit status is
libFuzzer's: 0 when the time is over, anything else when something was found.
"""

import logging
import sys
from pathlib import Path
from random import Random

import atheris
import structlog

with atheris.instrument_imports(include=["services", "shared", "badkeys", "idna", "publicsuffixlist"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Try one target until the time is over or something is found."""
    program, name, folder, *options = sys.argv
    target = TARGETS[name]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        processors=[structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)],
    )
    seeds = Path(folder)
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:04}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        return target.mutate(data, Random(seed), lambda part: atheris.Mutate(part, max(2 * len(part), 64)))[:max_size]  # noqa: S311 - the fuzzer's own number

    atheris.Setup([program, *options, folder, f"-max_len={target.max_bytes}"], target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
