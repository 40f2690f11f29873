"""The requests that wait for a decision, one in a line."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.binding import BindingType
from textual.widgets import DataTable

from services.desk.render import safe
from services.desk.views import PENDING_COLUMNS, pending_row
from shared.contracts.replies import PendingCase

MARK = "*"
ORDER = ("mine", "approvals", "group", "name", "subject", "requesters", "submitted", "request")
"""What helps most to choose comes first, as the rest may have to be scrolled to."""
HEADS = (" ", *ORDER)


NAME_SHARE = 3
"""The name gets that part of the terminal's width at most; the whole of it is in the first tab."""
CUT = "…"


def line_of(case: PendingCase, *, name_width: int) -> tuple[str, ...]:
    """A case in this order, with the words of `ra desk list`; a name that is too long ends with `…`."""
    told = dict(zip(PENDING_COLUMNS, map(safe, pending_row(case)), strict=True))
    told["name"] = cut(told["name"], name_width)
    return tuple(told[column] for column in ORDER)


def cut(text: str, width: int) -> str:
    """Text of so many cells at most."""
    return text if cell_len(text) <= width else set_cell_size(text, width - cell_len(CUT)) + CUT


class PendingTable(DataTable[Text]):
    """Keeps its cursor and its marks on the same requests when it is filled again."""

    BINDINGS: ClassVar[list[BindingType]] = [("j", "cursor_down", ""), ("k", "cursor_up", "")]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False)
        self._cases: Sequence[PendingCase] = ()
        self._marks: set[str] = set()
        self._lines: Sequence[Sequence[str]] = ()

    def on_mount(self) -> None:
        """Show the heads of the columns."""
        self._lay_out([])

    @property
    def at_cursor(self) -> str | None:
        """The id of the request under the cursor."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    @property
    def is_at_end(self) -> bool:
        """Whether the cursor is on the last line."""
        return self.cursor_row >= self.row_count - 1

    @property
    def marked(self) -> list[str]:
        """The ids of the marked requests that are in the list, from top to bottom."""
        return [id_ for case in self._cases if (id_ := str(case.request.request_id)) in self._marks]

    def toggle(self, *, most: int) -> bool:
        """Mark the request under the cursor, or take its mark away; False when `most` are marked already."""
        request = self.at_cursor
        if request is None:
            return True
        if request not in self._marks and len(self.marked) >= most:
            return False
        self._marks ^= {request}
        self.fill(self._cases)
        return True

    def unmark(self) -> None:
        """Take all marks away."""
        self._marks.clear()
        self.fill(self._cases)

    def fill(self, cases: Sequence[PendingCase]) -> None:
        """Show these, in this order; what is the same already is left alone."""
        self._cases = cases
        ids = [str(case.request.request_id) for case in cases]
        width = self.app.size.width // NAME_SHARE
        lines = [
            (MARK if id_ in self._marks else "", *line_of(case, name_width=width))
            for id_, case in zip(ids, cases, strict=True)
        ]
        if lines == self._lines:
            return
        before, line, sideways = self.at_cursor, self.cursor_row, self.scroll_x
        self._lay_out(lines)
        for id_, cells in zip(ids, lines, strict=True):
            self.add_row(*map(Text, cells), key=id_)
        self.move_cursor(row=ids.index(before) if before in ids else line, animate=False)
        self.call_after_refresh(self.scroll_to, sideways, animate=False)

    def on_resize(self) -> None:
        """Give the names their part of the new width."""
        self.fill(self._cases)

    def _lay_out(self, lines: Sequence[Sequence[str]]) -> None:
        """Begin anew, with columns as wide as what is going to stand in them."""
        self._lines = lines
        self.clear(columns=True)
        for number, head in enumerate(HEADS):
            self.add_column(head, width=max(cell_len(text) for text in (head, *(cells[number] for cells in lines))))
