"""Intake's settings."""

from shared.config import DutySettings


class IntakeSettings(DutySettings):
    """Nothing beyond what every duty needs."""
