"""What a certificate shall hold: put together from the CSR, from what was entered, and from the profiles.

A pure function of these, so that whoever has them can see that nothing else came in between.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.findings import Finding, Severity, finding
from shared.x509.csr import VerifiedCsr
from shared.x509.entered import EditedValues, EnteredValues
from shared.x509.extensions import (
    ANY_PURPOSE,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_IDENTIFIER,
    CertificateExtension,
)
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames
from shared.x509.profiles import DnAttribute, DnProfile, Editor, ExtensionProfile, ExtensionRule, NamesRule

_HOST_LIKE = re.compile(r"[a-z0-9*_-]+(?:\.[a-z0-9*_-]+)+\.?")
"""What a client might take for the name of a host, whether or not it is a good one."""


class Origin(StrEnum):
    """Where a value comes from."""

    PROFILE = "fixed by the profile"
    EDITED = "entered by an approver"
    LEFT_OUT = "left out by an approver"
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


NOTHING_EDITED = EditedValues()


@dataclass(frozen=True)
class _Given:
    """What the requester entered, and what approvers did."""

    entered: EnteredValues
    edited: EditedValues

    @property
    def layers(self) -> tuple[tuple[Editor, EnteredValues], ...]:
        return ((Editor.REQUESTER, self.entered), (Editor.APPROVER, self.edited))


def compose(
    csr: VerifiedCsr, entered: EnteredValues, resolved: ResolvedPolicy, edited: EditedValues = NOTHING_EDITED
) -> Composed:
    """What the requester's CSR and values, and those of approvers, come to under the policy that applies."""
    given, profile = _Given(entered, edited), resolved.extensions
    values, origins = _subject(csr.subject, given, resolved.dn)
    extensions, more_origins = _extensions(csr.requested_extensions, given, profile)
    subject = DistinguishedName(attributes=values)
    asked, origin = _names(csr, given, profile)
    names = _with_common_names(asked, subject, extensions, profile)
    if names.as_set() and not asked.as_set():
        origin = Origin.COMMON_NAME
    return Composed(
        subject=subject,
        names=names,
        extensions=extensions,
        findings=(
            *_check_subject(csr.subject, given, resolved.dn, values),
            *_check_names(csr, given, profile, asked),
            *_check_extensions(csr.requested_extensions, given, profile, extensions),
        ),
        origins=(*origins, (SUBJECT_ALT_NAME, origin), *more_origins),
    )


# --- the subject --------------------------------------------------------------------------------------------------


def _subject(
    csr: DistinguishedName, given: _Given, profile: DnProfile
) -> tuple[tuple[Attribute, ...], list[tuple[str, Origin]]]:
    """The attributes in the profile's order; those of the CSR that the profile does not know come last."""
    found: list[Attribute] = []
    origins = []
    for rule in profile.attributes:
        values, origin = _values(rule, csr.values(rule.type), given)
        found += [Attribute(type=rule.type, value=value) for value in values]
        origins.append((rule.type, origin))
    passed_over = {*(rule.type for rule in profile.attributes), *given.edited.without_attributes}
    found += [attribute for attribute in csr.attributes if attribute.type not in passed_over]
    return tuple(found), origins


def _values(rule: DnAttribute, csr: tuple[str, ...], given: _Given) -> tuple[tuple[str, ...], Origin]:
    return _first(
        rule,
        fixed=None if rule.fixed is None else (rule.fixed,),
        left_out=rule.type in given.edited.without_attributes,
        edited=_entered(given.edited, rule.type) or None,
        entered=_entered(given.entered, rule.type) or None,
        csr=csr or None,
        default=None if rule.default is None else (rule.default,),
    )


def _first(
    rule: DnAttribute | ExtensionRule,
    *,
    fixed: tuple[str, ...] | None,
    left_out: bool,
    edited: tuple[str, ...] | None,
    entered: tuple[str, ...] | None,
    csr: tuple[str, ...] | None,
    default: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], Origin]:
    """The values of the first source that has some and may give them."""
    by_approver, by_requester = Editor.APPROVER in rule.editable_by, Editor.REQUESTER in rule.editable_by
    sources = (
        (fixed, Origin.PROFILE),
        (() if left_out and by_approver else None, Origin.LEFT_OUT),
        (edited if by_approver else None, Origin.EDITED),
        (entered if by_requester else None, Origin.ENTERED),
        (csr if rule.from_csr else None, Origin.CSR),
        (default, Origin.DEFAULT),
    )
    return next(((values, origin) for values, origin in sources if values is not None), ((), Origin.NOWHERE))


