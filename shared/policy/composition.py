"""What a certificate shall hold: put together from the CSR, from what was entered, and from the profiles.

A pure function of the three, so that whoever has them can see that nothing else came in between.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.findings import Finding, Severity, finding
from shared.x509.csr import VerifiedCsr
from shared.x509.entered import EnteredValues
from shared.x509.extensions import ANY_PURPOSE, EXTENDED_KEY_USAGE, SUBJECT_KEY_IDENTIFIER, CertificateExtension
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames
from shared.x509.profiles import DnAttribute, DnProfile, Editor, ExtensionProfile, ExtensionRule

_HOST_LIKE = re.compile(r"[a-z0-9*_-]+(?:\.[a-z0-9*_-]+)+\.?")
"""What a client might take for the name of a host, whether or not it is a good one."""


class Origin(StrEnum):
    """Where a value comes from."""

    PROFILE = "fixed by the profile"
    ENTERED = "entered"
    CSR = "from the CSR"
    DEFAULT = "the profile's default"
    COMMON_NAME = "from the common name"
    NOWHERE = "absent"


@dataclass(frozen=True)
class Composed:
    """The subject, the names and the further extensions that a certificate shall have.

    `findings` are about where values come from; whether they fit the profiles is for `fitness` to say. `origins` tells
    of each attribute and extension of the profiles where its values come from.
    """

    subject: DistinguishedName
    names: SubjectAltNames
    extensions: tuple[CertificateExtension, ...]
    findings: tuple[Finding, ...]
    origins: tuple[tuple[str, Origin], ...]


def compose(csr: VerifiedCsr, entered: EnteredValues, resolved: ResolvedPolicy) -> Composed:
    """What the requester's CSR and values come to under the policy that applies."""
    profile = resolved.extensions
    values, origins = _subject(csr.subject, entered.subject, resolved.dn)
    extensions, more_origins = _extensions(csr.requested_extensions, entered.extensions, profile)
    subject = DistinguishedName(attributes=values)
    names = _with_common_names(_names(csr, entered, profile), subject, extensions, profile)
    return Composed(
        subject=subject,
        names=names,
        extensions=extensions,
        findings=(
            *_check_subject(csr.subject, entered.subject, resolved.dn, values),
            *_check_names(csr, entered, profile),
            *_check_extensions(csr.requested_extensions, entered.extensions, profile, extensions),
        ),
        origins=(*origins, ("subjectAltName", _origin_of_names(names, csr, entered, profile)), *more_origins),
    )


# --- the subject --------------------------------------------------------------------------------------------------


def _subject(
    csr: DistinguishedName, entered: Iterable[Attribute], profile: DnProfile
) -> tuple[tuple[Attribute, ...], list[tuple[str, Origin]]]:
    """The attributes in the profile's order; those of the CSR that the profile does not know come last."""
    given = DistinguishedName(attributes=tuple(entered))
    found: list[Attribute] = []
    origins = []
    for rule in profile.attributes:
        values, origin = _values(rule, csr.values(rule.type), given.values(rule.type))
        found += [Attribute(type=rule.type, value=value) for value in values]
        origins.append((rule.type, origin))
    known = {rule.type for rule in profile.attributes}
    found += [attribute for attribute in csr.attributes if attribute.type not in known]
    return tuple(found), origins


def _values(rule: DnAttribute, csr: tuple[str, ...], entered: tuple[str, ...]) -> tuple[tuple[str, ...], Origin]:
    if rule.fixed is not None:
        return (rule.fixed,), Origin.PROFILE
    if entered and Editor.REQUESTER in rule.editable_by:
        return entered, Origin.ENTERED
    if csr and rule.from_csr:
        return csr, Origin.CSR
    if rule.default is not None:
        return (rule.default,), Origin.DEFAULT
    return (), Origin.NOWHERE


def _check_subject(
    csr: DistinguishedName, entered: tuple[Attribute, ...], profile: DnProfile, values: tuple[Attribute, ...]
) -> Iterator[Finding]:
    rules = {rule.type: rule for rule in profile.attributes}
    final = DistinguishedName(attributes=values)
    for attribute in entered:
        rule = rules.get(attribute.type)
        if rule is None:
            text = f"the DN profile has no {attribute.type}"
            yield finding("dn.attribute-not-allowed", text, value=attribute.value)
        elif rule.fixed is not None and attribute.value != rule.fixed:
            yield finding("dn.value-fixed", f"{attribute.type} must be {rule.fixed}", value=attribute.value)
        elif rule.fixed is None and Editor.REQUESTER not in rule.editable_by:
            text = f"{attribute.type} is not for the requester to enter"
            yield finding("dn.not-enterable", text, value=attribute.value)
    for kind, rule in rules.items():
        asked = csr.values(kind)
        if not asked or asked == final.values(kind):
            continue
        if rule.from_csr and rule.fixed is not None:
            yield finding("dn.value-fixed", f"{kind} must be {rule.fixed}", value=", ".join(asked))
        else:
            text = f"what the CSR says of {kind} does not count here"
            yield finding("dn.csr-ignored", text, value=", ".join(asked), severity=Severity.NOTE)


# --- the names ----------------------------------------------------------------------------------------------------


def _names(csr: VerifiedCsr, entered: EnteredValues, profile: ExtensionProfile) -> SubjectAltNames:
    rule = profile.names
    if rule is None:
        return csr.names
    if entered.names.as_set() and Editor.REQUESTER in rule.editable_by:
        return entered.names
    return csr.names if rule.from_csr else SubjectAltNames()


