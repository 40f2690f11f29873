"""One PEM block or DER structure out of foreign bytes, and a guard around the parser that reads it."""

import base64
import binascii
import re
import textwrap
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.vocabulary.model import mistakes

PANICKED = "the parser gave up"
"""The value of a finding when the parser's Rust core panicked: harmless here, and a fault of the library's."""

_DER_SEQUENCE = b"\x30"
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----")
_WARNINGS = threading.RLock()


@dataclass(frozen=True)
class Kind:
    """What may be read: its PEM labels (RFC 7468), its limits in bytes and the prefix of its findings."""

    code: str
    noun: str
    labels: frozenset[str]
    max_text: int
    max_der: int


def read_one(data: bytes | str, kind: Kind) -> bytes:
    """The DER of the one PEM block, or of the bare DER, in `data`; limits come before any decoding.

    Explanatory text around the block is allowed (RFC 7468 §5.2), a second block is not.
    Raises `RefusedError` with `<kind>.too-large` or `<kind>.unreadable`.
    """
    bare = isinstance(data, bytes) and data.startswith(_DER_SEQUENCE)
    if len(data) > (kind.max_der if bare else kind.max_text):
        raise _too_large(kind, len(data))
    der = data if isinstance(data, bytes) and bare else _block(data, kind)
    if len(der) > kind.max_der:
        raise _too_large(kind, len(der))
    return der


def pem_text(der: bytes, label: str) -> str:
    """The DER as one PEM block under `label`, 64 characters a line (RFC 7468 §2)."""
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


@contextmanager
def refusing(code: str, message: str) -> Iterator[None]:
    """Turns whatever the block raises into a `RefusedError` with one finding; refusals pass unchanged.

    `cryptography` parses lazily and raises many kinds of exception; its Rust core may even panic, which is
    no `Exception`. Its warnings about tolerated encodings are silenced, so that strict and lenient warning
    filters see the same outcome. `warnings` keeps its filters per process: the lock makes sure that two
    threads restore them in turn.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(finding(code, message, value=_reason(error))) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise RefusedError(finding(code, message, value=PANICKED)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(found.message for found in mistakes(error, code="x509.reason"))
    return str(error)


def _block(data: bytes | str, kind: Kind) -> bytes:
    with refusing(f"{kind.code}.unreadable", f"this is not a {kind.noun} in PEM or DER"):
        text = data if isinstance(data, str) else data.decode("utf-8")
        if text.count("-----BEGIN ") > 1:
            raise RefusedError(finding(f"{kind.code}.unreadable", f"send exactly one {kind.noun}"))
        match = _BLOCK.search(text)
        if match is None or match[1] not in kind.labels:
            raise RefusedError(finding(f"{kind.code}.unreadable", f"there is no PEM block of a {kind.noun}"))
        return _base64(match[2])


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the PEM block is not base64: {error}") from error


def _too_large(kind: Kind, size: int) -> RefusedError:
    message = f"a {kind.noun} may have {kind.max_der} bytes as DER and {kind.max_text} as text"
    return RefusedError(finding(f"{kind.code}.too-large", message, value=f"{size} bytes"))
