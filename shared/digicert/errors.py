"""How a call to the CA can fail.

`CaUnavailableError` passes by itself and says whether the CA may have acted on the call nevertheless;
`CaRefusedError` is the CA's considered no, in its own words.
"""

from typing import ClassVar

from shared.errors import UnavailableError

INVALID_KEY = "access_denied|access_denied_invalid_key"
"""The code with which the CA answers a key that it does not know."""


class CaUnavailableError(UnavailableError):
    """The CA gave no usable answer.

    `maybe_done` is False only where it is certain that the CA did not act on the call: a read, a connection
    that never came about, or the CA's own well-formed 429. Whoever placed an order or revoked must otherwise
    look at what the CA has before trying again.
    """

    result: ClassVar[str] = "unavailable"

    def __init__(
        self, endpoint: str, reason: str, *, maybe_done: bool, said: str = "", retry_after: float | None = None
    ) -> None:
        """`said` are the CA's own words; `retry_after` the seconds it asked us to wait, if it did."""
        super().__init__("the CA", f"{endpoint}: {reason}" + (f"; it said: {said}" if said else ""))
        self.endpoint = endpoint
        self.maybe_done = maybe_done
        self.said = said
        self.retry_after = retry_after


class CaUnreachableError(CaUnavailableError):
    """No connection came about, or the connection broke."""

    result = "unreachable"


class CaTimeoutError(CaUnavailableError):
    """The time limit of the call passed, while waiting for a slot or for the answer."""

    result = "timeout"


class CaThrottledError(CaUnavailableError):
    """The CA's rate limit is used up (429)."""

    result = "throttled"


class CaQuotaError(CaThrottledError):
    """Our own account of the CA's rate limit says that the call would be too many; it was not sent."""

    result = "quota"
    retry_after: float

    def __init__(self, endpoint: str, retry_after: float) -> None:
        reason = f"no call may go for {retry_after:.1f} s"
        super().__init__(endpoint, reason, maybe_done=False, retry_after=retry_after)


class CaKeyUnusableError(CaUnavailableError):
    """The API key at hand cannot be read or sent: an operator must act; nothing was sent."""

    result = "unusable-key"


class CaFaultError(CaUnavailableError):
    """The CA's server failed (5xx)."""

    result = "fault"


class CaGarbledError(CaUnavailableError):
    """The answer is not a documented one: not JSON, too large, a redirect, a stray status."""

    result = "garbled"


class CaRefusedError(Exception):
    """The CA understood the call and refused it: a 4xx with at least one coded reason.

    `status` is the HTTP status, `reasons` are pairs of the CA's code and the CA's own sentence, each
    bounded in length. The CA did not act on the call.
    """

    def __init__(self, endpoint: str, status: int, reasons: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"{endpoint}: {status}: " + "; ".join(f"{code}: {message}" for code, message in reasons))
        self.endpoint = endpoint
        self.status = status
        self.reasons = reasons

    @property
    def codes(self) -> frozenset[str]:
        """The CA's codes alone."""
        return frozenset(code for code, _ in self.reasons)

    @property
    def result(self) -> str:
        """The word for this outcome in the metrics."""
        return "not-found" if self.status == 404 else "refused"  # noqa: PLR2004 -- HTTP's own number reads best


class CaCredentialError(CaRefusedError):
    """The CA does not know the API key: an operator must act, and no other call will fare better."""

    @property
    def result(self) -> str:
        """The word for this outcome in the metrics."""
        return "credential"
