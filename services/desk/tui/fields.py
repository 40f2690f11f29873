"""What is filled in and pressed, in one line each: a terminal has few."""

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Static, TextArea
from textual.widgets.text_area import Edit, EditResult

from services.desk.render import harmless
from services.desk.wrapping import Wrapped


class Field(Horizontal):
    """Something to fill in, with what it is; the label shows who has the keyboard."""

    def __init__(self, label: str, widget: Widget) -> None:
        super().__init__(Static(label, markup=False), widget)

    def on_descendant_focus(self) -> None:
        """Show that the keyboard is here."""
        self.add_class("-here")

    def on_descendant_blur(self) -> None:
        """Show that it is elsewhere."""
        self.remove_class("-here")


SHOWABLE = r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*"
"""What a field takes: a text from elsewhere may be pasted into it, and nothing may act on the terminal."""


class Secret(Input):
    """A line that shows nothing of what is filled in, nor gives it to any clipboard."""

    def action_copy(self) -> None:
        """Copy nothing."""

    def action_cut(self) -> None:
        """Cut nothing."""


def line(hint: str, *, id: str, value: str = "", longest: int | None = None, password: bool = False) -> Input:  # noqa: A002 - Textual's own name
    """A line to fill in."""
    kind = Secret if password else Input
    return kind(
        value,
        placeholder=hint,
        id=id,
        max_length=longest or 0,
        password=password,
        restrict=None if password else SHOWABLE,
        select_on_focus=False,
        compact=True,
    )


class Lines(TextArea):
    """Several lines to fill in; what can't be shown is left out of what is pasted."""

    def edit(self, edit: Edit) -> EditResult:
        """Change the text."""
        edit.text = "".join(character for character in edit.text if character == "\n" or character.isprintable())
        return super().edit(edit)


def warning(text: str) -> Static:
    """Something that must not be overlooked."""
    return Static(Wrapped(harmless(text)), classes="warning")


def button(label: str, *, id: str) -> Button:  # noqa: A002 - Textual's own name
    """Something to press."""
    made = Button(Content(f"[ {label} ]"), id=id, compact=True)
    made.active_effect_duration = 0  # it would swallow a second press
    return made
