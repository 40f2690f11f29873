"""What the stack's configuration files say, as plain values; relative paths are relative to the file's folder."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.ports import LOOPBACK
from shared.vocabulary.duties import Duty

Document = dict[str, Any]


@dataclass(frozen=True)
class Access:
    """How to reach a server, and as whom."""

    address: str | int
    """The database's URI without credentials, the broker's port on loopback, or the CA's URL."""
    place: str
    """The database's name, or the broker's virtual host; empty for the CA."""
    secret_file: Path


@dataclass(frozen=True)
class DutyFiles:
    """The files of one duty."""

    policy: Path
    officers: Sequence[Document]
    """The policy officers' names and public keys, to be pinned."""
    key: Path
    opening: Path
    """The private key with which the issuer opens passwords."""
    roots: Path
    audit_log: Path


def duty_settings(
    duty: Duty,
    *,
    folder: Path,
    port: int,
    broker: Access,
    database: Access,
    ca: Access | None,
    files: DutyFiles,
    overrides: Mapping[str, Mapping[str, object]],
) -> Document:
    """The settings of a duty's process whose file lies in `folder`."""

    def relative(path: Path) -> str:
        return os.path.relpath(path, folder)

    settings: Document = {
        "broker": _broker(broker, relative(broker.secret_file)) | {"user": str(duty)},
        "database": {
            "uri": database.address,
            "name": database.place,
            "user": str(duty),
            "password_file": relative(database.secret_file),
        },
        "http": {"host": LOOPBACK, "port": port},
        "policy": {"file": relative(files.policy), "officers": list(files.officers)},
        "evidence": {"key_file": relative(files.key)},
        "audit_log": {"folder": relative(files.audit_log)},
    }
    if ca is not None:
        settings["ca"] = {
            "url": ca.address,
            "api_key_file": relative(ca.secret_file),
            "poll_seconds": 1.0,
            "rate_windows": [],  # the sandbox limits no rate unless it is told to
        }
    if duty is Duty.ISSUER:
        settings["opening_key_files"] = [relative(files.opening)]
        settings["ca"] |= {"roots_file": relative(files.roots), "lookup_lag_seconds": 2.0}
    for table, values in overrides.items():
        settings[table] = {**settings.get(table, {}), **values}
    return settings


def profile(identity: str, *, folder: Path, broker: Access, key: Path | None, anchor: Path) -> Document:
    """The `ra` profile of an identity whose file lies in `folder`."""
    return {
        "identity": identity,
        "broker": _broker(broker, os.path.relpath(broker.secret_file, folder)),
        **({"signing": {"key_file": os.path.relpath(key, folder)}} if key else {}),
        "trust": {"anchor_file": os.path.relpath(anchor, folder)},
    }


def _broker(broker: Access, password_file: str) -> Document:
    return {
        "host": LOOPBACK,
        "port": broker.address,
        "virtual_host": broker.place,
        "password_file": password_file,
    }
