"""The table of promises, how it is read, and when a command shows nothing."""

import re
from pathlib import Path

import pytest

from deploy.local import promises
from deploy.local.promises import (
    PAGE,
    ROOT,
    Promise,
    PromisesError,
    check_commands,
    judge_pytest,
    read_promises,
    select,
    show,
)

HEAD = "| id | promise | command |\n|---|---|---|\n"
GOOD = HEAD + "| one | It holds. | `pytest tests/test_it.py::test_it` |\n| two | So does this. | `make demo` |\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a few tests, a Makefile and a module."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import pytest\n"
        "def test_it() -> None: pass\n"
        "async def test_later() -> None: pass\n"
        "def helper() -> None: pass\n"
        "def test_not() -> None: raise AssertionError('this is why')\n"
        "@pytest.mark.skip\ndef test_skipped() -> None: pass\n"
        "class TestGroup:\n    def test_inner(self) -> None: pass\n"
    )
    (tmp_path / "Makefile").write_text("demo: ## show it\n\t@true\nbroken:\n\t@echo no; false\n")
    (tmp_path / "tool.py").write_text("print('done')\n")
    return tmp_path


def _promise(command: str) -> Promise:
    return read_promises(f"{HEAD}| one | It holds. | `{command}` |\n")[0]


def test_each_row_of_each_table_is_a_promise_in_its_order() -> None:
    page = f"# Words\n\n{GOOD}\ntext\n\n{HEAD}| three | And this. | `python -m tool x 'y z'` |\n"
    found = read_promises(page)
    assert [promise.id for promise in found] == ["one", "two", "three"]
    assert found[2].command == ("python", "-m", "tool", "x", "y z")


def test_tables_with_other_columns_are_not_read() -> None:
    assert len(read_promises("| a | b |\n|---|---|\n| c | d |\n\n" + GOOD)) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("| one | It holds. | |", "one command"),
        ("| one | It holds. | pytest tests/test_it.py |", "one command"),
        ("| one | It holds. | `` |", "one command"),
        ("| one | It holds. | `make demo` and `make up` |", "one command"),
        ("| one | It holds. | `pytest` |", "says what to run"),
        ("| one | It holds. | `rm -r .` |", "begins with one of"),
        ("| one | It holds. |", "3 cells"),
        ("| one | | `make demo` |", "sentence is missing"),
        ("| One Two | It holds. | `make demo` |", "small letters"),
        ("| two | It holds. | `make demo` |", "twice"),
    ],
)
def test_a_row_that_shows_nothing_is_a_mistake_with_its_line(row: str, reason: str) -> None:
    with pytest.raises(PromisesError, match=rf"line 5: .*{reason}"):
        read_promises(GOOD + row)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(PromisesError) as raised:
        read_promises(GOOD + "| x | y |\n| one | It holds. | |\n")
    assert len(str(raised.value).splitlines()) == 2


def test_a_page_without_promises_is_a_mistake() -> None:
    with pytest.raises(PromisesError, match="no row"):
        read_promises("# Nothing here\n")


@pytest.mark.parametrize(
    "command",
    [
        "pytest tests/test_it.py",
        "pytest tests/test_it.py::test_it tests/test_it.py::test_later",
        "pytest tests/test_it.py::test_it[some-case]",
        "pytest tests/test_it.py::TestGroup::test_inner",
        "make demo",
        "python -m tool",
    ],
)
def test_a_command_that_names_what_is_there_is_good(tree: Path, command: str) -> None:
    check_commands([_promise(command)], tree)


@pytest.mark.parametrize(
    "command",
    [
        "pytest tests/test_other.py",
        "pytest tests/test_it.py::test_gone",
        "pytest tests/test_it.py::helper",
        "pytest tests/test_it.py::TestGone::test_inner",
        "pytest tests/test_it.py::test_it tests/test_it.py::test_gone",
        "pytest tests",
        "pytest -k it",
        "make nothing",
        "python -m gone",
        "python tool.py",
    ],
)
def test_a_command_that_names_what_is_not_there_is_a_mistake(tree: Path, command: str) -> None:
    with pytest.raises(PromisesError, match="one: "):
        check_commands([_promise(command)], tree)


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("pytest tests/test_it.py::test_it", ""),
        ("pytest tests/test_it.py::test_not", "1 failed"),
        ("pytest tests/test_it.py::test_it tests/test_it.py::test_skipped", "1 skipped"),
        ("pytest tests/test_it.py::test_skipped", "1 skipped"),
        ("pytest tests/test_it.py::test_gone", "exit status 4"),
        ("make demo", ""),
        ("make broken", "exit status 2"),
        ("python -m tool", ""),
    ],
)
def test_a_promise_is_shown_when_its_command_did_what_it_says(tree: Path, command: str, failure: str) -> None:
    outcome = show(_promise(command), tree)
    assert outcome.failure == failure or (failure and failure in outcome.failure)
    assert outcome.seconds > 0


