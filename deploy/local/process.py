"""Programs that outlive their starter, and can be stopped later without ever hitting a stranger.

A process is known by its number together with the time it was started: the kernel uses numbers again.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_TAIL_LINES = 30
_POLL_SECONDS = 0.05
_KILLED_SECONDS = 10.0
_CHILDREN: dict["ProcessIdentity", subprocess.Popen[bytes]] = {}
"""What this very process has started and must reap."""


class LocalStackError(Exception):
    """The local set-up could not do what was asked; the message is for the person who asked."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, for ever."""

    pid: int
    started: int
    """When it was started, in clock ticks after the machine's boot (proc(5), field 22)."""

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The process that has this number now, a zombie too; `None` when there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return cls(pid, int(stat.rpartition(")")[2].split()[19]))

    @classmethod
    def recorded_in(cls, path: Path) -> "ProcessIdentity | None":
        """The process that a pid file names and that still runs."""
        try:
            pid, started = path.read_text().split()
            identity = cls(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None
        return identity if identity.is_running else None

    def record(self, path: Path) -> None:
        """Writes the pid file, all at once."""
        draft = path.with_suffix(".draft")
        draft.write_text(f"{self.pid} {self.started}\n")
        draft.replace(path)

    @property
    def is_running(self) -> bool:
        """Whether this process, and not another with its number, still runs."""
        return not self.await_exit(0)

    def send(self, signal_number: signal.Signals) -> bool:
        """Sends a signal to exactly this process; False when it has gone."""
        with self._handle() as handle:
            if handle is None:
                return False
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal_number)
            return True

    def send_to_group(self, signal_number: signal.Signals) -> bool:
        """Sends a signal to the whole group that this process leads; False when it has gone."""
        with self._handle() as handle:
            if handle is None:
                return False
            with suppress(ProcessLookupError):  # it leads no group
                os.killpg(self.pid, signal_number)
            return True

    def await_exit(self, limit: float) -> bool:
        """Waits up to `limit` seconds for the end; False when it still runs then."""
        with self._handle() as handle:
            if handle is None:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(limit * 1000))

    @contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A file descriptor that means this process and can never come to mean another."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if ProcessIdentity.of(self.pid) == self else None
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Program:
    """A command that runs in a session of its own, with its log and its pid file under one directory."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    working_directory: Path = field(default_factory=Path.cwd)

    @property
    def pid_file(self) -> Path:
        """Where the process is recorded."""
        return self.directory / "run" / f"{self.name}.pid"

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.directory / "log" / f"{self.name}.log"

    @property
    def process(self) -> ProcessIdentity | None:
        """The running process, whoever started it."""
        return ProcessIdentity.recorded_in(self.pid_file)

    def start(self) -> ProcessIdentity:
        """Starts it, or finds it running."""
        _reap()
        if running := self.process:
            return running
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                cwd=self.working_directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        identity = ProcessIdentity.of(child.pid)
        if identity is None:
            child.wait()
            raise LocalStackError(f"{self.name} ended at once.\n{tail(self.log_file)}")
        _CHILDREN[identity] = child
        identity.record(self.pid_file)
        return identity

    def stop(self, *, limit: float = 20.0, companions: Iterable[ProcessIdentity] = ()) -> None:
        """Asks it to end, waits for it and for its companions, and after the limit kills the whole group."""
        _reap()
        process = self.process
        if process is None:
            self._forget()
            return
        deadline = time.monotonic() + limit
        process.send(signal.SIGTERM)
        process.send_to_group(signal.SIGCONT)
        for awaited in (process, *companions):
            awaited.await_exit(max(0.0, deadline - time.monotonic()))
        self._end_group(process)

    def kill(self) -> None:
        """Ends it and its whole group without a word."""
        _reap()
        process = self.process
        if process is not None:
            self._end_group(process)
        self._forget()

    def pause(self) -> None:
        """Lets the whole group stand still until `resume`."""
        if self.process is None or not self.process.send_to_group(signal.SIGSTOP):
            raise LocalStackError(f"{self.name} does not run, so it can't be paused.")

    def resume(self) -> None:
        """Lets the group go on."""
        if self.process is None or not self.process.send_to_group(signal.SIGCONT):
            raise LocalStackError(f"{self.name} does not run, so it can't go on.")

    def _end_group(self, process: ProcessIdentity) -> None:
        # The leader's number can't be given to another process while its group has members.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if not process.await_exit(_KILLED_SECONDS):
            raise LocalStackError(f"{self.name} (process {process.pid}) can't be ended.")
        _reap()
        self._forget()

    def _forget(self) -> None:
        self.pid_file.unlink(missing_ok=True)


def kill_all_under(directory: Path) -> None:
    """Kills every process that was started, by whomever, with its pid file somewhere in this folder."""
    for pid_file in directory.glob("**/run/*.pid"):
        if process := ProcessIdentity.recorded_in(pid_file):
            process.send_to_group(signal.SIGKILL)
            process.send(signal.SIGKILL)
            process.await_exit(_KILLED_SECONDS)
    _reap()


def _reap() -> None:
    for identity, child in list(_CHILDREN.items()):
        if child.poll() is not None:
            _CHILDREN.pop(identity, None)


def base_environment(**more: str) -> dict[str, str]:
    """The little that every program needs from its surroundings, and what is added by name."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    return {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **kept, **more}


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The end of a log, with its name."""
    if not log.exists():
        return f"({log} does not exist)"
    text = log.read_text(errors="replace").splitlines()
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in text[-lines:])])


def wait_until(
    condition: Callable[[], T | None],
    *,
    what: str,
    limit: float,
    program: Program | None = None,
    log: Path | None = None,
) -> T:
    """The first true thing that `condition` gives.

    Raises:
        LocalStackError: when `limit` seconds have passed or `program` has ended, with the end of its log.
    """
    deadline = time.monotonic() + limit
    while True:
        ended = program is not None and program.process is None
        if found := condition():
            return found
        if ended or time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    reason = "the process has ended" if ended else f"not within {limit:g} seconds"
    shown = log or (program.log_file if program else None)
    raise LocalStackError(f"{what}: {reason}." + (f"\n{tail(shown)}" if shown else ""))
