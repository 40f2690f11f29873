"""The revoker's settings."""

from shared.config import CaDutySettings


class RevokerSettings(CaDutySettings):
    """Nothing beyond what a duty that talks to the CA needs."""
