"""Things with their properties, and messages: nothing is cut off, and nothing of others acts on the terminal."""

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from services.desk.render import Rows, harmless
from services.desk.wrapping import Wrapped


def sheet_of(rows: Rows) -> Table:
    """Labels and values side by side, with every value in full."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for label, value in rows:
        table.add_row(Text(label), Wrapped("\n".join(map(harmless, value.split("\n")))))
    return table


class Sheet(VerticalScroll):
    """Properties that can be scrolled with the keyboard."""

    BINDINGS: ClassVar[list[BindingType]] = [("j", "scroll_down", ""), ("k", "scroll_up", "")]

    def __init__(self, rows: Rows = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._rows = rows

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(sheet_of(self._rows), markup=False)

    def show(self, rows: Rows) -> None:
        """Show these instead."""
        self._rows = rows
        self.query_one(Static).update(sheet_of(rows))
        self.scroll_home(animate=False)


class Told(VerticalScroll):
    """What happened last; it takes room only while there is something to say."""

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(markup=False)

    def on_mount(self) -> None:
        """Begin with nothing."""
        self.clear()

    def say(self, lines: Iterable[str]) -> None:
        """These lines, the one of most weight first."""
        self.query_one(Static).update(Wrapped("\n".join(map(harmless, lines))))
        self.display = True
        self.scroll_home(animate=False)

    def clear(self) -> None:
        """Nothing more to say."""
        self.query_one(Static).update("")
        self.display = False

    @property
    def is_clear(self) -> bool:
        """Whether nothing is said."""
        return not self.display
