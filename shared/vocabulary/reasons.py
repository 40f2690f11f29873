"""Revocation reasons (RFC 5280 §5.3.1): their codes, what they mean, and how much time there is (BR 4.9.1.1)."""

from datetime import timedelta
from enum import StrEnum


class RevocationReason(StrEnum):
    """Why a certificate is revoked; the values are the names of RFC 5280's CRLReason."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    REMOVE_FROM_CRL = "removeFromCRL"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"

    @property
    def code(self) -> int:
        """The CRLReason's number; 7 is not used by the RFC."""
        return _CODES[self]

    @property
    def meaning(self) -> str:
        """When it is the one to name, in a few words."""
        return _MEANINGS[self]

    @property
    def time_allowed(self) -> timedelta:
        """Within how long of its report a certificate has to be revoked (BR 4.9.1.1)."""
        return _A_DAY if self in _WITHIN_A_DAY else _FIVE_DAYS


_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.REMOVE_FROM_CRL: 8,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}

_MEANINGS = {
    RevocationReason.UNSPECIFIED: "none of the others, or none that is to be told",
    RevocationReason.KEY_COMPROMISE: "somebody else has, or may have, the private key",
    RevocationReason.CA_COMPROMISE: "a CA's own key is compromised",
    RevocationReason.AFFILIATION_CHANGED: "the organisation in the subject is no longer right",
    RevocationReason.SUPERSEDED: "another certificate has taken its place",
    RevocationReason.CESSATION_OF_OPERATION: "it is no longer used, or its names are no longer ours",
    RevocationReason.CERTIFICATE_HOLD: "not valid for now",
    RevocationReason.REMOVE_FROM_CRL: "valid again after a hold",
    RevocationReason.PRIVILEGE_WITHDRAWN: "the CA takes it away, as its rules were broken",
    RevocationReason.AA_COMPROMISE: "an attribute authority's key is compromised",
}
_A_DAY, _FIVE_DAYS = timedelta(hours=24), timedelta(days=5)
_WITHIN_A_DAY = frozenset(
    {RevocationReason.UNSPECIFIED, RevocationReason.KEY_COMPROMISE, RevocationReason.PRIVILEGE_WITHDRAWN}
)
"""A subscriber's wish without a reason, a compromised key, and what was never authorised; the rest within five days."""
