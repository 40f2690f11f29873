"""A terminal without one: the full-screen desk at a given size, driven by keys and read as text."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.events import Paste
from textual.pilot import Pilot

from services.desk.tui.app import DeskApp
from services.desk.tui.key import HeldKey
from services.desk.tui.port import Office
from services.desk.tui.sheet import Sheet
from services.desk.wrapping import CONTINUED
from shared.evidence.jws import SigningKey

PATIENCE_SECONDS = 30.0
NAMES = {"/": "slash", ".": "full_stop", "-": "minus", " ": "space", "_": "underscore"}


class OpenKey(HeldKey):
    """A key that needs no file and no passphrase."""

    def __init__(self, key: SigningKey) -> None:
        super().__init__(None, lambda: None)
        self._key = key


class Terminal:
    """What a person at the keyboard does and sees."""

    def __init__(self, app: DeskApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def words(self) -> str:
        """The text with every run of blanks as one space, without the mark of what has the keyboard."""
        return " ".join(self.text.replace("┃", " ").replace(CONTINUED, "").split())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        await self.press(*(NAMES.get(character, character) for character in text))

    async def paste(self, text: str) -> None:
        """What a terminal sends when something is pasted."""
        self.app.post_message(Paste(text))
        await self.pilot.pause()

    async def shows(self, *pieces: str) -> None:
        """Wait until all of this is on the screen."""
        wanted = [" ".join(piece.split()) for piece in pieces]
        await self.until(lambda: all(piece in self.words for piece in wanted), f"the screen never shows {pieces}")

    async def hides(self, piece: str) -> None:
        """Wait until this is not on the screen any more."""
        await self.until(lambda: piece not in self.words, f"the screen always shows {piece}")

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds():
                    await self.pilot.pause(0.01)
        except TimeoutError:
            raise AssertionError(f"{what}:\n{self.text}") from None

    async def focus(self, selector: str) -> None:
        """Press Tab until this has the keyboard."""
        for _ in range(30):
            if self.app.screen.focused is self.app.screen.query_one(selector):
                return
            await self.press("tab")
        raise AssertionError(f"Tab never leads to {selector}:\n{self.text}")

    async def whole_sheet(self) -> str:
        """All that can be scrolled to in the sheet that has the keyboard, without the blanks where it was wrapped."""
        return re.sub(r"\s+", "", "".join(line.replace(CONTINUED, "") for line in await self.sheet_lines()))

    async def sheet_lines(self) -> list[str]:
        """All lines that can be scrolled to in the sheet that has the keyboard."""
        sheet = self.app.screen.focused
        assert isinstance(sheet, Sheet)
        seen: dict[int, str] = {}
        await self.press("home")
        while True:
            await self.pilot.pause()
            region = sheet.scrollable_content_region
            for row in range(region.height):
                line = self.lines[region.y + row]
                seen[int(sheet.scroll_y) + row] = line[region.x : region.right]
            if sheet.scroll_y >= sheet.max_scroll_y:
                return [seen[row] for row in sorted(seen)]
            await self.press("pagedown")


@asynccontextmanager
async def terminal(
    office: Office, key: HeldKey, *, size: tuple[int, int] = (80, 24), refresh_seconds: float = 60.0
) -> AsyncIterator[Terminal]:
    app = DeskApp(office, key, refresh_seconds=refresh_seconds)
    async with app.run_test(size=size) as pilot:
        yield Terminal(app, pilot)
