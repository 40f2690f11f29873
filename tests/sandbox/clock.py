"""The sandbox's time, which tests may set ahead: days of validation pass without anybody waiting."""

import time
from collections.abc import Callable


class SandboxClock:
    """Seconds since 1970: the clock's that it is given, plus what it was told to be ahead."""

    def __init__(self, base: Callable[[], float] = time.time) -> None:
        self._base = base
        self.ahead = 0.0

    def now(self) -> float:
        return self._base() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once; there is no way back but a restart."""
        self.ahead += seconds
