"""The gate: closed while a dependency is away, so that waiting work spends no attempts."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.errors import UnavailableError

log = structlog.get_logger()

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Gate:
    """One dependency's gate. Work that found it away closes it; a probe opens it again."""

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[None]],
        *,
        on_change: Callable[[bool], None],
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        """`probe` returns when the dependency works and raises `UnavailableError` while it does not."""
        self.name = name
        self._probe = probe
        self._open = asyncio.Event()
        self._open.set()
        self._on_change = on_change
        self._longest_pause = longest_pause
        self._watch: asyncio.Task[None] | None = None
        on_change(True)  # noqa: FBT003 - the callback's only argument is the state

    @property
    def is_open(self) -> bool:
        """Whether work may go on."""
        return self._open.is_set()

    async def passed(self) -> None:
        """Wait until the dependency is there."""
        await self._open.wait()

    def close(self, reason: UnavailableError) -> None:
        """Stop work until the probe succeeds."""
        if not self._open.is_set():
            return
        log.warning("dependency away", dependency=self.name, reason=str(reason))
        self._open.clear()
        self._on_change(False)  # noqa: FBT003 - the callback's only argument is the state
        self._watch = asyncio.create_task(self._reopen(), name=f"gate {self.name}")

    async def keep_probing(self, every_seconds: float) -> None:
        """Find out for ever, without waiting for work, whether the dependency is away."""
        while True:
            if self.is_open:
                try:
                    await self._probe()
                except UnavailableError as away:
                    self.close(away)
            await asyncio.sleep(every_seconds)

    async def aclose(self) -> None:
        """Stop probing."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _reopen(self) -> None:
        pause = min(FIRST_PAUSE, self._longest_pause)
        while True:
            await asyncio.sleep(pause)
            try:
                await self._probe()
            except UnavailableError:
                pause = min(pause * 2, self._longest_pause)
            else:
                log.info("dependency back", dependency=self.name)
                self._open.set()
                self._on_change(True)  # noqa: FBT003 - the callback's only argument is the state
                return
