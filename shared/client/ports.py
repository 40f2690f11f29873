"""What the client needs from the outside: a connection to the broker, and something that signs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.client.profile import Profile
from shared.evidence.jws import Typ
from shared.messaging.messages import Delivery, Outgoing
from shared.vocabulary.keys import PublicKey


class Signer(Protocol):
    """Signs as one identity: a key in a file today, a token tomorrow.

    This is all that client and desk ask of it. What is signed, they put together and show before; the private key and
    what opens it never leave it.
    """

    @property
    def public(self) -> PublicKey:
        """The public key with which its signatures verify."""
        ...

    def sign(self, payload: bytes, typ: Typ, at: datetime) -> str:
        """The compact JWS over exactly these bytes.

        Raises:
            RefusedError: `config.*`, it can't be used now, or whoever holds it does not want to.
        """
        ...


class Connection(Protocol):
    """One session with the broker: it ends as a whole, and is then opened anew."""

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        ...

    async def publish(self, message: Outgoing) -> None:
        """Publish persistently, mandatory, and wait for the broker's confirmation.

        Raises:
            SlowDownError: the broker did not take it.
            UnroutableCommandError: no queue takes it.
            AccessRefusedError: this identity may not send it.
            ConnectionLostError: the session ended meanwhile; the message may have been taken.
        """
        ...

    async def close(self) -> None:
        """End the session; it may have ended before."""
        ...


class ConnectionLostError(Exception):
    """The session with the broker ended while something was under way."""


@dataclass(frozen=True)
class Receiver:
    """Who is told of what happens on a connection."""

    on_message: Callable[[Delivery], None]
    on_lost: Callable[[], None]


Connect = Callable[[Profile, Receiver], Awaitable[Connection]]
"""Opens a session in which everything for the profile's identity is received.

Raises:
    NotConnectedError: the broker can't be reached.
    CredentialsError: it does not let this identity in.
    AccessRefusedError: it does not let this identity receive.
    RefusedError: `config.*`, the password file can't be read.
"""
