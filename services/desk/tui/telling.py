"""A screen that tells what happens: whatever goes wrong is told, and the desk goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual.screen import Screen

from services.desk.exits import ending
from services.desk.render import failure_lines
from services.desk.tui.port import Office
from services.desk.tui.sheet import Told

NO_LINK = frozenset({"not-connected", "credentials", "no-answer"})
"""Failures after which nobody can say that the duties are there."""

ResultT = TypeVar("ResultT")


class TellingScreen(Screen[None]):
    """Has a place for messages, and knows whether the duties answer."""

    def __init__(self, office: Office) -> None:
        super().__init__()
        self.office = office
        self.connected: bool | None = None
        """None until it was tried."""
        self._away_was_last = False
        """Whether the last thing told was that the duties can't be reached."""

    def say(self, *lines: str) -> None:
        """Tell this, in place of what was told before."""
        self._away_was_last = False
        self.query_one(Told).say(lines)

    def fail(self, error: Exception) -> None:
        """Tell what went wrong, and what to do."""
        failure = ending(error).failure
        self._link(up=failure.code not in NO_LINK)
        self.say(*failure_lines(failure))
        self._away_was_last = not self.connected

    async def attempt(self, act: Callable[[], Awaitable[ResultT]]) -> ResultT | None:
        """What this gives; None when it failed, which is told then."""
        try:
            result = await act()
        except Exception as error:  # noqa: BLE001 - nobody is shown a traceback, and the desk goes on
            self._stop_if_gone()
            self.fail(error)
            return None
        self._stop_if_gone()
        self._link(up=True)
        return result

    def _stop_if_gone(self) -> None:
        """End the work under way when its answer comes after somebody quit: there is nothing left to show it on."""
        if not (self.query("#top") and self.query(Told)):
            raise asyncio.CancelledError

    def _link(self, *, up: bool) -> None:
        if up and self._away_was_last:
            self.say("Connected again.")
        self.connected = up
        self.tell_top()

    def tell_top(self) -> None:
        """Say again how things stand."""
        raise NotImplementedError
