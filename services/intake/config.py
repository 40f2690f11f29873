"""Intake's settings."""

from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from shared.config import DutySettings, FilePath, Port, Settings
from shared.vocabulary.names import EmailAddress


class ScreeningSettings(Settings):
    """What screening looks at beside the policy."""

    blocklist: FilePath | None = None
    """The folder that `badkeys --update-bl` fills; without it, keys that were published are not noticed."""


class Tls(StrEnum):
    """How the way to the mail server is protected; its certificate is always verified."""

    STARTTLS = "starttls"
    """TLS after a plain greeting (RFC 3207), and never without: usual on port 587."""
    IMPLICIT = "implicit"
    """TLS from the first byte (RFC 8314): usual on port 465."""
    NONE = "none"
    """Only to a server on this very machine."""


Line = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"\A[^\x00-\x1f\x7f\u2028\u2029]+\z")]
Host = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9._:-]{1,253}\z")]
Domain = Annotated[str, StringConstraints(pattern=r"\A(\*|[a-z0-9.-]{1,253})\z")]


class MailSettings(Settings):
    """How mails are sent, as whom, and to whom they may go."""

    host: Host
    port: Port
    tls: Tls
    ca_file: FilePath | None = None
    """Certificates (PEM) that may vouch for the server; without it, those that this machine trusts."""
    username: str | None = None
    password_file: FilePath | None = None
    from_address: EmailAddress
    organisation: Line
    """Stands beside the address of the sender, and in every mail."""
    footer: Annotated[str, StringConstraints(max_length=2_000)] = ""
    """The end of every mail, such as where to ask."""
    request_domains: Annotated[tuple[Domain, ...], Field(max_length=100)]
    """Where the addresses must be that a request names; `*` is everywhere, and without any they get no mail."""
    request_mails_per_hour: Annotated[int, Field(ge=1)] = 200
    """How many mails one sender's requests may cause to addresses that they name; what is beyond waits."""
    templates: FilePath | None = None
    """A folder of templates that take the place of those of the same name that come with the product."""
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long the server may take for one step."""
    data_timeout_seconds: Annotated[float, Field(ge=600, le=3600)] = 600.0
    """How long it may take to say that it took a mail: who waits less sends it twice (RFC 5321 §4.5.3.2.6)."""
    retry_seconds: Annotated[float, Field(gt=0)] = 60.0
    """After how long what the server put off is tried again for the first time, each time after twice as long."""
    longest_retry_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    tries: Annotated[int, Field(ge=1, le=1_000)] = 36
    """How often the server may put off one mail until it is given up; that it is away does not count."""

    @property
    def turn_seconds(self) -> float:
        """For how long one mail of a request after the other is begun in one session."""
        return 4 * self.timeout_seconds

    @property
    def lease_seconds(self) -> float:
        """How long nobody else takes up those mails: a turn, and after it the longest way of one mail, and as much."""
        way = 4 * self.timeout_seconds + 2 * self.data_timeout_seconds  # MAIL, RCPT, RSET, QUIT; DATA and its end
        return self.turn_seconds + way + self.timeout_seconds

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("give `username` and `password_file` both, or none of them")
        if self.tls is Tls.NONE and not _is_loopback(self.host):
            raise ValueError('`tls = "none"` is for a server on this machine only: give "starttls" or "implicit"')
        if self.tls is Tls.NONE and self.ca_file is not None:
            raise ValueError('`ca_file` has no use with `tls = "none"`: leave it out, or use TLS')
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SummarySettings(Settings):
    """How the requests are tallied for the summary."""

    tally_seconds: Annotated[float, Field(gt=0)] = 60.0
    """After which time what has changed is counted even if it is little; the summary is right meanwhile, too."""


class IntakeSettings(DutySettings):
    """What every duty needs, what the screening does, how requests are tallied, and how mails are sent, if they are."""

    screening: ScreeningSettings = ScreeningSettings()
    summary: SummarySettings = SummarySettings()
    mail: MailSettings | None = None
