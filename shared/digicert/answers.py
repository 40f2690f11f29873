"""Reading the CA's answers: pure functions from status and body to a value or to a failure."""

from dataclasses import dataclass
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
_SUCCESS = frozenset({200, 201, 202, 204})
_UNAUTHORIZED, _FORBIDDEN, _REQUEST_TIMEOUT, _TOO_MANY_REQUESTS, _NO_CONTENT = 401, 403, 408, 429, 204

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came over the wire, within the limits of size and time."""

    status: int
    content: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the status is one with which the CA says yes."""
        return self.status in _SUCCESS


def failure_of(endpoint: str, reply: Reply, *, writes: bool) -> CaUnavailableError | CaRefusedError:
    """What an answer that is not a success means; `writes` says whether the call could change anything."""
    reasons = _reasons(reply.content)
    status = reply.status
    if status == _TOO_MANY_REQUESTS:
        return CaThrottledError(endpoint, "its rate limit is used up", maybe_done=writes and not reasons)
    if status == _REQUEST_TIMEOUT:
        return CaTimeoutError(endpoint, "it waited too long for us (408)", maybe_done=writes)
    if 500 <= status < 600:  # noqa: PLR2004 -- HTTP's own numbers read best
        return CaFaultError(endpoint, f"its server failed ({status})", maybe_done=writes)
    if not reasons or not 400 <= status < 500:  # noqa: PLR2004 -- HTTP's own numbers read best
        return CaGarbledError(endpoint, f"an undocumented answer ({status})", maybe_done=writes)
    if status == _UNAUTHORIZED or (status == _FORBIDDEN and any(code == INVALID_KEY for code, _ in reasons)):
        return CaCredentialError(endpoint, status, reasons)
    return CaRefusedError(endpoint, status, reasons)


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


def _reasons(content: bytes) -> tuple[tuple[str, str], ...]:
    """The coded reasons of an error answer; none if it is not one."""
    try:
        answer = ErrorAnswer.model_validate_json(content)
    except ValidationError:
        return ()
    return tuple(
        (reason.code[:MAX_REASON_LENGTH], reason.message[:MAX_REASON_LENGTH]) for reason in answer.errors[:MAX_REASONS]
    )
