"""A linter that says what a test tells it to, and can be away."""

from shared.errors import UnavailableError
from shared.lint.kinds import LintKind
from shared.vocabulary.findings import Finding


class MemoryLinter:
    def __init__(self) -> None:
        self.says: list[Finding] = []
        self.asked: list[tuple[bytes, LintKind]] = []
        self.away = False

    async def lint(self, der: bytes, kind: LintKind) -> list[Finding]:
        if self.away:
            raise UnavailableError("linter", "the test took it away")
        self.asked.append((der, kind))
        return list(self.says)
