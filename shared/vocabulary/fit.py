"""Whether things go together at the CA."""

from enum import StrEnum


class Fit(StrEnum):
    """What can be said of a signing certificate and its product, or of a request for it."""

    COMPATIBLE = "compatible"
    INCOMPATIBLE = "incompatible"
    UNKNOWN = "unknown"
    """Nobody can tell for now, so nothing may be ordered for now."""
