"""The desk itself: the list above, the request at hand below."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent

from services.desk.case_view import case_rows, case_title
from services.desk.deciding import told
from services.desk.exits import ending
from services.desk.files import named_by_message, write_output
from services.desk.render import failure_lines, safe
from services.desk.tui.dialogs import ConfirmDialog, HelpDialog, OpenDialog, SignDialog
from services.desk.tui.fields import Field
from services.desk.tui.key import HeldKey
from services.desk.tui.listing import PendingTable, line_of
from services.desk.tui.panes import TABS, DownloadPane, Panes, RevocationPane
from services.desk.tui.port import Office
from services.desk.tui.sheet import Told
from shared.client.case import ShownCase
from shared.contracts.replies import CaseResult, DecisionResult, PendingCase, RevokeResult
from shared.errors import RefusedError
from shared.evidence.steps import DecisionKind
from shared.vocabulary.states import State

PAGE = 50
MOST_ON_A_PAGE = 200
REFRESH_SECONDS = 30.0
RETRY_SECONDS = 5.0
REVOCATION_SECONDS = 120.0
NO_LINK = frozenset({"not-connected", "credentials", "no-answer"})
"""Failures after which nobody can say that the duties are there."""

KEYS = (
    ("Up, Down, j, k", "move in the list, and scroll what has the keyboard"),
    ("Left, Right", "scroll the list sideways; go from tab to tab when the tabs have the keyboard"),
    ("Enter", "open the request under the cursor; press the button that has the keyboard"),
    ("Tab, Shift+Tab", "give the keyboard to the next part of the screen, or the one before"),
    ("1 to 7", "Basic Info, Profile, Extensions, DN, Approvals, Download, Revocation"),
    ("a, d", "approve, deny: shows what would be signed, and asks"),
    ("Ctrl+S", "in that question: sign"),
    ("Escape", "leave a question, take away the filter or the last message"),
    ("r", "ask for the list and the open request again"),
    ("/", "filter the list by any text in it"),
    ("o", "open a request by its id, also one that does not wait any more"),
    ("l", "lock: put the key away; its passphrase is asked for when it is needed again"),
    ("?", "this page"),
    ("q", "quit"),
)

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class AtHand:
    """The request that the tabs show, as it was when it was opened."""

    request_id: str
    case: CaseResult
    shown: ShownCase


class DeskScreen(Screen[None]):
    """Everything an approver does; whatever goes wrong is told, and the desk goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approve')", "Approve"),
        Binding("d", "decide('deny')", "Deny"),
        Binding("r", "refresh_all", "Refresh"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("o", "open", "Open"),
        Binding("l", "lock", "Lock key"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.quit", "Quit"),
        Binding("escape", "calm", "", show=False),
        *(Binding(str(number), f"tab('{tab}')", "", show=False) for number, tab in enumerate(TABS, start=1)),
    ]

    def __init__(self, office: Office, key: HeldKey, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        super().__init__()
        self._office = office
        self._key = key
        self._refresh_seconds = refresh_seconds
        self._cases: list[PendingCase] = []
        self._more = False
        self._matching = 0
        self._filter = ""
        self._connected: bool | None = None
        self._at_hand: AtHand | None = None
        self._last = ""
        self._listing = asyncio.Lock()
        self._stale = asyncio.Event()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="top", markup=False)
        yield Field("Filter", Input(placeholder="Enter keeps it, Escape takes it away", id="filter", compact=True))
        yield PendingTable()
        yield Panes()
        yield Told()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self._show_filter(shown=False)
        self.query_one(PendingTable).focus()
        self._tell_top()
        self._keep_fresh()

    # --- the list -------------------------------------------------------------------------------------------------

    @work(group="fresh")
    async def _keep_fresh(self) -> None:
        """Look again every now and then, at once when there is news, and soon while nobody answers."""
        while True:
            self._stale.clear()
            done = await self._attempted(self._list_again)
            pause = self._refresh_seconds if done else min(RETRY_SECONDS, self._refresh_seconds)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stale.wait(), pause)

    async def _list_again(self) -> bool:
        """The list from its beginning, as long as it was; True."""
        async with self._listing:
            wanted = max(PAGE, len(self._cases))
            found: list[PendingCase] = []
            more = True
            while more and len(found) < wanted:
                after = found[-1].request.request_id if found else None
                page = await self._office.list_pending(after=after, limit=min(wanted - len(found), MOST_ON_A_PAGE))
                found += page.cases
                more = page.more
            self._cases, self._more = found, more
        self._fill()
        return True

    @work(group="more", exclusive=True)
    async def _list_on(self) -> None:
        await self._attempted(self._next_page)

    async def _next_page(self) -> None:
        async with self._listing:
            if not (self._more and self._cases):
                return
            page = await self._office.list_pending(after=self._cases[-1].request.request_id, limit=PAGE)
            self._cases += page.cases
            self._more = page.more
        self._fill()

    @on(DataTable.RowHighlighted)
    def _reach_end(self) -> None:
        if self._more and self.query_one(PendingTable).is_at_end:
            self._list_on()

    def _fill(self) -> None:
        wanted = self._filter.casefold()
        found = [case for case in self._cases if wanted in " ".join(line_of(case)).casefold()]
        self.query_one(PendingTable).fill(found)
        self._matching = len(found)
        self._tell_top()
        if self._more and len(found) < PAGE and self._filter:
            self._list_on()

    def _tell_top(self) -> None:
        count = f"{len(self._cases)}{' and more' if self._more else ''} waiting"
        if self._filter:
            count = f"{self._matching} of {count} match {self._filter!r}"
        key = "open" if self._key.is_open else "locked"
        link = {None: "connecting", True: "connected", False: "NOT CONNECTED, trying again"}[self._connected]
        self.query_one("#top", Static).update(safe(f"{self._office.identity} | {count} | key {key} | {link}"))

    # --- the request at hand --------------------------------------------------------------------------------------

    @on(DataTable.RowSelected)
    def _select(self) -> None:
        request = self.query_one(PendingTable).at_cursor
        if request is not None:
            self._open(request)

    @work(group="open", exclusive=True)
    async def _open(self, request: str) -> None:
        """Open this request, for good or to say why not."""
        self._last = request
        self._at_hand = None
        panes = self.query_one(Panes)
        panes.show_instead([("Request", request), ("Please wait", "It is being fetched.")])
        panes.show_status(None)
        at_hand = await self._attempted(lambda: self._fetch(request))
        if at_hand is None:
            panes.show_instead([("Request", request), ("Not shown", "See below.")])
            return
        self._show(at_hand)
        if panes.is_on_certificate:
            await self._attempted(self._show_status)

    async def _fetch(self, request: str) -> AtHand:
        case = await self._office.show_case(request)
        return AtHand(request, case, self._office.read(case))

    def _show(self, at_hand: AtHand) -> None:
        self._at_hand = at_hand
        self.query_one(Panes).show(at_hand.case, at_hand.shown)

    @on(TabbedContent.TabActivated)
    def _turn(self) -> None:
        if self.query_one(Panes).is_on_certificate:
            self._look_at_status()

    @work(group="status", exclusive=True)
    async def _look_at_status(self) -> None:
        await self._attempted(self._show_status)

    async def _show_status(self) -> None:
        if self._at_hand is not None:
            request = self._at_hand.request_id
            status = await self._office.status(request)
            if request == self._last:
                self.query_one(Panes).show_status(status)

    def action_open(self) -> None:
        """Open a request by its id, also one that does not wait any more."""

        def chosen(request: str | None) -> None:
            if request:
                self._open(request)

        self.app.push_screen(OpenDialog(self._last), chosen)

    # --- deciding -------------------------------------------------------------------------------------------------

    def action_decide(self, kind: str) -> None:
        """Show what would be signed, and ask."""
        listed = self.query_one(PendingTable)
        request = listed.at_cursor if listed.has_focus else self._last
        if request:
            self._ask_decision(request, DecisionKind(kind))
        else:
            self._say("Open a request first: Enter opens the one under the cursor.")

    @work(group="decide", exclusive=True)
    async def _ask_decision(self, request: str, kind: DecisionKind) -> None:
        """The decision is on the bytes that were fetched just now, and on no others."""
        at_hand = await self._attempted(lambda: self._fetch(request))
        if at_hand is None or not self._has_key():
            return
        seen = self._at_hand
        self._last = request
        self._show(at_hand)
        if seen is not None and seen.request_id == request and seen.shown.digest != at_hand.shown.digest:
            self._say("The request has changed since you opened it.")
        call = self._office.approve if kind is DecisionKind.APPROVE else self._office.deny
        rows = case_rows(at_hand.case, at_hand.shown)
        dialog = SignDialog(kind, case_title(at_hand.shown), rows, self._key, lambda note: call(at_hand.case, note))
        result: DecisionResult | None = await self.app.push_screen_wait(dialog)
        if result is None:
            self._say(f"Request {request} is left as it is.")
        else:
            self._say(told(result, kind))
            self._open(request)
            self._stale.set()
        self._tell_top()

    def _has_key(self) -> bool:
        """Whether there is a key to sign with, be it after its passphrase was asked for."""
        try:
            self._key.open()
        except RefusedError as error:
            self._say(*failure_lines(ending(error).failure))
            return False
        return True

    def action_lock(self) -> None:
        """Forget the key."""
        self._key.close()
        self._tell_top()
        self._say("The key is put away until it is needed again.")

    # --- the certificate ------------------------------------------------------------------------------------------

    @on(DownloadPane.Wanted)
    @work(group="certificate", exclusive=True)
    async def _download(self, wanted: DownloadPane.Wanted) -> None:
        at_hand = self._at_hand
        if at_hand is None:
            self._say("Open a request first.")
            return

        async def fetch_and_write() -> str:
            result = await self._office.download(at_hand.request_id, wanted.form, chain=wanted.chain)
            target = wanted.file or named_by_message(result.file_name)
            write_output(target, result.content)
            return f"{target} is written, {len(result.content)} bytes of {result.media_type}."

        if (said := await self._attempted(fetch_and_write)) is not None:
            self._say(said)

    @on(RevocationPane.NoReason)
    def _ask_reason(self) -> None:
        self._say("Choose the reason first.")

    @on(RevocationPane.Wanted)
    @work(group="certificate", exclusive=True)
    async def _revoke(self, wanted: RevocationPane.Wanted) -> None:
        at_hand = self._at_hand
        if at_hand is None:
            self._say("Open a request first.")
            return
        rows = [
            ("Request", safe(at_hand.request_id)),
            ("Name", safe(at_hand.shown.revision.name)),
            ("Subject", safe(at_hand.shown.revision.subject)),
            ("Reason", str(wanted.reason)),
            ("Notes", safe(wanted.notes) or "none"),
        ]
        if not await self.app.push_screen_wait(ConfirmDialog("Revoke this certificate, for good?", rows, "Revoke it")):
            self._say(f"Request {at_hand.request_id} is left as it is.")
            return
        accepted: RevokeResult | None = await self._attempted(
            lambda: self._office.revoke(at_hand.request_id, wanted.reason, wanted.notes)
        )
        if accepted is None:
            return
        self._say(f"The revocation of {accepted.certificate} is accepted: {accepted.reason}.")
        done = await self._attempted(
            lambda: self._office.wait_for_state(at_hand.request_id, {State.REVOKED}, REVOCATION_SECONDS)
        )
        if done is not None:
            self._say(f"Request {at_hand.request_id} is {done.request.state}.")
            if self._last == at_hand.request_id:
                self.query_one(Panes).show_status(done)

    # --- the rest -------------------------------------------------------------------------------------------------

    def action_refresh_all(self) -> None:
        """Ask for everything again."""
        self.query_one(Told).clear()
        self._stale.set()
        if self._last:
            self._open(self._last)

    def action_tab(self, tab: str) -> None:
        """Turn to this tab."""
        self.query_one(Panes).turn_to(tab)

    def action_filter(self) -> None:
        """Ask for what is looked for."""
        self._show_filter(shown=True)
        self.query_one("#filter").focus()

    def _show_filter(self, *, shown: bool) -> None:
        line = self.query_one("#filter").parent
        if isinstance(line, Widget):
            line.display = shown

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self._filter = event.value.strip()
        self._fill()

    @on(Input.Submitted, "#filter")
    def _keep_filter(self, event: Input.Submitted) -> None:
        self._show_filter(shown=bool(event.value.strip()))
        self.query_one(PendingTable).focus()

    def action_calm(self) -> None:
        """Take away the filter, or what was said last, and go back to the list."""
        filtering = self.query_one("#filter", Input)
        if filtering.has_focus:
            filtering.value = ""
            self._show_filter(shown=False)
        else:
            self.query_one(Told).clear()
        self.query_one(PendingTable).focus()

    def action_help(self) -> None:
        """Tell the keys."""
        self.app.push_screen(HelpDialog(KEYS))

    def _say(self, *lines: str) -> None:
        self.query_one(Told).say(lines)

    async def _attempted(self, act: Callable[[], Awaitable[ResultT]]) -> ResultT | None:
        """What this gives; None when it failed, which is told then."""
        try:
            result = await act()
        except Exception as error:  # noqa: BLE001 - nobody is shown a traceback, and the desk goes on
            self._fail(error)
            return None
        self._link(up=True)
        return result

    def _fail(self, error: Exception) -> None:
        failure = ending(error).failure
        self._link(up=failure.code not in NO_LINK)
        self._say(*failure_lines(failure))

    def _link(self, *, up: bool) -> None:
        if up and self._connected is False:
            self._say("Connected again.")
        self._connected = up
        self._tell_top()
