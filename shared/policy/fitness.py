"""Whether what is asked for fits the policy: the one set of rules for intake, approval and the issuer."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from shared.policy.model import DnProfile, SubjectAltNameRules, Trust
from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.findings import Finding, finding
from shared.x509.calendar import check_public_eku, last_day_allowed
from shared.x509.csr import VerifiedCsr
from shared.x509.dns import check_dns_name, check_ip
from shared.x509.keys import check_key
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.public_names import check_public_suffix
from shared.x509.weakness import check_weakness


def certificate_names(csr: VerifiedCsr) -> SubjectAltNames:
    """The names that the certificate shall have: those asked for, and the common name, which must be among them."""
    common_name = csr.subject.common_name
    if common_name is None or common_name.lower() in csr.names.dns or common_name in csr.names.ip:
        return csr.names
    return csr.names.model_copy(update={"dns": (common_name.lower(), *csr.names.dns)})


def check_request(csr: VerifiedCsr, resolved: ResolvedPolicy, *, expires_on: date | None, today: date) -> list[Finding]:
    """Every reason why this request does not fit the policy that applies to it, at this date."""
    names = certificate_names(csr)
    public = resolved.trust is Trust.PUBLIC
    return [
        *check_key(csr.key, frozenset(resolved.key_types)),
        *check_weakness(csr.spki, blocklist=None),
        *check_subject(csr.subject, resolved.dn),
        *check_names(names, resolved.extensions.subject_alternative_names, public=public),
        *(check_public_eku(resolved.extensions.extended_key_usage, today) if public else ()),
        *check_expiry(expires_on, resolved, today=today),
    ]


def check_subject(subject: DistinguishedName, profile: DnProfile) -> Iterator[Finding]:
    """The subject against its DN profile."""
    known = {attribute.type: attribute for attribute in profile.attributes}
    for attribute in subject.attributes:
        rule = known.get(attribute.type)
        if rule is None:
            yield finding("dn.attribute-not-allowed", f"the DN profile has no {attribute.type}", value=attribute.value)
            continue
        if rule.fixed is not None and attribute.value != rule.fixed:
            yield finding("dn.value-fixed", f"{attribute.type} must be {rule.fixed}", value=attribute.value)
        if rule.pattern is not None and not re.fullmatch(rule.pattern, attribute.value):
            yield finding("dn.value-not-allowed", f"{attribute.type} must match {rule.pattern}", value=attribute.value)
        if len(attribute.value) > rule.max_length:
            yield finding(
                "dn.value-too-long",
                f"{attribute.type} has at most {rule.max_length} characters",
                value=attribute.value,
            )
    for kind, rule in known.items():
        given = subject.values(kind)
        if rule.required and not given:
            yield finding("dn.attribute-missing", f"the DN profile requires {kind}")
        if len(given) > 1:
            yield finding("dn.attribute-repeated", f"{kind} may stand only once", value=", ".join(given))


def check_names(names: SubjectAltNames, rules: SubjectAltNameRules, *, public: bool) -> Iterator[Finding]:
    """The subject alternative names against the extension profile."""
    entries = sorted(names.as_set())
    if not entries:
        yield finding("name.missing", "a certificate needs at least one subject alternative name")
    if len(entries) > rules.max_names:
        yield finding("name.too-many", f"the extension profile allows {rules.max_names} names", value=len(entries))
    for kind, value in entries:
        if kind not in rules.kinds:
            yield finding("name.kind-not-allowed", f"the extension profile allows no {kind} names", value=value)
    for name in names.dns:
        yield from check_dns_name(name, public=public)
        yield from check_public_suffix(name) if public else ()
        if rules.dns_suffixes and not any(
            name == suffix or name.endswith(f".{suffix}") for suffix in rules.dns_suffixes
        ):
            yield finding(
                "name.dns-outside",
                f"DNS names must end in one of: {', '.join(rules.dns_suffixes)}",
                value=name,
            )
    for address in names.ip:
        yield from check_ip(address, public=public)


def check_expiry(expires_on: date | None, resolved: ResolvedPolicy, *, today: date) -> Iterator[Finding]:
    """The expiration date asked for, judged as if the certificate were issued today."""
    if expires_on is None:
        return
    if expires_on <= today:
        yield finding("validity.past", "the expiration date must be later than today", value=expires_on)
    elif expires_on > last_day(resolved, today=today):
        yield finding(
            "validity.too-long",
            f"{resolved.signing_certificate} issues until {last_day(resolved, today=today)} at most, today",
            value=expires_on,
        )


def last_day(resolved: ResolvedPolicy, *, today: date) -> date:
    """The last day a certificate issued today may be valid on: the first day counts (BR 6.3.2).

    For public trust the calendar of the CA/Browser Forum and of DigiCert has a say beside the policy.
    """
    by_policy = today + timedelta(days=resolved.max_validity_days - 1)
    return min(by_policy, last_day_allowed(today)) if resolved.trust is Trust.PUBLIC else by_policy
