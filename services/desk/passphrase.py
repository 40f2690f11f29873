"""Passphrases of keys: from a file that RA_KEY_PASSPHRASE_FILE names, or from the person at the terminal."""

import getpass
import os
import sys
from pathlib import Path

from services.desk.exits import usage
from services.desk.files import STANDARD, read_input
from shared.errors import RefusedError
from shared.password_policy import PasswordRules, check_password
from shared.vocabulary.findings import finding

MOST_BYTES = 4_096
PASSPHRASE_VARIABLE = "RA_KEY_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable, no passphrase


def ask_passphrase(path: Path) -> str:
    """The passphrase of the key in this file.

    Raises:
        RefusedError: `config.secret-unreadable`, the file with the passphrase.
        DeskError: nobody is there to ask.
    """
    return given_passphrase() or _ask(f"Passphrase of {path}: ")


def choose_passphrase(path: Path, file: Path | None = None) -> str:
    """A passphrase for a new key: the one in `file` if that is given, else one asked for twice, as `ask_passphrase`.

    Raises:
        RefusedError: `config.secret-unreadable`, the file with the passphrase; `password.*`, it is easy to guess.
        DeskError: it is empty, the two differ, or nobody is there to ask.
    """
    given = given_passphrase() if file is None else _read(file)
    if given is not None:
        return _strong(given)
    if not _is_terminal():
        text = "there is no terminal to ask for a passphrase on: give --passphrase-file, or --no-passphrase"
        raise usage(f"{text}, or set {PASSPHRASE_VARIABLE}")
    first = _strong(_ask(f"Passphrase for {path}: "))
    if _ask("The same again: ") != first:
        raise usage("the two passphrases differ")
    return first


def choose_password(file: Path | None) -> str:
    """The password of a PKCS#12: the one in `file` if that is given, else one asked for twice.

    Raises:
        RefusedError: `config.secret-unreadable`, the file with the password.
        DeskError: it is empty, the two differ, or nobody is there to ask.
    """
    if file is not None:
        return _some(_read(file))
    if not _is_terminal():
        raise usage("there is no terminal to ask for a password on: give --password-file")
    first = _some(_ask("Password for the PKCS#12: "))
    if _ask("The same again: ") != first:
        raise usage("the two passwords differ")
    return first


def given_passphrase() -> str | None:
    """The passphrase in the file that RA_KEY_PASSPHRASE_FILE names, if it names one. Raises `RefusedError`."""
    named = os.environ.get(PASSPHRASE_VARIABLE)
    return _some(_read(Path(named))) if named else None


def _read(file: Path) -> str:
    """What is in a file, blanks and all, without the end of its line: the same that somebody would type."""
    try:
        content = read_input(file if file == STANDARD else file.expanduser(), limit=MOST_BYTES)
        return content.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise RefusedError(finding("config.secret-unreadable", f"{file}: {reason}")) from None


def _strong(passphrase: str) -> str:
    findings = check_password(_some(passphrase), PasswordRules())
    if findings:
        raise RefusedError.of(findings)
    return passphrase


def _some(passphrase: str) -> str:
    if not passphrase:
        raise usage("an empty passphrase protects nothing")
    return passphrase


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _ask(prompt: str) -> str:
    if not _is_terminal():
        raise usage(f"the key needs a passphrase and there is no terminal to ask on: set {PASSPHRASE_VARIABLE}")
    return getpass.getpass(prompt)
