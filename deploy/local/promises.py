"""`python -m deploy.local.promises`: shows, one after the other, that what the documentation promises holds.

The promises are the rows of the tables in `docs/promises.md`. With `ONLY=pattern` in the environment, only those
are shown whose id or sentence the regular expression finds, in upper or lower case.
"""

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "promises.md"
COLUMNS = ["id", "promise", "command"]
PROGRAMS = ("pytest", "make", "python")

LIMIT_SECONDS = 1200.0
GRACE_SECONDS = 30.0
SENTENCE_WIDTH = 64
TAIL_LINES = 40

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)\b")


class PromisesError(Exception):
    """The page can't be used; the message names every mistake in it."""


@dataclass(frozen=True)
class Promise:
    """One row: a sentence that users rely on, and the command that shows it."""

    id: str
    sentence: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `failure` says why it shows nothing, and is empty when it shows the promise."""

    failure: str
    seconds: float
    output: str = ""


def read_promises(page: str) -> list[Promise]:
    """The promises of a page, in its order.

    Raises:
        PromisesError: a row lacks a part, an id stands twice, or there is no row at all.
    """
    promises: dict[str, Promise] = {}
    mistakes = []
    for number, cells in _rows(page):
        try:
            promise = _promise(cells)
        except ValueError as error:
            mistakes.append(f"line {number}: {error}")
            continue
        if promise.id in promises:
            mistakes.append(f"line {number}: the id {promise.id} stands there twice")
        promises[promise.id] = promise
    if not promises and not mistakes:
        mistakes.append(f"there is no row: a table of promises has the columns {', '.join(COLUMNS)}")
    if mistakes:
        raise PromisesError("\n".join(mistakes))
    return list(promises.values())


def _rows(page: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of those tables that have our columns, with the numbers of their lines."""
    inside = False
    for number, line in enumerate(page.splitlines(), start=1):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells == COLUMNS:
            inside = True
        elif inside and not all(set(cell) <= {"-", ":"} and cell for cell in cells):
            yield number, cells


def _promise(cells: Sequence[str]) -> Promise:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"a row has {len(COLUMNS)} cells, this one has {len(cells)}")
    name, sentence, quoted = cells
    if not _ID.fullmatch(name):
        raise ValueError(f"an id is made of small letters, digits and hyphens: {name!r}")
    if not sentence:
        raise ValueError(f"{name}: the sentence is missing")
    if not re.fullmatch(r"`[^`]+`", quoted):
        raise ValueError(f"{name}: exactly one command stands between backticks: {quoted!r}")
    command = tuple(shlex.split(quoted.strip("`")))
    if len(command) < 2 or command[0] not in PROGRAMS:  # noqa: PLR2004 - a program and what it is to run
        raise ValueError(f"{name}: a command begins with one of {', '.join(PROGRAMS)} and says what to run")
    return Promise(name, sentence, command)


def check_commands(promises: Iterable[Promise], root: Path) -> None:
    """Check, without running anything, that what the commands name is there.

    Raises:
        PromisesError: it is not; the message names everything that is missing.
    """
    missing = [f"{promise.id}: {mistake}" for promise in promises for mistake in _missing(promise.command, root)]
    if missing:
        raise PromisesError("\n".join(missing))


def _missing(command: Sequence[str], root: Path) -> Iterator[str]:
    program, *arguments = command
    if program == "pytest":
        for argument in arguments:
            yield from _missing_test(argument, root)
    elif program == "make":
        makefile = (root / "Makefile").read_text()
        for target in arguments:
            if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
                yield f"the Makefile has no target {target}"
    elif arguments[0] != "-m" or len(arguments) < 2 or not _module_exists(arguments[1], root):  # noqa: PLR2004 - -m MODULE
        yield f"python is given -m and a module of ours: {shlex.join(arguments)}"


def _missing_test(node_id: str, root: Path) -> Iterator[str]:
    path, *names = node_id.partition("[")[0].split("::")
    file = root / path
    if path.startswith("-") or file.suffix != ".py":
        yield f"pytest is given ids of tests only: {node_id}"
    elif not file.is_file():
        yield f"there is no file {path}"
    elif not _has_test(ast.parse(file.read_text()).body, names):
        yield f"there is no such test: {node_id}"


