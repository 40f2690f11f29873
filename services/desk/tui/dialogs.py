"""What is asked and told before anything else can be done; Escape always leaves things as they are."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import typer
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from services.desk.case_view import case_rows, case_title
from services.desk.exits import ending
from services.desk.frame import request_id
from services.desk.render import Rows, failure_lines, safe
from services.desk.tui.fields import Field, button
from services.desk.tui.key import HeldKey
from services.desk.tui.sheet import Sheet, Told
from shared.client.case import ShownCase
from shared.contracts.replies import CaseResult
from shared.evidence.steps import DecisionKind

MOST_NOTE = 1_000
LEAVE = Binding("escape", "leave", "Leave it as it is")

Sign = Callable[[str], Awaitable[list[str]]]
"""Signs the decision with this note, sends it, and says what it led to."""


@dataclass(frozen=True)
class Signing:
    """A decision that is about to be signed, on one case or on several."""

    kind: DecisionKind
    cases: Sequence[tuple[CaseResult, ShownCase]]

    @property
    def title(self) -> str:
        """What the question is about."""
        if len(self.cases) > 1:
            return f"these {len(self.cases)} requests"
        return case_title(self.cases[0][1])

    @property
    def rows(self) -> Rows:
        """All of each case, one after the other."""
        if len(self.cases) == 1:
            return case_rows(*self.cases[0])
        return [
            row
            for number, (case, shown) in enumerate(self.cases, start=1)
            for row in ((f"{number} OF {len(self.cases)}", case_title(shown)), *case_rows(case, shown), ("", ""))
        ]


class SignDialog(ModalScreen[list[str]]):
    """Shows what a decision is signed for, and asks; it ends with what the decision led to, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE, Binding("ctrl+s", "sign", "Sign")]

    def __init__(self, signing: Signing, key: HeldKey, sign: Sign) -> None:
        super().__init__()
        self._signing = signing
        self._key = key
        self._sign = sign

    def compose(self) -> ComposeResult:
        """What is signed, why, the passphrase if it is needed, and the question."""
        kind, what = self._signing.kind, "this" if len(self._signing.cases) == 1 else self._signing.title
        with Vertical(classes="whole"):
            yield Static(safe(f"{kind.capitalize()}? {self._signing.title}"), classes="title", markup=False)
            yield Sheet(self._signing.rows)
            why = "why; it is signed with the decision"
            yield Field("Note", Input(placeholder=why, max_length=MOST_NOTE, id="note", compact=True))
            if not self._key.is_open:
                of = safe(f"of {self._key.file}")
                yield Field("Passphrase", Input(placeholder=of, password=True, id="passphrase", compact=True))
            yield Told()
            with Horizontal(classes="buttons"):
                yield button(f"Sign that I {kind} {what}", id="sign")
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
            self._decide(self.query_one("#note", Input).value)

    @work(exclusive=True)
    async def _decide(self, note: str) -> None:
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
            yield Field("Id", Input(self._last, compact=True))
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
