"""A publisher that remembers, and can be away."""

from collections import deque

from shared.errors import UnavailableError
from shared.messaging.messages import Outgoing
from shared.messaging.ports import UnroutableError
from tests.fakes.faults import Steps


class MemoryPublisher:
    def __init__(self, steps: Steps | None = None) -> None:
        self.published: list[Outgoing] = []
        self.parked: list[tuple[bytes, dict[str, str]]] = []
        self.waiting: deque[tuple[bytes, dict[str, str]]] = deque()
        self.away = False
        self.parked_away: bool | None = None
        """Whether parking is away; as publishing is, unless it is said."""
        self.unroutable: set[str] = set()
        self.steps = steps or Steps()

    async def publish(self, message: Outgoing) -> None:
        self.steps.step("before publishing")
        if self.away:
            raise UnavailableError("broker", "the test took it away")
        if message.exchange in self.unroutable:
            raise UnroutableError(message.key)
        self.published.append(message)
        self.steps.step("after publishing")

    async def park(self, body: bytes, headers: dict[str, str]) -> None:
        if self.away if self.parked_away is None else self.parked_away:
            raise UnavailableError("broker", "the test took it away")
        self.parked.append((body, headers))

    async def put_by(self, body: bytes, headers: dict[str, str]) -> None:
        if self.away:
            raise UnavailableError("broker", "the test took it away")
        self.waiting.append((body, headers))
