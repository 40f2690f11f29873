"""`docs/findings.md`: every finding by its code."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from deploy.docs.codes import OPEN, ROOT, UNKNOWN, Given, read_findings

PAGE = ROOT / "docs" / "findings.md"

_HEAD = """\
# Findings

<!-- Made from the code by `make docs`. Do not edit. -->

Whatever is refused, or worth noting, comes with findings. A finding has

| field | what |
|---|---|
| `code` | for programs. It is stable: it never changes its meaning |
| `severity` | `error` refuses; `warning` is shown to those who decide; `note` informs |
| `message` | a sentence for people. It may change: do not parse it |
| `value` | what the finding is about, if anything: at most 200 characters, those that cannot be shown replaced |

All findings are reported together: a request with three mistakes is refused once, with three errors. The first word of
a code says what it is about. Treat a code that you do not know by its severity.

Below, … stands for what depends on the case, and the last column names the folder whose code gives the finding.
"""
_ABOUT = {
    "lint": """\
What the linter says of a certificate. All other codes of this kind are `lint.` and the code of
[pkilint](https://github.com/digicert/pkilint) with hyphens for underscores. What pkilint calls fatal or an error is an
error here, its warning a warning, and everything else a note.
""",
}


def page(findings: Iterable[Given] | None = None) -> str:
    """The whole page."""
    given = sorted(read_findings() if findings is None else findings)
    return "\n".join([_HEAD, *(line for kind, those in groupby(given, _kind) for line in _section(kind, list(those)))])


def _kind(given: Given) -> str:
    return given.code.partition(".")[0]


def _section(kind: str, given: list[Given]) -> Iterator[str]:
    yield f"## {kind}"
    if kind in _ABOUT:
        yield _ABOUT[kind]
    yield "| code | severity | message | given by |"
    yield "|---|---|---|---|"
    for code, those in groupby(given, attrgetter("code")):
        yield _row(code, list(those))
    yield ""


def _row(code: str, given: list[Given]) -> str:
    severities = UNKNOWN if code in OPEN else ", ".join(dict.fromkeys(each.severity for each in given))
    rooms = ", ".join(f"`{room}`" for room in dict.fromkeys(sorted(each.room for each in given)))
    return f"| `{code}` | {severities} | {'<br>'.join(_sentences(given))} | {rooms} |"


def _sentences(given: list[Given]) -> list[str]:
    """Each once, and of one that is the beginning of another only that other."""
    sentences = list(dict.fromkeys(each.sentence for each in given))
    longest = [each for each in sentences if not any(other != each and other.startswith(each) for other in sentences)]
    return [each.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*") for each in longest]