def _entered(values: EnteredValues, kind: str) -> tuple[str, ...]:
    return tuple(each.value for each in values.subject if each.type == kind)


def _check_subject(
    csr: DistinguishedName, given: _Given, profile: DnProfile, values: tuple[Attribute, ...]
) -> Iterator[Finding]:
    rules = {rule.type: rule for rule in profile.attributes}
    final = DistinguishedName(attributes=values)
    left_out = given.edited.without_attributes
    for editor, layer in given.layers:
        for attribute in layer.subject:
            if attribute.type not in left_out:
                yield from _check_attribute(attribute, rules.get(attribute.type), editor)
    for kind in left_out:
        if not _may_leave_out(rules.get(kind)):
            yield finding("dn.not-enterable", f"{kind} is not for the approver to leave out")
    for kind, rule in rules.items():
        asked = csr.values(kind)
        if not asked or asked == final.values(kind):
            continue
        if rule.from_csr and rule.fixed is not None:
            yield finding("dn.value-fixed", f"{kind} must be {rule.fixed}", value=", ".join(asked))
        else:
            text = f"what the CSR says of {kind} does not count here"
            yield finding("dn.csr-ignored", text, value=", ".join(asked), severity=Severity.NOTE)


def _check_attribute(attribute: Attribute, rule: DnAttribute | None, editor: Editor) -> Iterator[Finding]:
    """Why this may not be entered by this editor."""
    if rule is None:
        text = f"the DN profile has no {attribute.type}"
        yield finding("dn.attribute-not-allowed", text, value=attribute.value)
    elif rule.fixed is not None and attribute.value != rule.fixed:
        yield finding("dn.value-fixed", f"{attribute.type} must be {rule.fixed}", value=attribute.value)
    elif rule.fixed is None and editor not in rule.editable_by:
        text = f"{attribute.type} is not for the {editor} to enter"
        yield finding("dn.not-enterable", text, value=attribute.value)


# --- the names ----------------------------------------------------------------------------------------------------


def _names(csr: VerifiedCsr, given: _Given, profile: ExtensionProfile) -> tuple[SubjectAltNames, Origin]:
    rule, nothing = profile.names, SubjectAltNames()
    if _may_leave_out(rule) and SUBJECT_ALT_NAME in given.edited.without_extensions:
        return nothing, Origin.LEFT_OUT
    for layer, editor, origin in (
        (given.edited, Editor.APPROVER, Origin.EDITED),
        (given.entered, Editor.REQUESTER, Origin.ENTERED),
    ):
        if rule is not None and layer.names.as_set() and editor in rule.editable_by:
            return layer.names, origin
    if csr.names.as_set() and (rule is None or rule.from_csr):
        return csr.names, Origin.CSR
    return nothing, Origin.NOWHERE


def _may_leave_out(rule: NamesRule | ExtensionRule | DnAttribute | None) -> bool:
    """Whether an approver may leave it out: what is for approvers to enter, and what the profile does not have."""
    return rule is None or Editor.APPROVER in rule.editable_by


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


def _check_names(
    csr: VerifiedCsr, given: _Given, profile: ExtensionProfile, final: SubjectAltNames
) -> Iterator[Finding]:
    rule, left_out = profile.names, SUBJECT_ALT_NAME in given.edited.without_extensions
    for editor, layer in given.layers:
        names = sorted(layer.names.as_set())
        if names and not left_out and (rule is None or editor not in rule.editable_by):
            text = f"alternative names are not for the {editor} to enter"
            yield finding("name.not-enterable", text, value=", ".join(value for _, value in names))
    if left_out and not _may_leave_out(rule):
        yield finding("name.not-enterable", "alternative names are not for the approver to leave out")
    if rule is not None and csr.names.as_set() and final is not csr.names:
        text = "the alternative names in the CSR do not count here"
        asked = ", ".join(value for _, value in sorted(csr.names.as_set()))
        yield finding("name.csr-ignored", text, value=asked, severity=Severity.NOTE)


