"""Findings: coded reasons why something is refused or worth noting."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

MAX_VALUE_LENGTH = 200
MAX_MESSAGE_LENGTH = 1000
"""A profile may list thousands of values: what one request is told of them must fit into one answer."""


class Severity(StrEnum):
    """`error` refuses; `warning` is shown to those who decide; `note` informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(BaseModel):
    """One reason: a stable dotted code for programs, a sentence for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9-]+(\.[a-z0-9-]+)+\z")]
    message: str
    severity: Severity = Severity.ERROR
    value: str | None = None
    """The offending value as text, cut to `MAX_VALUE_LENGTH` characters."""


def finding(code: str, message: str, *, value: object = None, severity: Severity = Severity.ERROR) -> Finding:
    """A finding that is safe to log and to show: its value is printable, and both that and the message are bounded."""
    return Finding(code=code, message=_cut(message, MAX_MESSAGE_LENGTH), severity=severity, value=_shown(value))


def refuses(findings: tuple[Finding, ...] | list[Finding]) -> bool:
    """Whether at least one of these findings is an error."""
    return any(found.severity is Severity.ERROR for found in findings)


def printable(text: str) -> str:
    """This text in one line, without what acts on a terminal, on a mail's header or on the direction of writing."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return _cut(printable(str(value)), MAX_VALUE_LENGTH)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
