"""Whether what a certificate shall hold fits the policy: the one set of rules for intake, approval and the issuer.

Rules are data: each looks at one thing, none depends on another, and their order is only that of their findings.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from shared.policy.model import Trust
from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.findings import Finding, Severity, finding
from shared.x509.addresses import check_email, check_upn, check_uri
from shared.x509.calendar import check_public_eku, last_day_allowed
from shared.x509.csr import VerifiedCsr
from shared.x509.dns import check_dns_name, check_ip
from shared.x509.extensions import DELICATE_PURPOSES, EXTENDED_KEY_USAGE, CertificateExtension
from shared.x509.keys import check_key
from shared.x509.names import DistinguishedName, SubjectAltNames
from shared.x509.profiles import DnProfile, ExtensionProfile, ExtensionRule, NameKind, NamesRule
from shared.x509.public_names import check_public_suffix
from shared.x509.template import LEFT_OUT
from shared.x509.weakness import check_weakness


@dataclass(frozen=True)
class Proposal:
    """What a certificate shall hold, and the policy that applies to it, on a day."""

    csr: VerifiedCsr
    subject: DistinguishedName
    names: SubjectAltNames
    extensions: tuple[CertificateExtension, ...]
    resolved: ResolvedPolicy
    expires_on: date | None
    today: date

    @property
    def public(self) -> bool:
        """Whether strangers' software trusts the CA."""
        return self.resolved.trust is Trust.PUBLIC

    @property
    def purposes(self) -> tuple[str, ...]:
        """The extended key usages."""
        return purposes_of(self.extensions)


@dataclass(frozen=True)
class Rule:
    """One thing that is looked at, in a few words, and how."""

    about: str
    check: Callable[[Proposal], Iterable[Finding]]


def purposes_of(extensions: Iterable[CertificateExtension]) -> tuple[str, ...]:
    """The extended key usages among these extensions."""
    return tuple(value for each in extensions if each.type == EXTENDED_KEY_USAGE for value in each.values)


def check_request(proposal: Proposal) -> list[Finding]:
    """Every reason why this does not fit the policy that applies to it, at this date."""
    return [found for rule in RULES for found in rule.check(proposal)]


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
        elif len(attribute.value) > rule.longest:
            text = f"{attribute.type} has at most {rule.longest} characters"
            yield finding("dn.value-too-long", text, value=attribute.value)
        elif (problem := rule.problem(attribute.value)) is not None:
            yield finding("dn.value-not-allowed", f"{attribute.type}: {problem}", value=attribute.value)
    for kind, rule in known.items():
        given = subject.values(kind)
        if rule.required and not given:
            yield finding("dn.attribute-missing", f"the DN profile requires {kind}")
        if len(given) > rule.max_values:
            text = f"{kind} may stand {rule.max_values} times" if rule.max_values > 1 else f"{kind} may stand only once"
            yield finding("dn.attribute-repeated", text, value=", ".join(given))


def check_names(names: SubjectAltNames, rule: NamesRule | None, *, public: bool) -> Iterator[Finding]:
    """The subject alternative names against the extension profile."""
    entries = sorted(names.as_set())
    for kind, value in entries:
        if rule is None or kind not in rule.kinds:
            yield finding("name.kind-not-allowed", f"the extension profile allows no {kind} names", value=value)
    if rule is None:
        return
    if rule.required and not entries:
        yield finding("name.missing", "a certificate needs at least one subject alternative name")
    if len(entries) > rule.max_names:
        yield finding("name.too-many", f"the extension profile allows {rule.max_names} names", value=len(entries))
    for kind, value in entries:
        yield from _check_name(kind, value, rule, public=public)


def _check_name(kind: str, value: str, rule: NamesRule, *, public: bool) -> Iterator[Finding]:
    match kind:
        case NameKind.DNS:
            yield from check_dns_name(value, public=public)
            yield from check_public_suffix(value) if public else ()
            yield from _check_dns(value, rule)
        case NameKind.IP:
            yield from check_ip(value, public=public)
            yield from _check_network(value, rule)
        case NameKind.EMAIL:
            yield from check_email(value)
            yield from _check_mail_domain(value, rule)
        case NameKind.UPN:
            yield from check_upn(value)
            yield from _check_mail_domain(value, rule)
        case _:
            yield from check_uri(value)
            yield from _check_uri(value, rule)


def _check_dns(name: str, rule: NamesRule) -> Iterator[Finding]:
    if name.startswith("*.") and not rule.wildcards:
        yield finding("name.wildcard-not-allowed", "the extension profile allows no wildcards", value=name)
    if rule.dns_suffixes and not any(name == suffix or name.endswith(f".{suffix}") for suffix in rule.dns_suffixes):
        text = f"DNS names must end in one of: {', '.join(rule.dns_suffixes)}"
        yield finding("name.dns-outside", text, value=name)


def _check_network(address: str, rule: NamesRule) -> Iterator[Finding]:
    found = ipaddress.ip_address(address)
    if rule.ip_networks and not any(found in ipaddress.ip_network(network) for network in rule.ip_networks):
        text = f"addresses must be in one of: {', '.join(rule.ip_networks)}"
        yield finding("name.ip-outside", text, value=address)


