"""What a mail is filled with: bounded text in single lines, of what its reader may know. Pure, no I/O."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from services.intake.mail.model import Mail, News
from services.intake.model import Happening, RequestRecord
from shared.vocabulary.findings import Finding, Severity, printable

MOST_NAMES = 20
MOST_FINDINGS = 20
MOST_DIFFERENCES = 20
MOST_CHARACTERS = 500

Content = dict[str, Any]


def content_of(mail: Mail, record: RequestRecord, *, organisation: str, footer: str) -> Content:
    """The values that templates have: the request as its requester sees it, without its notes."""
    happening = next((each for each in record.happenings if each.sequence == mail.sequence), None)
    findings = _shown(happening, mail.news)
    differences = happening.differences if happening else ()
    at = datetime.fromtimestamp(mail.at_ms / 1000, UTC)
    return {
        "news": str(mail.news),
        "organisation": organisation,
        "footer": footer,
        "request": {
            "id": record.id,
            "name": line(record.name),
            "approval_group": record.approval_group,
            "requesters": list(record.requesters),
            "subject": line(record.subject),
            "names": [line(name) for name in record.names[:MOST_NAMES]],
        },
        "more_names": max(0, len(record.names) - MOST_NAMES),
        "at": at,
        "message": line(happening.message) if happening else "",
        "differences": [
            {"what": line(each.what), "before": line(each.before), "after": line(each.after)}
            for each in differences[:MOST_DIFFERENCES]
        ],
        "more_differences": max(0, len(differences) - MOST_DIFFERENCES),
        "findings": [{"code": found.code, "message": line(found.message)} for found in findings[:MOST_FINDINGS]],
        "more_findings": max(0, len(findings) - MOST_FINDINGS),
        "serial_number": line(record.serial_number or ""),
        "not_after": record.not_after,
        "days": days_left(record.not_after, at),
    }


def line(text: str) -> str:
    """Text in one bounded line, whoever wrote it."""
    shown = printable(" ".join(text.split()))
    return shown if len(shown) <= MOST_CHARACTERS else shown[: MOST_CHARACTERS - 1] + "…"


def days_left(not_after: datetime | None, at: datetime) -> int:
    """How many days a certificate had left then, begun ones included."""
    return 0 if not_after is None else max(0, math.ceil((not_after - at) / timedelta(days=1)))


def _shown(happening: Happening | None, news: News) -> tuple[Finding, ...]:
    """The reasons that speak for themselves: of a refusal what refuses, of other news all there are."""
    if happening is None:
        return ()
    if news is News.REFUSED:
        return tuple(found for found in happening.findings if found.severity is Severity.ERROR)
    return happening.findings
