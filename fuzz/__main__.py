"""The door to fuzzing: `python -m fuzz run` looks for input that breaks something, `try` repeats what was found."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
CRASHES = ROOT / "fuzz" / "crashes"
MOST_SECONDS_EACH = 25
MOST_MEGABYTES = 2048
_START_SECONDS = 120


def main() -> int:
    """Do as the arguments say; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="fuzz the targets, one after the other")
    run.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; without any, all of them")
    run.add_argument("--seconds", type=int, default=60, help="for all of them together")
    again = commands.add_parser("try", help="give one file to one target, without the fuzzer")
    again.add_argument("target", choices=TARGETS)
    again.add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "try":
        TARGETS[arguments.target].run(arguments.file.read_bytes())
        print("Nothing broke.")
        return 0
    if unknown := set(arguments.targets) - TARGETS.keys():
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    return run_targets(arguments.targets or list(TARGETS), seconds=arguments.seconds)


def run_targets(names: list[str], *, seconds: int) -> int:
    """Fuzz these targets for so long together; 0 when none broke."""
    each = max(1, seconds // len(names))
    print(f"Fuzzing {', '.join(names)}, each for {each} seconds and what starting takes.", flush=True)
    broken = [name for name in names if not _fuzz(name, each)]
    if broken:
        print(f"Broken: {', '.join(broken)}. The input is in {CRASHES.relative_to(ROOT)}; see above how to repeat it.")
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Whether nothing was found."""
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    before = set(CRASHES.iterdir())
    with tempfile.TemporaryDirectory() as seeds:
        options = (
            str(corpus),
            f"-max_total_time={seconds}",
            f"-timeout={MOST_SECONDS_EACH}",
            f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-artifact_prefix={CRASHES}/{name}-",
        )
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.engine", name, seeds, *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + MOST_SECONDS_EACH + _START_SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    if done.returncode == 0:
        print(f"  {name}: {_summary(done.stdout)}", flush=True)
        return True
    print(_worth_reading(done.stdout))
    for path in sorted(set(CRASHES.iterdir()) - before):
        print(f"Repeat it with: .venv/bin/python -m fuzz try {name} {path.relative_to(ROOT)}", flush=True)
    return False


def _summary(output: str) -> str:
    """What libFuzzer says at the end, in words."""
    done = re.search(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: \d+ corp: (\d+)", output, re.MULTILINE)
    if done is None:
        return "done"
    inputs, branches, kept = done.groups()
    return f"{inputs} inputs tried, {branches} branches seen, {kept} inputs kept; nothing broke"


def _worth_reading(output: str) -> str:
    lines = [line for line in output.splitlines() if not line.startswith(("INFO: ", "WARNING: ", "#"))]
    return "\n".join(lines[-60:])


if __name__ == "__main__":
    sys.exit(main())