def _check_uri(uri: str, rule: NamesRule) -> Iterator[Finding]:
    if rule.uri_prefixes and not any(_is_below(uri, prefix) for prefix in rule.uri_prefixes):
        text = f"URIs must begin with one of: {', '.join(rule.uri_prefixes)}"
        yield finding("name.uri-outside", text, value=uri)


def _is_below(uri: str, prefix: str) -> bool:
    """Whether the URI goes on after the prefix where a part of it ends: not every host that begins alike is meant."""
    rest = uri.removeprefix(prefix)
    return uri.startswith(prefix) and (not rest or prefix[-1] in "/:?#=" or rest[0] in "/?#")


def _check_mail_domain(address: str, rule: NamesRule) -> Iterator[Finding]:
    _, _, domain = address.rpartition("@")
    if rule.email_domains and domain not in rule.email_domains:
        text = f"addresses must be at one of: {', '.join(rule.email_domains)}"
        yield finding("name.email-outside", text, value=address)


def check_extensions(extensions: Iterable[CertificateExtension], profile: ExtensionProfile) -> Iterator[Finding]:
    """The extensions beside the alternative names against their profile."""
    rules = {rule.type: rule for rule in profile.others}
    found = {each.type: each for each in extensions}
    for kind, each in found.items():
        if each.asks_for_a_ca:
            yield finding("extension.ca-requested", "no certificate of this RA may sign others", value=each)
        rule = rules.get(kind)
        if rule is None and kind not in profile.user_defined_extensions:
            yield finding("extension.not-allowed", f"the extension profile has no {kind}", value=each)
            continue
        yield from _check_form(each)
        yield from _check_values(each, rule)
        if rule is not None and each.critical != rule.critical:
            text = f"{kind} is {'critical' if rule.critical else 'not critical'} in this profile"
            yield finding("extension.criticality", text, value=each)
    for kind, rule in rules.items():
        if kind not in found and (rule.required or rule.fixed is not None):
            yield finding("extension.missing", f"the extension profile requires {kind}")


def _check_form(each: CertificateExtension) -> Iterator[Finding]:
    """Whether a certificate can hold it."""
    if not each.is_der:
        yield finding("extension.not-der", f"the content of {each.type} is not DER", value=each)
    try:
        each.to_x509()
    except ValueError as error:
        yield finding("extension.unfit", f"no certificate can hold this {each.type}: {error}", value=each)


def _check_values(each: CertificateExtension, rule: ExtensionRule | None) -> Iterator[Finding]:
    kind = each.type
    if rule is not None and rule.fixed is not None:
        if set(each.values) != set(rule.fixed):
            text = f"{kind} must be {', '.join(rule.fixed)}"
            yield finding("extension.value-fixed", text, value=", ".join(each.values))
    elif rule is not None and rule.allowed is not None:
        if outside := [value for value in each.values if value not in rule.allowed]:
            text = f"{kind} may hold: {', '.join(rule.allowed)}"
            yield finding("extension.value-not-allowed", text, value=", ".join(outside))
    elif kind == EXTENDED_KEY_USAGE:
        listed = () if rule is None else rule.default or ()
        if delicate := [value for value in each.values if value in DELICATE_PURPOSES and value not in listed]:
            text = f"{kind} may hold this only where the profile lists it"
            yield finding("extension.value-not-allowed", text, value=", ".join(delicate))


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


def _check_calendar(proposal: Proposal) -> Iterable[Finding]:
    return check_public_eku(proposal.purposes, proposal.today) if proposal.public else ()


def _check_named(proposal: Proposal) -> Iterator[Finding]:
    if not (proposal.subject.attributes or proposal.names.as_set()):
        text = "a certificate without a subject has an alternative name (RFC 5280 §4.2.1.6)"
        yield finding("name.nobody", text)


def _check_left_out(proposal: Proposal) -> Iterator[Finding]:
    for kind in sorted(LEFT_OUT) if proposal.public else ():
        if values := proposal.subject.values(kind):
            text = f"public CAs leave {kind} out of the certificate (BR 7.1.2.7.4)"
            yield finding("dn.left-out", text, value=", ".join(values), severity=Severity.WARNING)


RULES = (
    Rule("key type and size", lambda asked: check_key(asked.csr.key, frozenset(asked.resolved.key_types))),
    Rule("known weaknesses of the key", lambda asked: check_weakness(asked.csr.spki)),
    Rule("what the CA leaves out", _check_left_out),
    Rule("whom it names", _check_named),
    Rule("subject", lambda asked: check_subject(asked.subject, asked.resolved.dn)),
    Rule(
        "alternative names",
        lambda asked: check_names(asked.names, asked.resolved.extensions.names, public=asked.public),
    ),
    Rule("extensions", lambda asked: check_extensions(asked.extensions, asked.resolved.extensions)),
    Rule("extended key usage and the calendar", _check_calendar),
    Rule("expiration date", lambda asked: check_expiry(asked.expires_on, asked.resolved, today=asked.today)),
)
"""Each as often as needed and in any order: at submission, on each new revision, and on the day of issue."""
