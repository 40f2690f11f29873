"""What an approver wants changed, as the content of an edit: pure, no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from pydantic import ValidationError

from services.desk.exits import usage
from services.desk.render import finding_line
from shared.client.case import ShownCase
from shared.contracts.content import EditedContent
from shared.contracts.replies import EditResult
from shared.vocabulary.differences import Difference
from shared.vocabulary.model import mistakes
from shared.x509.entered import EditedValues, EnteredValues
from shared.x509.extensions import SUBJECT_ALT_NAME
from shared.x509.names import SubjectAltNames


@dataclass(frozen=True)
class Wanted:
    """The changes that were asked for; what is None or empty is to stay."""

    basics: dict[str, object] = field(default_factory=dict)
    """Name, last day, notes, addresses and extension profile, by the names of their fields."""
    entered: EnteredValues = field(default_factory=EnteredValues)
    added: SubjectAltNames = field(default_factory=SubjectAltNames)
    """Names beside those that there are."""
    dropped: SubjectAltNames = field(default_factory=SubjectAltNames)
    """Names of those that there are."""
    left_out: EditedValues = field(default_factory=EditedValues)
    """Attributes and extensions that the certificate shall not have."""
    as_asked: frozenset[str] = frozenset()
    """Attributes and extensions of which what the requester asked for shall count again."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to be changed."""
        return self == Wanted()


def content_of(shown: ShownCase, wanted: Wanted) -> EditedContent:
    """All that the request shall be, once these changes are made to what is shown.

    Raises:
        DeskError: this contradicts itself, or is nothing that can be edited.
    """
    now = shown.editable
    try:
        entered = _values(now.entered, shown.revision.names, wanted)
        return EditedContent.model_validate({**dict(now), **wanted.basics, "entered": entered})
    except ValidationError as error:
        told = "; ".join(found.message for found in mistakes(error, code="command.invalid"))
        raise usage(f"this can't be edited: {told}") from None


def _values(known: EditedValues, names: SubjectAltNames, wanted: Wanted) -> EditedValues:
    """What approvers have entered, with this on top."""
    new, left_out, reset = wanted.entered, wanted.left_out, wanted.as_asked
    attributes = {each.type for each in new.subject}
    extensions = {each.type for each in new.extensions}
    changed = _names(known, names, wanted)
    named = {SUBJECT_ALT_NAME} if changed != known.names else set()
    without_attributes = _beside(known.without_attributes, attributes | reset, left_out.without_attributes)
    without_extensions = _beside(known.without_extensions, extensions | named | reset, left_out.without_extensions)
    gone = {*without_attributes, *without_extensions} | reset
    return EditedValues(
        subject=(*(each for each in known.subject if each.type not in gone | attributes), *new.subject),
        names=changed if SUBJECT_ALT_NAME not in gone else SubjectAltNames(),
        extensions=(*(each for each in known.extensions if each.type not in gone | extensions), *new.extensions),
        without_attributes=without_attributes,
        without_extensions=without_extensions,
    )


def _names_wanted(wanted: Wanted) -> bool:
    """Whether anything is said of the alternative names."""
    return any(names.as_set() for names in (wanted.entered.names, wanted.added, wanted.dropped))


def _names(known: EditedValues, names: SubjectAltNames, wanted: Wanted) -> SubjectAltNames:
    if not _names_wanted(wanted):
        return known.names
    begun, dropped = wanted.entered.names if wanted.entered.names.as_set() else names, wanted.dropped.as_set()
    found = {
        kind: [name for name in (*values, *getattr(wanted.added, kind)) if (kind, name) not in dropped]
        for kind, values in begun
    }
    if not any(found.values()):
        raise usage("--drop-san leaves no name: to leave them all out, --without-extension subjectAltName")
    return SubjectAltNames.model_validate(found)


