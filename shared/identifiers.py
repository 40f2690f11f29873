"""Identifiers: UUIDv7 for what is new, UUIDv5 for what follows from something else."""

import secrets
import time
import uuid

from shared.vocabulary.names import MessageId, RequestId

_FOLLOWING = uuid.UUID("6f1c9b4e-2f0b-5d0e-9a57-3d2b8a1c7e10")


def new_uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62))


def new_request_id() -> RequestId:
    """The id a client gives to a new request."""
    return RequestId(str(new_uuid7()))


def begun_ms(request_id: RequestId) -> int:
    """When its client made this id, by the client's own clock: the Unix milliseconds in a UUID of version 7."""
    return uuid.UUID(request_id).int >> 80


def new_message_id() -> MessageId:
    """The id of a message that follows from no other."""
    return MessageId(str(new_uuid7()))


def following_id(origin: str, role: str) -> MessageId:
    """The id of the message that plays `role` among those that follow from `origin`.

    The same origin and role always give the same id, so a repetition is recognised as one.
    """
    return MessageId(str(uuid.uuid5(_FOLLOWING, f"{origin}/{role}")))
