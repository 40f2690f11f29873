"""Intake's settings."""

from shared.config import DutySettings, FilePath, Settings


class ScreeningSettings(Settings):
    """What screening looks at beside the policy."""

    blocklist: FilePath | None = None
    """The folder that `badkeys --update-bl` fills; without it, keys that were published are not noticed."""


class IntakeSettings(DutySettings):
    """What every duty needs, and what the screening does."""

    screening: ScreeningSettings = ScreeningSettings()