# --- further extensions -------------------------------------------------------------------------------------------


def _extensions(
    csr: tuple[CertificateExtension, ...], given: _Given, profile: ExtensionProfile
) -> tuple[tuple[CertificateExtension, ...], list[tuple[str, Origin]]]:
    """Those of the profile in its order, then user-defined ones, then what the profile does not know."""
    asked = _asked(csr)
    found = []
    origins = []
    for rule in profile.others:
        values, origin = _extension_values(rule, asked.get(rule.type), given)
        if values:
            found.append(CertificateExtension(type=rule.type, critical=rule.critical, values=values))
        origins.append((rule.type, origin))
    passed_over = {*(rule.type for rule in profile.others), *given.edited.without_extensions}
    entered = {each.type: each for _, layer in given.layers for each in layer.extensions}
    others = asked | {kind: each for kind, each in entered.items() if kind in profile.user_defined_extensions}
    found += [each for kind, each in sorted(others.items()) if kind not in passed_over]
    return tuple(found), origins


def _asked(csr: Iterable[CertificateExtension]) -> dict[str, CertificateExtension]:
    """What the CSR asks for that is not the CA's own business."""
    return {each.type: each for each in csr if each.type != SUBJECT_KEY_IDENTIFIER}


def _extension_values(
    rule: ExtensionRule, csr: CertificateExtension | None, given: _Given
) -> tuple[tuple[str, ...], Origin]:
    return _first(
        rule,
        fixed=rule.fixed,
        left_out=rule.type in given.edited.without_extensions,
        edited=_extension_of(given.edited, rule.type),
        entered=_extension_of(given.entered, rule.type),
        csr=None if csr is None else csr.values,
        default=rule.default,
    )


def _extension_of(values: EnteredValues, kind: str) -> tuple[str, ...] | None:
    return next((each.values for each in reversed(values.extensions) if each.type == kind), None)


def _check_extensions(
    csr: tuple[CertificateExtension, ...],
    given: _Given,
    profile: ExtensionProfile,
    extensions: tuple[CertificateExtension, ...],
) -> Iterator[Finding]:
    rules = {rule.type: rule for rule in profile.others}
    final = {each.type: each for each in extensions}
    left_out = given.edited.without_extensions
    for editor, layer in given.layers:
        kinds = [each.type for each in layer.extensions]
        for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            yield finding("extension.repeated", "an extension may be entered once only", value=kind)
        for each in layer.extensions:
            if each.type not in left_out:
                yield from _check_extension(each, rules.get(each.type), editor, profile)
    for kind in left_out:
        if kind != SUBJECT_ALT_NAME and not _may_leave_out(rules.get(kind)):
            yield finding("extension.not-enterable", f"{kind} is not for the approver to leave out")
    for each in _asked(csr).values():
        if each.asks_for_a_ca:
            yield finding("extension.ca-requested", "the CSR asks for a certificate that may sign others", value=each)
        elif set(each.values) != set(final[each.type].values if each.type in final else ()):
            text = f"what the CSR says of {each.type} does not count here"
            yield finding("extension.csr-ignored", text, value=each, severity=Severity.NOTE)


def _check_extension(
    each: CertificateExtension, rule: ExtensionRule | None, editor: Editor, profile: ExtensionProfile
) -> Iterator[Finding]:
    """Why this may not be entered by this editor."""
    if rule is not None and (rule.fixed is not None or editor not in rule.editable_by):
        yield finding("extension.not-enterable", f"{each.type} is not for the {editor} to enter", value=each)
    elif rule is not None and each.critical and not rule.critical:
        yield finding("extension.not-critical", f"{each.type} is not critical in this profile", value=each)
    elif rule is None and each.type not in profile.user_defined_extensions:
        yield finding("extension.not-allowed", f"the extension profile has no {each.type}", value=each)
