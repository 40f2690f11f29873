"""What is asked and told before anything else can be done; Escape always leaves things as they are."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

import typer
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from services.desk.exits import ending
from services.desk.frame import request_id
from services.desk.render import Rows, failure_lines, safe
from services.desk.tui.fields import Field, button, line, warning
from services.desk.tui.key import HeldKey
from services.desk.tui.sheet import Sheet, Told

MOST_NOTE = 1_000
LEAVE = Binding("escape", "leave", "Leave it as it is")

Sign = Callable[[str], Awaitable[list[str]]]
"""Signs with this note, sends it, and says what it led to."""


@dataclass(frozen=True)
class Question:
    """What is about to be signed, in words."""

    title: str
    rows: Rows
    button: str
    with_note: bool = True
    warning: str = ""
    """What must not be overlooked; it stands above everything else."""


class SignDialog(ModalScreen[list[str]]):
    """Shows what is signed for, and asks; it ends with what the signature led to, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE, Binding("ctrl+s", "sign", "Sign")]

    def __init__(self, question: Question, key: HeldKey, sign: Sign) -> None:
        super().__init__()
        self._question = question
        self._key = key
        self._sign = sign

    def compose(self) -> ComposeResult:
        """What is signed, why, the passphrase if it is needed, and the question."""
        with Vertical(classes="whole"):
            yield Static(safe(self._question.title), classes="title", markup=False)
            if self._question.warning:
                yield warning(self._question.warning)
            yield Sheet(self._question.rows)
            if self._question.with_note:
                yield Field("Note", line("why; it is signed with the decision", id="note", longest=MOST_NOTE))
            if not self._key.is_open:
                yield Field("Passphrase", line(safe(f"of {self._key.file}"), id="passphrase", password=True))
            yield Told()
            with Horizontal(classes="buttons"):
                yield button(self._question.button, id="sign")
                yield button("Leave it as it is", id="leave")

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """Sign nothing."""
        self.dismiss(None)

    @on(Button.Pressed, "#sign")
    def action_sign(self) -> None:
        """Sign and send."""
        button = self.query_one("#sign", Button)
        if not button.disabled:
            button.disabled = True
            notes = [field.value for field in self.query("#note").results(Input)]
            self._send("".join(notes))

    @work(exclusive=True)
    async def _send(self, note: str) -> None:
        told = self.query_one(Told)
        try:
            if self._is_open():
                told.say(["Signed; waiting for the answer."])
                self.dismiss(await self._sign(note))
                return
            told.say(["The key needs its passphrase: nothing was signed."])
            self.query_one("#passphrase", Input).focus()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is said here, beside what was to be signed
            told.say(failure_lines(ending(error).failure))
        self.query_one("#sign", Button).disabled = False

    def _is_open(self) -> bool:
        """Whether the key is open, now at the latest; what was typed is not kept."""
        typed = None
        for entry in self.query("#passphrase").results(Input):
            typed, entry.value = entry.value, ""
        return self._key.open(typed)


class ConfirmDialog(ModalScreen[bool]):
    """Shows what is going to happen, and asks."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE]

    def __init__(self, question: str, rows: Rows, yes: str) -> None:
        super().__init__()
        self._question = question
        self._rows = rows
        self._yes = yes

    def compose(self) -> ComposeResult:
        """What is going to happen, and the question."""
        with Vertical(classes="whole"):
            yield Static(safe(self._question), classes="title", markup=False)
            yield Sheet(self._rows)
            with Horizontal(classes="buttons"):
                yield button("Leave it as it is", id="leave")
                yield button(self._yes, id="yes")

    def on_mount(self) -> None:
        """An Enter that comes too early does nothing."""
        self.query_one("#leave").focus()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """No."""
        self.dismiss(False)  # noqa: FBT003 - the dialog's result

    @on(Button.Pressed, "#yes")
    def _confirm(self) -> None:
        self.dismiss(True)  # noqa: FBT003 - the dialog's result


class OpenDialog(ModalScreen[str]):
    """Asks for the id of a request."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE]

    def __init__(self, last: str) -> None:
        super().__init__()
        self._last = last

    def compose(self) -> ComposeResult:
        """One field."""
        with Vertical(classes="small"):
            yield Static("Open which request?", classes="title")
            yield Field("Id", line("", id="id", value=self._last))
            yield Told()

    @on(Input.Submitted)
    def _open(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(request_id(event.value))
        except typer.BadParameter as error:
            self.query_one(Told).say([str(error)])

    def action_leave(self) -> None:
        """None."""
        self.dismiss(None)


class HelpDialog(ModalScreen[None]):
    """Something to read."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE, ("question_mark", "leave", ""), ("q", "leave", "")]

    def __init__(self, title: str, rows: Rows) -> None:
        super().__init__()
        self._title = title
        self._rows = rows

    def compose(self) -> ComposeResult:
        """All of it."""
        with Vertical(classes="whole"):
            yield Static(safe(self._title), classes="title", markup=False)
            yield Sheet(self._rows)
            yield Static("Escape goes back.", classes="title")

    def action_leave(self) -> None:
        """Back."""
        self.dismiss(None)
