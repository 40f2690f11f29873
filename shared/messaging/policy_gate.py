"""The gate of the policy: what was composed under a newer policy than the one in force here waits before it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Received
from shared.vocabulary.model import Model

log = structlog.get_logger()


class PolicyGate:
    """Holds back single messages, not the duty: what others decided by a policy that is not yet in force here.

    Closed means that something waits. It opens by itself when this duty takes up the policy that is wanted.
    """

    name = "policy"

    def __init__(self, in_force: PolicyInForce, *, on_change: Callable[[bool], None]) -> None:
        self._in_force = in_force
        self._on_change = on_change
        self._waiting: Counter[tuple[int, str]] = Counter()
        on_change(True)  # noqa: FBT003 - the callback's only argument is the state

    @property
    def is_open(self) -> bool:
        """Whether nothing waits for a newer policy."""
        return not self._waiting

    async def passed(self, message: Received[Model]) -> None:
        """Wait until the policy in force here is no older than the one that this message was composed under."""
        if message.policy_serial > self._in_force.policy.serial:
            with self._noted(message):
                await self._in_force.reached(message.policy_serial)

    @contextmanager
    def _noted(self, message: Received[Model]) -> Iterator[None]:
        wanted = (message.policy_serial, str(message.sender))
        if self.is_open:
            self._on_change(False)  # noqa: FBT003 - the callback's only argument is the state
        if wanted not in self._waiting:
            log.warning(
                "waiting for a newer policy",
                wanted=message.policy_serial,
                in_force=self._in_force.policy.serial,
                sender=message.sender,
                type=message.type,
                request=message.subject,
            )
        self._waiting[wanted] += 1
        try:
            yield
        finally:
            self._waiting -= Counter([wanted])
            if self.is_open:
                self._on_change(True)  # noqa: FBT003 - the callback's only argument is the state