def _with_common_names(
    names: SubjectAltNames,
    subject: DistinguishedName,
    extensions: Iterable[CertificateExtension],
    profile: ExtensionProfile,
) -> SubjectAltNames:
    """The names, and in front of them a TLS server's common names that are not among them (BR 7.1.4.3).

    A certificate that does not limit its purposes is a server's, too, as far as a common name looks like a host's: what
    the profile says of names must not be got round by it.
    """
    purposes = [value for each in extensions if each.type == EXTENDED_KEY_USAGE for value in each.values]
    unlimited = (not purposes or ANY_PURPOSE in purposes) and profile.names is not None
    added = []
    for common_name in subject.values("CN"):
        name = common_name.lower() if common_name.isascii() else common_name
        if name in names.dns or common_name in names.ip:
            continue
        if "serverAuth" in purposes or (unlimited and _HOST_LIKE.fullmatch(name)):
            added.append(name)
    return names.model_copy(update={"dns": tuple(dict.fromkeys((*added, *names.dns)))}) if added else names


def _origin_of_names(
    names: SubjectAltNames, csr: VerifiedCsr, entered: EnteredValues, profile: ExtensionProfile
) -> Origin:
    given = _names(csr, entered, profile)
    if given.as_set():
        return Origin.ENTERED if given is entered.names else Origin.CSR
    return Origin.COMMON_NAME if names.as_set() else Origin.NOWHERE


def _check_names(csr: VerifiedCsr, entered: EnteredValues, profile: ExtensionProfile) -> Iterator[Finding]:
    given, rule = sorted(entered.names.as_set()), profile.names
    if given and (rule is None or Editor.REQUESTER not in rule.editable_by):
        text = "alternative names are not for the requester to enter"
        yield finding("name.not-enterable", text, value=", ".join(value for _, value in given))
    if rule is not None and csr.names.as_set() and _names(csr, entered, profile) is not csr.names:
        text = "the alternative names in the CSR do not count here"
        asked = ", ".join(value for _, value in sorted(csr.names.as_set()))
        yield finding("name.csr-ignored", text, value=asked, severity=Severity.NOTE)


# --- further extensions -------------------------------------------------------------------------------------------


def _extensions(
    csr: tuple[CertificateExtension, ...], entered: tuple[CertificateExtension, ...], profile: ExtensionProfile
) -> tuple[tuple[CertificateExtension, ...], list[tuple[str, Origin]]]:
    """Those of the profile in its order, then user-defined ones, then what the profile does not know."""
    given = {each.type: each for each in entered}
    asked = _asked(csr)
    found = []
    origins = []
    for rule in profile.others:
        values, origin = _extension_values(rule, asked.get(rule.type), given.get(rule.type))
        if values:
            found.append(CertificateExtension(type=rule.type, critical=rule.critical, values=values))
        origins.append((rule.type, origin))
    known = {rule.type for rule in profile.others}
    others = asked | {kind: each for kind, each in given.items() if kind in profile.user_defined_extensions}
    found += [each for kind, each in sorted(others.items()) if kind not in known]
    return tuple(found), origins


def _asked(csr: Iterable[CertificateExtension]) -> dict[str, CertificateExtension]:
    """What the CSR asks for that is not the CA's own business."""
    return {each.type: each for each in csr if each.type != SUBJECT_KEY_IDENTIFIER}


def _extension_values(
    rule: ExtensionRule, csr: CertificateExtension | None, entered: CertificateExtension | None
) -> tuple[tuple[str, ...], Origin]:
    if rule.fixed is not None:
        return rule.fixed, Origin.PROFILE
    if entered is not None and Editor.REQUESTER in rule.editable_by:
        return entered.values, Origin.ENTERED
    if csr is not None and rule.from_csr:
        return csr.values, Origin.CSR
    if rule.default is not None:
        return rule.default, Origin.DEFAULT
    return (), Origin.NOWHERE


def _check_extensions(
    csr: tuple[CertificateExtension, ...],
    entered: tuple[CertificateExtension, ...],
    profile: ExtensionProfile,
    extensions: tuple[CertificateExtension, ...],
) -> Iterator[Finding]:
    rules = {rule.type: rule for rule in profile.others}
    final = {each.type: each for each in extensions}
    kinds = [each.type for each in entered]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield finding("extension.repeated", "an extension may be entered once only", value=kind)
    for each in entered:
        rule = rules.get(each.type)
        if rule is not None and (rule.fixed is not None or Editor.REQUESTER not in rule.editable_by):
            yield finding("extension.not-enterable", f"{each.type} is not for the requester to enter", value=each)
        elif rule is not None and each.critical and not rule.critical:
            yield finding("extension.not-critical", f"{each.type} is not critical in this profile", value=each)
        elif rule is None and each.type not in profile.user_defined_extensions:
            yield finding("extension.not-allowed", f"the extension profile has no {each.type}", value=each)
    for each in _asked(csr).values():
        if each.asks_for_a_ca:
            yield finding("extension.ca-requested", "the CSR asks for a certificate that may sign others", value=each)
        elif set(each.values) != set(final[each.type].values if each.type in final else ()):
            text = f"what the CSR says of {each.type} does not count here"
            yield finding("extension.csr-ignored", text, value=each, severity=Severity.NOTE)
