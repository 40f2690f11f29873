"""The issuer's settings."""

from typing import Annotated

from pydantic import Field

from shared.config import CaSettings, DutySettings, FilePath
from shared.digicert.feed import OVERLAP


class OrderingCaSettings(CaSettings):
    """How to reach the CA, and what to expect of it when ordering."""

    poll_seconds: Annotated[float, Field(gt=0, le=OVERLAP.total_seconds())] = 30.0
    """How often the status feed is read; not so seldom that a change falls into one reading only."""
    roots_file: FilePath
    """PEM certificates: a chain that comes back must end in one of them."""
    lookup_lag_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long after an unanswered order the CA's own look-up may still miss it."""
    safety_look_seconds: Annotated[float, Field(gt=0)] = 86_400.0
    """How long an order waits at the CA at most until it is looked at, although the status feed does not name it."""


class IssuerSettings(DutySettings):
    """What every duty needs, and the CA."""

    ca: OrderingCaSettings
    opening_key_files: Annotated[tuple[FilePath, ...], Field(max_length=20)] = ()
    """X25519 keys, PKCS#8 PEM: they open the passwords that come with requests for key pairs; retired ones too."""
