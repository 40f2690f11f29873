"""Approval's settings."""

from shared.config import DutySettings


class ApprovalSettings(DutySettings):
    """Nothing beyond what every duty needs."""
