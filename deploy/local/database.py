"""A database server for one machine: a given one, else `mongod` where there is one, else SecantusDB.

SecantusDB speaks MongoDB's wire protocol and comes with the development packages. It is for trying,
developing and testing, and always a process of its own.
"""

import asyncio
import secrets
import shutil
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure

from deploy.local.files import kept_secret, write_secret
from deploy.local.ports import LOOPBACK, KeptPorts, is_listening
from deploy.local.process import LocalStackError, Program, base_environment, wait_until
from shared.mongo.schema import create_indexes
from shared.vocabulary.duties import Duty

Document = dict[str, Any]

ADMIN = "admin"
DUTY_ROLE = "duty"
DUTY_ACTIONS = ("find", "insert", "update")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ANSWER_MS = 10_000
_CLOSE_SECONDS = 3.0
_REPLICA_SET = "ra"
_ALREADY_INITIALIZED = 23


class DatabaseKind(StrEnum):
    """Which server it is."""

    GIVEN = "given"
    MONGOD = "mongod"
    SECANTUS = "SecantusDB"


class DatabaseServer:
    """A database server whose whole state is this folder; several objects may mean the same server.

    With `uri`, which then holds an administrator's credentials, it is somebody else's: never started nor
    stopped, only provisioned. A port that is not given is a free one, chosen once and kept.
    """

    def __init__(self, directory: Path, *, uri: str | None = None, port: int | None = None) -> None:
        self.directory = directory.absolute()
        self.kind = _kind(uri)
        self._given_uri = uri
        self._kept_ports = KeptPorts(self.directory / "port.json", {"database": port})

    @property
    def port(self) -> int:
        """Where an own server listens, chosen when it is first asked for."""
        return self._kept_ports["database"]

    @property
    def uri(self) -> str:
        """The address, without credentials."""
        if self._given_uri is None:
            return f"mongodb://{LOOPBACK}:{self.port}/?directConnection=true"
        return without_credentials(self._given_uri)

    @property
    def is_running(self) -> bool:
        """Whether the server is there."""
        return self.kind is DatabaseKind.GIVEN or self._server().process is not None

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._server().log_file

    @contextmanager
    def admin(self) -> Iterator[MongoClient[Document]]:
        """The administrator's client."""
        with self._client(self._admin_uri()) as client:
            yield client

    def start(self) -> None:
        """Starts the server, or finds it running, and returns when it answers."""
        if self.kind is DatabaseKind.GIVEN:
            self._await_answer()
            return
        if not self.is_running:
            self._kept_ports.settle()
        try:
            if self.kind is DatabaseKind.SECANTUS:
                self._start_secantus()
            else:
                self._start_mongod()
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stops an own server in order."""
        if self.kind is not DatabaseKind.GIVEN:
            self._server().stop(limit=_STOP_SECONDS)

    def kill(self) -> None:
        """Kills an own server; what it had acknowledged is there again after `start`."""
        self._own().kill()

    def pause(self) -> None:
        """Lets an own server stand still: connections stay open and nothing is answered."""
        self._own().pause()

    def resume(self) -> None:
        """Lets it go on."""
        self._own().resume()

    def provision(self, databases: Mapping[Duty, str], passwords: Mapping[Duty, str]) -> None:
        """Makes each duty's indexes and a user of its name, who may find, insert and update there only.

        It can be repeated: passwords and rights are set anew.
        """
        with self.admin() as client:
            for duty, name in databases.items():
                _set_role(client[name])
                _set_user(client[name], str(duty), passwords[duty])
        # In a thread of its own, as the caller may be inside an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._create_indexes(databases)).result()

    def drop(self, databases: Iterable[str]) -> None:
        """Removes databases with their users and roles."""
        with self.admin() as client:
            for name in databases:
                client[name].command("dropAllUsersFromDatabase")
                client[name].command("dropAllRolesFromDatabase")
                client.drop_database(name)

    async def _create_indexes(self, databases: Mapping[Duty, str]) -> None:
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            self._admin_uri(), retryWrites=False, serverSelectionTimeoutMS=_ANSWER_MS
        )
        try:
            for duty, name in databases.items():
                await create_indexes(client[name], duty)
        finally:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await client.close()

    def _start_secantus(self) -> None:
        """Makes the administrator on an open server first: SecantusDB has no other way."""
        if not self._is_initialized:
            self._server().kill()
            opened = self._secantus(authenticated=False)
            opened.start()
            self._await_listening(opened)
            with self._client(self.uri) as client:
                _set_user(client[ADMIN], ADMIN, self._admin_password, roles=["root"])
            opened.stop(limit=_STOP_SECONDS)
            self._mark_initialized()
        server = self._server()
        server.start()
        self._await_listening(server)

    def _start_mongod(self) -> None:
        """Makes the replica set and the administrator by the exception that MongoDB grants to localhost."""
        key = self.directory / "secrets" / "keyfile"
        if not key.exists():
            write_secret(key, b64encode(secrets.token_bytes(512)))
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        server = self._server()
        server.start()
        self._await_listening(server)
        if self._is_initialized:
            return
        member = {"_id": 0, "host": f"{LOOPBACK}:{self.port}"}
        with self._client(self.uri) as client:
            try:
                client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": [member]})
            except OperationFailure as error:
                if error.code != _ALREADY_INITIALIZED:
                    raise
            wait_until(
                lambda: bool(client.admin.command("hello")["isWritablePrimary"]),
                what="mongod has not become primary",
                limit=_START_SECONDS,
                program=server,
            )
            client.admin.command("createUser", ADMIN, pwd=self._admin_password, roles=["root"])
        self._mark_initialized()

    def _server(self) -> Program:
        return self._mongod() if self.kind is DatabaseKind.MONGOD else self._secantus(authenticated=True)

    def _own(self) -> Program:
        if self.kind is DatabaseKind.GIVEN:
            raise LocalStackError("The database server was given by its address: it is not ours to stop.")
        return self._server()

    def _mongod(self) -> Program:
        here = self.directory
        return self._program(
            "mongod",
            *("--bind_ip", LOOPBACK, "--port", str(self.port), "--dbpath", str(here / "data")),
            *("--replSet", _REPLICA_SET, "--auth", "--keyFile", str(here / "secrets" / "keyfile")),
        )

    def _secantus(self, *, authenticated: bool) -> Program:
        # A configuration file of its own, and empty, keeps the daemon from looking for one elsewhere.
        configuration = self.directory / "secantusd.toml"
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration.touch()
        return self._program(
            sys.executable,
            str(Path(sys.executable).with_name("secantusd-py")),
            *("--config", str(configuration), "--host", LOOPBACK, "--port", str(self.port)),
            *("--storage-path", str(self.directory / "data"), "--sync-on-commit"),
            *(["--auth"] if authenticated else []),
        )

    def _program(self, *command: str) -> Program:
        environment = base_environment(HOME=str(self.directory))
        return Program("database", command, self.directory, environment, self.directory)

    @property
    def _is_initialized(self) -> bool:
        return (self.directory / "initialized").exists()

    def _mark_initialized(self) -> None:
        (self.directory / "initialized").touch()

    @property
    def _admin_password(self) -> str:
        return kept_secret(self.directory / "secrets" / "admin")

    def _admin_uri(self) -> str:
        if self._given_uri is not None:
            return self._given_uri
        credentials = f"{ADMIN}:{self._admin_password}@"
        return f"mongodb://{credentials}{LOOPBACK}:{self.port}/?directConnection=true&authSource=admin"

    def _await_listening(self, server: Program) -> None:
        wait_until(
            lambda: is_listening(self.port),
            what=f"{self.kind} does not listen",
            limit=_START_SECONDS,
            program=server,
        )

    def _await_answer(self) -> None:
        with self.admin() as client:
            try:
                client.admin.command("ping")
            except (ConnectionFailure, OperationFailure) as error:
                raise LocalStackError(f"The database server ({self.kind}) does not answer: {error}") from None

    @contextmanager
    def _client(self, uri: str) -> Iterator[MongoClient[Document]]:
        client: MongoClient[Document] = MongoClient(
            uri, retryWrites=False, serverSelectionTimeoutMS=_ANSWER_MS, connectTimeoutMS=_ANSWER_MS
        )
        try:
            yield client
        finally:
            # The driver may take half a minute when the server has gone.
            closing = Thread(target=client.close, daemon=True)
            closing.start()
            closing.join(_CLOSE_SECONDS)


def without_credentials(uri: str) -> str:
    """The same address with nobody's name or password in it."""
    parts = urlsplit(uri)
    query = [(key, value) for key, value in parse_qsl(parts.query) if not key.lower().startswith("auth")]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", urlencode(query), ""))


def _kind(uri: str | None) -> DatabaseKind:
    if uri is not None:
        return DatabaseKind.GIVEN
    return DatabaseKind.MONGOD if shutil.which("mongod") else DatabaseKind.SECANTUS


def _set_role(database: Database[Document]) -> None:
    privileges = [{"resource": {"db": database.name, "collection": ""}, "actions": list(DUTY_ACTIONS)}]
    known = database.command("rolesInfo", DUTY_ROLE)["roles"]
    verb = "updateRole" if known else "createRole"
    database.command(verb, DUTY_ROLE, privileges=privileges, roles=[])


def _set_user(database: Database[Document], name: str, password: str, roles: list[Any] | None = None) -> None:
    granted = roles or [{"role": DUTY_ROLE, "db": database.name}]
    known = database.command("usersInfo", name)["users"]
    verb = "updateUser" if known else "createUser"
    database.command(verb, name, pwd=password, roles=granted)
