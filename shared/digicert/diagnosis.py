"""What a failure of the CA means: whom it concerns, and whether it passes.

The codes are those of DigiCert's documentation and those that were seen in its answers. They may carry more behind a
`|` or a `:`; a code that nobody knows concerns an operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from shared.digicert.errors import CaKeyUnusableError, CaRefusedError, CaUnavailableError
from shared.vocabulary.findings import Finding, finding


class Concern(StrEnum):
    """Who must act."""

    REQUESTER = "requester"
    OPERATOR = "operator"
    CA = "ca"
    """Nobody of ours: it passes by itself."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A failure explained; the finding keeps the CA's own code and text."""

    finding: Finding
    concern: Concern
    retried: bool
    """Whether the same call is made again, unchanged, until it succeeds: the CA's state may change, or an operator may
    change it. Not an order that its requester must change, nor one whose id is taken: that is looked for first."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    slug: str
    concern: Concern
    what: str


ORDER: Final = "order.place"
"""The call that places an order."""
TAKEN: Final = "invalid_value:alternative_order_id"
"""The code with which an order is refused whose id the CA has already."""
ID_REFUSED: Final = "ca.id-refused"
"""Our finding for it."""
_REQUESTER, _OPERATOR, _CA = Concern.REQUESTER, Concern.OPERATOR, Concern.CA
_UNKNOWN: Final = _Meaning("refused", _OPERATOR, "the CA refused for a reason that is documented nowhere")
_FIELD: Final = _Meaning("value-refused", _OPERATOR, "the CA does not take the value of a field that we set")
_NAMES: Final = _Meaning("name-refused", _REQUESTER, "the CA does not take a name")
_MEANINGS: Final[Mapping[str, _Meaning]] = MappingProxyType(
    {
        "access_denied": _Meaning("access-denied", _OPERATOR, "the API key may not do this"),
        "access_denied|access_denied_invalid_key": _Meaning(
            "key-unknown", _OPERATOR, "the CA does not know the API key"
        ),
        "access_denied|invalid_approver": _Meaning(
            "approver-refused",
            _OPERATOR,
            "the API key may not approve this at the CA: somebody there must",
        ),
        "access_denied|missing_permission": _Meaning("permission-missing", _OPERATOR, "the API key lacks a permission"),
        "ambiguous_product": _Meaning("product-ambiguous", _OPERATOR, "more than one product fits the order"),
        "auth_key_exists_for_account": _Meaning("auth-key-exists", _OPERATOR, "the account has such a key already"),
        "bad_request_format": _Meaning("request-unreadable", _OPERATOR, "the CA cannot read our call: a fault of ours"),
        "caa_check_failed": _Meaning("caa-forbids", _REQUESTER, "the CAA records of a domain do not allow this CA"),
        "caa_not_found": _Meaning("caa-forbids", _REQUESTER, "the CAA records of a domain do not allow this CA"),
        "cannot_activate_domain_lock": _Meaning("domain-lock", _OPERATOR, "the account cannot lock domains"),
        "cannot_archive_primary_certificate": _Meaning(
            "not-archived", _OPERATOR, "an order's primary certificate cannot be archived"
        ),
        "cannot_deactivate_domain_lock": _Meaning("domain-lock", _OPERATOR, "the account cannot unlock domains"),
        "cert_transparency_turned_off_for_account": _Meaning(
            "transparency-off", _OPERATOR, "logging of certificates is off for the account"
        ),
        "cert_validity_exceeds_order_validity": _Meaning(
            "outlives-order", _OPERATOR, "the certificate would outlive its order"
        ),
        "csr_invalid_cannot_parse": _Meaning("csr-unreadable", _REQUESTER, "the CA cannot read the CSR"),
        "invalid_value": _FIELD,
        TAKEN: _Meaning("id-refused", _OPERATOR, "the CA has an order under our id, or does not take the id"),
        "invalid_value:common_name": _NAMES,
        "invalid_value:csr": _Meaning("csr-refused", _REQUESTER, "the CA does not take the CSR"),
        "invalid_value:dns_names": _NAMES,
        "invalid_value:emails": _NAMES,
        "not_found": _Meaning("not-found", _OPERATOR, "the CA does not have what was asked for"),
        "not_found|order": _Meaning("order-not-found", _OPERATOR, "the CA does not have the order"),
        "not_found|product": _Meaning("product-unknown", _OPERATOR, "the CA does not have the product"),
        "not_found|route": _Meaning(
            "route-unknown", _OPERATOR, "the CA does not know the call: its address is set wrongly"
        ),
        "request_limit_exceeded": _Meaning("throttled", _CA, "the API key's rate limit is used up"),
        "required_param": _Meaning("field-missing", _OPERATOR, "the CA misses a field: a fault of ours"),
        "time_frame_too_long": _Meaning(
            "time-frame", _OPERATOR, "the status feed does not reach that far: a fault of ours"
        ),
    }
)
_WHOSE: Final = MappingProxyType(
    {_REQUESTER: "the requester must act", _OPERATOR: "an operator must act", _CA: "nobody here must act"}
)


def diagnose(error: CaRefusedError | CaUnavailableError) -> tuple[Diagnosis, ...]:
    """What this failure means: one diagnosis for each reason that the CA gave, and always at least one.

    The reasons of one refusal have one consequence: all of them are retried, or none.
    """
    if isinstance(error, CaUnavailableError):
        return (_unavailable(error),)
    meanings = [(_meaning_of(code), code, text) for code, text in error.reasons]
    is_final = any(meaning.concern is _REQUESTER or meaning is _MEANINGS[TAKEN] for meaning, _, _ in meanings)
    retried = not (is_final and error.endpoint == ORDER)
    return tuple(_diagnosed(meaning, code, text, retried=retried) for meaning, code, text in meanings)


def is_retried(error: CaRefusedError | CaUnavailableError) -> bool:
    """Whether the same call is made again, unchanged; if it may have been done, only after a look."""
    return all(diagnosis.retried for diagnosis in diagnose(error))


def _unavailable(error: CaUnavailableError) -> Diagnosis:
    concern = _OPERATOR if isinstance(error, CaKeyUnusableError) else _CA
    what = f"the CA gave no usable answer ({error.result})"
    return _diagnosed(_Meaning(error.result, concern, what), error.endpoint, error.said, retried=True)


def _diagnosed(meaning: _Meaning, value: str, said: str, *, retried: bool) -> Diagnosis:
    again = "it is tried again by itself" if retried else "it is not tried again by itself"
    words = f"; the CA said: {said}" if said else ""
    text = f"{meaning.what}; {_WHOSE[meaning.concern]}; {again}{words}"
    return Diagnosis(finding(f"ca.{meaning.slug}", text, value=value), meaning.concern, retried)


def _meaning_of(code: str) -> _Meaning:
    """The meaning of the code, or of the longest part of it before a `|`, a `:`, a `.` or a `[`.

    Fields of the certificate are named with and without `certificate.` before them.
    """
    code = code.replace(":certificate.", ":", 1)
    ends = [len(code), *sorted((place for place, sign in enumerate(code) if sign in "|:.["), reverse=True)]
    return next((_MEANINGS[code[:end]] for end in ends if code[:end] in _MEANINGS), _UNKNOWN)
