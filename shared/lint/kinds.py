"""What a certificate is to be judged as."""

from enum import StrEnum


class LintKind(StrEnum):
    """The set of rules that a certificate is held to."""

    PUBLIC_TLS = "public-tls"
    """A subscriber's, organisation validated: the Baseline Requirements for TLS, RFC 5280 and what browsers ask."""
    PRIVATE = "private"
    """Of a private CA: RFC 5280 alone."""
