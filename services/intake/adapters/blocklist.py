"""The keys that were published, from the blocklist that the operator provides."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from shared.vocabulary.findings import Finding
from shared.x509.weakness import Blocklist, check_published


@dataclass(frozen=True)
class BlocklistFolder:
    """The blocklist in a folder; without one, no key is on it."""

    folder: Path | None

    def check(self, spki: bytes) -> list[Finding]:
        """Whether the private half of this key is public."""
        return [] if self.folder is None else check_published(spki, Blocklist.open(self.folder))

    async def probe(self) -> None:
        """Return when the blocklist can be used, or there is none to be used.

        Raises:
            UnavailableError: it is missing, damaged, being updated, or of another format.
        """
        if self.folder is not None:
            await asyncio.to_thread(Blocklist.open, self.folder)
