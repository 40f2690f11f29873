"""How the sandbox behaves, changeable while it runs, and the faults it is told to commit."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Mutation(StrEnum):
    """What a faulty CA could get wrong in a certificate."""

    WRONG_KEY = "wrong_key"
    ADDED_NAME = "added_name"
    LONGER_VALIDITY = "longer_validity"
    CA_CERTIFICATE = "ca_certificate"
    FOREIGN_ISSUER = "foreign_issuer"
    ADD_WWW = "add_www"


class FaultKind(StrEnum):
    ANSWER = "answer"
    """This status and body, and nothing done."""
    DROP = "drop"
    """The connection is cut, and nothing done."""
    COMMIT_THEN_DROP = "commit_then_drop"
    """Everything is done, then the connection is cut."""
    SLOW = "slow"
    """Everything is done, and the answer comes so many seconds late."""
    MALFORMED = "malformed"
    """Everything is done, and the answer is half a JSON text."""


class Fault(BaseModel):
    """What happens to the next so many calls that match; their path begins behind `/services/v2`."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kind: FaultKind
    method: str = ".*"
    path: str = ".*"
    times: int = Field(default=1, ge=0)
    status: int = Field(default=500, ge=200, le=599)
    body: str = ""
    seconds: float = Field(default=0, ge=0)

    @field_validator("method", "path")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        re.compile(pattern)
        return pattern

    def matches(self, method: str, path: str) -> bool:
        return bool(self.times and re.fullmatch(self.method, method) and re.search(self.path, path))


class RateWindow(BaseModel):
    """So many calls within so many seconds, rolling, per key."""

    model_config = ConfigDict(extra="forbid")

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Knobs(BaseModel):
    """Every setting; `POST /admin/knobs` changes those it names and leaves the others."""

    model_config = ConfigDict(extra="forbid")

    immediate_issuance: bool = True
    validation_delay_seconds: float | None = Field(default=0, ge=0)
    """Without immediate issuance: how long an approved order is pending; null: until `/admin` issues it."""
    download_lag_seconds: float = Field(default=0, ge=0)
    """How long a certificate is issued before its download knows it."""
    alternate_lag_seconds: float = Field(default=0, ge=0)
    """How long an order exists before the lookup by alternative id knows it."""
    mutate: tuple[Mutation, ...] = ()
    approval: Literal["skip", "auto", "pending"] = "skip"
    """`skip`: as the order and its key say; `auto`: every order is approved; `pending`: none is by itself."""
    revoke: Literal["by-role", "201", "204"] = "by-role"
    """`by-role`: 204 for a key that may skip approval and does; the others force one answer."""
    over_long: Literal["clamp", "refuse"] = "clamp"
    """What becomes of a public certificate that is asked for longer than `max_public_days`."""
    max_public_days: int = Field(default=199, ge=1)
    empty_feed: bool = False
    """The status feed is `{}`, whatever happened."""
    rate_limits: bool = False
    rate_windows: tuple[RateWindow, ...] = (
        RateWindow(calls=100, seconds=5),
        RateWindow(calls=1000, seconds=180),
    )
    faults: tuple[Fault, ...] = ()

    @model_validator(mode="after")
    def _has_a_window(self) -> Self:
        if self.rate_limits and not self.rate_windows:
            raise ValueError("rate limits need a window")
        return self

    def changed(self, settings: dict[str, object]) -> "Knobs":
        """These knobs with some set anew.

        Raises:
            pydantic.ValidationError: a name or a value that no knob has.
        """
        return Knobs.model_validate({**self.model_dump(), **settings})

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The first fault that this call meets; it is spent by that."""
        for fault in self.faults:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None


@dataclass(slots=True)
class Panel:
    """Where the knobs of the running sandbox are found; turning them puts new ones here."""

    knobs: Knobs = field(default_factory=Knobs)
