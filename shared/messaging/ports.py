"""What the runtime needs from the outside."""

from typing import Protocol, TypeVar

from shared.messaging.messages import Outcome, Outgoing, Received
from shared.vocabulary.model import Model

DataT_contra = TypeVar("DataT_contra", bound=Model, contravariant=True)


class Publisher(Protocol):
    """Publishes messages, each confirmed by the broker."""

    async def publish(self, message: Outgoing) -> None:
        """Publish persistently, mandatory, and wait for the broker's confirmation.

        Raises:
            UnavailableError: the broker is away, or did not confirm.
            UnroutableError: no queue takes this message.
            NotTakenError: a queue that should take it refused it.
        """
        ...

    async def park(self, body: bytes, headers: dict[str, str]) -> None:
        """Put a message that we failed on into the duty's parked queue, confirmed.

        Raises:
            UnavailableError: the broker is away, or did not confirm.
        """
        ...

    async def put_by(self, body: bytes, headers: dict[str, str]) -> None:
        """Put a message into the duty's queue of what waits for a newer policy, confirmed.

        Raises:
            UnavailableError: the broker is away, or did not confirm.
        """
        ...


class NotTakenError(Exception):
    """The link is there, but a queue did not take the message, for example because it is full."""


class UnroutableError(Exception):
    """No queue takes the message."""


class Handler(Protocol[DataT_contra]):
    """Handles one kind of message.

    The handler stores the new state together with what follows from it, in one write; a handler called again with
    the same message returns the same outcome. It raises `RefusedError`, `UnavailableError` or `ConflictError`;
    anything else is a bug and parks the message.
    """

    async def __call__(self, message: Received[DataT_contra]) -> Outcome:
        """Handle it and say what follows."""
        ...