def _has_test(body: Sequence[ast.stmt], names: Sequence[str]) -> bool:
    """Whether the test of this name is in a module or class; without a name, whether there is any test."""
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not names:
        return any(name.startswith("test_") for name in functions)
    name, *inner = names
    if not inner:
        return name.startswith("test_") and name in functions
    return any(_has_test(node.body, inner) for node in body if isinstance(node, ast.ClassDef) and node.name == name)


def _module_exists(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def select(promises: Sequence[Promise], pattern: str) -> list[Promise]:
    """Those whose id or sentence the pattern finds.

    Raises:
        PromisesError: it finds none, or is no regular expression.
    """
    try:
        wanted = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise PromisesError(f"ONLY={pattern} is no regular expression: {error}") from None
    found = [promise for promise in promises if wanted.search(promise.id) or wanted.search(promise.sentence)]
    if not found:
        raise PromisesError(f"ONLY={pattern} finds no promise.")
    return found


def show(promise: Promise, root: Path, *, limit: float = LIMIT_SECONDS) -> Outcome:
    """Runs the promise's command to its end, or to the limit."""
    began = time.monotonic()
    status, output = _run(_expanded(promise.command), root, limit)
    seconds = time.monotonic() - began
    if status is None:
        return Outcome(f"took longer than {limit:g} seconds", seconds, output)
    if promise.command[0] == "pytest":
        return Outcome(judge_pytest(status, output), seconds, output)
    return Outcome(f"exit status {status}" if status else "", seconds, output)


def judge_pytest(status: int, output: str) -> str:
    """Why this run of pytest shows nothing; empty when tests ran and every one of them passed."""
    summary = next((line for line in reversed(output.splitlines()) if _COUNT.search(line)), "")
    counts = {kind: int(count) for count, kind in _COUNT.findall(summary)}
    if status != 0 and not counts.get("passed") and not counts.get("failed"):
        return f"pytest ended with exit status {status}"
    others = [f"{count} {kind}" for kind, count in counts.items() if kind != "passed"]
    if status != 0 or others:
        return ", ".join(others) or f"exit status {status}"
    return "" if counts.get("passed") else "no test ran"


def _expanded(command: Sequence[str]) -> list[str]:
    program, *arguments = command
    match program:
        case "pytest":
            return [sys.executable, "-m", "pytest", "-q", *arguments]
        case "make":
            return ["make", "--no-print-directory", *arguments]
        case _:
            return [sys.executable, *arguments]


def _run(command: Sequence[str], root: Path, limit: float) -> tuple[int | None, str]:
    """The exit status, None for none in time, and what was printed; whatever it started ends with it."""
    process = subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return None, _end(process)
    except BaseException:
        _end(process)
        raise
    return process.returncode, output


def _end(process: subprocess.Popen[str]) -> str:
    """Interrupts the command, so that it can clear up, and kills its group if it does not end; what it printed."""
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=GRACE_SECONDS)[0]
    return ""


def main() -> int:
    """The exit status: 0 when every promise was shown, else 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it, theirs too
    try:
        promises = read_promises(PAGE.read_text())
        check_commands(promises, ROOT)
        promises = select(promises, os.environ.get("ONLY", ""))
    except PromisesError as error:
        print(f"{PAGE.relative_to(ROOT)}:\n{error}", file=sys.stderr)
        return 1
    try:
        return _show_all(promises)
    except KeyboardInterrupt:
        return 130


def _show_all(promises: Sequence[Promise]) -> int:
    width = max(len(promise.id) for promise in promises)
    _say(f"{'id':<{width}}  {'promise':<{SENTENCE_WIDTH}}  {'result':<6}  seconds")
    failures = []
    for promise in promises:
        first, *further = textwrap.wrap(promise.sentence, SENTENCE_WIDTH)
        print(f"{promise.id:<{width}}  {first:<{SENTENCE_WIDTH}}  ", end="", flush=True)
        outcome = show(promise, ROOT)
        _say(f"{'FAILED' if outcome.failure else 'shown':<6}  {outcome.seconds:7.1f}")
        for line in further:
            _say(f"{'':<{width}}  {line}")
        if outcome.failure:
            failures.append((promise, outcome))
    for promise, outcome in failures:
        _say(f"\n{promise.id} FAILED: {outcome.failure}\n$ {shlex.join(promise.command)}")
        _say(textwrap.indent("\n".join(outcome.output.splitlines()[-TAIL_LINES:]), "  "))
    _say(f"\n{len(promises) - len(failures)} of {len(promises)} promises shown.")
    return 1 if failures else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
