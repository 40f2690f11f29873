"""The whole Registration Authority on one machine: servers, DigiCert's stand-in, and the four duties.

A stack is a folder. Whoever knows the folder can ask what runs, and stop it. Started again, it goes on with the same
data, keys and, as far as nobody else has taken them meanwhile, ports.
"""

import json
import shutil
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.local import toml
from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.duty import DutyProcess
from deploy.local.files import kept_secret, write_secret
from deploy.local.policy import LocalCa, keyed_names, localized
from deploy.local.ports import KeptPorts
from deploy.local.process import Program, base_environment, wait_until
from deploy.local.settings import Access, DutyFiles, duty_settings, profile
from shared.clock import SystemClock
from shared.evidence.anchor import Anchor
from shared.evidence.dual_control import PolicySignatures, sign_policy, with_signature
from shared.evidence.jws import SigningKey
from shared.policy.policy import Policy, read_policy
from shared.rabbit.topology import definitions
from shared.sealing import OpeningKey
from shared.signed_policy import signatures_file
from shared.vocabulary.duties import Duty

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_POLICY = ROOT / "deploy" / "policy" / "policy.toml"

BROKER = "broker"
DATABASE = "database"
SANDBOX = "sandbox"
OFFICERS = ("petra", "quentin")
"""The stack's policy officers."""
CA_ROLES: Mapping[Duty, str] = {Duty.ISSUER: "orders", Duty.REVOKER: "revoke-only"}
"""Which of the sandbox's API keys a duty is given."""

_SANDBOX_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLICY_HEADER = """\
# Written anew at each start of this stack: deploy/policy/policy.toml with keys and certificates of the stack's own.

"""

Document = dict[str, Any]
Overrides = Mapping[Duty, Mapping[str, Mapping[str, object]]]


def _tell_nobody(_: str) -> None:
    """The stack of a test says nothing."""


@dataclass(frozen=True)
class StackPorts:
    """Ports that are asked for; the others are chosen."""

    broker: int | None = None
    management: int | None = None
    database: int | None = None
    sandbox: int | None = None
    intake: int | None = None
    approval: int | None = None
    issuer: int | None = None
    revoker: int | None = None


