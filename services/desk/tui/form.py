"""What can be edited of a request, as text in a form, and what was changed in it: pure, no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.desk.editing import Wanted, content_of, wanted_basics
from services.desk.entering import CRITICAL, entered, kinds_of
from services.desk.exits import usage
from services.desk.render import harmless
from shared.client.case import ShownCase
from shared.contracts.content import EditedContent
from shared.x509.extensions import SUBJECT_ALT_NAME

LATEST = "latest"


@dataclass(frozen=True)
class Form:
    """The four parts, in the spelling of `ra desk edit`; where there are several values, one in a line."""

    name: str
    last_day: str
    notes: str
    emails: str
    profile: str
    names: str
    extensions: str
    dn: str


def form_of(shown: ShownCase) -> Form:
    """What the request is now, fit for a terminal."""
    revision = shown.revision
    return Form(
        name=harmless(revision.name),
        last_day=str(revision.expires_on or LATEST),
        notes=_lines(revision.notes.splitlines()),
        emails=_lines(revision.emails),
        profile=revision.policy.extension_profile,
        names=_lines(f"{kind}:{name}" for kind, values in revision.names for name in values),
        extensions=_lines(
            f"{each.type}={CRITICAL if each.critical else ''}{','.join(each.values)}" for each in revision.extensions
        ),
        dn=_lines(f"{each.type}={each.value}" for each in revision.subject.attributes),
    )


def edited(shown: ShownCase, form: Form) -> EditedContent:
    """All that the request shall be as the form says; what was left alone in it stays exactly as it is.

    Raises:
        DeskError: something has another form, contradicts itself, or nothing was changed.
    """
    before = form_of(shown)
    if form == before:
        raise usage("nothing is changed")
    emails = _rows(form.emails)
    dn, without_dn = _changed(before.dn, form.dn)
    extensions, without_extensions = _changed(before.extensions, form.extensions)
    names = _rows(form.names) if form.names != before.names else []
    if form.names != before.names and not names:
        without_extensions = [*without_extensions, SUBJECT_ALT_NAME]
    return content_of(
        shown,
        Wanted(
            basics=wanted_basics(
                name=_if_changed(before.name, form.name),
                expires_on=_if_changed(before.last_day, form.last_day),
                notes=_if_changed(before.notes, form.notes),
                emails=emails if form.emails != before.emails and emails else None,
                no_emails=form.emails != before.emails and not emails,
                extension_profile=_if_changed(before.profile, form.profile),
            ),
            entered=entered(subject=dn, names=names, extensions=extensions),
            left_out=kinds_of(attributes=without_dn, extensions=without_extensions),
        ),
    )


def _if_changed(before: str, after: str) -> str | None:
    return None if after.strip() == before.strip() else after.strip()


def _lines(texts: Iterable[object]) -> str:
    return "\n".join(harmless(text) for text in texts)


def _rows(text: str) -> list[str]:
    return [row for line in text.splitlines() if (row := line.strip())]


def _changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Of `TYPE=VALUE` lines: all of the types that are not as they were, and the types that are gone."""
    were, are = _by_type(_rows(before)), _by_type(_rows(after))
    changed = [line for kind, lines in are.items() if lines != were.get(kind) for line in lines]
    return changed, [kind for kind in were if kind not in are]


def _by_type(lines: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in lines:
        found.setdefault(each.partition("=")[0].strip(), []).append(each)
    return found
