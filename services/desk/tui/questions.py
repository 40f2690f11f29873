"""What is asked before anything is signed: all that is signed for, in words."""

from collections.abc import Sequence

from services.desk.case_view import case_rows, case_title
from services.desk.editing import preview
from services.desk.render import Rows, paragraph, safe
from services.desk.tui.dialogs import Question
from shared.client.case import ShownCase
from shared.contracts.content import EditedContent
from shared.contracts.replies import CaseResult
from shared.evidence.steps import DecisionKind


def decision_question(
    kind: DecisionKind, cases: Sequence[tuple[CaseResult, ShownCase]], *, changed: str = ""
) -> Question:
    """Whether to decide so on these cases, each shown in full; `changed` says what is new since they were opened."""
    if len(cases) == 1:
        case, shown = cases[0]
        title, said = f"{kind.capitalize()}? {case_title(shown)}", f"Sign that I {kind} this"
        return Question(title, case_rows(case, shown), said, warning=changed)
    these = f"these {len(cases)} requests"
    rows = [
        row
        for number, (case, shown) in enumerate(cases, start=1)
        for row in ((f"{number} OF {len(cases)}", case_title(shown)), *case_rows(case, shown), ("", ""))
    ]
    return Question(f"{kind.capitalize()}? {these}", rows, f"Sign that I {kind} {these}", warning=changed)


def edit_question(case: CaseResult, shown: ShownCase, content: EditedContent, *, changed: str = "") -> Question:
    """Whether to change it so: the changes first, then the case as it is now."""
    changes: Rows = [
        (safe(what), f"is\n{paragraph(before) or '| '}\nshall be\n{paragraph(after) or '| '}")
        for what, before, after in preview(shown, content)
    ]
    rows = [*changes, ("", ""), ("AS IT IS NOW", case_title(shown)), *case_rows(case, shown)]
    said = "Sign that it shall be so"
    return Question(f"Edit? {case_title(shown)}", rows, said, with_note=False, warning=changed)


def change_since(seen: ShownCase, now: ShownCase) -> str:
    """That a request is not what it was when it was opened; nothing if it is."""
    if seen.digest == now.digest:
        return ""
    before, after = seen.revision.number, now.revision.number
    return f"{case_title(now)} has changed since you opened it: that was revision {before}, this is revision {after}."
