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


def decision_question(kind: DecisionKind, cases: Sequence[tuple[CaseResult, ShownCase]]) -> Question:
    """Whether to decide so on these cases, each shown in full."""
    if len(cases) == 1:
        case, shown = cases[0]
        return Question(f"{kind.capitalize()}? {case_title(shown)}", case_rows(case, shown), f"Sign that I {kind} this")
    these = f"these {len(cases)} requests"
    rows = [
        row
        for number, (case, shown) in enumerate(cases, start=1)
        for row in ((f"{number} OF {len(cases)}", case_title(shown)), *case_rows(case, shown), ("", ""))
    ]
    return Question(f"{kind.capitalize()}? {these}", rows, f"Sign that I {kind} {these}")


def edit_question(case: CaseResult, shown: ShownCase, content: EditedContent) -> Question:
    """Whether to change it so: the changes first, then the case as it is now."""
    changes: Rows = [
        (safe(what), f"is\n{paragraph(before) or '| '}\nshall be\n{paragraph(after) or '| '}")
        for what, before, after in preview(shown, content)
    ]
    rows = [*changes, ("", ""), ("AS IT IS NOW", case_title(shown)), *case_rows(case, shown)]
    return Question(f"Edit? {case_title(shown)}", rows, "Sign that it shall be so", with_note=False)
