"""Where a certificate stands with the revoker."""

from enum import StrEnum


class CertificateState(StrEnum):
    """Where a certificate stands with the revoker."""

    LIVE = "live"
    REQUESTED = "requested"
    """A revocation was asked for and waits to be confirmed."""
    REVOKING = "revoking"
    """A revocation was accepted; the CA may or may not have carried it out."""
    REVOKED = "revoked"


OPEN_REVOCATIONS = (CertificateState.REQUESTED, CertificateState.REVOKING)
"""Somebody waits for these."""


class Confirmation(StrEnum):
    """What a person says of a revocation that waits."""

    CONFIRM = "confirm"
    DENY = "deny"
