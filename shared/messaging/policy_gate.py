"""The gate of the policy: what was composed under a newer policy than the one in force here is put by until that comes.

Each duty has a queue of what was put by, and takes it up from there. So it takes no room from what can be handled now,
however much it is. When the policy changes, whatever still has to wait goes to that queue's end: all are looked at.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import structlog

from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Delivery, PutBy, Received
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import Model
from shared.vocabulary.names import MessageId

log = structlog.get_logger()

MOST_REMEMBERED = 10_000
"""Of requests of which something was put by: beyond, of the oldest ones later messages may overtake."""


class PolicyGate:
    """Holds back single messages, not the duty: what others decided by a policy that is not yet in force here.

    Closed means that something waits. It opens by itself when this duty takes up the policy that is wanted.
    """

    name = "policy"

    def __init__(self, in_force: PolicyInForce, *, on_change: Callable[[bool], None]) -> None:
        self._in_force = in_force
        self._on_change = on_change
        self._waiting: Counter[tuple[int, str]] = Counter()
        self._last: dict[tuple[str, str], tuple[int, MessageId]] = {}
        on_change(True)  # noqa: FBT003 - the callback's only argument is the state

    @property
    def is_open(self) -> bool:
        """Whether nothing waits for a newer policy."""
        return not self._waiting

    async def passed(self, delivery: Delivery, message: Received[Model]) -> PutBy | None:
        """Return when a message can be handled, with nothing, or is to be put by, with what it waits for.

        Events that follow about the same request in the same queue are put by, too, and do not overtake. Commands never
        are: a denial that the issuer witnesses comes the sooner.
        """
        put_by, serial = delivery.put_by, self._in_force.policy.serial
        if put_by is None:
            wanted, _ = self._last.get((delivery.queue, message.subject), (0, None))
            if not message.policy_serial or (not wanted and message.policy_serial <= serial):
                return None
            return PutBy(max(wanted, message.policy_serial), serial)
        if put_by.waits_for > serial == put_by.seen_by:
            with self._noted(message, put_by.waits_for):
                await self._in_force.changed()
        serial = self._in_force.policy.serial
        return PutBy(put_by.waits_for, serial) if put_by.waits_for > serial else None

    def was_put_by(self, delivery: Delivery, message: Received[Model], put_by: PutBy) -> None:
        """Remember that later messages about the same request have to wait as well."""
        self._last[delivery.queue, message.subject] = (put_by.waits_for, message.id)
        if len(self._last) > MOST_REMEMBERED:
            del self._last[next(iter(self._last))]

    def was_handled(self, delivery: Delivery, message: Received[Model]) -> None:
        """Let later messages about the same request pass, if this was the last one that was put by."""
        turn = (delivery.queue, message.subject)
        if delivery.put_by is not None and self._last.get(turn, (0, None))[1] == message.id:
            del self._last[turn]

    @contextmanager
    def _noted(self, message: Received[Model], serial: int) -> Iterator[None]:
        wanted = (serial, str(message.sender))
        if self.is_open:
            self._on_change(False)  # noqa: FBT003 - the callback's only argument is the state
        if wanted not in self._waiting:
            log.warning(
                "waiting for a newer policy",
                wanted=serial,
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


def headers_of(delivery: Delivery, message: Received[Model], **more: object) -> dict[str, str]:
    """Where a message came from, for the queue into which its duty puts it aside."""
    return {
        "x-ra-sender": message.sender,
        "x-ra-exchange": delivery.exchange,
        "x-ra-key": delivery.key,
        "x-ra-queue": delivery.queue,
        "x-ra-message-id": message.id,
        **{f"x-ra-{name.replace('_', '-')}": str(value) for name, value in more.items()},
    }


def taken_up(delivery: Delivery, headers: Mapping[str, object], duty: str) -> Delivery:
    """An event that this duty had put by, as it first came; anything else that stands there has no sender.

    So whoever has this duty's password can't make it believe that an identity sent a command.
    """
    said = {name: str(value) for name, value in headers.items()}
    try:
        put_by = PutBy(int(said["x-ra-waits-for"]), int(said["x-ra-seen-by"]))
        sender = Duty(said["x-ra-sender"]) if delivery.sender == duty else None
        queue, key, exchange = (said[f"x-ra-{name}"] for name in ("queue", "key", "exchange"))
    except (KeyError, ValueError):
        return replace(delivery, sender=None)
    return replace(delivery, sender=sender, queue=queue, key=key, exchange=exchange, put_by=put_by)
