"""The revoker's settings."""

from shared.config import CaSettings, DutySettings


class RevokerSettings(DutySettings):
    """What every duty needs, and the CA."""

    ca: CaSettings
