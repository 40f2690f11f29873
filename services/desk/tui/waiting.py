"""What waits for a decision, page by page, as far as it was fetched."""

import asyncio

from services.desk.tui.port import Office
from shared.contracts.replies import PendingCase

PAGE = 50
MOST_ON_A_PAGE = 200


class Waiting:
    """Pages of the list; only one call at a time changes them."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._alone = asyncio.Lock()
        self._next: str | None = None
        self.cases: list[PendingCase] = []
        self.more = False
        """Whether there are more than were fetched."""
        self.wanted = ""
        """The text that is looked for; empty for none."""

    async def fetch_again(self) -> None:
        """The list from its beginning, as far as it was fetched before, and a page at least."""
        async with self._alone:
            wanted = max(PAGE, len(self.cases))
            found, after, more = await self._page(None, wanted)
            while more and len(found) < wanted:
                page, after, more = await self._page(after, wanted - len(found))
                found += page
            self.cases, self._next, self.more = found, after, more

    async def fetch_on(self) -> None:
        """One page more, if there is one."""
        async with self._alone:
            if self.more:
                page, self._next, self.more = await self._page(self._next, PAGE)
                self.cases += page

    async def _page(self, after: str | None, limit: int) -> tuple[list[PendingCase], str | None, bool]:
        page = await self._office.list_pending(after=after, limit=min(limit, MOST_ON_A_PAGE), text=self.wanted or None)
        return list(page.cases), page.next, page.more

    def __str__(self) -> str:
        with_text = f" with {self.wanted!r}" if self.wanted else ""
        return f"{len(self.cases)}{' and more' if self.more else ''} waiting{with_text}"
