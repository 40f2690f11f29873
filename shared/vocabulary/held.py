"""What the issuer holds of a key pair that it made, always encrypted under its requester's password."""

from enum import StrEnum


class HeldKind(StrEnum):
    """What is held."""

    PKCS8 = "pkcs8"
    """The private key, between order and certificate."""
    PKCS12 = "pkcs12"
    """Key, certificate and chain, until it is erased."""


class ErasedBecause(StrEnum):
    """Why it was erased."""

    DOWNLOADED = "downloaded"
    UNCONFIRMED = "unconfirmed"
    """It was to be downloaded, and the broker never confirmed that it has the answer."""
    TIME = "time"
    OPERATOR = "operator"
    ENDED = "ended"
    """No certificate comes of it that may be delivered."""
