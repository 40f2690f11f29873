"""Passphrases of keys: from a file that RA_KEY_PASSPHRASE_FILE names, or from the person at the terminal."""

import getpass
import os
import sys
from pathlib import Path

from services.desk.exits import usage
from shared.config import Secret

PASSPHRASE_VARIABLE = "RA_KEY_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable, no passphrase


def ask_passphrase(path: Path) -> str:
    """The passphrase of the key in this file.

    Raises:
        RefusedError: `config.secret-unreadable`, the file with the passphrase.
        DeskError: nobody is there to ask.
    """
    return given_passphrase() or _ask(f"Passphrase of {path}: ")


def choose_passphrase(path: Path) -> str:
    """A passphrase for a new key, asked for twice; otherwise as `ask_passphrase`."""
    if given := given_passphrase():
        return given
    first = _ask(f"Passphrase for {path}: ")
    if not first:
        raise usage("an empty passphrase protects nothing")
    if _ask("The same again: ") != first:
        raise usage("the two passphrases differ")
    return first


def given_passphrase() -> str | None:
    """The passphrase in the file that RA_KEY_PASSPHRASE_FILE names, if it names one. Raises `RefusedError`."""
    named = os.environ.get(PASSPHRASE_VARIABLE)
    return Secret(Path(named).expanduser()).reveal() if named else None


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise usage(f"the key needs a passphrase and there is no terminal to ask on: set {PASSPHRASE_VARIABLE}")
    return getpass.getpass(prompt)
