"""Approval's settings."""

from typing import Annotated

from pydantic import Field

from shared.config import DutySettings, Settings


class CompatibilitySettings(Settings):
    """How approval goes by what the issuer says of the CA."""

    facts_good_for_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """How old that may be; the issuer says it every quarter of an hour."""
    held_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How often a case is looked at that is held because nobody can tell."""


class ApprovalSettings(DutySettings):
    """What every duty needs, and when cases are held."""

    compatibility: CompatibilitySettings = CompatibilitySettings()
