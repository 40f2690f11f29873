"""What a certificate is to be judged as."""

from enum import StrEnum


class LintKind(StrEnum):
    """The set of rules that a certificate is held to."""

    PUBLIC_TLS = "public-tls"
    """A subscriber's, organisation validated: the Baseline Requirements for TLS, RFC 5280 and what browsers ask."""
    PUBLIC_TLS_DV = "public-tls-dv"
    """The same, where only the domain was validated."""
    PUBLIC_TLS_EV = "public-tls-ev"
    """The same with extended validation."""
    PRIVATE = "private"
    """Of a private CA: RFC 5280 alone."""