class Stack:
    """A Registration Authority in a folder; several objects may mean the same one.

    On a broker or a database server of somebody else, which then must be running, the stack has a virtual host and
    databases of its own name, and leaves the rest alone.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "ra",
        broker: BrokerNode | None = None,
        database: DatabaseServer | None = None,
        ports: StackPorts | None = None,
        amend_policy: Callable[[Document], Document] = dict,
        overrides: Overrides | None = None,
        say: Callable[[str], None] = _tell_nobody,
    ) -> None:
        """Describe the stack; nothing is started yet.

        Args:
            directory: its folder.
            name: of the virtual host, and the beginning of the databases' names.
            broker: a running node, instead of an own one.
            database: a running server, instead of an own one.
            ports: those that are to be used.
            amend_policy: makes another policy of the example, before keys and certificates are put in.
            overrides: settings by duty and table, on top of those that the stack writes.
            say: is told of each step.
        """
        self.directory = directory.absolute()
        self.name = name
        ports = ports or StackPorts()
        self._owns_broker = broker is None
        self._owns_database = database is None
        self.broker = broker or BrokerNode(
            self.directory / BROKER, amqp_port=ports.broker, management_port=ports.management
        )
        self.database = database or DatabaseServer(self.directory / DATABASE, port=ports.database)
        duties_and_sandbox = {name: asdict(ports)[name] for name in (SANDBOX, *map(str, Duty))}
        self._ports = KeptPorts(self.directory / "ports.json", duties_and_sandbox)
        self._amend_policy = amend_policy
        self._overrides = overrides or {}
        self._say = say

    # What it is made of

    @property
    def virtual_host(self) -> str:
        """The virtual host on the broker."""
        return self.name

    @property
    def databases(self) -> dict[Duty, str]:
        """The databases' names."""
        return {duty: f"{self.name}-{duty}" for duty in Duty}

    @property
    def duties(self) -> dict[Duty, DutyProcess]:
        """The four processes, running or not."""
        return {duty: self._duty(duty, str(duty)) for duty in Duty}

    @property
    def sandbox(self) -> Program:
        """DigiCert's stand-in."""
        options = ("--port", str(self._ports[SANDBOX]), "--state", str(self._sandbox_folder))
        return self._python(SANDBOX, "tests.sandbox", *options)

    @property
    def sandbox_info(self) -> Mapping[str, Any]:
        """What the running sandbox tells of itself: `base_url`, `admin_url`, `api_keys` and more."""
        info: Mapping[str, Any] = json.loads((self._sandbox_folder / "sandbox.json").read_text())
        return info

    @property
    def policy_file(self) -> Path:
        """The policy in force."""
        return self.directory / "policy" / "policy.toml"

    @property
    def policy(self) -> Policy:
        """The policy in force, read."""
        return read_policy(self.policy_file)

    @property
    def anchor_file(self) -> Path:
        """Whom the identities' clients trust."""
        return self.policy_file.with_name("anchor.json")

    def config_file(self, name: str) -> Path:
        """The settings of a duty's process."""
        return self.directory / "config" / f"{name}.toml"

    def profile_file(self, identity: str) -> Path:
        """The `ra` profile of an identity."""
        return self.directory / "profiles" / f"{identity}.toml"

    def key_file(self, owner: str) -> Path:
        """The private key of a duty or an identity."""
        return self.directory / "keys" / f"{owner}.pem"

    @property
    def opening_key_file(self) -> Path:
        """The private key with which the issuer opens passwords."""
        return self.key_file("opening")

    def password_file(self, user: str) -> Path:
        """The broker password of a duty or an identity."""
        return self.directory / "secrets" / f"{user}.broker"

    def running(self) -> dict[str, bool]:
        """What belongs to this stack, and whether it runs."""
        return {
            **({BROKER: self.broker.is_running} if self._owns_broker else {}),
            **({DATABASE: self.database.is_running} if self._owns_database else {}),
            SANDBOX: self.sandbox.process is not None,
            **{process.name: process.is_running for process in self.duties.values()},
        }

    # What can be done with it

    def up(self) -> None:
        """Starts what does not run yet, and returns when all duties are ready.

        Raises:
            LocalStackError: something did not start; what this call had started is stopped again.
        """
        ran_before = {name for name, runs in self.running().items() if runs}
        try:
            self._ports.settle(running=ran_before)
            self._start_servers()
            self._write_policy()
            self._prepare_broker()
            self._prepare_database()
            self._write_settings()
            self._start_duties()
        except BaseException:
            try:
                self._say("This failed. Stopping what was started.")
            finally:
                self._stop(keep=ran_before)
            raise

    def down(self) -> None:
        """Stops in order whatever runs of this stack; its data stays."""
        self._stop()

    def destroy(self) -> None:
        """Kills whatever runs of this stack, and removes what it had on servers of somebody else."""
        for program in self._programs():
            program.kill()
        if self._owns_broker:
            self.broker.destroy()
        else:
            with self.broker.management() as management:
                management.delete_virtual_host(self.virtual_host)
        if self._owns_database:
            self.database.kill()
        else:
            self.database.drop(self.databases.values())

    def start_sandbox(self) -> None:
        """Starts DigiCert's stand-in, or finds it running, and returns when it answers."""
        sandbox = self.sandbox
        process = sandbox.start()

        def has_announced_itself() -> bool:
            try:
                return bool(self.sandbox_info["pid"] == process.pid)
            except FileNotFoundError:
                return False

        wait_until(
            has_announced_itself,
            what="the DigiCert sandbox has not started",
            limit=_SANDBOX_SECONDS,
            program=sandbox,
        )

    def another(self, duty: Duty, number: int) -> DutyProcess:
        """One more process of this duty, not started yet; it ends with the stack."""
        process = self._duty(duty, f"{duty}-{number}")
        self._write_duty_settings(process)
        return process

    # Starting

    def _start_servers(self) -> None:
        self._say("Starting RabbitMQ, the database and the DigiCert sandbox; this takes some seconds.")
        with ThreadPoolExecutor() as pool:
            starting = [pool.submit(start) for start in self._server_starts()]
        for one in starting:
            one.result()
        self._say(f"  RabbitMQ is at {self.broker.host}:{self.broker.amqp_port}")
        self._say(f"  the database, {self.database.kind}, is at {self.database.uri}")
        self._say(f"  the DigiCert sandbox is at {self.sandbox_info['base_url']}")

    def _server_starts(self) -> list[Callable[[], None]]:
        return [
            self.start_sandbox,
            *([self.broker.start] if self._owns_broker else []),
            *([self.database.start] if self._owns_database else []),
        ]

    def _write_policy(self) -> None:
        example = self._amend_policy(tomllib.loads(EXAMPLE_POLICY.read_text()))
        folder = self.policy_file.parent
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("imported.pem", "intermediate.pem"):
            shutil.copyfile(self._sandbox_folder / name, folder / name)
        ca = LocalCa(
            organization_id=self.sandbox_info["organization_id"],
            ca_cert_id=self.sandbox_info["ca_cert_id"],
            certificate_file="imported.pem",
            intermediate_file="intermediate.pem",
        )
        keys = {name: self._public_key(name) for name in keyed_names(example)}
        self._write_signed(localized(example, keys=keys, opening=self._opening_key(), ca=ca))
        self._say(f"The policy has keys of this stack's own: {self.policy_file}")

    def _write_signed(self, policy: Document) -> None:
        """Write the policy with the signatures of two officers; a changed one gets the next serial."""
        before = tomllib.loads(self.policy_file.read_text()) if self.policy_file.exists() else policy
        changed = before | {"serial": 0} != policy | {"serial": 0}
        serial = max(before["serial"] + changed, policy["serial"])
        text = _POLICY_HEADER + toml.dumps(policy | {"serial": serial})
        signed = signatures_file(self.policy_file).exists()
        if not signed or self.policy_file.read_text() != text:
            self.policy_file.write_text(text)
            self.sign_policy(*OFFICERS)

    def sign_policy(self, *officers: str) -> None:
        """Sign the policy that is on disk as these officers, and as nobody else."""
        policy, signatures = self.policy, PolicySignatures()
        for officer in officers:
            self._public_key(officer)
            key = SigningKey.from_file(self.key_file(officer))
            token = sign_policy(policy, key, at=SystemClock().now())
            signatures = with_signature(signatures, policy, token, key=key.public)
        signatures_file(self.policy_file).write_bytes(signatures.canonical())

    def _officers(self) -> list[Document]:
        return [
            {"name": name, "key": {"kty": "OKP", "crv": "Ed25519", "x": self._public_key(name)}} for name in OFFICERS
        ]

    def _public_key(self, owner: str) -> str:
        """The public half of a key that is made the first time."""
        path = self.key_file(owner)
        if not path.exists():
            private = Ed25519PrivateKey.generate()
            write_secret(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return SigningKey.from_file(path).public.x

    def _opening_key(self) -> str:
        """The public half of the key that opens passwords, made the first time."""
        if not self.opening_key_file.exists():
            write_secret(self.opening_key_file, OpeningKey.generate().pem())
        return OpeningKey.from_file(self.opening_key_file).public.x

    def _prepare_broker(self) -> None:
        policy = self.policy
        passwords = {user: self.broker.password_for(user) for user in (*map(str, Duty), *policy.file.identities)}
        for user, password in passwords.items():
            write_secret(self.password_file(user), password)
        with self.broker.management() as management:
            management.create_virtual_host(self.virtual_host)
            management.apply_definitions(definitions(policy, virtual_host=self.virtual_host, passwords=passwords))
        self._say(f"RabbitMQ has the users, rights, exchanges and queues of virtual host {self.virtual_host}.")

    def _prepare_database(self) -> None:
        passwords = {duty: kept_secret(self._database_password_file(duty)) for duty in Duty}
        self.database.provision(self.databases, passwords)
        self._say("Each duty has a database and a user of its own.")

    def _write_settings(self) -> None:
        for process in self.duties.values():
            self._write_duty_settings(process)
        policy = self.policy
        self.anchor_file.write_bytes(Anchor.of(policy).canonical())
        for identity in policy.file.identities:
            self._write_profile(identity)

    def _write_profile(self, identity: str) -> None:
        path = self.profile_file(identity)
        key = self.key_file(identity)
        content = profile(
            identity,
            folder=path.parent,
            broker=self._broker_access(identity),
            key=key if key.exists() else None,
            anchor=self.anchor_file,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(toml.dumps(content))

    def _write_duty_settings(self, process: DutyProcess) -> None:
        duty = process.duty
        path = self.config_file(process.name)
        content = duty_settings(
            duty,
            folder=path.parent,
            port=process.port,
            broker=self._broker_access(str(duty)),
            database=Access(self.database.uri, self.databases[duty], self._database_password_file(duty)),
            ca=self._ca_access(duty),
            files=DutyFiles(
                policy=self.policy_file,
                officers=self._officers(),
                key=self.key_file(str(duty)),
                opening=self.opening_key_file,
                roots=self._sandbox_folder / "root.pem",
                audit_log=self._audit_log_folder(),
            ),
            overrides=self._overrides.get(duty, {}),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(toml.dumps(content))

    def _audit_log_folder(self) -> Path:
        folder = self.directory / "audit-log"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _broker_access(self, user: str) -> Access:
        return Access(self.broker.amqp_port, self.virtual_host, self.password_file(user))

    def _ca_access(self, duty: Duty) -> Access | None:
        if duty not in CA_ROLES:
            return None
        secret = self.directory / "secrets" / f"{duty}.digicert"
        write_secret(secret, self.sandbox_info["api_keys"][CA_ROLES[duty]])
        return Access(self.sandbox_info["base_url"], "", secret)

    def _start_duties(self) -> None:
        self._say("Starting intake, approval, issuer and revoker.")
        for process in self.duties.values():
            process.start()
        for process in self.duties.values():
            process.await_ready()
            self._say(f"  {process.name} is ready")

    # Stopping

    def _stop(self, keep: Collection[str] = ()) -> None:
        """The duties first: while they finish what they have in hand, they need the servers."""
        with ThreadPoolExecutor() as pool:
            programs = [program for program in self._programs() if program.name not in keep]
            _all_of(pool, [partial(program.stop, limit=_STOP_SECONDS) for program in programs])
            _all_of(pool, self._server_stops(keep))

    def _server_stops(self, keep: Collection[str]) -> list[Callable[[], None]]:
        return [
            *([self.broker.stop] if self._owns_broker and BROKER not in keep else []),
            *([self.database.stop] if self._owns_database and DATABASE not in keep else []),
        ]

    def _programs(self) -> list[Program]:
        """The duties, however many processes each, and the sandbox."""
        names = sorted(path.stem for path in (self.directory / "run").glob("*.pid"))
        return [Program(name, (), self.directory, {}, ROOT) for name in names]

    # Where things are

    @property
    def _sandbox_folder(self) -> Path:
        return self.directory / SANDBOX

    def _database_password_file(self, duty: Duty) -> Path:
        return self.directory / "secrets" / f"{duty}.database"

    def _duty(self, duty: Duty, name: str) -> DutyProcess:
        program = self._python(name, f"services.{duty}", "--config", str(self.config_file(name)))
        return DutyProcess(duty, name, self._ports[name], program)

    def _python(self, name: str, module: str, *arguments: str) -> Program:
        command = (sys.executable, "-m", module, *arguments)
        return Program(name, command, self.directory, base_environment(), ROOT)


def _all_of(pool: ThreadPoolExecutor, actions: list[Callable[[], None]]) -> None:
    """Does all of them side by side, and only then tells the first failure."""
    running = [pool.submit(action) for action in actions]
    with ExitStack() as failures:
        for one in running:
            failures.callback(one.result)
