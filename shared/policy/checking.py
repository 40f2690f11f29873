"""Everything that can be wrong with a policy, each with its place in the file, and what was meant."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.policy import model
from shared.policy.generation import check_generated, check_opening_keys, opening_keys_in
from shared.policy.model import (
    DUTY_NAMES,
    ApprovalGroup,
    Identity,
    IdentityKind,
    OpeningKey,
    PolicyFile,
    SigningCertificate,
    Trust,
)
from shared.policy.products import PRODUCTS, Product
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.permissions import Permission
from shared.x509 import profiles
from shared.x509.calendar import DIGICERT_DAYS
from shared.x509.extensions import BASIC_CONSTRAINTS, CERTIFICATE_POLICIES, EXTENDED_KEY_USAGE, KEY_USAGE
from shared.x509.keys import KEY_TYPES
from shared.x509.profiles import DnProfile, ExtensionProfile

SECTIONS: Mapping[str, type[BaseModel]] = {
    "duties": model.DutyKeys,
    "identities": Identity,
    "approval_groups": ApprovalGroup,
    "dn_profiles": DnProfile,
    "extension_profiles": ExtensionProfile,
    "signing_certificates": SigningCertificate,
}
"""The tables of the file whose entries have names, and what an entry is."""

_KINDS: tuple[type[BaseModel], ...] = (
    *SECTIONS.values(),
    PolicyFile,
    OpeningKey,
    model.GeneratedRules,
    profiles.DnAttribute,
    profiles.NamesRule,
    profiles.ExtensionRule,
)
_FIELDS = sorted({field for kind in _KINDS for field in kind.model_fields})
_PRIVATE_ONLY = frozenset({"ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"})
"""Key types that no public CA certifies (BR 6.1.5)."""
_SIGNING_ONLY = frozenset({"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", *_PRIVATE_ONLY})
"""Key types that can't encipher keys (RFC 5480 §3, RFC 8410 §5)."""
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")

MOST_RESOLVED_BYTES = 16 * 1024
"""Of the profiles that apply to one request, as canonical JSON: they stand by value in each of its revisions."""
MOST_OPTIONS_BYTES = 512 * 1024
"""Of everything that there is to pick: whoever asks is told it in one answer."""

_NAME_ITSELF = "[key]"
"""Where pydantic says that the name of an entry is meant."""

MOST_COMPARED = 200
"""Among more names than these nobody looks for the one that was meant."""

Path = tuple[str, ...]


class Places:
    """Where things stand in a TOML text, as far as tables and keys have lines of their own."""

    def __init__(self, text: str) -> None:
        self._lines: list[tuple[Path, int]] = []
        table: Path = ()
        counted: dict[Path, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = _parts(header[2])
                if header[1] == "[[":
                    counted[table] = counted.get(table, -1) + 1
                    table = (*table, str(counted[table]))
                self._lines.append((table, number))
            elif key := _KEY.match(line):
                self._lines.append(((*table, *_parts(key[1])), number))

    def line(self, path: Path) -> int | None:
        """The line of the thing at this path, or of the closest thing around it."""
        around = [(len(found), number) for found, number in self._lines if found and found == path[: len(found)]]
        deepest = max((depth for depth, _ in around), default=0)
        return next((number for depth, number in around if depth == deepest), None)

    def of(self, *path: str) -> str:
        """The path and its line, for people."""
        number = self.line(path)
        return ".".join(path) + (f" (line {number})" if number else "")


def _parts(text: str) -> Path:
    return tuple(part.strip(" \"'") for part in text.split("."))


@dataclass(frozen=True)
class Draft:
    """A policy file as far as it can be read: entries with mistakes are left out, but their names are known."""

    entries: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, frozenset[str]]
    places: Places
    opening_keys: tuple[OpeningKey, ...] = ()
    operated_by_subscriber: bool = False

    @cached_property
    def identities(self) -> Mapping[str, Identity]:
        """Those that can be read."""
        return self.entries["identities"]

    def is_whole(self, section: str) -> bool:
        """Whether every entry of this section can be read."""
        return self.names[section] == frozenset(self.entries[section])


def draft_of(parsed: Mapping[str, Any], places: Places) -> tuple[Draft, list[Finding]]:
    """What can be read of a parsed file, and the mistakes of form, all of them."""
    findings: list[Finding] = []
    entries: dict[str, dict[str, Any]] = {}
    for section, kind in SECTIONS.items():
        table = parsed.get(section)
        entries[section] = {}
        for name, entry in table.items() if isinstance(table, dict) else ():
            try:
                entries[section][name] = kind.model_validate(entry)
            except ValidationError as error:
                findings += _mistakes(error, (section, name), places)
    try:
        # Whatever an entry's own mistakes are has been said: here the names of entries count, and what stands beside.
        PolicyFile.model_validate(parsed)
    except ValidationError as error:
        findings += _mistakes(error, (), places, skip=lambda path: _is_inside(path, entries))
    names = {
        section: frozenset(parsed[section]) if isinstance(parsed.get(section), dict) else frozenset()
        for section in SECTIONS
    }
    keys, own = opening_keys_in(parsed.get("opening_keys", ())), parsed.get("operated_by_subscriber") is True
    return Draft(entries, names, places, keys, own), findings


