"""The fields of profiles in words: what a requester may fill in, and what becomes of it."""

from collections.abc import Iterator

from services.desk.render import Rows, listed, safe
from shared.contracts.replies import DnProfileOption, ExtensionProfileOption
from shared.x509.profiles import DnAttribute, Editors, ExtensionRule, NamesRule


def dn_rows(option: DnProfileOption) -> Rows:
    """A DN profile's attributes, in the order in which a subject shows them."""
    described = safe(option.profile.description)
    attributes = [(attribute.type, safe(", ".join(_attribute(attribute)))) for attribute in option.profile.attributes]
    return [("Description", described), *attributes]


def extension_rows(option: ExtensionProfileOption) -> Rows:
    """An extension profile's extensions."""
    profile = option.profile
    rules = [
        (rule.type, safe(", ".join(_names(rule) if isinstance(rule, NamesRule) else _extension(rule))))
        for rule in profile.extensions
    ]
    own = listed(sorted(profile.user_defined_extensions))
    return [("Description", safe(profile.description)), *rules, ("Of your own", own)]


def _source(*, from_csr: bool, editable_by: Editors) -> str:
    sources = [f"entered by the {editor}" for editor in sorted(editable_by, reverse=True)]
    return " or ".join([*sources, "from the CSR"] if from_csr else sources)


def _attribute(rule: DnAttribute) -> Iterator[str]:
    if rule.fixed is not None:
        yield f"always {rule.fixed}"
        return
    yield "required" if rule.required else "optional"
    yield _source(from_csr=rule.from_csr, editable_by=rule.editable_by) or "nobody enters it"
    if rule.default is not None:
        yield f"else {rule.default}"
    if rule.allowed:
        yield f"one of: {' | '.join(rule.allowed)}"
    if rule.pattern is not None:
        yield f"like {rule.pattern}"
    yield f"at most {rule.longest} characters"
    if rule.max_values > 1:
        yield f"up to {rule.max_values} times"


def _names(rule: NamesRule) -> Iterator[str]:
    yield "required" if rule.required else "optional"
    yield _source(from_csr=rule.from_csr, editable_by=rule.editable_by) or "nobody enters them"
    yield f"up to {rule.max_names} of {' | '.join(rule.kinds)}"
    for within in (rule.dns_suffixes, rule.ip_networks, rule.email_domains, rule.uri_prefixes):
        if within:
            yield f"within {' | '.join(within)}"
    if not rule.wildcards:
        yield "no wildcards"


def _extension(rule: ExtensionRule) -> Iterator[str]:
    if rule.fixed is not None:
        yield f"always {' '.join(rule.fixed)}"
    else:
        yield "required" if rule.required else "optional"
        yield _source(from_csr=rule.from_csr, editable_by=rule.editable_by) or "nobody enters it"
    if rule.default is not None:
        yield f"else {' '.join(rule.default)}"
    if rule.allowed is not None:
        yield f"of: {' | '.join(rule.allowed)}"
    if rule.critical:
        yield "critical"
