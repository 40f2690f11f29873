"""Crashes on demand: every effect of a fake passes here before and after it happens."""


class CrashError(BaseException):
    """The process died here. No `except Exception` may notice."""


class Steps:
    """Counts the effects of a process and lets it die at one of them."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at = crash_at
        self.passed: list[str] = []

    def step(self, what: str) -> None:
        self.passed.append(what)
        if len(self.passed) == self.crash_at:
            raise CrashError(what)

    @property
    def crashed(self) -> bool:
        return self.crash_at is not None and len(self.passed) >= self.crash_at