def _is_inside(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether this is an entry or inside of one; a name that none can have is not."""
    return len(path) > 1 and path[0] in entries and path[-1] != _NAME_ITSELF


def _mistakes(
    error: ValidationError, before: Path, places: Places, *, skip: Callable[[Path], bool] = lambda _: False
) -> Iterator[Finding]:
    for mistake in error.errors(include_url=False, include_input=False):
        # Which kind of rule a list's entry was read as is ours to know; the file has no such part.
        path = (*before, *(str(part) for part in mistake["loc"] if part not in ("names", "values")))
        if skip(path):
            continue
        text = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            text = f"there is no such field{_meant(path[-1], _FIELDS)}"
        elif mistake["type"] == "missing":
            text = "this field is missing"
        yield finding("policy.invalid", f"{places.of(*path) or 'the file'}: {text}")


def _meant(name: str, known: Iterable[str]) -> str:
    names = [str(each) for each in known]
    close = get_close_matches(name, names, n=1) if len(names) <= MOST_COMPARED else []
    return f"; did you mean {close[0]}?" if close else ""


def cross_check(draft: Draft) -> Iterator[Finding]:
    """What does not go together, among all that can be read."""
    yield from _check_owners(draft)
    yield from _check_identities(draft)
    yield from _check_groups(draft)
    yield from check_opening_keys(draft.places.of("opening_keys"), draft.opening_keys)
    for name, signing in draft.entries["signing_certificates"].items():
        yield from _check_references(draft, name, signing)
        yield from _check_deliverable(draft, name, signing)
        yield from _check_satisfiable(draft, name, signing)
    yield from _check_sizes(draft)
    yield from _check_unused(draft)


def _check_owners(draft: Draft) -> Iterator[Finding]:
    for duty in Duty:
        if duty not in draft.names["duties"]:
            text = f"{draft.places.of('duties')}: the public key of {duty} is missing"
            yield finding("policy.duty-without-key", text, value=duty)
    owners: dict[str, str] = {}
    everyone: list[tuple[Path, tuple[PublicKey, ...]]] = [
        *((("duties", duty), entry.keys) for duty, entry in draft.entries["duties"].items()),
        *((("identities", name), identity.keys) for name, identity in draft.identities.items()),
    ]
    for path, keys in everyone:
        owner = ".".join(path)
        for key in keys:
            if owners.setdefault(key.kid, owner) != owner:
                text = f"{draft.places.of(*path)}: this key is also that of {owners[key.kid]}"
                yield finding("policy.key-shared", text, value=key.x)


def _check_identities(draft: Draft) -> Iterator[Finding]:
    for name, identity in draft.identities.items():
        path = ("identities", name)
        if name in DUTY_NAMES:
            text = f"{draft.places.of(*path)}: this name belongs to a duty"
            yield finding("policy.identity-named-as-duty", text, value=name)
        known = draft.names["approval_groups"]
        yield from _unknown(draft, (*path, "permissions"), identity.permissions, known, "approval group")
        for group, permissions in identity.permissions.items():
            if Permission.SUBMIT_ON_BEHALF in permissions and Permission.SUBMIT not in permissions:
                text = f"{draft.places.of(*path, 'permissions', group)}: submit_on_behalf does nothing without submit"
                yield finding("policy.permission-idle", text, value=name, severity=Severity.WARNING)


def _check_groups(draft: Draft) -> Iterator[Finding]:
    if not draft.is_whole("identities"):
        return  # who is left out might be the one that is missing
    for group, rules in draft.entries["approval_groups"].items():
        where = draft.places.of("approval_groups", group)
        people = _people(draft, Permission.DECIDE, group)
        askers = _people(draft, Permission.SUBMIT, group) & people
        editors = _people(draft, Permission.EDIT, group) & people
        if len(people) < rules.quorum:
            text = f"{where}: {len(people)} people may decide, but the quorum is {rules.quorum}"
            yield finding("policy.quorum-out-of-reach", text, value=group)
        elif askers and len(people) - 1 < rules.quorum and not rules.requester_counts:
            text = f"{where}: when {_first(askers)} asks, fewer people than the quorum of {rules.quorum} are left"
            yield finding("policy.quorum-tight", text, value=group, severity=Severity.WARNING)
        elif editors and len(people) - 1 < rules.quorum and not rules.editor_may_approve:
            text = f"{where}: when {_first(editors)} edits, fewer people than the quorum of {rules.quorum} are left"
            yield finding("policy.quorum-tight", text, value=group, severity=Severity.WARNING)
        if rules.requester_counts:
            text = f"{where}: requesters may approve what they asked for themselves"
            yield finding("policy.requester-counts", text, value=group, severity=Severity.WARNING)
        if rules.editor_may_approve:
            text = f"{where}: whoever edited a request may approve it"
            yield finding("policy.editor-approves", text, value=group, severity=Severity.WARNING)


def _people(draft: Draft, permission: Permission, group: str) -> frozenset[str | None]:
    return frozenset(
        identity.person
        for identity in draft.identities.values()
        if identity.kind is IdentityKind.PERSON and identity.may(permission, ApprovalGroupName(group))
    )


def _first(people: Iterable[str | None]) -> str:
    return min(str(person) for person in people)


def _check_references(draft: Draft, name: str, signing: SigningCertificate) -> Iterator[Finding]:
    path = ("signing_certificates", name)
    for field, kind in (
        ("approval_groups", "approval group"),
        ("extension_profiles", "extension profile"),
        ("dn_profiles", "DN profile"),
    ):
        yield from _unknown(draft, (*path, field), getattr(signing, field), draft.names[field], kind)
    yield from _unknown(draft, (*path, "key_types"), signing.key_types, KEY_TYPES, "key type")
    yield from _unknown(draft, (*path, "submitters"), signing.submitters or (), draft.names["identities"], "identity")
    for submitter in sorted(signing.submitters or ()):
        identity = draft.identities.get(submitter)
        if identity is not None and not any(
            identity.may(Permission.SUBMIT, ApprovalGroupName(group)) for group in signing.approval_groups
        ):
            text = f"{draft.places.of(*path, 'submitters')}: this identity may submit for none of its approval groups"
            yield finding("policy.submitter-without-permission", text, value=submitter)
    known = draft.entries["extension_profiles"]
    yield from check_generated(
        draft.places.of(*path, "enrollment_methods"),
        signing,
        [(profile, known[profile]) for profile in sorted(signing.extension_profiles) if profile in known],
        draft.opening_keys,
        operated_by_subscriber=draft.operated_by_subscriber,
    )


def _unknown(draft: Draft, path: Path, names: Iterable[str], known: Iterable[str], kind: str) -> Iterator[Finding]:
    for name in sorted(set(names) - set(known)):
        text = f"{draft.places.of(*path)}: there is no {kind} of this name{_meant(name, known)}"
        yield finding("policy.unknown-reference", text, value=name)


def _check_deliverable(draft: Draft, name: str, signing: SigningCertificate) -> Iterator[Finding]:
    where = draft.places.of("signing_certificates", name)
    product = PRODUCTS.get(signing.product)
    if product is None:
        text = f"{where}: nothing is known of this product{_meant(signing.product, PRODUCTS)}"
        yield finding("policy.product-unknown", text, value=signing.product, severity=Severity.WARNING)
        return
    if product.trust is not signing.trust:
        text = f"{where}: this product is of {product.trust} trust, and not of {signing.trust}"
        yield finding("policy.trust-differs", text, value=signing.product)
    longest = max(DIGICERT_DAYS.items())[1]
    if signing.trust is Trust.PUBLIC and signing.max_validity_days > longest:
        text = f"{where}: DigiCert issues public certificates for at most {longest} days"
        yield finding(
            "policy.validity-not-deliverable", text, value=signing.max_validity_days, severity=Severity.WARNING
        )
    if signing.trust is Trust.PUBLIC and (beyond := sorted(signing.key_types & _PRIVATE_ONLY)):
        text = f"{where}: no public CA certifies this key type (BR 6.1.5)"
        yield finding("policy.key-type-not-deliverable", text, value=", ".join(beyond))
    for profile_name in sorted(signing.extension_profiles):
        profile = draft.entries["extension_profiles"].get(profile_name)
        if profile is not None:
            yield from _check_profile(f"{where}, extension profile {profile_name}", profile, product)


def _check_profile(where: str, profile: ExtensionProfile, product: Product) -> Iterator[Finding]:
    if "serverAuth" not in profile.values_certain(EXTENDED_KEY_USAGE):
        text = f"{where}: the CA puts serverAuth into every TLS certificate, so the profile must fix it"
        yield finding("policy.usage-not-deliverable", text, value=EXTENDED_KEY_USAGE)
    for kind, deliverable in ((EXTENDED_KEY_USAGE, product.purposes), (KEY_USAGE, product.usages)):
        possible = profile.values_possible(kind)
        beyond = None if possible is None else sorted(possible - deliverable)
        if beyond is None or beyond:
            text = f"{where}: of {kind}, this product delivers only {', '.join(sorted(deliverable))}"
            yield finding("policy.usage-not-deliverable", text, value=", ".join(beyond or ["any value"]))
    names = profile.names
    kinds = () if names is None else names.kinds
    if set(kinds) - product.name_kinds:
        text = f"{where}: this product delivers only {', '.join(sorted(product.name_kinds))} names"
        yield finding("policy.names-not-deliverable", text, value=", ".join(kinds))
    if names is None or not names.required:
        text = f"{where}: a TLS certificate needs alternative names, so the profile must require them"
        yield finding("policy.names-not-deliverable", text)
    if names is not None and names.wildcards and not product.wildcards:
        text = f"{where}: this product has no wildcards, so the profile must not allow them"
        yield finding("policy.names-not-deliverable", text, value="wildcards")
    yield from _check_others(where, profile)


def _check_others(where: str, profile: ExtensionProfile) -> Iterator[Finding]:
    for rule in profile.others:
        if rule.type == BASIC_CONSTRAINTS and rule.fixed is not None:
            continue
        if rule.type not in (EXTENDED_KEY_USAGE, KEY_USAGE):
            mine = " (certificate policies are the CA's own)" if rule.type == CERTIFICATE_POLICIES else ""
            text = f"{where}: this product can't carry {rule.type}{mine}"
            yield finding("policy.extension-not-deliverable", text, value=rule.type)
    for kind in sorted(profile.user_defined_extensions):
        text = f"{where}: this product can't carry user-defined extensions"
        yield finding("policy.extension-not-deliverable", text, value=kind)


def _check_satisfiable(draft: Draft, name: str, signing: SigningCertificate) -> Iterator[Finding]:
    """Profiles that no key which the signing certificate allows could satisfy."""
    for profile_name in sorted(signing.extension_profiles):
        profile = draft.entries["extension_profiles"].get(profile_name)
        if profile is None:
            continue
        if "keyEncipherment" in profile.values_certain(KEY_USAGE) and signing.key_types <= _SIGNING_ONLY:
            where = draft.places.of("signing_certificates", name, "key_types")
            text = f"{where}: extension profile {profile_name} fixes keyEncipherment, which only RSA keys can do"
            yield finding("policy.profile-unsatisfiable", text, value=", ".join(sorted(signing.key_types)))
        names = profile.names
        if names is not None and names.required and not names.from_csr and not names.editable_by:
            where = draft.places.of("extension_profiles", profile_name)
            text = f"{where}: alternative names are required, but come neither from the CSR nor from anybody"
            yield finding("policy.profile-unsatisfiable", text, value=profile_name)


def _check_sizes(draft: Draft) -> Iterator[Finding]:
    """What would fit into no message, however small the request."""
    sizes = {
        section: {name: len(entry.canonical()) for name, entry in draft.entries[section].items()}
        for section in ("approval_groups", "dn_profiles", "extension_profiles", "signing_certificates")
    }
    for name, signing in draft.entries["signing_certificates"].items():
        heaviest = [
            (section, max(sorted(known), key=sizes[section].__getitem__))
            for section in ("extension_profiles", "dn_profiles")
            if (known := getattr(signing, section) & sizes[section].keys())
        ]
        together = sum(sizes[section][profile] for section, profile in heaviest)
        if together > MOST_RESOLVED_BYTES:
            places = [draft.places.of(*path) for path in (("signing_certificates", name), *heaviest)]
            text = f"{', '.join(places)}: what applies to one request has at most {MOST_RESOLVED_BYTES} bytes"
            yield finding("policy.too-large", text, value=together)
    total = sum(len(name) + size for entries in sizes.values() for name, size in entries.items())
    if total > MOST_OPTIONS_BYTES:
        text = f"the file: all that there is to pick has at most {MOST_OPTIONS_BYTES} bytes"
        yield finding("policy.too-large", text, value=total)


def _check_unused(draft: Draft) -> Iterator[Finding]:
    for section in ("approval_groups", "dn_profiles", "extension_profiles"):
        if not draft.is_whole("signing_certificates"):
            return
        used = {
            name for signing in draft.entries["signing_certificates"].values() for name in getattr(signing, section)
        }
        for name in sorted(draft.names[section] - used):
            text = f"{draft.places.of(section, name)}: no signing certificate names it"
            yield finding("policy.unused", text, value=name, severity=Severity.WARNING)
