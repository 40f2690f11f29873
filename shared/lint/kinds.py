"""What a certificate is to be judged as, and by what."""

from enum import StrEnum
from typing import Protocol

from shared.vocabulary.findings import Finding


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


class Linter(Protocol):
    """Judges certificates by the rules of their kind."""

    async def lint(self, der: bytes, kind: LintKind) -> list[Finding]:
        """Everything that is wrong with this certificate, or worth noting.

        Raises:
            UnavailableError: of `linter`: it is away.
        """
        ...
