"""The full-screen desk as a program."""

from typing import ClassVar

from textual.app import App
from textual.worker import WorkerFailed

from services.desk.tui.desk import REFRESH_SECONDS, DeskScreen
from services.desk.tui.key import HeldKey
from services.desk.tui.port import Office
from services.desk.tui.style import STYLE


class DeskApp(App[None]):
    """Shows the desk until somebody quits; after a mistake of ours it ends, and `mistake` says which."""

    CSS: ClassVar[str] = STYLE
    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False

    def __init__(self, office: Office, key: HeldKey, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        # The terminal's own colours, so that it looks as its owner set it up; with NO_COLOR, none at all.
        super().__init__(ansi_color=True)
        self.animation_level = "none"  # nothing that slow lines have to carry, and keys act at once
        self._desk = DeskScreen(office, key, refresh_seconds=refresh_seconds)

    def on_mount(self) -> None:
        """Open the one screen there is."""
        self.theme = "ansi-dark"
        self.push_screen(self._desk)

    @property
    def mistake(self) -> Exception | None:
        """What made the desk end that should not have."""
        found = self._exception
        return found.error if isinstance(found, WorkerFailed) and isinstance(found.error, Exception) else found

    def _fatal_error(self) -> None:
        """End without a traceback: Textual's shows what variables held, and one may hold a passphrase."""
        self._close_messages_no_wait()
