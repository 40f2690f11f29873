"""What `pkilint` says about a certificate, as findings. Only the worker's process imports this: it is large."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from pkilint import finding_filter, loader
from pkilint.cabf import serverauth
from pkilint.cabf.serverauth.serverauth_constants import CertificateType
from pkilint.pkix import certificate, extension, name
from pkilint.pkix.general_name import (
    GeneralNameDnsNameSyntaxValidator,
    GeneralNameMailboxAddressSyntaxValidator,
    GeneralNameUriSyntaxValidator,
)
from pkilint.validation import (
    ValidationFindingDescription,
    ValidationFindingSeverity,
    ValidationResult,
    ValidatorContainer,
)

from shared.errors import RefusedError
from shared.lint.kinds import LintKind
from shared.vocabulary.findings import Finding, Severity, finding
from shared.x509.addresses import check_email, check_uri
from shared.x509.decoding import refusing
from shared.x509.dns import check_dns_name

MAX_FINDINGS = 100

_SEVERITIES = {
    ValidationFindingSeverity.FATAL: Severity.ERROR,
    ValidationFindingSeverity.ERROR: Severity.ERROR,
    ValidationFindingSeverity.WARNING: Severity.WARNING,
    ValidationFindingSeverity.NOTICE: Severity.NOTE,
    ValidationFindingSeverity.INFO: Severity.NOTE,
    ValidationFindingSeverity.DEBUG: Severity.NOTE,
}
# What DigiCert does in every certificate, against a recommendation and within the rules: nobody who decides on a
# request could change it, and a warning that always comes is read by nobody.
_HABITS = frozenset(
    {
        "cabf.serverauth.dv.common_name_attribute_present",
        "cabf.serverauth.ov.common_name_attribute_present",
        "cabf.ev_guidelines.common_name_attribute_present",
        "cabf.serverauth.subscriber.subject_key_identifier_extension_present",
        "cabf.serverauth.subscriber_rsa_digitalsignature_and_keyencipherment_present",
    }
)
_SUBSCRIBERS = {
    LintKind.PUBLIC_TLS: CertificateType.OV_FINAL_CERTIFICATE,
    LintKind.PUBLIC_TLS_DV: CertificateType.DV_FINAL_CERTIFICATE,
    LintKind.PUBLIC_TLS_EV: CertificateType.EV_FINAL_CERTIFICATE,
}
_RANKS = {severity: rank for rank, severity in enumerate((Severity.ERROR, Severity.WARNING, Severity.NOTE))}
_UNFIT = re.compile(r"[^a-z0-9.]+")


def lint(der: bytes, kind: LintKind) -> list[Finding]:
    """What speaks against this certificate as one of this kind, errors first; it never raises.

    The codes are `lint.` and pkilint's own with hyphens for underscores; `value` holds its remark. A certificate
    that cannot be read, or that upsets the linter, has the one finding `lint.failed`. There are at most
    `MAX_FINDINGS`, and after them `lint.more` where there would be more. The same bytes give the same list.
    """
    try:
        with refusing("lint.failed", "the linter could not judge this certificate"):
            found = sorted(dict.fromkeys(_run(der, kind)), key=_place)
    except RefusedError as failed:
        return list(failed.findings)
    if len(found) <= MAX_FINDINGS:
        return found
    left_out = len(found) - MAX_FINDINGS
    more = finding("lint.more", "the linter has found more than is shown", value=left_out, severity=Severity.NOTE)
    return [*found[:MAX_FINDINGS], more]


@dataclass(frozen=True)
class _Rules:
    """pkilint's validators, and its filters that drop what stricter rules supersede."""

    validators: ValidatorContainer
    filters: tuple[finding_filter.FindingDescriptionFilter, ...]


@cache
def rules_of(kind: LintKind) -> _Rules:
    """The rules of this kind, built the first time, which takes some tenths of a second."""
    match kind:
        case LintKind.PUBLIC_TLS | LintKind.PUBLIC_TLS_DV | LintKind.PUBLIC_TLS_EV:
            subscriber = _SUBSCRIBERS[kind]
            decoding, validators = serverauth.create_decoding_validators(), serverauth.create_validators(subscriber)
            filters = tuple(serverauth.create_serverauth_finding_filters(subscriber))
        case LintKind.PRIVATE:
            decoding = certificate.create_decoding_validators(
                name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
            )
            validators = [
                certificate.create_issuer_validator_container([]),
                certificate.create_validity_validator_container(),
                certificate.create_subject_validator_container([]),
                certificate.create_extensions_validator_container([]),
                certificate.create_spki_validator_container([]),
            ]
            filters = (_PrivateName(),)
    return _Rules(certificate.create_pkix_certificate_validator_container(decoding, validators), filters)


_SYNTAX: dict[object, Callable[[str], list[Finding]]] = {
    GeneralNameDnsNameSyntaxValidator.VALIDATION_NOT_PREFERRED_NAME_SYNTAX: partial(check_dns_name, public=False),
    GeneralNameMailboxAddressSyntaxValidator.VALIDATION_INVALID_EMAIL_ADDRESS_SYNTAX: check_email,
    GeneralNameUriSyntaxValidator.VALIDATION_INVALID_URI_SYNTAX: check_uri,
}


class _PrivateName(finding_filter.FindingDescriptionFilter):  # type: ignore[misc]  # pkilint has no types
    """Drops the objection to names that RFC 5280 allows, and a private network may have.

    pkilint knows DNS names only as the internet has them, with neither wildcards nor single labels, and of URIs only
    those of the web.
    """

    def filter(self, result: ValidationResult, finding_description: ValidationFindingDescription) -> bool:
        """Whether the objection stays."""
        check = _SYNTAX.get(finding_description.finding)
        return check is None or bool(check(str(result.node.pdu)))


def _run(der: bytes, kind: LintKind) -> Iterator[Finding]:
    rules = rules_of(kind)
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der)
    results, _ = finding_filter.filter_results(list(rules.filters), rules.validators.validate(document.root))
    for result in results:
        yield from _translated(result)


def _translated(result: ValidationResult) -> Iterator[Finding]:
    place = result.node.path.removeprefix("certificate.").removeprefix("tbsCertificate.")
    for description in result.finding_descriptions:
        severity, code = description.finding
        _, _, rule = code.rpartition(".")
        yield finding(
            f"lint.{_UNFIT.sub('-', code.lower())}",
            f"the linter objects to {place}: {rule.replace('_', ' ')}",
            value=description.message,
            severity=Severity.NOTE if code in _HABITS else _SEVERITIES[severity],
        )


def _place(found: Finding) -> tuple[int, str, str, str]:
    return _RANKS[found.severity], found.code, found.message, found.value or ""
