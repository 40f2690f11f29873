"""What is filled in and pressed, in one line each: a terminal has few."""

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static


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


def button(label: str, *, id: str) -> Button:  # noqa: A002 - Textual's own name
    """Something to press."""
    made = Button(Content(f"[ {label} ]"), id=id, compact=True)
    made.active_effect_duration = 0  # it would swallow a second press
    return made
