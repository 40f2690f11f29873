"""Programs of the local set-up: who they are, how they end, and what is said when they fail."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.process import (
    LocalStackError,
    ProcessIdentity,
    Program,
    base_environment,
    kill_all_under,
    wait_until,
)

OBEDIENT = "print('started', flush=True); import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {OBEDIENT!r}])
print("child", child.pid, flush=True)
child.wait()
"""


def program(directory: Path, script: str, name: str = "example") -> Program:
    return Program(name, (sys.executable, "-c", script), directory, base_environment(), directory)


def await_output(running: Program, text: str) -> None:
    wait_until(lambda: text in running.log_file.read_text(), what=f"no {text!r} yet", limit=30, program=running)


def test_a_program_is_found_by_its_pid_file_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    running = program(tmp_path, OBEDIENT)
    process = running.start()
    await_output(running, "started")
    found_again = program(tmp_path, OBEDIENT)
    assert found_again.process == process
    assert found_again.start() == process
    found_again.stop()
    assert not process.is_running
    assert running.process is None
    assert not running.pid_file.exists()


def test_a_program_that_does_not_listen_is_killed_after_the_limit(tmp_path: Path) -> None:
    running = program(tmp_path, STUBBORN)
    process = running.start()
    await_output(running, "started")
    running.stop(limit=0.1)
    assert not process.is_running


def test_a_program_ends_with_its_children(tmp_path: Path) -> None:
    running = program(tmp_path, PARENT)
    running.start()
    await_output(running, "started")
    pid = next(line for line in running.log_file.read_text().splitlines() if line.startswith("child"))
    child = ProcessIdentity.of(int(pid.split()[1]))
    assert child is not None
    running.kill()
    assert child.await_exit(10)


def test_a_stranger_that_has_been_given_the_number_of_a_dead_program_is_left_alone(tmp_path: Path) -> None:
    stranger = program(tmp_path / "stranger", OBEDIENT)
    process = stranger.start()
    mine = program(tmp_path / "mine", OBEDIENT)
    mine.pid_file.parent.mkdir(parents=True)
    replace(process, started=process.started - 1).record(mine.pid_file)
    assert mine.process is None
    mine.stop()
    mine.kill()
    kill_all_under(tmp_path / "mine")
    assert process.is_running
    stranger.kill()


def test_a_signal_to_a_process_that_has_gone_reaches_nobody(tmp_path: Path) -> None:
    running = program(tmp_path, OBEDIENT)
    process = running.start()
    running.kill()
    assert not process.send(signal.SIGTERM)
    assert not process.send_to_group(signal.SIGTERM)


def test_a_paused_program_stands_still_and_can_still_be_stopped_in_order(tmp_path: Path) -> None:
    running = program(tmp_path, OBEDIENT)
    process = running.start()
    await_output(running, "started")
    running.pause()
    wait_until(lambda: state_of(process) == "T", what="not paused", limit=10)
    running.resume()
    wait_until(lambda: state_of(process) == "S", what="not resumed", limit=10)
    running.pause()
    running.stop()
    assert not process.is_running


def state_of(process: ProcessIdentity) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_nothing_can_be_paused_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="example does not run"):
        program(tmp_path, OBEDIENT).pause()


def test_waiting_for_a_program_that_ends_fails_at_once_and_shows_its_last_words(tmp_path: Path) -> None:
    failing = program(tmp_path, "raise SystemExit('the disk is full')")
    failing.start()
    with pytest.raises(LocalStackError, match=r"(?s)no port.*the process has ended.*the disk is full"):
        wait_until(lambda: False, what="no port", limit=30, program=failing)
    failing.stop()


def test_a_program_sees_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    running = program(tmp_path, f"import os; print(sorted(os.environ), flush=True); {OBEDIENT}")
    running.start()
    await_output(running, "started")
    running.stop()
    assert "SECRET_OF_THE_CALLER" not in running.log_file.read_text()


def test_everything_that_was_started_in_a_folder_can_be_ended_at_once(tmp_path: Path) -> None:
    started = [program(tmp_path / name, OBEDIENT, name).start() for name in ("one", "two")]
    outside = program(tmp_path.parent / f"{tmp_path.name}-outside", OBEDIENT)
    left = outside.start()
    kill_all_under(tmp_path)
    assert [process.is_running for process in started] == [False, False]
    assert left.is_running
    outside.kill()


def test_this_very_process_is_running() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert me.is_running
