"""The certificate of the request at hand: have it written to a file, and have it revoked."""

from dataclasses import dataclass
from datetime import timedelta

from textual import on, work

from services.desk.files import STANDARD, named_by_message, write_output
from services.desk.render import Rows, safe
from services.desk.tui.dialogs import ConfirmDialog
from services.desk.tui.panes import DownloadPane, Panes, RevocationPane
from services.desk.tui.telling import TellingScreen
from shared.client.case import ShownCase
from shared.contracts.replies import CaseResult
from shared.vocabulary.states import State

REVOCATION_SECONDS = 120.0


@dataclass(frozen=True)
class AtHand:
    """The request that the tabs show, as it was when it was opened."""

    request_id: str
    case: CaseResult
    shown: ShownCase


class CertificateScreen(TellingScreen):
    """Serves the tabs Download and Revocation."""

    at_hand: AtHand | None = None

    @on(DownloadPane.Wanted)
    @work(group="certificate", exclusive=True)
    async def _download(self, wanted: DownloadPane.Wanted) -> None:
        at_hand = self._needed()
        if at_hand is None:
            return
        if wanted.file == STANDARD:
            self.say("The screen is where standard output goes: name a file, or leave it empty.")
            return

        async def fetch_and_write() -> str:
            result = await self.office.download(at_hand.request_id, wanted.form, chain=wanted.chain)
            target = wanted.file or named_by_message(result.file_name)
            write_output(target, result.content)
            return f"{target} is written, {len(result.content)} bytes of {result.media_type}."

        if (said := await self.attempt(fetch_and_write)) is not None:
            self.say(said)

    @on(RevocationPane.NoReason)
    def _ask_reason(self) -> None:
        self.say("Choose the reason first.")

    @on(RevocationPane.Wanted)
    @work(group="certificate", exclusive=True)
    async def _revoke(self, wanted: RevocationPane.Wanted) -> None:
        at_hand = self._needed()
        if at_hand is None:
            return
        request = at_hand.request_id
        dialog = ConfirmDialog("Revoke this certificate, for good?", _what_is_revoked(at_hand, wanted), "Revoke it")
        if not await self.app.push_screen_wait(dialog):
            self.say(f"Request {request} is left as it is.")
            return
        accepted = await self.attempt(lambda: self.office.revoke(request, wanted.reason, wanted.notes))
        if accepted is None:
            return
        self.say(f"The revocation of {accepted.certificate} is accepted: {accepted.reason}.")
        if accepted.same_key:
            others = ", ".join(each.request_id for each in accepted.same_key)
            self.say(f"The same key have, and should be revoked too: {others}")
        if accepted.awaits:
            self.say(f"It waits for {accepted.awaits} to confirm it: ra revocations confirm {request}")
            return
        done = await self.attempt(lambda: self.office.wait_for_state(request, {State.REVOKED}, REVOCATION_SECONDS))
        if done is not None:
            self.say(f"Request {request} is {done.request.state}.")
            if self.at_hand is not None and self.at_hand.request_id == request:
                self.query_one(Panes).show_status(done)

    def _needed(self) -> AtHand | None:
        if self.at_hand is None:
            self.say("Open a request first.")
        return self.at_hand


def _what_is_revoked(at_hand: AtHand, wanted: RevocationPane.Wanted) -> Rows:
    revision = at_hand.shown.revision
    return [
        ("Request", safe(at_hand.request_id)),
        ("Name", safe(revision.name)),
        ("Subject", safe(revision.subject)),
        ("Reason", f"{wanted.reason}: {wanted.reason.meaning}"),
        ("Time allowed", f"{wanted.reason.time_allowed // timedelta(hours=1)} hours from now"),
        ("Notes", safe(wanted.notes) or "none"),
    ]
