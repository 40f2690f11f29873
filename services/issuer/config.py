"""The issuer's settings."""

from shared.config import CaDutySettings


class IssuerSettings(CaDutySettings):
    """Nothing beyond what a duty that talks to the CA needs."""
