"""`ra desk` opens the full-screen desk in a terminal, and only there."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.exits import Exit
from services.desk.tui.app import DeskApp

PROFILE = """\
identity = "alice"
[broker]
host = "h"
port = 1
virtual_host = "v"
password_file = "password"
"""


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "profile.toml"
    path.write_text(PROFILE)
    return str(path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[DeskApp]:
    """In a terminal; the desks that were opened and closed again at once."""
    found: list[DeskApp] = []

    async def run(self: DeskApp) -> None:
        found.append(self)

    monkeypatch.setattr("services.desk.commands.full_screen._is_terminal", lambda: True)
    monkeypatch.setattr(DeskApp, "run_async", run)
    return found


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("arguments", [("desk",), ("desk", "open")])
def test_in_a_terminal_the_desk_opens(opened: list[DeskApp], profile: str, arguments: tuple[str, ...]) -> None:
    for given in (("--profile", profile, *arguments), (*arguments, "--profile", profile)):
        assert _run(*given).exit_code == Exit.OK
    assert len(opened) == 2


def test_without_a_terminal_nothing_is_opened(profile: str) -> None:
    helped = _run("desk", "--profile", profile)
    assert helped.exit_code == Exit.USAGE
    assert "approve" in helped.output
    refused = _run("desk", "open", "--profile", profile)
    assert refused.exit_code == Exit.USAGE
    assert "needs a terminal" in refused.stderr


def test_programs_are_not_given_a_screen(opened: list[DeskApp], profile: str) -> None:
    for arguments in (("desk", "--json"), ("desk", "open", "--json")):
        assert _run(*arguments, "--profile", profile).exit_code == Exit.USAGE
    assert opened == []


def test_a_profile_that_cant_be_used_is_told_before_anything_is_opened(opened: list[DeskApp], tmp_path: Path) -> None:
    refused = _run("desk", "--profile", str(tmp_path / "nowhere.toml"))
    assert refused.exit_code == Exit.CONFIGURATION
    assert opened == []


def test_a_mistake_that_ended_the_screen_is_told_like_any_other(
    opened: list[DeskApp], profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeskApp, "mistake", property(lambda _: ZeroDivisionError()))
    told = _run("desk", "--profile", profile)
    assert told.exit_code == Exit.INTERNAL
    assert "A mistake in ra (ZeroDivisionError)" in told.stderr
    assert len(opened) == 1


def test_the_command_line_does_without_the_full_screen() -> None:
    program = "import sys, services.desk.__main__; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
