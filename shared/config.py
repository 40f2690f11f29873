"""Settings of a process: one strict TOML file; secrets come as the names of files.

Relative paths in a settings file are relative to the file's own folder.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from shared.errors import RefusedError
from shared.evidence.dual_control import Officer
from shared.vocabulary.findings import finding
from shared.vocabulary.model import mistakes

Port = Annotated[int, Field(ge=1, le=65_535)]


def _absolute(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return Path(folder) / path.expanduser()


FilePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseModel):
    """A frozen group of settings; an unknown one is a mistake, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(Settings):
    """How to reach RabbitMQ, and as whom."""

    host: str
    port: Port
    virtual_host: str
    user: str
    password_file: FilePath
    prefetch: Annotated[int, Field(ge=1, le=1000)] = 16


class DatabaseSettings(Settings):
    """How to reach MongoDB, and as whom."""

    uri: str
    """Without credentials."""
    name: str
    user: str
    password_file: FilePath


class HttpSettings(Settings):
    """Where health, readiness and metrics are served."""

    host: str = "127.0.0.1"
    port: Port


class PolicySettings(Settings):
    """Where the policy is, and whose signatures make it count."""

    file: FilePath
    """Its signatures are beside it, under the same name and `.signatures`."""
    officers: Annotated[tuple[Officer, ...], Field(min_length=2)]
    """The policy officers, each with the key pinned for them: two of them must have signed the policy."""


class EvidenceSettings(Settings):
    """With what this duty signs."""

    key_file: FilePath


class AuditLogSettings(Settings):
    """Where this process writes what it does."""

    folder: FilePath
    """On a volume of its own; a copy of the duty takes the first log in it that no other writes."""
    checkpoint_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long, at most, until the other duties are told of what was written."""


class RateWindowSettings(Settings):
    """So many calls within so many seconds, rolling."""

    calls: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(gt=0)]


class CaSettings(Settings):
    """How to reach the CA, and as whom."""

    url: str
    api_key_file: FilePath
    poll_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long what waits at the CA, or for it, waits until it is looked at again; each duty says how."""
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long one call may take; a lease on what is done at the CA lasts twice as long."""
    concurrency: Annotated[int, Field(ge=1, le=16)] = 2
    rate_windows: tuple[RateWindowSettings, ...] | None = None
    """What the CA grants this API key; what it documents, if not given. None at all: the calls are not paced."""


class DutySettings(Settings):
    """What every duty needs to know."""

    broker: BrokerSettings
    database: DatabaseSettings
    http: HttpSettings
    policy: PolicySettings
    evidence: EvidenceSettings
    audit_log: AuditLogSettings
    grace_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long work in flight may take to finish at shutdown."""


SettingsT = TypeVar("SettingsT", bound=Settings)


def read_settings(path: Path, model: type[SettingsT]) -> SettingsT:
    """The settings in this file.

    Raises:
        RefusedError: `config.*`, one finding for each mistake.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise RefusedError(finding("config.unreadable", f"{path}: {error.strerror}")) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(finding("config.not-toml", f"{path}: {error}")) from None
    try:
        return model.model_validate(values, context={"folder": path.parent})
    except ValidationError as error:
        raise RefusedError.of(mistakes(error, code="config.invalid")) from None


class Secret:
    """A secret that comes as a file, is read when it is used, and cannot print itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reveal(self) -> str:
        """The secret's text, without surrounding white space.

        Raises:
            RefusedError: `config.secret-unreadable`, naming the file and never the content.
        """
        try:
            text = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise RefusedError(finding("config.secret-unreadable", f"{self._path}: {reason}")) from None
        if not text:
            raise RefusedError(finding("config.secret-unreadable", f"{self._path}: it is empty"))
        return text

    def __repr__(self) -> str:
        """The file's name."""
        return f"Secret({self._path.name})"
