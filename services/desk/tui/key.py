"""The approver's key: opened when it is first needed, and held until it is put away or the program ends."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from shared.client.profile import read_key
from shared.errors import RefusedError
from shared.evidence.jws import SigningKey, Typ
from shared.vocabulary.findings import finding
from shared.vocabulary.keys import PublicKey


class _AskFirstError(Exception):
    """The key is encrypted, and nobody gave the passphrase yet."""


class HeldKey:
    """Signs as one identity, once somebody has opened it; it keeps the key and never the passphrase."""

    def __init__(self, file: Path | None, given: Callable[[], str | None]) -> None:
        """`file` is the profile's key, if it names one; `given` the passphrase that needs no asking for."""
        self.file = file
        self._given = given
        self._key: SigningKey | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can sign."""
        return self._key is not None

    def open(self, passphrase: str | None = None) -> bool:
        """Make it ready to sign; False when a passphrase is needed and none is there.

        Raises:
            RefusedError: `config.*`: there is no key, it can't be read, or the passphrase is wrong.
        """
        if self._key is not None:
            return True
        if self.file is None:
            text = "a decision has to be signed, and the profile names no key: see [signing]"
            raise RefusedError(finding("config.key-missing", text))
        try:
            self._key = read_key(self.file, lambda _: self._passphrase(passphrase))
        except _AskFirstError:
            return False
        return True

    def _passphrase(self, typed: str | None) -> str:
        passphrase = typed or self._given()
        if not passphrase:
            raise _AskFirstError
        return passphrase

    def close(self) -> None:
        """Forget the key: the passphrase is asked for again."""
        self._key = None

    @property
    def public(self) -> PublicKey:
        """The public half of the open key."""
        return self._opened().public

    def sign(self, payload: bytes, typ: Typ, at: datetime) -> str:
        """The compact JWS over exactly these bytes. Raises `RefusedError` while it is not open."""
        return self._opened().sign(payload, typ, at)

    def _opened(self) -> SigningKey:
        if self._key is None:
            raise RefusedError(finding("config.passphrase-missing", "the key is closed: give its passphrase"))
        return self._key
