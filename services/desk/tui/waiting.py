"""What waits for a decision, page by page, as far as it was fetched."""

import asyncio

from services.desk.tui.listing import line_of
from services.desk.tui.port import Office
from shared.contracts.replies import PendingCase

PAGE = 50
MOST_ON_A_PAGE = 200


class Waiting:
    """Pages of the list; only one call at a time changes them."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._alone = asyncio.Lock()
        self.cases: list[PendingCase] = []
        self.more = False
        """Whether there are more than were fetched."""
        self.wanted = ""
        """The text that is looked for; empty for none."""

    async def fetch_again(self) -> None:
        """The list from its beginning, as far as it was fetched before, and a page at least."""
        async with self._alone:
            wanted = max(PAGE, len(self.cases))
            found: list[PendingCase] = []
            more = True
            while more and len(found) < wanted:
                after = found[-1].request.request_id if found else None
                page = await self._office.list_pending(after=after, limit=min(wanted - len(found), MOST_ON_A_PAGE))
                found += page.cases
                more = page.more
            self.cases, self.more = found, more

    async def fetch_on(self) -> None:
        """One page more, if there is one."""
        async with self._alone:
            if self.more and self.cases:
                page = await self._office.list_pending(after=self.cases[-1].request.request_id, limit=PAGE)
                self.cases += page.cases
                self.more = page.more

    @property
    def matching(self) -> list[PendingCase]:
        """Those with the wanted text in their line, in whatever case."""
        wanted = self.wanted.casefold()
        return [case for case in self.cases if wanted in " ".join(line_of(case)).casefold()]

    @property
    def is_short(self) -> bool:
        """Whether so few match that the next page may be wanted, too."""
        return bool(self.wanted) and self.more and len(self.matching) < PAGE

    def __str__(self) -> str:
        count = f"{len(self.cases)}{' and more' if self.more else ''} waiting"
        return f"{len(self.matching)} of {count} match {self.wanted!r}" if self.wanted else count