def test_a_failure_keeps_what_the_command_said(tree: Path) -> None:
    assert "this is why" in show(_promise("pytest tests/test_it.py::test_not"), tree).output


def test_a_command_that_takes_too_long_is_ended(tree: Path) -> None:
    (tree / "slow.py").write_text("import time\nprint('began', flush=True)\ntime.sleep(60)\nprint('went on')\n")
    outcome = show(_promise("python -m slow"), tree, limit=1.0)
    assert "longer than 1 seconds" in outcome.failure
    assert "began" in outcome.output
    assert "went on" not in outcome.output


@pytest.mark.parametrize(
    ("status", "output", "failure"),
    [
        (0, "..\n2 passed in 0.11s\n", ""),
        (0, "= 12 passed in 61.00s (0:01:01) =\n", ""),
        (5, "no tests ran in 0.01s\n", "exit status 5"),
        (0, "no tests ran in 0.01s\n", "no test ran"),
        (0, "1 skipped in 0.01s\n", "1 skipped"),
        (1, "1 failed, 3 passed in 0.01s\n", "1 failed"),
        (1, "3 passed, 1 error in 0.01s\n", "1 error"),
        (0, "3 passed, 1 xfailed in 0.01s\n", "1 xfailed"),
        (0, "3 passed, 2 deselected in 0.01s\n", "2 deselected"),
        (1, "3 passed in 0.01s\n", "exit status 1"),
    ],
)
def test_only_a_run_in_which_every_test_passed_shows_something(status: int, output: str, failure: str) -> None:
    judged = judge_pytest(status, output)
    assert failure in judged if failure else not judged


def test_only_picks_by_id_or_sentence_in_any_case() -> None:
    found = read_promises(GOOD)
    assert [promise.id for promise in select(found, "SO DOES")] == ["two"]
    assert [promise.id for promise in select(found, "^one$")] == ["one"]
    assert select(found, "") == found


@pytest.mark.parametrize("pattern", ["nothing-like-it", "("])
def test_a_pattern_that_picks_nothing_is_a_mistake(pattern: str) -> None:
    with pytest.raises(PromisesError, match="ONLY"):
        select(read_promises(GOOD), pattern)


def test_the_program_shows_one_line_each_and_fails_when_one_of_them_does(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "docs").mkdir()
    page = tree / "docs" / "promises.md"
    page.write_text(GOOD)
    monkeypatch.setattr(promises, "ROOT", tree)
    monkeypatch.setattr(promises, "PAGE", page)
    monkeypatch.delenv("ONLY", raising=False)
    assert promises.main() == 0
    assert re.search(r"^two +So does this\. +shown +\d+\.\d$", capsys.readouterr().out, re.MULTILINE)
    page.write_text(GOOD + "| three | This fails. | `pytest tests/test_it.py::test_not` |\n")
    assert promises.main() == 1
    shown = capsys.readouterr().out
    assert re.search(r"^three +This fails\. +FAILED", shown, re.MULTILINE)
    assert "this is why" in shown
    assert "2 of 3 promises shown." in shown
    monkeypatch.setenv("ONLY", "one")
    assert promises.main() == 0
    assert "1 of 1 promises shown." in capsys.readouterr().out
    page.write_text(GOOD + "| three | This is not there. | `pytest tests/test_gone.py` |\n")
    assert promises.main() == 1
    assert "test_gone.py" in capsys.readouterr().err


def test_the_page_of_the_promises_names_only_what_is_there() -> None:
    check_commands(read_promises(PAGE.read_text()), ROOT)
