"""The profile: who one is, how to reach the broker, with what one signs, and whom one trusts."""

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from shared.config import CaSettings, FilePath, Port, Settings, read_settings
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import SigningKey
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import finding
from shared.vocabulary.names import IdentityField

PROFILE_VARIABLE = "RA_PROFILE"
ANCHOR_FORMAT = "countersign-anchor/1"
ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"

Passphrase = Callable[[Path], str]
"""Gives the passphrase of this key file; it is called only for a key that is encrypted."""


class BrokerProfile(Settings):
    """How to reach RabbitMQ; the user's name is the identity's."""

    host: str
    port: Port
    virtual_host: str
    password_file: FilePath


class SigningProfile(Settings):
    """With what this identity signs."""

    key_file: FilePath
    """An Ed25519 key, PKCS#8 PEM, with or without a passphrase."""


class TrustProfile(Settings):
    """Whose signatures this identity's client verifies."""

    anchor_file: FilePath


class Profile(Settings):
    """A profile file, whole."""

    identity: IdentityField
    broker: BrokerProfile
    signing: SigningProfile | None = None
    trust: TrustProfile | None = None
    ca: CaSettings | None = None
    """How to look at the CA's orders, for `ra orders reconcile`: with a view-only key."""


def default_profile_file() -> Path:
    """Where the profile is: `RA_PROFILE`, or else `~/.config/ra/profile.toml`."""
    given = os.environ.get(PROFILE_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".config" / "ra" / "profile.toml"


def read_profile(path: Path) -> Profile:
    """The profile in this TOML file; relative paths in it are relative to its folder.

    Raises:
        RefusedError: `config.*`, one finding for each mistake.
    """
    return read_settings(path, Profile)


def no_passphrase(path: Path) -> str:
    """What a program does that has no passphrase to give.

    Raises:
        RefusedError: `config.passphrase-missing`.
    """
    raise RefusedError(finding("config.passphrase-missing", f"{path}: the key needs a passphrase"))


def read_signer(profile: Profile, passphrase: Passphrase = no_passphrase) -> SigningKey | None:
    """The key with which the profile's identity signs, or None where the profile names none.

    Raises:
        RefusedError: `config.key-unreadable`, or what `passphrase` raises.
    """
    return None if profile.signing is None else read_key(profile.signing.key_file, passphrase)


OTHERS = 0o077
"""Of a file's mode: what others than its owner may do with it."""


def read_key(path: Path, passphrase: Passphrase = no_passphrase) -> SigningKey:
    """The Ed25519 key in a PKCS#8 PEM file.

    Raises:
        RefusedError: `config.key-unreadable`, or what `passphrase` raises.
    """
    try:
        encrypted = ENCRYPTED in path.read_bytes()
        if not encrypted and path.stat().st_mode & OTHERS:
            raise _unreadable(path, f"it has no passphrase, and others can get at it: chmod 600 {path}")
        return SigningKey.from_file(path, passphrase=passphrase(path).encode() if encrypted else None)
    except OSError as error:
        raise _unreadable(path, error.strerror or "it can't be read") from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = "the passphrase is wrong, or it holds no Ed25519 key" if encrypted else "it holds no Ed25519 key"
        raise _unreadable(path, wrong) from None


def read_anchor(path: Path) -> Anchor:
    """The anchor in a file as `ra audit anchor` writes it.

    Raises:
        RefusedError: `config.anchor-invalid`.
    """
    code = "config.anchor-invalid"
    try:
        anchor = Anchor.read(path.read_bytes(), code=code)
    except OSError as error:
        raise RefusedError(finding(code, f"{path}: {error.strerror}")) from None
    if anchor.format != ANCHOR_FORMAT:
        raise RefusedError(finding(code, f"{path}: this is no anchor of format {ANCHOR_FORMAT}", value=anchor.format))
    missing = [duty for duty in Duty if duty not in anchor.duties]
    if missing:
        raise RefusedError(finding(code, f"{path}: the keys of these duties are missing: {', '.join(missing)}"))
    return anchor


def _unreadable(path: Path, reason: str) -> RefusedError:
    return RefusedError(finding("config.key-unreadable", f"{path}: {reason}"))
