"""The four duties, named as their broker users, databases and routing keys are."""

from enum import StrEnum


class Duty(StrEnum):
    """One of the four processes whose separation is the product."""

    INTAKE = "intake"
    APPROVAL = "approval"
    ISSUER = "issuer"
    REVOKER = "revoker"
