"""Output for people and for programs. What comes from messages is never believed to be fit for a terminal."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.desk.exits import Failure
from services.desk.wrapping import Wrapped
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model

ID_COLUMN = "request"
ID_WIDTH = 36
"""Ids stay in one piece, so that they can be copied."""

Rows = Sequence[tuple[str, str]]
"""Labels and values; a value may have several lines, which `paragraph` makes."""


_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What counts as printable and shows nothing: fillers, joiners, variation selectors, and the pattern without dots."""
_BLANKS = re.compile(r"\A +| {2,}| +\Z")
VISIBLE_BLANK = "\N{MIDDLE DOT}"


def harmless(text: object) -> str:
    """Text in one line, in which all that acts on a terminal, or can't be seen, is written out as escapes.

    That are control characters, bidirectional overrides, line separators, and every blank but the ordinary one.
    """
    return "".join(
        character if character.isprintable() and not _BLANK.match(character) else _escaped(character)
        for character in str(text)
    )


def safe(text: object) -> str:
    """A value that others wrote, in one line: as `harmless`, and blanks that could lay out something are seen.

    One blank between words is one. Several, and those at the beginning and at the end, are dots.
    """
    return _BLANKS.sub(lambda found: VISIBLE_BLANK * len(found.group()), harmless(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def paragraph(text: str) -> str:
    """Text in its own lines, each marked, so that none can pass for a line of ours."""
    return "\n".join(f"| {safe(line)}" for line in text.splitlines())


def listed(values: Iterable[object], *, nothing: str = "none") -> str:
    """Values that others wrote, one below the other, each in one line."""
    return "\n".join(safe(value) for value in values) or nothing


def lines(values: Iterable[str], *, nothing: str = "none") -> str:
    """Lines that we laid out, one below the other; what they quote has gone through `safe`."""
    return "\n".join(harmless(value) for value in values) or nothing


def moment(instant: datetime) -> str:
    """An instant in whole seconds, with its zone."""
    return instant.isoformat(sep=" ", timespec="seconds")


def as_json(model: Model) -> str:
    """One line of JSON in ASCII, so that no character of it can act on a terminal."""
    return json.dumps(model.model_dump(mode="json"), sort_keys=True)


@dataclass(frozen=True)
class Screen:
    """Where output goes: for programs, one JSON document a line on standard output, and nothing for people there."""

    machine: bool = False
    aside: bool = False
    """Whether people get to see it even then, on standard error."""

    @property
    def _people(self) -> Console:
        unseen = self.machine and not self.aside
        return Console(stderr=self.machine, quiet=unseen, markup=False, emoji=False, highlight=False)

    def result(self, model: Model) -> None:
        """The result, for programs only."""
        if self.machine:
            sys.stdout.write(as_json(model) + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """A sentence of ours; what it quotes is made safe here."""
        self._print(self._people, harmless(text))

    def story(self, lines: Iterable[str]) -> None:
        """Sentences one below the other."""
        for line in lines:
            self.say(line)

    def sheet(self, title: str, rows: Rows) -> None:
        """One thing with its properties; nothing is cut off."""
        people = self._people
        if not people.is_terminal:
            self._print(people, _plain_sheet(title, rows))
            return
        table = Table(box=None, show_header=False, title=Text(safe(title)), title_justify="left", title_style="bold")
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for label, value in rows:
            table.add_row(Text(label), Wrapped(value))
        people.print(table)

    def listing(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
        """Several things, one in each line: a table on a terminal, else columns divided by tabs."""
        people, found = self._people, [[safe(value) for value in row] for row in rows]
        if not found:
            self.say(empty)
            return
        if not people.is_terminal:
            for row in [list(columns), *found]:
                self._print(people, "\t".join(row))
            return
        table = Table(box=SIMPLE)
        for column in columns:
            table.add_column(column, overflow="fold", width=ID_WIDTH if column == ID_COLUMN else None)
        for row in found:
            table.add_row(*map(Wrapped, row))
        people.print(table)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Each finding in a line of its own."""
        for found in findings:
            self.say(finding_line(found))

    def failure(self, failure: Failure) -> None:
        """What went wrong, on standard error; for programs the same as JSON on standard output."""
        self.result(failure)
        errors = Console(stderr=True, markup=False, emoji=False, highlight=False)
        first, *findings = failure_lines(failure)
        self._print(errors, f"ra: {first}")
        for line in findings:
            self._print(errors, f"  {line}")

    @staticmethod
    def _print(console: Console, text: str) -> None:
        if console.quiet:
            return
        if console.is_terminal:
            console.print(Wrapped(text))
        else:
            console.file.write(f"{text}\n")
            console.file.flush()


def failure_lines(failure: Failure) -> list[str]:
    """What went wrong, then each finding, each in one line."""
    told_below = failure.findings and failure.findings[0].message == failure.message
    return [safe(failure.code if told_below else failure.message), *map(finding_line, failure.findings)]


def finding_line(found: Finding) -> str:
    """A finding in one line."""
    value = "" if found.value is None else f" [{found.value}]"
    return safe(f"{found.severity}: {found.message}{value} ({found.code})")


def _plain_sheet(title: str, rows: Rows) -> str:
    lines = [safe(title)]
    for label, value in rows:
        first, *others = value.split("\n")
        lines += [f"{label}: {first}", *(f"  {line}" for line in others)]
    return "\n".join(lines)
