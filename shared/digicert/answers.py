"""Reading the CA's answers: pure functions from status and body to a value or to a failure."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.digicert.errors import (
    INVALID_KEY,
    CaCredentialError,
    CaFaultError,
    CaGarbledError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
)
from shared.digicert.models import ErrorAnswer, RequestStatus, RevocationOutcome, certificates_of

MAX_REASONS = 20
MAX_REASON_LENGTH = 1000
MAX_RETRY_AFTER = 3600.0
"""A CA that asks for a longer wait than an hour is asked again after an hour."""
_SUCCESS = frozenset({200, 201, 202, 204})
_UNAUTHORIZED, _FORBIDDEN, _REQUEST_TIMEOUT, _TOO_MANY_REQUESTS, _NO_CONTENT = 401, 403, 408, 429, 204
_TITLE = re.compile(rb"<title>([^<]{1,200})</title>", re.IGNORECASE)

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came over the wire, within the limits of size and time."""

    status: int
    content: bytes
    retry_after: float | None = None
    """Seconds, where the answer had such a field and it could be read."""

    @property
    def succeeded(self) -> bool:
        """Whether the status is one with which the CA says yes."""
        return self.status in _SUCCESS


def failure_of(endpoint: str, reply: Reply, *, writes: bool) -> CaUnavailableError | CaRefusedError:
    """What an answer that is not a success means; `writes` says whether the call could change anything."""
    reasons = _reasons(reply.content)
    status, said, wait = reply.status, _said(reply.content, reasons), reply.retry_after
    if status == _TOO_MANY_REQUESTS:
        done = writes and not reasons
        return CaThrottledError(endpoint, "its rate limit is used up", maybe_done=done, said=said, retry_after=wait)
    if status == _REQUEST_TIMEOUT:
        return CaTimeoutError(endpoint, "it waited too long for us (408)", maybe_done=writes, said=said)
    if 500 <= status < 600:  # noqa: PLR2004 -- HTTP's own numbers read best
        reason = f"its server failed ({status})"
        return CaFaultError(endpoint, reason, maybe_done=writes, said=said, retry_after=wait)
    if not reasons or not 400 <= status < 500:  # noqa: PLR2004 -- HTTP's own numbers read best
        return CaGarbledError(endpoint, f"an undocumented answer ({status})", maybe_done=writes, said=said)
    if status == _UNAUTHORIZED or (status == _FORBIDDEN and any(code == INVALID_KEY for code, _ in reasons)):
        return CaCredentialError(endpoint, status, reasons)
    return CaRefusedError(endpoint, status, reasons)


def retry_after_in(text: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` field (RFC 9110 §10.2.3) asks for, at most `MAX_RETRY_AFTER`."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def parsed(model: type[AnswerT], reply: Reply) -> AnswerT:
    """The body as this model.

    Raises:
        ValueError: it is not JSON, or not of this shape.
    """
    try:
        return model.model_validate_json(reply.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ValueError(f"{place}: {first['type']}") from None


def chain_in(reply: Reply) -> tuple[bytes, ...]:
    """The DER certificates of a PEM download, leaf first, as sent.

    Raises:
        ValueError: it is not a chain in PEM.
    """
    return certificates_of(reply.content.decode("ascii"))


def revocation_in(reply: Reply) -> RevocationOutcome:
    """204 without a body is done; otherwise the body is the request that waits for approval.

    Raises:
        ValueError: it is neither.
    """
    if reply.status == _NO_CONTENT:
        return RevocationOutcome()
    return RevocationOutcome(request=parsed(RequestStatus, reply))


def nothing_in(_reply: Reply) -> None:
    """A success whose body, if any, says nothing more."""


def _said(content: bytes, reasons: tuple[tuple[str, str], ...]) -> str:
    """The CA's words, or a page's title; never more of a page, for a proxy may have put anything into it."""
    if reasons:
        return "; ".join(f"{code}: {message}" for code, message in reasons)[:MAX_REASON_LENGTH]
    title = _TITLE.search(content)
    return title.group(1).decode("utf-8", "replace").strip() if title else ""


def _reasons(content: bytes) -> tuple[tuple[str, str], ...]:
    """The coded reasons of an error answer; none if it is not one."""
    try:
        answer = ErrorAnswer.model_validate_json(content)
    except ValidationError:
        return ()
    return tuple(
        (reason.code[:MAX_REASON_LENGTH], reason.message[:MAX_REASON_LENGTH]) for reason in answer.errors[:MAX_REASONS]
    )
