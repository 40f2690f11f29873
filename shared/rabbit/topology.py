"""The topology as data: exchanges, queues, bindings and who may touch which of them.

Everything that declares, checks or documents the broker's set-up is rendered from here.
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from shared.contracts.catalogue import COMMANDS, EVENTS
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName, IdentityName
from shared.vocabulary.permissions import Permission

COMMANDS_EXCHANGE = "ra.commands"
EVENTS_EXCHANGE = "ra.events"
REPLIES_EXCHANGE = "ra.replies"
PARKED_EXCHANGE = "ra.parked"
EXCHANGES = (COMMANDS_EXCHANGE, EVENTS_EXCHANGE, REPLIES_EXCHANGE, PARKED_EXCHANGE)

DELIVERY_LIMIT = 100
HOLD_MS = 24 * 24 * 3600 * 1000
"""How long a duty may have a message in hand unacknowledged: it waits for a policy, a database or the CA that long.

By itself RabbitMQ closes the channel after half an hour, which counts as a delivery. The queues say it from RabbitMQ
3.12 on; to older ones, which overlook it, the node's setting `consumer_timeout` says it.
"""
SUBMISSIONS_LIMIT = 2_000
COMMANDS_LIMIT = 10_000
QUEUE_BYTES = 256 * 1024 * 1024
"""What a queue that identities fill may hold at most; whoever finds it full is told to slow down."""
INBOX_LIMIT = 10_000
INBOX_KEEPS_MS = 14 * 24 * 3600 * 1000
NO_RIGHT = "^$"

_LISTENERS: Mapping[Duty, tuple[str, ...]] = {
    Duty.INTAKE: (
        *(f"{contract.duty}.{contract.key}.#" for contract in EVENTS if contract.duty is not Duty.INTAKE),
        "revoker.key.blocked.#",
        "issuer.certificate.delivered.#",
        "issuer.key.erased.#",
    ),
    Duty.APPROVAL: (
        "intake.request.accepted.#",
        "issuer.request.returned.#",
        "issuer.product.facts.#",
        "issuer.withdrawal.granted.#",
        "issuer.withdrawal.refused.#",
        "issuer.password.checked.#",
    ),
    Duty.ISSUER: (
        "approval.request.approved.#",
        "approval.withdrawal.asked.#",
        "approval.password.asked.#",
        "revoker.certificate.revoked.#",
        "revoker.key.blocked.#",
    ),
    Duty.REVOKER: ("issuer.certificate.issued.#", "issuer.certificate.quarantined.#"),
}
LISTENERS: Mapping[Duty, tuple[str, ...]] = {
    duty: (*keys, *(f"{other}.audit.checkpoint.#" for other in Duty if other is not duty))
    for duty, keys in _LISTENERS.items()
}
"""Which events each duty listens to, as binding keys: what it works on, and the others' audit logs, as a witness."""

WITNESSED: Mapping[Duty, tuple[str, ...]] = {Duty.ISSUER: ("*.approval.deny",)}
"""Commands to other duties that a duty sees too: the issuer learns of a denial from the approver's own message,
in the same queue as approvals and so before any approval that leaves it out."""


@dataclass(frozen=True)
class Queue:
    """A predeclared quorum queue."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def declaration(self) -> dict[str, object]:
        """Its x-arguments."""
        return {"x-queue-type": "quorum", **self.arguments}


@dataclass(frozen=True)
class Binding:
    """An exchange's messages with this key go into this queue."""

    exchange: str
    key: str
    queue: str


@dataclass(frozen=True)
class TopicRight:
    """What a user may publish to, and bind from, one topic exchange."""

    exchange: str
    write: str = NO_RIGHT
    read: str = NO_RIGHT


@dataclass(frozen=True)
class Rights:
    """What one broker user may do: regular expressions over names and, per exchange, over routing keys."""

    user: str
    configure: str
    write: str
    read: str
    topics: tuple[TopicRight, ...]


@dataclass(frozen=True)
class Topology:
    """The whole of it, for one policy."""

    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    rights: tuple[Rights, ...]


def events_queue(duty: Duty) -> str:
    """The queue in which a duty finds the events it listens to."""
    return f"{duty}.events"


def commands_queue(duty: Duty) -> str:
    """The queue in which a duty finds commands; submissions have queues of their own."""
    return f"{duty}.commands"


