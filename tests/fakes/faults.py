"""Crashes on demand: every effect of a fake passes here before and after it happens."""

from collections.abc import Callable


class CrashError(BaseException):
    """The process died here. No `except Exception` may notice."""


class Steps:
    """Counts the effects of a process and lets it die at one of them."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at = crash_at
        self.passed: list[str] = []
        self.when: Callable[[str], None] = lambda _: None
        """Told of every effect, before it may be the last."""

    def step(self, what: str) -> None:
        self.passed.append(what)
        self.when(what)
        if len(self.passed) == self.crash_at:
            raise CrashError(what)

    @property
    def crashed(self) -> bool:
        return self.crash_at is not None and len(self.passed) >= self.crash_at
