"""A private RabbitMQ node from the distribution's package, in a folder of its own, on loopback only.

It runs as root and as an ordinary user alike: the package's scripts are called directly, as its wrappers
change the user. Nodes in different folders know nothing of one another.
"""

import hashlib
import hmac
import json
import secrets
import shutil
import signal
from base64 import b64encode
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from deploy.local.files import kept_secret, write_secret
from deploy.local.management import Management
from deploy.local.ports import LOOPBACK, KeptPorts
from deploy.local.process import LocalStackError, ProcessIdentity, Program, base_environment, wait_until
from shared.rabbit.topology import HOLD_MS

_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_STORED_SECONDS = 20.0
_STATISTICS_MS = 1000
ADMIN = "admin"


@dataclass(frozen=True)
class BrokerPorts:
    """The ports of a node."""

    amqp: int
    management: int
    distribution: int
    epmd: int
    prometheus: int


@dataclass(frozen=True)
class BrokerProgram:
    """What the distribution has installed."""

    server: Path
    epmd: Path

    @classmethod
    def find(cls) -> "BrokerProgram":
        """Where RabbitMQ is on this machine.

        Raises:
            LocalStackError: it is not installed.
        """
        server = _SCRIPTS / "rabbitmq-server"
        epmd = shutil.which("epmd")
        if not server.exists() or epmd is None:
            raise LocalStackError("RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server")
        return cls(server, Path(epmd))