def parked_queue(duty: Duty) -> str:
    """Where a duty's own failures wait for an operator."""
    return f"{duty}.parked"


def waiting_queue(duty: str) -> str:
    """Where a duty puts by what waits for a newer policy, and takes it up again."""
    return f"{duty}.waiting"


def submissions_queue(identity: str) -> str:
    """The bounded queue in which one identity's submissions wait for intake."""
    return f"intake.submissions.{identity}"


def inbox_queue(identity: str) -> str:
    """The bounded queue that keeps replies and notices for an identity that is not listening right now."""
    return f"inbox.{identity}"


def session_queue_prefix(identity: str) -> str:
    """How the names of queues begin that an identity declares for one session of its own."""
    return f"session.{identity}."


def command_key(identity: str, duty: Duty, verb: str) -> str:
    """The routing key of a command; the broker lets nobody use another's name in it."""
    return f"{identity}.{duty}.{verb}"


def event_key(duty: Duty, key: str, group: ApprovalGroupName) -> str:
    """The routing key of a lifecycle event."""
    return f"{duty}.{key}.{group}"


def reply_key(identity: str, duty: Duty, kind: str) -> str:
    """The routing key of a reply or a notice."""
    return f"{identity}.{duty}.{kind}"


def submitters(policy: Policy) -> tuple[IdentityName, ...]:
    """The identities that have a submissions queue, in alphabetical order."""
    return tuple(sorted(name for name, identity in policy.file.identities.items() if identity.submits))


def build(policy: Policy) -> Topology:
    """The topology that this policy needs."""
    identities = sorted(policy.file.identities)
    return Topology(
        queues=(*_duty_queues(), *_identity_queues(policy)),
        bindings=(*_duty_bindings(), *_identity_bindings(policy)),
        rights=(
            *(_duty_rights(duty) for duty in Duty),
            *(_identity_rights(policy, name) for name in identities),
        ),
    )


def _duty_queues() -> Iterator[Queue]:
    for duty in Duty:
        yield Queue(events_queue(duty), _dead_lettering(duty))
        yield Queue(commands_queue(duty), {**_dead_lettering(duty), **_bounds(COMMANDS_LIMIT)})
        yield Queue(waiting_queue(duty), _dead_lettering(duty))
        yield Queue(parked_queue(duty), {"x-delivery-limit": DELIVERY_LIMIT})


