"""A blocklist that says what a test tells it to, and can be away."""

from collections.abc import Callable

from shared.errors import UnavailableError
from shared.vocabulary.findings import Finding


class MemoryPublishedKeys:
    def __init__(self) -> None:
        self.says: list[Finding] = []
        self.away = False
        self.when: Callable[[], None] = lambda: None
        """Called at each look, in the thread that looks."""

    def check(self, spki: bytes) -> list[Finding]:
        assert spki
        self.when()
        if self.away:
            raise UnavailableError("blocklist", "the test took it away")
        return list(self.says)
