"""The templates of mails: the only room that imports Jinja.

`NEWS.txt` begins with the subject; after an empty line comes what the mail says first. `mail.txt` and `mail.html` are
the mail around it. A template sees the values of `content.py` and nothing else: it runs in a sandbox, HTML is escaped,
and a name that does not exist is a mistake, which is found when the process starts.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.intake.mail.content import Content
from services.intake.mail.model import News
from shared.errors import RefusedError
from shared.vocabulary.findings import Finding, finding, printable

PACKAGED = Path(__file__).parent / "templates"
MOST_SUBJECT = 200
LABEL_WIDTH = 15
TEXT, HTML = "mail.txt", "mail.html"
NAMES = frozenset({TEXT, HTML, *(f"{news}.txt" for news in News)})


@dataclass(frozen=True)
class Written:
    """A mail in words."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates that come with the product, and in their place those of the operator's folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read them all, and try each.

        Raises:
            RefusedError: `config.mail-templates`, for each mistake in the operator's folder.
        """
        _refuse(list(_strangers(folder)) if folder else [])
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader([folder, PACKAGED] if folder else [PACKAGED]),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {"moment": _moment, "label": _label}
        _refuse(list(self._mistakes()))

    def write(self, content: Content) -> Written:
        """The mail with this content.

        A template of the operator's that could not be tried with everything may raise anything.
        """
        subject, _, words = self._rendered(f"{content['news']}.txt", content).strip().partition("\n")
        whole = {**content, "subject": printable(subject.strip())[:MOST_SUBJECT], "words": words.strip()}
        return Written(whole["subject"], self._rendered(TEXT, whole), self._rendered(HTML, whole))

    def _rendered(self, name: str, content: Content) -> str:
        return self._environment.get_template(name).render(content)

    def _mistakes(self) -> Iterator[Finding]:
        """What is wrong with any of them, tried with the most and with the least that it may be given."""
        found: dict[str, Finding] = {}
        for news in News:
            for sample in samples(news):
                try:
                    self.write(sample)
                except Exception as error:  # noqa: BLE001 - a template may fail as any program may
                    text = f"mail.templates: {_place(error) or f'for {news}'}: {error}"
                    found.setdefault(text, finding("config.mail-templates", text))
        yield from found.values()


def _place(error: Exception) -> str:
    """Where in which template it happened, as far as that is known."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name in NAMES]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _strangers(folder: Path) -> Iterator[Finding]:
    """What lies in the operator's folder and takes the place of nothing."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        yield finding("config.mail-templates", f"mail.templates: {folder}: {error.strerror}")
        return
    for name in names:
        if name not in NAMES and not name.startswith(("_", ".")):
            text = f"mail.templates: {name} takes the place of no template; parts of your own begin with `_`"
            yield finding("config.mail-templates", text, value=name)


def _refuse(mistakes: list[Finding]) -> None:
    if mistakes:
        raise RefusedError.of(mistakes)


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _label(text: str) -> str:
    return f"{text}:".ljust(LABEL_WIDTH) if text else " " * LABEL_WIDTH


def samples(news: News) -> tuple[Content, Content]:
    """What such a mail may be filled with, at the most and at the least."""
    least = _POOR if news is News.EXPIRING else {**_POOR, "not_after": None, "days": 0}
    return {**_RICH, "news": str(news)}, {**least, "news": str(news)}


_REASON = {"code": "name.dns-outside", "message": "DNS names must end in one of: example.com"}
_RICH: Content = {
    "news": "received",
    "organisation": "Example Ltd",
    "footer": "Questions: pki@example.com",
    "request": {
        "id": "01a1f8d3-ea00-7c3a-8f21-5b7a9d3e6c10",
        "name": "The shop's front door",
        "approval_group": "web",
        "requesters": ["portal", "alice"],
        "subject": "CN=www.example.com,O=Example Ltd",
        "names": ["www.example.com"],
    },
    "more_names": 2,
    "at": datetime(2026, 11, 20, 12, tzinfo=UTC),
    "message": "refused by the screening",
    "differences": [{"what": "notes", "before": "", "after": "For the new front door."}],
    "findings": [_REASON],
    "more_findings": 3,
    "more_differences": 4,
    "serial_number": "0a1b2c",
    "not_after": datetime(2027, 6, 7, 12, tzinfo=UTC),
    "days": 30,
}
_POOR: Content = {
    **_RICH,
    "footer": "",
    "request": {**_RICH["request"], "subject": "", "names": []},
    "more_names": 0,
    "message": "",
    "differences": [],
    "more_differences": 0,
    "findings": [],
    "more_findings": 0,
    "serial_number": "",
}