class BrokerNode:
    """A RabbitMQ node whose whole state is this folder; several objects may mean the same node.

    Ports that are not given are free ones, chosen at the first start and kept from then on.
    """

    def __init__(
        self,
        directory: Path,
        *,
        amqp_port: int | None = None,
        management_port: int | None = None,
        prometheus: bool = False,
        hold_ms: int = HOLD_MS,
    ) -> None:
        """`hold_ms` is how long a consumer may have a message in hand before the node takes it back."""
        self.directory = directory.absolute()
        self.prometheus = prometheus
        self.hold_ms = hold_ms
        self._kept_ports = KeptPorts(self.directory / "ports.json", {"amqp": amqp_port, "management": management_port})

    @property
    def ports(self) -> BrokerPorts:
        """The node's ports, chosen when they are first asked for."""
        return BrokerPorts(**{field.name: self._kept_ports[field.name] for field in fields(BrokerPorts)})

    @property
    def host(self) -> str:
        """Where clients find it."""
        return LOOPBACK

    @property
    def amqp_port(self) -> int:
        """Where clients connect."""
        return self.ports.amqp

    @property
    def management_url(self) -> str:
        """Where the management interface is."""
        return f"http://{LOOPBACK}:{self.ports.management}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads, if the node was made with `prometheus=True`."""
        return f"http://{LOOPBACK}:{self.ports.prometheus}/metrics"

    @property
    def admin_user(self) -> str:
        """The administrator's name."""
        return ADMIN

    @property
    def admin_password(self) -> str:
        """The administrator's password."""
        return kept_secret(self.admin_password_file)

    @property
    def admin_password_file(self) -> Path:
        """Where the administrator's password is kept."""
        return self.directory / "secrets" / "admin"

    def password_for(self, user: str) -> str:
        """The password of any other user.

        Users belong to the whole node, not to a virtual host: whoever shares a node gives them the same one.
        """
        key = kept_secret(self.directory / "secrets" / "users").encode()
        return hmac.new(key, user.encode(), hashlib.sha256).hexdigest()

    def management(self) -> Management:
        """The administrator's calls; the caller closes it."""
        return Management(self.management_url, ADMIN, self.admin_password)

    def amqp_url(self, virtual_host: str, user: str | None = None) -> str:
        """An address with credentials: the administrator's, or this user's."""
        name, password = (ADMIN, self.admin_password) if user is None else (user, self.password_for(user))
        return f"amqp://{name}:{password}@{LOOPBACK}:{self.amqp_port}/{virtual_host}"

    @property
    def is_running(self) -> bool:
        """Whether the node's process is there."""
        return self._server.process is not None

    @property
    def beam(self) -> ProcessIdentity | None:
        """The Erlang machine itself, the process that listens and stores."""
        return ProcessIdentity.recorded_in(self._beam_file)

    @property
    def log_file(self) -> Path:
        """What the node says."""
        return self.directory / "log" / "rabbitmq.log"

    def start(self) -> None:
        """Starts the node, or finds it running, and returns when clients can connect."""
        if not self.is_running:
            self._prepare()
            self._epmd.start()
            self._server.start()
        try:
            self._await_start()
        except BaseException:
            self.kill()
            self._epmd.stop()
            raise

    def stop(self) -> None:
        """Stops the node in order: nothing is lost. It takes the node about six seconds."""
        companions = [beam] if (beam := self.beam) else []
        self._server.stop(limit=_STOP_SECONDS, companions=companions)
        self._beam_file.unlink(missing_ok=True)
        self._epmd.stop()

    def kill(self) -> None:
        """Kills the Erlang machine as a power cut would; `start` goes on with what it had stored."""
        if beam := self.beam:
            beam.send(signal.SIGKILL)
            beam.await_exit(_STOP_SECONDS)
        self._server.kill()
        self._beam_file.unlink(missing_ok=True)

    def destroy(self) -> None:
        """Ends the node without care for its data."""
        self.kill()
        self._epmd.stop()

    def pause(self) -> None:
        """Lets the node stand still: connections stay open and nothing is answered."""
        self._server.pause()

    def resume(self) -> None:
        """Lets the node go on."""
        self._server.resume()

    def await_stored(self, virtual_host: str) -> None:
        """Waits until all quorum queues of a virtual host would survive `kill`.

        A new queue's entry in the node's directory of queues reaches the disk up to a second after the queue was
        declared. Without it the queue is left without a leader.
        """
        with self.management() as management:
            queues = management.await_queues(virtual_host)
        prefix = "%2F" if virtual_host == "/" else virtual_host
        names = [f"{prefix}_{queue.name}".encode() for queue in queues]
        entries = [bytes([len(name)]) + name for name in names]

        def all_on_disk() -> bool:
            stored = b"".join(path.read_bytes() for path in self.directory.glob("mnesia/*/quorum/*/names.dets"))
            return all(entry in stored for entry in entries)

        wait_until(all_on_disk, what=f"queues of {virtual_host} are not on disk", limit=_STORED_SECONDS)

    def _await_start(self) -> None:
        with self.management() as management:
            wait_until(
                lambda: management.is_ready(self.amqp_port),
                what="RabbitMQ has not started",
                limit=_START_SECONDS,
                program=self._server,
            )
        pid = int((self.directory / "node.pid").read_text())
        if beam := ProcessIdentity.of(pid):
            beam.record(self._beam_file)

    def _prepare(self) -> None:
        self._kept_ports.settle(running={"epmd"} if self._epmd.process else set())
        for folder in ("home", "log", "run", "mnesia"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        (self.directory / "node.pid").unlink(missing_ok=True)
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            write_secret(cookie, secrets.token_hex(16)).chmod(0o400)
        write_secret(self.directory / "definitions.json", json.dumps(self._definitions()))
        (self.directory / "rabbitmq.conf").write_text(self._configuration())
        plugins = ["rabbitmq_management", *(["rabbitmq_prometheus"] if self.prometheus else [])]
        (self.directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")

    @property
    def _beam_file(self) -> Path:
        return self.directory / "run" / "beam.pid"

    @property
    def _epmd(self) -> Program:
        """Erlang's name service, of the node's own: the machine's other nodes have theirs."""
        command = (str(self._program.epmd), "-port", str(self.ports.epmd), "-address", LOOPBACK)
        return Program("epmd", command, self.directory, base_environment(), self.directory)

    @property
    def _server(self) -> Program:
        return Program("rabbitmq", (str(self._program.server),), self.directory, self._environment(), self.directory)

    @cached_property
    def _program(self) -> BrokerProgram:
        return BrokerProgram.find()

    def _environment(self) -> dict[str, str]:
        here = self.directory
        return base_environment(
            HOME=str(here / "home"),
            RABBITMQ_NODENAME=f"ra-{hashlib.sha256(bytes(here)).hexdigest()[:12]}@localhost",
            RABBITMQ_CONFIG_FILE=str(here / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(here / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(here / "mnesia"),
            RABBITMQ_LOG_BASE=str(here / "log"),
            RABBITMQ_PID_FILE=str(here / "node.pid"),
            RABBITMQ_CONF_ENV_FILE=str(here / "none"),
            RABBITMQ_DIST_PORT=str(self.ports.distribution),
            ERL_EPMD_PORT=str(self.ports.epmd),
            ERL_EPMD_ADDRESS=LOOPBACK,
            # Queue counts a second old at most: whoever waits for one waits no longer than that. So often a channel
            # looks whether something is held for too long, too, which it does once a minute by itself.
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
            f" -rabbit quorum_tick_interval {_STATISTICS_MS}"
            f" -rabbit channel_tick_interval {_STATISTICS_MS}",
        )

    def _configuration(self) -> str:
        lines = {
            "listeners.tcp.1": f"{LOOPBACK}:{self.ports.amqp}",
            "management.tcp.ip": LOOPBACK,
            "management.tcp.port": self.ports.management,
            "raft.wal_max_size_bytes": 67_108_864,
            "max_message_size": 4_194_304,
            "consumer_timeout": self.hold_ms,
            "collect_statistics_interval": _STATISTICS_MS,
            "load_definitions": self.directory / "definitions.json",
        }
        if self.prometheus:
            lines |= {"prometheus.tcp.ip": LOOPBACK, "prometheus.tcp.port": self.ports.prometheus}
        return "".join(f"{key} = {value}\n" for key, value in lines.items())

    def _definitions(self) -> dict[str, object]:
        """The administrator, and no guest."""
        salt = secrets.token_bytes(4)
        digest = hashlib.sha256(salt + self.admin_password.encode()).digest()
        return {
            "vhosts": [{"name": "/"}],
            "users": [
                {
                    "name": ADMIN,
                    "password_hash": b64encode(salt + digest).decode(),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": ["administrator"],
                }
            ],
            "permissions": [{"user": ADMIN, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        }
