"""A publisher that remembers, and can be away."""

from shared.errors import UnavailableError
from shared.messaging.messages import Outgoing
from shared.messaging.ports import UnroutableError


class MemoryPublisher:
    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.parked: list[tuple[bytes, dict[str, str]]] = []
        self.away = False
        self.unroutable: set[str] = set()

    async def publish(self, message: Outgoing) -> None:
        if self.away:
            raise UnavailableError("broker", "the test took it away")
        if message.exchange in self.unroutable:
            raise UnroutableError(message.key)
        self.published.append(message)

    async def park(self, body: bytes, headers: dict[str, str]) -> None:
        if self.away:
            raise UnavailableError("broker", "the test took it away")
        self.parked.append((body, headers))
