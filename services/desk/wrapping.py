"""Lines that are longer than the terminal is wide: what goes on in the next line is marked as that.

So no text, whatever blanks it has, can begin a line that looks like one of ours.
"""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

CONTINUED = "↳ "
"""Before each further line of the same text; no line of ours begins so."""
NARROWEST = 4
"""Cells beneath which a line is folded without marks: there is no room for them."""


class Wrapped:
    """Text in lines of ours, each folded where it is too long, with what goes on marked."""

    def __init__(self, text: str) -> None:
        """The lines, already fit for a terminal."""
        self._lines = text.split("\n")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, as they fit."""
        for line in self._lines:
            yield from (Text(part, no_wrap=True, end="\n") for part in self._folded(console, line, options.max_width))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From the longest word to the longest line."""
        return Measurement.get(console, options, Text("\n".join(self._lines)))

    @staticmethod
    def _folded(console: Console, line: str, width: int) -> Iterator[str]:
        whole = Text(line)
        room = width - len(CONTINUED)
        if whole.cell_len <= width or room < NARROWEST:
            yield from (part.plain for part in whole.wrap(console, width, overflow="fold"))
            return
        first, *others = whole.wrap(console, room, overflow="fold")
        yield first.plain
        yield from (f"{CONTINUED}{part.plain}" for part in others)
