"""The desk itself: the list above, the request at hand below."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent

from services.desk.case_view import case_title
from services.desk.deciding import told
from services.desk.editing import told as told_edit
from services.desk.exits import ending
from services.desk.render import failure_lines, safe
from services.desk.tui.certificates import AtHand, CertificateScreen
from services.desk.tui.dialogs import HelpDialog, OpenDialog, SignDialog
from services.desk.tui.edit_dialog import EditDialog
from services.desk.tui.fields import Field
from services.desk.tui.form import Form, edited, form_of
from services.desk.tui.help import KEYS
from services.desk.tui.key import HeldKey
from services.desk.tui.listing import PendingTable
from services.desk.tui.panes import TABS, Panes
from services.desk.tui.port import Office
from services.desk.tui.questions import change_since, decision_question, edit_question
from services.desk.tui.sheet import Told
from services.desk.tui.waiting import Waiting
from services.desk.views import summary_line, summary_rows
from shared.client.errors import ClientError
from shared.client.watching import ConnectionNews, News
from shared.contracts.content import EditedContent
from shared.contracts.replies import CaseResult, DecisionResult, GroupSummary
from shared.errors import RefusedError
from shared.evidence.steps import MOST_AT_ONCE, DecisionKind

REFRESH_SECONDS = 30.0
RETRY_SECONDS = 5.0
GROUPS_ABOVE = 2
"""So many groups are summed up above the list; there is a page for all of them."""


class DeskScreen(CertificateScreen):
    """Everything an approver does."""

    AUTO_FOCUS: ClassVar[str | None] = "PendingTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approve')", "Approve"),
        Binding("d", "decide('deny')", "Deny"),
        Binding("e", "edit", "Edit"),
        Binding("space", "mark", "Mark", show=False),
        Binding("r", "refresh_all", "Refresh"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("o", "open", "Open"),
        Binding("s", "summary", "Summary", show=False),
        Binding("l", "lock", "Lock"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.quit", "Quit"),
        Binding("escape", "calm", "", show=False),
        *(Binding(str(number), f"tab('{tab}')", "", show=False) for number, tab in enumerate(TABS, start=1)),
    ]

    def __init__(self, office: Office, key: HeldKey, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        super().__init__(office)
        self._key = key
        self._refresh_seconds = refresh_seconds
        self._waiting = Waiting(office)
        self._groups: Sequence[GroupSummary] = ()
        self._last = ""
        """The request that was opened last, whether it could be shown or not."""
        self._stale = asyncio.Event()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="top", markup=False)
        yield Static(id="summary", markup=False)
        yield Field(
            "Filter",
            Input(
                placeholder="in id, name, subject, requester; Escape ends it",
                id="filter",
                compact=True,
            ),
        )
        yield PendingTable()
        yield Panes()
        yield Told()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self._show_filter(shown=False)
        self.tell_top()
        self._keep_fresh()
        self._follow()

    # --- the list -------------------------------------------------------------------------------------------------

    @work(group="fresh")
    async def _keep_fresh(self) -> None:
        """Look again every now and then, at once when there is news, and soon while nobody answers."""
        while True:
            self._stale.clear()
            done = await self.attempt(self._look_again)
            pause = self._refresh_seconds if done else min(RETRY_SECONDS, self._refresh_seconds)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stale.wait(), pause)

    @work(group="news")
    async def _follow(self) -> None:
        """Look again as soon as anything new awaits a decision, or the connection comes or goes."""
        while True:
            with contextlib.suppress(Exception):  # what keeps the desk from being told, the list tells
                async for news in self.office.watch():
                    self.tell_news(news)
                    self._stale.set()
            await asyncio.sleep(min(RETRY_SECONDS, self._refresh_seconds))

    def tell_news(self, news: News) -> None:
        """Say what awaits a decision, unless something is said that may not have been read yet."""
        if not isinstance(news, ConnectionNews) and self.query_one(Told).is_clear:
            self.say(f"{news.why}: {news.name} by {', '.join(news.requesters)}")

    async def _look_again(self) -> bool:
        await self._waiting.fetch_again()
        self._fill()
        self._groups = (await self.office.summary()).groups
        self._sum_up()
        return True

    @work(group="more", exclusive=True)
    async def _look_on(self) -> None:
        await self.attempt(self._waiting.fetch_on)
        self._fill()

    @on(DataTable.RowHighlighted)
    def _reach_end(self) -> None:
        if self._waiting.more and self.query_one(PendingTable).is_at_end:
            self._look_on()

    def _fill(self) -> None:
        self.query_one(PendingTable).fill(self._waiting.cases)
        self.tell_top()

    def tell_top(self) -> None:
        """Say who is here, what waits, and how key and connection are."""
        marked = len(self.query_one(PendingTable).marked)
        link = {None: "connecting", True: "connected", False: "NOT CONNECTED, trying again"}[self.connected]
        parts = [
            self.office.identity,
            str(self._waiting),
            *([f"{marked} marked"] if marked else []),
            f"key {'open' if self._key.is_open else 'locked'}",
            link,
        ]
        self.query_one("#top", Static).update(safe(" | ".join(parts)))

    def _sum_up(self) -> None:
        lines = [summary_line(group) for group in self._groups[:GROUPS_ABOVE]]
        if len(self._groups) > GROUPS_ABOVE:
            lines[-1] += f"; s shows all {len(self._groups)} groups"
        self.query_one("#summary", Static).update("\n".join(lines))

    def action_summary(self) -> None:
        """Show how many requests of each group stand where."""
        self.app.push_screen(HelpDialog("Requests by group and state", summary_rows(self._groups)))

    # --- the request at hand --------------------------------------------------------------------------------------

    @on(DataTable.RowSelected)
    def _select(self) -> None:
        request = self.query_one(PendingTable).at_cursor
        if request is not None:
            self._open(request)

    @work(group="open", exclusive=True)
    async def _open(self, request: str) -> None:
        """Open this request, or say why not."""
        self._last, self.at_hand = request, None
        panes = self.query_one(Panes)
        panes.show_instead([("Request", request), ("Please wait", "It is being fetched.")])
        panes.show_status(None)
        at_hand = await self.attempt(lambda: self._fetch(request))
        if at_hand is None:
            panes.show_instead([("Request", request), ("Not shown", "See below.")])
            return
        self._show(at_hand)
        if panes.is_on_certificate:
            await self.attempt(self._show_status)

    async def _fetch(self, request: str) -> AtHand:
        case = await self.office.show_case(request)
        return AtHand(request, case, self.office.read(case))

    def _show(self, at_hand: AtHand) -> None:
        self.at_hand = at_hand
        self.query_one(Panes).show(at_hand.case, at_hand.shown)

    @on(TabbedContent.TabActivated)
    def _turn(self) -> None:
        if self.query_one(Panes).is_on_certificate:
            self._look_at_status()

    @work(group="status", exclusive=True)
    async def _look_at_status(self) -> None:
        await self.attempt(self._show_status)

    async def _show_status(self) -> None:
        if self.at_hand is not None:
            request = self.at_hand.request_id
            status = await self.office.status(request)
            if request == self._last:
                self.query_one(Panes).show_status(status)

    def action_open(self) -> None:
        """Open a request by its id, also one that does not wait any more."""

        def chosen(request: str | None) -> None:
            if request:
                self._open(request)

        self.app.push_screen(OpenDialog(self._last), chosen)

    # --- deciding -------------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Mark the request under the cursor to be decided on with others, or take its mark away."""
        table = self.query_one(PendingTable)
        if table.has_focus and not table.toggle(most=MOST_AT_ONCE):
            self.say(f"One signature decides on {MOST_AT_ONCE} requests at most.")
        self.tell_top()

    def action_decide(self, kind: str) -> None:
        """Show what would be signed, and ask."""
        table = self.query_one(PendingTable)
        request = table.at_cursor if table.has_focus else self._last
        if table.marked:
            self._ask_decision(table.marked, DecisionKind(kind))
        elif request:
            self._ask_decision([request], DecisionKind(kind))
        else:
            self.say("Open a request first: Enter opens the one under the cursor.")

    @work(group="decide", exclusive=True)
    async def _ask_decision(self, requests: Sequence[str], kind: DecisionKind) -> None:
        """The decision is on the bytes that were fetched just now, and on no others."""
        fetched = await self.attempt(lambda: asyncio.gather(*map(self._fetch, requests)))
        if fetched is None or not self._has_key():
            return
        changed = self._changed_since(fetched)
        if len(fetched) == 1:
            self._show_anew(fetched[0])
        question = decision_question(kind, [(each.case, each.shown) for each in fetched], changed=changed)
        cases = [each.case for each in fetched]
        dialog = SignDialog(question, self._key, lambda note: self._decide(cases, kind, note))
        lines = await self.app.push_screen_wait(dialog)
        if lines is None:
            self.say(*(f"Request {request} is left as it is." for request in requests))
        else:
            self.query_one(PendingTable).unmark()
            self._changed(lines)
        self.tell_top()

    def _changed(self, lines: Sequence[str]) -> None:
        """Say what a signature has led to, and look again."""
        self.say(*lines)
        self._stale.set()
        if self._last:
            self._open(self._last)

    def _show_anew(self, at_hand: AtHand) -> None:
        is_another = self.at_hand is None or self.at_hand.request_id != at_hand.request_id
        self._last = at_hand.request_id
        self._show(at_hand)
        if is_another:  # the tabs of the certificate still tell of the one before
            panes = self.query_one(Panes)
            panes.show_status(None)
            if panes.is_on_certificate:
                self._look_at_status()

    def _changed_since(self, fetched: Sequence[AtHand]) -> str:
        """That what is open is not any more what it was, if it is among these; nothing otherwise."""
        seen = self.at_hand
        found = (
            change_since(seen.shown, each.shown) for each in fetched if seen and each.request_id == seen.request_id
        )
        return "".join(found)

    async def _decide(self, cases: Sequence[CaseResult], kind: DecisionKind, note: str) -> list[str]:
        """Sign and send; what became of each. Raises what the client raises."""
        if len(cases) > 1:
            answers = await self.office.decide(cases, kind, note)
            return [line for request, answer in answers.items() for line in self._answer(request, answer, kind)]
        call = self.office.approve if kind is DecisionKind.APPROVE else self.office.deny
        return [told(await call(cases[0], note), kind)]

    @staticmethod
    def _answer(request: str, answer: DecisionResult | ClientError, kind: DecisionKind) -> list[str]:
        if not isinstance(answer, ClientError):
            return [told(answer, kind)]
        first, *findings = failure_lines(ending(answer).failure)
        return [f"Request {request}: {first}", *findings]

    # --- editing --------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Change what the request asks for, before others approve it."""
        table = self.query_one(PendingTable)
        request = table.at_cursor if table.has_focus else self._last
        if request:
            self._ask_edit(request)
        else:
            self.say("Open a request first: Enter opens the one under the cursor.")

    @work(group="decide", exclusive=True)
    async def _ask_edit(self, request: str) -> None:
        """The form, then what would be signed; from there one comes back to the form."""
        at_hand = await self.attempt(lambda: self._fetch(request))
        if at_hand is None or not self._has_key():
            return
        changed = self._changed_since([at_hand])
        self._show_anew(at_hand)
        case, shown = at_hand.case, at_hand.shown
        form: Form | None = form_of(shown)
        while form is not None:
            form = await self.app.push_screen_wait(
                EditDialog(case_title(shown), shown, form, self.query_one(Panes).front, changed=changed)
            )
            if form is None:
                break
            content = edited(shown, form)

            async def send(_: str, content: EditedContent = content) -> list[str]:
                return told_edit(await self.office.edit(case, content))

            lines = await self.app.push_screen_wait(
                SignDialog(edit_question(case, shown, content, changed=changed), self._key, send)
            )
            if lines is not None:
                self._changed(lines)
                self.tell_top()
                return
        self.say(f"Request {request} is left as it is.")
        self.tell_top()

    def _has_key(self) -> bool:
        """Whether there is a key to sign with, be it after its passphrase was asked for."""
        try:
            self._key.open()
        except RefusedError as error:
            self.say(*failure_lines(ending(error).failure))
            return False
        return True

    def action_lock(self) -> None:
        """Forget the key."""
        self._key.close()
        self.tell_top()
        self.say("The key is put away until it is needed again.")

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

    @on(Input.Submitted, "#filter")
    def _look_for(self, event: Input.Submitted) -> None:
        self._narrow(event.value.strip())
        self.query_one(PendingTable).focus()

    def _narrow(self, text: str) -> None:
        self._show_filter(shown=bool(text))
        if text != self._waiting.wanted:
            self._waiting.wanted = text
            self._stale.set()

    def action_calm(self) -> None:
        """Take away the filter, else what was said last, else the marks; and go back to the list."""
        filtering, table, said = self.query_one("#filter", Input), self.query_one(PendingTable), self.query_one(Told)
        if filtering.has_focus:
            filtering.value = ""
            self._narrow("")
        elif not said.is_clear:
            said.clear()
        else:
            table.unmark()
            self.tell_top()
        table.focus()

    def action_help(self) -> None:
        """Tell the keys."""
        self.app.push_screen(HelpDialog("Keys", KEYS))
