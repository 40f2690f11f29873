"""One duty's database: opening it, counting its commands, and telling when it is away."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from shared.config import DatabaseSettings, Secret
from shared.errors import RefusedError, UnavailableError
from shared.vocabulary.findings import finding

POOL_SIZE = 20
SELECTION_MS = 2_000
SOCKET_MS = 10_000
CLOSE_SECONDS = 3.0
PING_SECONDS = 3.0
POLL = "poll"
"""The comment of a query that looks for due work, so that it can be told from those that serve a message."""
_READS = frozenset({"find", "getMore", "aggregate", "count", "distinct"})
_WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})
_NOT_ALLOWED = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, AtlasError: an operator's to mend; work waits meanwhile."""


class _Counter(CommandListener):
    """Counts what the driver sends."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in _READS:
            self._count(POLL if event.command.get("comment") == POLL else "read")
        elif event.command_name in _WRITES:
            self._count("write")

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing more to count."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing more to count."""


class Database:
    """A connection pool to one duty's database."""

    def __init__(self, settings: DatabaseSettings, *, name: str, count: Callable[[str], None]) -> None:
        """Connects when first used. `count` is told `read`, `poll` or `write` for each command sent.

        Raises:
            RefusedError: `config.secret-unreadable` or `config.database-uri`.
        """
        password = Secret(settings.password_file).reveal()
        try:
            self._client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
                settings.uri,
                username=settings.user,
                password=password,
                authSource=settings.name,
                appname=name,
                tz_aware=True,
                retryWrites=False,
                retryReads=False,
                w="majority",
                journal=True,
                maxPoolSize=POOL_SIZE,
                serverSelectionTimeoutMS=SELECTION_MS,
                connectTimeoutMS=SELECTION_MS,
                socketTimeoutMS=SOCKET_MS,
                event_listeners=[_Counter(count)],
            )
            self.handle: AsyncIOMotorDatabase[dict[str, Any]] = self._client[settings.name]
        except (ConfigurationError, InvalidName, ValueError) as error:
            raise RefusedError(finding("config.database-uri", f"database.uri or name: {error}")) from None

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            UnavailableError: it does not.
        """
        with translated():
            async with asyncio.timeout(PING_SECONDS):
                await self.handle.command("ping")

    async def close(self) -> None:
        """Close the pool; the driver may take long when the server has gone, so this waits only a little."""
        closing = asyncio.get_running_loop().run_in_executor(None, self._client.close)
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what means "the database is away" into `UnavailableError`; everything else is a bug of ours."""
    try:
        yield
    except (
        ConnectionFailure,
        AutoReconnect,
        NetworkTimeout,
        ServerSelectionTimeoutError,
        WTimeoutError,
    ) as error:
        raise UnavailableError("database", str(error)) from error
    except TimeoutError as error:
        raise UnavailableError("database", "no answer in time") from error
    except OperationFailure as error:
        if error.code in _NOT_ALLOWED:
            raise UnavailableError("database", f"not allowed: {error.details}") from error
        raise
    except PyMongoError as error:
        if error.timeout:
            raise UnavailableError("database", str(error)) from error
        raise
