"""Files that people name: read within limits, and never overwritten by accident."""

import os
import sys
from pathlib import Path

from services.desk.exits import usage

STANDARD = Path("-")
"""Stands for standard input and standard output."""


def read_input(path: Path, *, limit: int) -> bytes:
    """The content of a file or of standard input.

    Raises:
        DeskError: it can't be read, or has more than `limit` bytes.
    """
    try:
        if path == STANDARD:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise usage(f"{path}: more than {limit} bytes are not read")
    return data


def write_output(path: Path, data: bytes, *, force: bool = False, mode: int = 0o666) -> None:
    """Write to a new file, or to standard output; an existing file is replaced only with `force`.

    Raises:
        DeskError: the file exists, can't be written, or the content is not fit for a terminal.
    """
    if path == STANDARD:
        if sys.stdout.isatty() and not _is_plain_text(data):
            raise usage("this is not fit for a terminal: name a file with -o, or pipe it")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if force and path.exists():
        _replace(path, data, mode=mode)
        return
    write_new(path, data, mode=mode)


def named_by_message(name: str) -> Path:
    """The file that a message names, in the current folder; the message's model has seen to its characters.

    Raises:
        DeskError: it would be a hidden one.
    """
    if name.startswith("."):
        raise usage(f"{name} is no good name for a file: name one yourself")
    return Path(name)


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file that does not exist yet; the umask applies to `mode`.

    Raises:
        DeskError: the file exists or can't be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise usage(f"{path} exists already and is left as it is") from None
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes, *, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    write_new(draft, data, mode=mode)
    draft.replace(path)


def _is_plain_text(data: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)  # noqa: PLR2004 - the printable part of ASCII