def _dead_lettering(duty: Duty) -> dict[str, object]:
    return {
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-consumer-timeout": HOLD_MS,
        "x-dead-letter-exchange": PARKED_EXCHANGE,
        "x-dead-letter-routing-key": str(duty),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _bounds(messages: int) -> dict[str, object]:
    return {"x-max-length": messages, "x-max-length-bytes": QUEUE_BYTES}


def _identity_queues(policy: Policy) -> Iterator[Queue]:
    for identity in submitters(policy):
        yield Queue(submissions_queue(identity), {**_dead_lettering(Duty.INTAKE), **_bounds(SUBMISSIONS_LIMIT)})
    for identity in sorted(policy.file.identities):
        yield Queue(
            inbox_queue(identity),
            {**_bounds(INBOX_LIMIT), "x-overflow": "drop-head", "x-message-ttl": INBOX_KEEPS_MS},
        )


def _duty_bindings() -> Iterator[Binding]:
    for duty in Duty:
        for key in LISTENERS[duty]:
            yield Binding(EVENTS_EXCHANGE, key, events_queue(duty))
        for key in WITNESSED.get(duty, ()):
            yield Binding(COMMANDS_EXCHANGE, key, events_queue(duty))
        yield Binding(PARKED_EXCHANGE, str(duty), parked_queue(duty))
        yield Binding(PARKED_EXCHANGE, waiting_queue(duty), waiting_queue(duty))
    for contract in COMMANDS:
        if contract.verb != "submit":
            yield Binding(COMMANDS_EXCHANGE, f"*.{contract.duty}.{contract.verb}", commands_queue(contract.duty))


def _identity_bindings(policy: Policy) -> Iterator[Binding]:
    for identity in submitters(policy):
        yield Binding(COMMANDS_EXCHANGE, command_key(identity, Duty.INTAKE, "submit"), submissions_queue(identity))
    for identity in sorted(policy.file.identities):
        yield Binding(REPLIES_EXCHANGE, f"{identity}.#", inbox_queue(identity))


def _duty_rights(duty: Duty) -> Rights:
    reads = [events_queue(duty), commands_queue(duty), waiting_queue(duty), parked_queue(duty)]
    patterns = [re.escape(name) for name in reads]
    if duty is Duty.INTAKE:
        patterns.append(re.escape(submissions_queue("")) + "[A-Za-z0-9-]+")
    return Rights(
        user=str(duty),
        configure=NO_RIGHT,
        write=_any_of(re.escape(name) for name in (EVENTS_EXCHANGE, REPLIES_EXCHANGE, PARKED_EXCHANGE)),
        read=_any_of(patterns),
        topics=(
            TopicRight(COMMANDS_EXCHANGE),
            TopicRight(EVENTS_EXCHANGE, write=rf"^{duty}\.[a-z]+\.[a-z]+\.[A-Za-z0-9-]+$"),
            TopicRight(REPLIES_EXCHANGE, write=rf"^[A-Za-z0-9-]+\.{duty}\.[a-z-]+$"),
            TopicRight(PARKED_EXCHANGE, write=rf"^{duty}(\.waiting)?$"),
        ),
    )


def _identity_rights(policy: Policy, name: IdentityName) -> Rights:
    escaped = re.escape(name)
    session = rf"session\.{escaped}\.[a-z0-9-]+"
    inbox = re.escape(inbox_queue(name))
    return Rights(
        user=name,
        configure=_any_of([session]),
        write=_any_of([re.escape(COMMANDS_EXCHANGE), session]),
        read=_any_of([re.escape(REPLIES_EXCHANGE), session, inbox]),
        topics=(
            TopicRight(COMMANDS_EXCHANGE, write=rf"^{escaped}\.({'|'.join(_verbs(policy, name))})$"),
            TopicRight(EVENTS_EXCHANGE),
            TopicRight(REPLIES_EXCHANGE, read=rf"^{escaped}\.#$"),
            TopicRight(PARKED_EXCHANGE),
        ),
    )


_NEEDED = {
    "submit": Permission.SUBMIT,
    "edit": Permission.EDIT,
    "approve": Permission.DECIDE,
    "deny": Permission.DECIDE,
    "confirm": Permission.DECIDE,
    "campaign": Permission.REVOKE,
    "certificates": Permission.REVOKE,
    "settle": Permission.AUDIT,
    "fail": Permission.AUDIT,
    "sealed": Permission.AUDIT,
    "erase": Permission.AUDIT,
}


def _verbs(policy: Policy, name: IdentityName) -> Iterator[str]:
    """What this identity's commands may be: a first fence, before the duties look at its permissions."""
    identity = policy.file.identities[name]
    held = {permission for permissions in identity.permissions.values() for permission in permissions}
    for contract in COMMANDS:
        needed = _NEEDED.get(contract.verb)
        if needed is None or needed in held:
            yield rf"{contract.duty}\.{contract.verb}"


def _any_of(patterns: Iterable[str]) -> str:
    return f"^({'|'.join(patterns)})$"


def definitions(policy: Policy, *, virtual_host: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    """The definitions that RabbitMQ's management interface imports (`POST /api/definitions`).

    Users without an entry in `passwords` are left as they are, so that a second policy can be applied later.
    """
    topology = build(policy)
    here = {"vhost": virtual_host}
    return {
        "vhosts": [{"name": virtual_host}],
        "users": [
            {
                "name": user,
                "password_hash": password_hash(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for user, password in passwords.items()
        ],
        "permissions": [
            here | {"user": rights.user, "configure": rights.configure, "write": rights.write, "read": rights.read}
            for rights in topology.rights
        ],
        "topic_permissions": [
            here | {"user": rights.user, "exchange": topic.exchange, "write": topic.write, "read": topic.read}
            for rights in topology.rights
            for topic in rights.topics
        ],
        "exchanges": [
            here
            | {
                "name": name,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for name in EXCHANGES
        ],
        "queues": [
            here | {"name": queue.name, "durable": True, "auto_delete": False, "arguments": queue.declaration}
            for queue in topology.queues
        ],
        "bindings": [
            here
            | {
                "source": binding.exchange,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.key,
                "arguments": {},
            }
            for binding in topology.bindings
        ],
    }


def password_hash(password: str) -> str:
    """RabbitMQ's salted SHA-256 of a password."""
    salt = secrets.token_bytes(4)
    return b64encode(salt + sha256(salt + password.encode()).digest()).decode()