def _beside(known: Sequence[str], entered: Iterable[str], left_out: Sequence[str]) -> tuple[str, ...]:
    kept = [kind for kind in known if kind not in set(entered)]
    return tuple(dict.fromkeys((*kept, *left_out)))


def wanted_basics(
    *,
    name: str | None,
    expires_on: str | None,
    notes: str | None,
    emails: Sequence[str] | None,
    no_emails: bool,
    extension_profile: str | None,
) -> dict[str, object]:
    """The fields that are to be changed.

    Raises:
        DeskError: they contradict one another, or the last day is none.
    """
    if emails and no_emails:
        raise usage("--email and --no-emails contradict one another")
    given: dict[str, object] = {"name": name, "notes": notes, "extension_profile": extension_profile}
    found = {field: value for field, value in given.items() if value is not None}
    if expires_on is not None:
        found["expires_on"] = _last_day(expires_on)
    if emails or no_emails:
        found["emails"] = tuple(emails or ())
    return found


def _last_day(text: str) -> date | None:
    if text == "latest":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise usage(f"--expires-on {text}: a day such as 2027-01-31, or latest") from None


def preview(shown: ShownCase, content: EditedContent) -> list[tuple[str, str, str]]:
    """What this edit says otherwise than what is shown: field, before and after.

    What the certificate holds then, approval puts together by the profiles; it is in the answer.
    """
    now, revision = shown.editable, shown.revision
    basics = [
        ("name", now.name, content.name),
        ("last day", str(now.expires_on or "the latest allowed"), str(content.expires_on or "the latest allowed")),
        ("notes", now.notes, content.notes),
        ("e-mail addresses", ", ".join(now.emails), ", ".join(content.emails)),
        ("extension profile", now.extension_profile, content.extension_profile),
    ]
    rows = [row for row in basics if row[1] != row[2]]
    before, after = now.entered, content.entered
    for kind in _kinds(before.subject, after.subject, before.without_attributes, after.without_attributes):
        was = ", ".join(revision.subject.values(kind))
        values = ", ".join(each.value for each in after.subject if each.type == kind)
        rows.append((f"subject {kind}", was, _shall_be(values, left_out=kind in after.without_attributes)))
    if before.names != after.names or _is_left_out(before) != _is_left_out(after):
        shall_be = _shall_be(_listed(after.names), left_out=_is_left_out(after))
        rows.append(("alternative names", _listed(revision.names), shall_be))
    for kind in _kinds(before.extensions, after.extensions, before.without_extensions, after.without_extensions):
        if kind != SUBJECT_ALT_NAME:
            was = ", ".join(str(each) for each in revision.extensions if each.type == kind)
            values = ", ".join(str(each) for each in after.extensions if each.type == kind)
            rows.append((f"extension {kind}", was, _shall_be(values, left_out=kind in after.without_extensions)))
    return rows


def _shall_be(values: str, *, left_out: bool) -> str:
    return "left out" if left_out else values or "as the requester asked"


def _is_left_out(values: EditedValues) -> bool:
    return SUBJECT_ALT_NAME in values.without_extensions


def _kinds(before: Sequence[object], after: Sequence[object], *left_out: Sequence[str]) -> list[str]:
    """The types of which the edit says something else than the one before it."""
    entered = {str(getattr(each, "type", "")) for each in {*before} ^ {*after}}
    return sorted(entered | ({*left_out[0]} ^ {*left_out[1]}))


def _listed(names: SubjectAltNames) -> str:
    return ", ".join(f"{kind} {name}" for kind, values in names for name in values)


def told(result: EditResult) -> list[str]:
    """What an edit has made of the request."""
    return [
        f"Request {result.request_id} is revision {result.number} now, and waits for its approvers.",
        *map(_changed, result.differences),
        *map(finding_line, result.findings),
    ]


def _changed(found: Difference) -> str:
    return f"{found.what}: {found.before or 'nothing'} -> {found.after or 'nothing'}"
