"""The linter as the duties use it: one process beside theirs, which may be slow, hang or die without harm to them."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from shared.errors import UnavailableError
from shared.lint.kinds import LintKind
from shared.lint.serving import FINDINGS, question
from shared.process.near import BreakdownError, Helper, Patience
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest
from shared.x509.certificate import MAX_CERTIFICATE_BYTES

log = structlog.get_logger()

MAX_BREAKDOWNS = 2
"""How often one certificate may bring the process down before it is refused for that."""

_NAME = "linter"
_PROGRAM = ("-m", "shared.lint")
_REMEMBERED = 256


@dataclass(frozen=True)
class Limits:
    """What the linter's process may take."""

    seconds: float = 10.0
    """For one certificate."""
    start_seconds: float = 15.0
    """For the process to be ready."""
    turn_seconds: float = 20.0
    """For those that wait before it. All three together are less than the runtime grants a handler."""
    certificate_bytes: int = MAX_CERTIFICATE_BYTES
    memory_bytes: int = 1024 * 1024 * 1024
    """Of addresses; the process uses some 60 MB."""
    waiting: int = 64
    """How many certificates may wait for their turn."""


class LintWorker:
    """Lints one certificate after the other in a process of its own, which starts when it is first needed.

    The event loop never waits for it. When the process hangs or dies it is replaced for the next certificate. That
    is nobody's fault as long as it happens once; a certificate that does it `MAX_BREAKDOWNS` times is refused for
    it, so that no request can hold up the others for ever.
    """

    def __init__(self, limits: Limits | None = None, *, program: Sequence[str] = _PROGRAM) -> None:
        """`program` is what Python runs, with the limits in seconds and in bytes as further arguments."""
        limits = limits or Limits()
        self._most = limits.certificate_bytes
        patience = Patience(limits.seconds, limits.start_seconds, limits.turn_seconds, limits.waiting)
        self._helper = Helper(_NAME, program, patience, str(limits.memory_bytes))
        self._breakdowns: OrderedDict[Digest, int] = OrderedDict()

    @property
    def process_id(self) -> int | None:
        """The number of the running process, if there is one."""
        process = self._helper.process
        return None if process is None else process.pid

    async def lint(self, der: bytes, kind: LintKind) -> list[Finding]:
        """What speaks against this certificate; see `linter.lint`.

        A certificate beyond the limit in bytes has the one finding `lint.too-large`, one that brought the process
        down repeatedly `lint.failed`.

        Raises:
            UnavailableError: of `linter`: the process hung, died or does not start, too many certificates wait, or
                the worker is closed.
        """
        if len(der) > self._most:
            message = f"certificates of more than {self._most} bytes are not linted"
            return [finding("lint.too-large", message, value=f"{len(der)} bytes")]
        asked = question(der, kind)
        digest = digest_of(asked)
        try:
            answer = await self._helper.ask(asked)
        except BreakdownError as broken:
            log.warning("linter broke down", reason=str(broken), certificate=digest_of(der))
            return self._after_breakdown(digest, broken)
        self._breakdowns.pop(digest, None)
        return FINDINGS.validate_json(answer)

    async def probe(self) -> None:
        """Return once the process is ready, as the gate of `linter` asks.

        Raises:
            UnavailableError: it does not start.
        """
        await self._helper.probe()

    async def warm_up(self) -> None:
        """Have the process ready before the first certificate; if it is not to be had, that is seen to later."""
        await self._helper.warm_up()

    async def aclose(self) -> None:
        """End the process; what is still waiting is told that the linter is not available."""
        await self._helper.aclose()

    def _after_breakdown(self, digest: Digest, broken: BreakdownError) -> list[Finding]:
        count = self._breakdowns.pop(digest, 0) + 1
        if count >= MAX_BREAKDOWNS:
            message = f"the linter broke down over this certificate {count} times"
            return [finding("lint.failed", message, value=broken)]
        self._breakdowns[digest] = count
        if len(self._breakdowns) > _REMEMBERED:
            self._breakdowns.popitem(last=False)
        raise UnavailableError(_NAME, str(broken))
