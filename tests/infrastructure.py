"""One broker node and one database server for a whole test run, started by whoever needs them first.

The run's folder is made by the process that was called, be it alone or the controller of several workers. Any
of them may start a server, under a lock; the maker of the folder ends the servers and removes the folder. What
a run that was killed has left behind, the next run clears away.
"""

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.files import write_secret
from deploy.local.process import ProcessIdentity, kill_all_under, wait_until
from deploy.local.stack import Overrides, Stack
from shared.vocabulary.duties import Duty
from tests.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".local"
OWNER = "owner.pid"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class TestRun:
    """The folder of one run of pytest."""

    __test__ = False  # pytest: this is no test class

    directory: Path

    @classmethod
    def begin(cls) -> "TestRun":
        """A fresh run, which this process has to end."""
        STATE.mkdir(exist_ok=True)
        for left in STATE.glob("tests-*"):
            cls(left)._clear_if_abandoned()
        run = cls(Path(tempfile.mkdtemp(prefix="tests-", dir=STATE)))
        me = ProcessIdentity.of(os.getpid())
        assert me is not None
        me.record(run.directory / OWNER)
        return run

    def end(self) -> None:
        """Ends all that was started in this run; its data goes, unless RA_KEEP is set."""
        kill_all_under(self.directory)
        (self.directory / OWNER).unlink(missing_ok=True)
        if os.environ.get("RA_KEEP"):
            print(f"\nRA_KEEP: the data of this run is kept in {self.directory}")  # noqa: T201 - for who asked
        else:
            shutil.rmtree(self.directory)

    def broker(self) -> BrokerNode:
        """The run's broker, running."""
        node = BrokerNode(self.directory / "broker")
        with self._alone("broker"):
            node.start()
        return node

    def database(self) -> DatabaseServer:
        """The run's database server, running; RA_MONGODB_URI names another."""
        server = DatabaseServer(self.directory / "database", uri=os.environ.get("RA_MONGODB_URI"))
        with self._alone("database"):
            server.start()
        return server

    def folder(self, name: str) -> Path:
        """A fresh folder of this run whose processes end with it."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with (self.directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _clear_if_abandoned(self) -> None:
        owner = self.directory / OWNER
        if owner.exists() and ProcessIdentity.recorded_in(owner) is None:
            kill_all_under(self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)


@dataclass(frozen=True)
class VirtualHost:
    """A virtual host of its own for one test; users belong to the node, rights to the virtual host."""

    name: str
    broker: BrokerNode

    def url(self, user: str | None = None) -> str:
        """An AMQP address with the credentials of the administrator or of this user."""
        return self.broker.amqp_url(self.name, user)

    def create_user(self, user: str, *, configure: str = "^$", write: str = "^$", read: str = "^$") -> str:
        """Makes a user with these rights here, and gives the password."""
        password = self.broker.password_for(user)
        with self.broker.management() as management:
            management.create_user(user, password)
            management.grant(self.name, user, configure=configure, write=write, read=read)
        return password

    def messages(self, queue: str) -> int:
        """How many messages the broker last counted in this queue, a second ago at most; 0 without a queue."""
        with self.broker.management() as management:
            found = management.queue(self.name, queue)
        return found.messages if found else 0


@dataclass(frozen=True)
class DutyDatabases:
    """A database per duty, provisioned as in production, for one test."""

    server: DatabaseServer
    directory: Path
    prefix: str
    _passwords: dict[Duty, str] = field(default_factory=lambda: {duty: secrets.token_hex(16) for duty in Duty})

    @property
    def uri(self) -> str:
        """The server's address, without credentials."""
        return self.server.uri

    @property
    def names(self) -> dict[Duty, str]:
        """The databases' names."""
        return {duty: self.name(duty) for duty in Duty}

    def name(self, duty: Duty) -> str:
        """The database of this duty; its user is named as the duty, and authenticates against it."""
        return f"{self.prefix}-{duty}"

    def password(self, duty: Duty) -> str:
        """The password of the duty's user."""
        return self._passwords[duty]

    def password_file(self, duty: Duty) -> Path:
        """The same, as a file."""
        return self.directory / f"{self.prefix}-{duty}.password"

    def provision(self) -> None:
        """Makes users, rights and indexes."""
        for duty in Duty:
            write_secret(self.password_file(duty), self.password(duty))
        self.server.provision(self.names, self._passwords)

    def drop(self) -> None:
        """Removes the databases."""
        self.server.drop(self.names.values())


@dataclass
class Stacks:
    """Makes running stacks, and takes them away again with all they had."""

    run: TestRun
    _made: list[Stack] = field(default_factory=list)

    def __call__(
        self,
        name: str = "stack",
        *,
        own_servers: bool = False,
        amend_policy: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        overrides: Overrides | None = None,
    ) -> Stack:
        """A running stack, on the run's servers or, if these are to be stopped or killed, on servers of its own."""
        made = Stack(
            self.run.folder(name),
            name=unique_name(name),
            broker=None if own_servers else self.run.broker(),
            database=None if own_servers else self.run.database(),
            amend_policy=amend_policy,
            overrides=overrides,
        )
        self._made.append(made)
        made.up()
        wait_until(lambda: _has_heard(made), what="approval has not heard what the CA says", limit=PATIENCE_SECONDS)
        return made

    def close(self) -> None:
        """Takes away what was made."""
        while self._made:
            self._made.pop().destroy()


def _has_heard(stack: Stack) -> bool:
    """Whether approval knows what it needs to approve anything."""
    told = "ra_product_facts_taken_timestamp_seconds{"
    return stack.duties[Duty.APPROVAL].metrics().count(told) == len(stack.policy.file.signing_certificates)


def sandbox_of(stack: Stack) -> SandboxProcess:
    """The controls of a stack's sandbox: knobs, calls, orders. The process is stopped by `stack.sandbox`."""
    return SandboxProcess(cast("subprocess.Popen[bytes]", None), stack.directory, cast("Any", stack.sandbox_info))


def unique_name(text: str) -> str:
    """A name for a virtual host or a database that says which test it is for, and that nobody else has."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24]
    return f"{readable}-{uuid.uuid4().hex[:8]}"
