"""`python -m deploy.local up|down|status`: a Registration Authority on this machine."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from deploy.local.database import DatabaseServer
from deploy.local.ports import LOOPBACK
from deploy.local.process import LocalStackError
from deploy.local.stack import ROOT, Overrides, Stack, StackPorts
from shared.errors import RefusedError
from shared.vocabulary.duties import Duty

STATE = ROOT / ".local"
_SOON = 0.05
NOT_RUNNING = 3
"""The exit status of `status` when something does not run, as service managers have it."""


def main() -> int:
    """The exit status: 0, or 1 for what could not be done, or 3 for a stack that does not run as a whole."""
    _end_on_sigterm()
    options = _options()
    directory: Path = (options.directory or STATE) / options.name
    stack = Stack(
        directory,
        database=_given_database(directory),
        ports=_ports(options),
        overrides=_intake(options),
        say=_say,
    )
    try:
        if options.command == "up":
            return _up(stack)
        if options.command == "down":
            return _down(stack)
        return _status(stack)
    except (LocalStackError, RefusedError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(stack: Stack) -> int:
    with _alone(stack):
        if all(stack.running().values()):
            _say("The stack is running already.")
        else:
            stack.up()
    _say(_usage(stack))
    return 0


def _down(stack: Stack) -> int:
    if not stack.directory.exists():
        _say(f"There is no stack in {_short(stack.directory)}.")
        return 0
    with _alone(stack):
        if not any(stack.running().values()):
            _say("The stack does not run.")
            return 0
        _say("Stopping the duties, then the servers; RabbitMQ takes some seconds.")
        stack.down()
    _say(f"Stopped. The data is kept in {_short(stack.directory)}.")
    return 0


def _status(stack: Stack) -> int:
    if not stack.directory.exists():
        _say(f"There is no stack in {_short(stack.directory)}.")
        return NOT_RUNNING
    running = stack.running()
    for name, runs in running.items():
        _say(f"  {name:<10} {'runs' if runs else 'does not run'}")
    for process in stack.duties.values():
        if process.is_running and not process.is_ready():
            _say(f"  {process.name} is not ready: {process.ready_url}")
    return 0 if all(running.values()) else NOT_RUNNING


def _usage(stack: Stack) -> str:
    profiles = sorted(path.stem for path in (stack.directory / "profiles").glob("*.toml"))
    duties = [f"    {name:<10} {process.ready_url}   {process.metrics_url}" for name, process in stack.duties.items()]
    name = "" if stack.directory == STATE / "stack" else f" NAME={stack.directory.name}"
    return "\n".join(
        [
            "",
            "The Registration Authority runs. Act as somebody with that identity's profile:",
            f"    .venv/bin/ra --profile {_short(stack.profile_file('shop'))} options",
            f"    (profiles: {', '.join(profiles)})",
            "Readiness and metrics:",
            *duties,
            "RabbitMQ's management interface:",
            f"    {stack.broker.management_url}   user {stack.broker.admin_user}, password in",
            f"    {_short(stack.broker.admin_password_file)}",
            f"Logs: {_short(stack.directory / 'log')}",
            f"Stop it with: make down{name}",
        ]
    )


def _short(path: Path) -> Path:
    """The path as the person would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nobody listens any more, as behind `| head`: no reason to stop the work
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """One `up` or `down` of a stack at a time."""
    stack.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (stack.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError("Another `up` or `down` of this stack is at work.") from None
        yield


def _given_database(directory: Path) -> DatabaseServer | None:
    uri = os.environ.get("RA_MONGODB_URI")
    return DatabaseServer(directory / "database", uri=uri) if uri else None


def _intake(options: argparse.Namespace) -> Overrides:
    """What intake has only if somebody asks for it."""
    tables: dict[str, dict[str, object]] = {}
    if options.blocklist is not None:
        tables["screening"] = {"blocklist": str(options.blocklist.absolute())}
    if options.mail_port is not None:
        tables["mail"] = {
            "host": LOOPBACK,
            "port": options.mail_port,
            "tls": "none",
            "from_address": "countersign@example.com",
            "organisation": "Countersign, tried out",
            "request_domains": ["*"],
        }
    return {Duty.INTAKE: tables} if tables else {}


def _ports(options: argparse.Namespace) -> StackPorts:
    return StackPorts(**{field.name: getattr(options, f"{field.name}_port") for field in fields(StackPorts)})


def _end_on_sigterm() -> None:
    """Have a half-done `up` clean up, wherever it is interrupted.

    Python ignores what is raised while it tidies up an object. Where that swallows the end, it is asked for again.
    """

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if ignored.exc_type is SystemExit:
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            sys.__unraisablehook__(ignored)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    sys.unraisablehook = again


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start what does not run yet"),
        ("down", "stop it and keep its data"),
        ("status", "say what runs"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--name", default="stack", help="which of several stacks (default: %(default)s)")
        command.add_argument("--directory", type=Path, help="where stacks are kept (default: .local)")
        hint = "the folder that `badkeys --update-bl` fills" if name == "up" else argparse.SUPPRESS
        command.add_argument("--blocklist", type=Path, metavar="FOLDER", help=hint)
        hint = "where something on this machine takes mails, such as `python -m aiosmtpd -n -l 127.0.0.1:8025`"
        command.add_argument("--mail-port", type=int, metavar="PORT", help=hint if name == "up" else argparse.SUPPRESS)
        for field in fields(StackPorts):
            hint = "a port that is to be used" if name == "up" else argparse.SUPPRESS
            command.add_argument(f"--{field.name}-port", type=int, metavar="PORT", help=hint)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
