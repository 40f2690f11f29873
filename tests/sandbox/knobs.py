"""How the sandbox behaves, changeable while it runs, and the faults it is told to commit.

A knob whose docstring says "Guessed" stands for a behaviour of DigiCert that is documented nowhere: its values are
those that are plausible, and a client should cope with each of them.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tests.sandbox.endpoints import ENDPOINTS


class Mutation(StrEnum):
    """What a faulty CA could get wrong in a certificate."""

    WRONG_KEY = "wrong_key"
    ADDED_NAME = "added_name"
    MISSING_NAME = "missing_name"
    """Without the last name; a certificate with a single name keeps it."""
    ADD_WWW = "add_www"
    """What DigiCert itself may do: `www.` before the common name."""
    ADD_BASE = "add_base"
    """What DigiCert says it does with a wildcard: `*.x` has `x` added."""
    LONGER_VALIDITY = "longer_validity"
    LONGER_BY_A_SECOND = "longer_by_a_second"
    SHORTER_VALIDITY = "shorter_validity"
    BACKDATED = "backdated"
    """Valid from ten years before it was issued."""
    LATER_START = "later_start"
    """Valid from the day after it was issued."""
    ADDED_USAGE = "added_usage"
    """Client authentication, although the order asked for server authentication only."""
    CA_CERTIFICATE = "ca_certificate"
    FOREIGN_ISSUER = "foreign_issuer"
    OTHER_INTERMEDIATE = "other_intermediate"
    """The account's other intermediate, under the same root."""
    BROKEN_SIGNATURE = "broken_signature"


class FaultKind(StrEnum):
    ANSWER = "answer"
    """This status and body, and nothing done."""
    HTML = "html"
    """This status with a page of HTML, as a proxy sends it, and nothing done."""
    DROP = "drop"
    """The connection is cut, and nothing done."""
    HANG = "hang"
    """No answer for so many seconds, then the connection is cut, and nothing done."""
    COMMIT_THEN_DROP = "commit_then_drop"
    """Everything is done, then the connection is cut."""
    COMMIT_THEN_ANSWER = "commit_then_answer"
    """Everything is done, and the answer is this status and body."""
    SLOW = "slow"
    """Everything is done, and the answer comes so many seconds late."""
    SLOW_BODY = "slow_body"
    """Everything is done; the answer begins at once, and its body drips in over so many seconds."""
    MALFORMED = "malformed"
    """Everything is done, and the answer is half a JSON text."""
    WRONG_TYPE = "wrong_type"
    """Everything is done, and every field of the answer is of another type than documented."""
    DRIFT = "drift"
    """Everything is done, and the answer drifts as DigiCert's have been seen to: numbers as text, objects as `[]`."""


