"""The request at hand, in seven tabs."""

from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Button, Checkbox, Input, Select, TabbedContent, TabPane

from services.desk.case_view import (
    approval_rows,
    basic_rows,
    bytes_rows,
    change_rows,
    extension_rows,
    profile_rows,
    subject_rows,
)
from services.desk.render import Rows, safe
from services.desk.tui.fields import Field, button, line
from services.desk.tui.sheet import Sheet
from services.desk.views import status_rows
from shared.client.case import ShownCase
from shared.contracts.replies import CaseResult, StatusResult
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.reasons import RevocationReason

BASIC, PROFILE, EXTENSIONS, DN, APPROVALS, DOWNLOAD, REVOCATION = TABS = (
    "basic",
    "profile",
    "extensions",
    "dn",
    "approvals",
    "download",
    "revocation",
)
TITLES = ("Basic Info", "Profile", "Extensions", "DN", "Approvals", "Download", "Revocation")
OF_THE_CASE = (BASIC, PROFILE, EXTENSIONS, DN, APPROVALS)
OF_THE_CERTIFICATE = (DOWNLOAD, REVOCATION)
NOTHING_OPEN: Rows = [("Nothing is open", "Enter opens the request under the cursor, o one whose id you know.")]
MOST_NOTES = 1_000


class DownloadPane(Vertical):
    """Where the request stands, and how to have its certificate."""

    @dataclass
    class Wanted(Message):
        """Somebody wants the certificate in this form."""

        form: DownloadFormat
        chain: bool
        file: Path | None

    def compose(self) -> ComposeResult:
        """The form above, the standing below."""
        forms = [(str(form), form) for form in DownloadFormat]
        yield Field("Format", Select(forms, value=DownloadFormat.PEM_X509, allow_blank=False, compact=True))
        yield Field("Chain", Checkbox("with the intermediates", value=True, compact=True))
        yield Field("File", line("empty: the name that comes with it", id="file"))
        yield button("Write the certificate", id="fetch")
        yield Sheet()

    @on(Button.Pressed, "#fetch")
    def _want(self) -> None:
        form = self.query_one(Select).value
        typed = self.query_one("#file", Input).value.strip()
        if isinstance(form, DownloadFormat):
            chain = self.query_one(Checkbox).value and form is not DownloadFormat.DER_X509
            self.post_message(self.Wanted(form, chain, Path(typed).expanduser() if typed else None))


class RevocationPane(Vertical):
    """Where the request stands, and how to have its certificate revoked."""

    @dataclass
    class Wanted(Message):
        """Somebody wants the certificate revoked."""

        reason: RevocationReason
        notes: str

    class NoReason(Message):
        """Somebody wants that and does not say why."""

    def compose(self) -> ComposeResult:
        """The form above, the standing below."""
        reasons = [(f"{reason}: {reason.meaning}", reason) for reason in RevocationReason]
        yield Field("Reason", Select(reasons, prompt="of RFC 5280 §5.3.1", compact=True))
        yield Field("Notes", line("for the record", id="notes", longest=MOST_NOTES))
        yield button("Revoke the certificate", id="revoke")
        yield Sheet()

    @on(Button.Pressed, "#revoke")
    def _want(self) -> None:
        reason = self.query_one(Select).value
        if isinstance(reason, RevocationReason):
            self.post_message(self.Wanted(reason, self.query_one("#notes", Input).value))
        else:
            self.post_message(self.NoReason())


class Panes(Vertical):
    """The tabs; what they show is always of one and the same request."""

    def compose(self) -> ComposeResult:
        """A sheet for each part of the case, and two forms."""
        with TabbedContent():
            for tab, title in zip(TABS, TITLES, strict=True):
                with TabPane(title, id=tab):
                    if tab == DOWNLOAD:
                        yield DownloadPane()
                    elif tab == REVOCATION:
                        yield RevocationPane()
                    else:
                        yield Sheet(NOTHING_OPEN, id=f"sheet-{tab}")

    @property
    def front(self) -> str:
        """The tab in front."""
        return self.query_one(TabbedContent).active

    @property
    def is_on_certificate(self) -> bool:
        """Whether the tab in front is about the certificate."""
        return self.front in OF_THE_CERTIFICATE

    def turn_to(self, tab: str) -> None:
        """Bring this tab to the front, and give it the keyboard."""
        self.query_one(TabbedContent).active = tab
        self.focus_front()

    def show(self, case: CaseResult, shown: ShownCase) -> None:
        """Show this case."""
        request: Rows = [("Request", safe(shown.revision.request_id))]
        parts = {
            BASIC: [*request, *basic_rows(shown), *change_rows(shown), *bytes_rows(shown)],
            PROFILE: profile_rows(shown),
            EXTENSIONS: extension_rows(shown),
            DN: subject_rows(shown),
            APPROVALS: [*approval_rows(case, shown), *change_rows(shown)],
        }
        for tab, rows in parts.items():
            self._sheet(tab).show(rows)

    def show_instead(self, rows: Rows) -> None:
        """Show this where a case would be."""
        for tab in OF_THE_CASE:
            self._sheet(tab).show(rows)

    def show_status(self, status: StatusResult | None) -> None:
        """Where the request stands, for what is about the certificate; None while that is not known."""
        rows = [("State", "not known yet")] if status is None else status_rows(status)
        for pane in (DownloadPane, RevocationPane):
            self.query_one(pane).query_one(Sheet).show(rows)

    def focus_front(self) -> None:
        """Give the keyboard to the tab in front."""
        tabs = self.query_one(TabbedContent)
        inside = (widget for widget in tabs.get_pane(tabs.active).query("*") if widget.focusable)
        next(inside, tabs).focus()

    def _sheet(self, tab: str) -> Sheet:
        return self.query_one(f"#sheet-{tab}", Sheet)
