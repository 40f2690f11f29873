"""What can go wrong between a client and the duties; every message says what to do next."""

from collections.abc import Iterable

from shared.contracts.replies import StatusResult
from shared.vocabulary.findings import Finding
from shared.vocabulary.states import State


class ClientError(Exception):
    """A command did not lead to its result; the text is written for the person who sent it."""


class NotConnectedError(ClientError):
    """The broker can't be reached. Nothing was sent."""


class CredentialsError(ClientError):
    """The broker does not let this identity in. Nothing was sent."""


class AccessRefusedError(ClientError):
    """The broker lets this identity in, but not do this. Nothing was accepted."""


class UnroutableCommandError(ClientError):
    """No queue takes this command. Nothing was accepted."""


class SlowDownError(ClientError):
    """The queue is full, and the broker did not take the command."""


class NoAnswerError(ClientError):
    """No answer came in time: the command may have been accepted, so it is to be repeated under the same id."""

    def __init__(self, reason: str, *, message_id: str) -> None:
        super().__init__(
            f"{reason} The command may have been accepted all the same. Look at the request's status, "
            f"or repeat the command with the same id: repeating does no harm."
        )
        self.message_id = message_id
        """Of the command: sent again under this id, it counts once."""


class CommandRefusedError(ClientError):
    """The duty refused the command; `findings` say why."""

    def __init__(self, message: str, findings: Iterable[Finding]) -> None:
        super().__init__(message)
        self.findings: tuple[Finding, ...] = tuple(findings)


class CommandFailedError(ClientError):
    """The duty could not carry the command out because of a fault on its side; operators know."""

    def __init__(self, message: str, findings: Iterable[Finding] = ()) -> None:
        super().__init__(message)
        self.findings: tuple[Finding, ...] = tuple(findings)


class UnreadableAnswerError(ClientError):
    """The duty asked did answer, but not in the form agreed on."""


class OutOfReachError(ClientError):
    """The request has come to a state from which none of those awaited can be reached."""

    def __init__(self, status: StatusResult) -> None:
        super().__init__(f"The request is {status.request.state}: the state waited for can't come any more.")
        self.status = status


class StillWaitingError(ClientError):
    """The state awaited did not come in time."""

    def __init__(self, last: State | None, seconds: float) -> None:
        known = "its state is not known" if last is None else f"it is still {last}"
        super().__init__(f"Waited {seconds:g} seconds for the request; {known}. Wait again, or look later.")
        self.last = last