class Fault(BaseModel):
    """What happens to the next so many calls that match all of `endpoint`, `method` and `path`."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kind: FaultKind
    endpoint: str | None = None
    """A name of `tests/sandbox/endpoints.py`, such as `order.place`; none means any."""
    method: str = ".*"
    path: str = ".*"
    """A regular expression to be found in what follows `/services/v2`."""
    times: int = Field(default=1, ge=0)
    after: int = Field(default=0, ge=0)
    """So many matching calls pass first."""
    status: int = Field(default=500, ge=200, le=599)
    code: str | None = None
    """Makes the body an error answer with this code."""
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    """Further ones of the answer, such as `Retry-After`."""
    seconds: float = Field(default=0, ge=0)

    @field_validator("method", "path")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        re.compile(pattern)
        return pattern

    @field_validator("endpoint")
    @classmethod
    def _is_an_endpoint(cls, name: str | None) -> str | None:
        if name is not None and name not in ENDPOINTS:
            raise ValueError(f"none of {', '.join(ENDPOINTS)}")
        return name

    def strikes(self, method: str, path: str) -> bool:
        """Whether this call meets the fault; it counts as one by that."""
        if not self.times or not self._matches(method, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True

    def _matches(self, method: str, path: str) -> bool:
        if self.endpoint is not None and not ENDPOINTS[self.endpoint].is_called(method, path):
            return False
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class RateWindow(BaseModel):
    """So many calls within so many seconds, rolling, per key."""

    model_config = ConfigDict(extra="forbid")

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Knobs(BaseModel):
    """Every setting; `POST /admin/knobs` changes those it names and leaves the others."""

    model_config = ConfigDict(extra="forbid")

    # From the order to the certificate.
    approval: Literal["skip", "auto", "pending"] = "skip"
    """`skip`: as the order and its key say; `auto`: every order is approved; `pending`: none is by itself."""
    skip_without_right: Literal["ignore", "refuse"] = "ignore"
    """An order that skips approval with a key that may not. Guessed: it waits like any other, or is refused."""
    approver: Literal["any", "other"] = "any"
    """Guessed: with `other`, no key may approve what was asked for with it (`access_denied|invalid_approver`)."""
    immediate_issuance: bool = True
    organization_validated: bool = True
    unvalidated_domains: tuple[str, ...] = ()
    """Names in and under these domains keep their order pending until they are taken from this list."""
    validation_delay_seconds: float | None = Field(default=0, ge=0)
    """Without immediate issuance: how long an approved order is pending; null: until `/admin` issues it."""

    # What the API shows, and when.
    download_lag_seconds: float = Field(default=0, ge=0)
    """How long a certificate is issued before its download knows it. Guessed, as every lag here."""
    info_lag_seconds: float = Field(default=0, ge=0)
    """How old the state is that an order's own page, the list and the feed show: younger orders are not there."""
    stale_requests: bool = False
    """The order inside a request is shown as it was when the request was made, as clients have seen it."""
    ignore_status_filter: bool = False
    """The list of orders takes no notice of `filters[status]`, as clients have seen it."""
    empty_feed: bool = False
    """The status feed is `{}`, whatever happened."""
    feed_limit: int | None = Field(default=None, ge=1)
    """The most orders in one answer of the feed. It is documented to have pages; how they look is guessed."""
    feed_includes_last_day: bool = True
    """Guessed: whether a range of dates in the feed ends with its last day or at that day's beginning."""

    # Alternative order ids.
    alternate_lag_seconds: float = Field(default=0, ge=0)
    """How long an order exists before the lookup by alternative id knows it."""
    alternative_ids: Literal["kept", "dropped", "unique"] = "kept"
    """Guessed: every product keeps them and none need be unique; or they get lost; or a second use is refused."""
    unknown_alternate: Literal["404", "empty"] = "404"
    """Guessed: what the lookup answers where there is no order."""

    # The certificate.
    chain_length: int = Field(default=3, ge=2, le=5)
    """2 lacks the root; 4 and 5 end in an older root that has cross-signed."""
    mutate: tuple[Mutation, ...] = ()
    organization_name: str | None = None
    """The O of certificates, where it is to differ from that of the account's organisation."""
    over_long: Literal["clamp", "refuse"] = "clamp"
    """What becomes of a public certificate that is asked for longer than `max_public_days`. Guessed."""
    max_public_days: int = Field(default=199, ge=1)
    off_weekends: bool = False
    """An end that no date was asked for falls on the Friday before its weekend. That it moves is documented, the
    direction is guessed; holidays are left out."""
    client_auth: bool = True
    """Whether `server_client_auth_eku` can still be ordered."""
    server_platform_required: bool = False
    """A reissue without `server_platform` is refused, as one was in 2017."""

    # Revocation.
    revoke: Literal["by-role", "201", "204"] = "by-role"
    """`by-role`: 204 for a key that may skip approval and does; the others force one answer."""
    revocation_status: Literal["pending", "submitted"] = "pending"
    """The status of a revocation that waits: the documented one, or what a client was written for."""
    revoked_again: Literal["refuse", "accept"] = "refuse"
    """Guessed: what becomes of revoking what is revoked."""
    revoke_order_with_last: bool = False
    """The account's preference that an order goes with its last certificate."""

    # Products.
    ca_choice: bool = True
    """Whether products list `allowed_ca_certs`: DigiCert's do only where the choice of a CA is enabled."""
    product_limits: bool = True
    """Whether the container limits its products."""

    # Rates and faults.
    rate_limits: bool = False
    rate_windows: tuple[RateWindow, ...] = (
        RateWindow(calls=100, seconds=5),
        RateWindow(calls=1000, seconds=180),
    )
    count_refused: bool = False
    """Guessed: whether a call that was answered 429 counts in the windows."""
    retry_after: Literal["none", "seconds", "date"] = "none"
    """Whether a 429 says when to come back. Guessed: the documentation does not mention it."""
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
        return next((fault for fault in self.faults if fault.strikes(method, path)), None)


@dataclass(slots=True)
class Panel:
    """Where the knobs of the running sandbox are found; turning them puts new ones here."""

    knobs: Knobs = field(default_factory=Knobs)
