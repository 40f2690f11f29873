"""The form in which the four parts of a request are edited."""

from dataclasses import fields
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static, TextArea

from services.desk.exits import DeskError
from services.desk.render import failure_lines, safe
from services.desk.tui.dialogs import LEAVE
from services.desk.tui.fields import Field, Lines, button, line, warning
from services.desk.tui.form import Form, edited
from services.desk.tui.panes import BASIC, DN, EXTENSIONS, PROFILE
from services.desk.tui.sheet import Told
from shared.client.case import ShownCase

FIRST_OF = {BASIC: "name", PROFILE: "profile", EXTENSIONS: "names", DN: "dn"}
"""Where one begins, by the tab in front."""


class EditDialog(ModalScreen[Form]):
    """Ends with the form once it says something else than the request is, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [LEAVE, Binding("ctrl+s", "go_on", "Go on")]

    def __init__(self, title: str, shown: ShownCase, form: Form, part: str, *, changed: str = "") -> None:
        super().__init__()
        self._title = title
        self._shown = shown
        self._form = form
        self._part = part
        self._changed = changed

    def compose(self) -> ComposeResult:
        """One field for each thing that can be edited."""
        form = self._form
        with Vertical(classes="whole"):
            yield Static(safe(f"Edit {self._title}"), classes="title", markup=False)
            if self._changed:
                yield warning(self._changed)
            with VerticalScroll(can_focus=False):
                yield Field("Name", line("", id="name", value=form.name))
                yield Field("Last day", line("such as 2027-01-31, or latest", id="last_day", value=form.last_day))
                yield Field("Notes", Lines(form.notes, id="notes", compact=True))
                yield Field("Mail to", Lines(form.emails, id="emails", compact=True))
                yield Field("Profile", line("of the extensions", id="profile", value=form.profile))
                yield Field("Names", Lines(form.names, id="names", compact=True))
                yield Field("Extensions", Lines(form.extensions, id="extensions", compact=True))
                yield Field("DN", Lines(form.dn, id="dn", compact=True))
            yield Told()
            with Horizontal(classes="buttons"):
                yield button("Go on", id="go-on")
                yield button("Leave it as it is", id="leave")

    def on_mount(self) -> None:
        """Begin with the part that one was looking at."""
        self.query_one(f"#{FIRST_OF.get(self._part, 'name')}").focus()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    @on(Button.Pressed, "#go-on")
    def action_go_on(self) -> None:
        """Look whether this can be, and go on to what would be signed."""
        form = Form(**{each.name: self._text(each.name) for each in fields(Form)})
        try:
            edited(self._shown, form)
        except DeskError as error:
            self.query_one(Told).say(failure_lines(error.failure))
            return
        self.dismiss(form)

    def _text(self, name: str) -> str:
        field = self.query_one(f"#{name}")
        if isinstance(field, TextArea):
            return field.text
        return field.value if isinstance(field, Input) else ""
