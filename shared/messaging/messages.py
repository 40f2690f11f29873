"""Messages as they come in and go out, and how an outgoing one is composed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.contracts.catalogue import COMMAND_OF, EVENT_OF, NEWS_OF, NOTICE_OF, REFUSAL_TYPE, CommandContract
from shared.contracts.envelope import Header
from shared.contracts.events import LifecycleEvent
from shared.contracts.replies import Refusal, Reply, ReplyCode, Result
from shared.errors import RefusedError
from shared.identifiers import following_id
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model, canonical_json
from shared.vocabulary.names import IdentityName, MessageId, RequestId

DataT_co = TypeVar("DataT_co", bound=Model, covariant=True)

COMMANDS = "ra.commands"
EVENTS = "ra.events"
REPLIES = "ra.replies"
PARKED = "ra.parked"


class Outgoing(Model):
    """A message ready to be published, and to be stored with the state that it follows from."""

    exchange: str
    key: str
    id: MessageId
    type: str
    body: str


class Outcome(Model):
    """What follows from a handled message, in the order of publishing."""

    publish: tuple[Outgoing, ...] = ()


NOTHING = Outcome()


class RefusedAndToldError(RefusedError):
    """A command that is refused, of which others than its sender are told."""

    def __init__(self, findings: Iterable[Finding], told: tuple[Outgoing, ...]) -> None:
        super().__init__(*findings)
        self.told = told


@dataclass(frozen=True)
class PutBy:
    """For the policy of which serial a message was put by, and which one was in force when it was looked at last."""

    waits_for: int
    seen_by: int


@dataclass(frozen=True)
class Delivery:
    """A message as the broker hands it over."""

    body: bytes
    sender: str | None
    """The `user_id` property, which the broker checked against the sender's connection."""
    queue: str
    key: str
    exchange: str = ""
    message_id: str | None = None
    redelivered: bool = False
    put_by: PutBy | None = None
    """Of a message that this duty had put by before and has taken up again."""


@dataclass(frozen=True)
class Received(Generic[DataT_co]):
    """A decoded message from a known sender."""

    id: MessageId
    type: str
    subject: str
    sender: IdentityName
    order: int
    """The sequence number of a lifecycle event; 0 for commands."""
    data: DataT_co
    policy_serial: int = 0
    """Of the policy that the sender of a lifecycle event had in force when it composed it; 0 for commands."""


def publish_event(
    event: LifecycleEvent, *, origin: str, sequence: int, policy_serial: int, at: datetime, role: str = "event"
) -> Outgoing:
    """The lifecycle event that follows from `origin`.

    `sequence` is its place in the request's life, `policy_serial` that of the policy in force in its duty: a duty
    that has an older one waits with it.
    """
    contract = EVENT_OF[type(event)]
    return _compose(
        event,
        message_id=following_id(origin, role),
        message_type=contract.name,
        duty=contract.duty,
        subject=event.request_id,
        at=at,
        exchange=EVENTS,
        key=f"{contract.duty}.{contract.key}.{event.approval_group}",
        sequence=sequence,
        policy_serial=policy_serial,
    )


def publish_news(news: Model, *, about: str, origin: str, policy_serial: int, at: datetime) -> Outgoing:
    """What a duty tells that is about no single request but about what has this name."""
    contract = NEWS_OF[type(news)]
    return _compose(
        news,
        message_id=following_id(origin, "news"),
        message_type=contract.name,
        duty=contract.duty,
        subject=about,
        at=at,
        exchange=EVENTS,
        key=f"{contract.duty}.{contract.key}.{about}",
        policy_serial=policy_serial,
    )


def reply_ok(message: Received[Model], result: Result, text: str, *, at: datetime) -> Outgoing:
    """The answer that a command was carried out or accepted."""
    return _reply(message, Reply[Result](code=ReplyCode.OK, message=text, result=result), at=at)


def reply_refused(message: Received[Model], findings: Sequence[Finding], *, at: datetime) -> Outgoing:
    """The answer that a command was refused, and why."""
    text = findings[0].message if findings else "refused"
    return _reply(message, Reply[Result](code=ReplyCode.REFUSED, message=text, findings=tuple(findings)), at=at)


def reply_failed(message: Received[Model], *, at: datetime) -> Outgoing:
    """The answer that we failed; operators have the message and may yet take it up again."""
    text = "This could not be handled because of a fault on our side. Operators have been alarmed; nothing is lost."
    return _reply(message, Reply[Result](code=ReplyCode.FAILED, message=text), at=at)


def _reply(message: Received[Model], reply: Reply[Result], *, at: datetime) -> Outgoing:
    contract = COMMAND_OF[type(message.data)]
    return _compose(
        reply,
        message_id=following_id(message.id, f"reply/{reply.code}"),
        message_type=contract.reply_type,
        duty=contract.duty,
        subject=message.subject,
        at=at,
        exchange=REPLIES,
        key=f"{message.sender}.{contract.duty}.reply",
        inreplyto=message.id,
    )


def refuse_unreadable(
    duty: Duty,
    sender: IdentityName,
    findings: Sequence[Finding],
    *,
    origin: str,
    inreplyto: MessageId | None,
    at: datetime,
) -> Outgoing:
    """The answer to a known sender whose message could not be read as a command."""
    refusal = Refusal(message=findings[0].message, findings=tuple(findings))
    return _compose(
        refusal,
        message_id=following_id(origin, "refused"),
        message_type=REFUSAL_TYPE,
        duty=duty,
        subject=sender,
        at=at,
        exchange=REPLIES,
        key=f"{sender}.{duty}.reply",
        inreplyto=inreplyto,
    )


def notify(notice: Model, *, about: RequestId, origin: str, receiver: IdentityName, at: datetime) -> Outgoing:
    """Intake's news to an identity about a request; one origin has one notice for each."""
    return _compose(
        notice,
        message_id=following_id(origin, f"notice/{receiver}"),
        message_type=NOTICE_OF[type(notice)].name,
        duty=Duty.INTAKE,
        subject=about,
        at=at,
        exchange=REPLIES,
        key=f"{receiver}.{Duty.INTAKE}.notice",
    )


def compose_command(
    data: Model, contract: CommandContract, *, message_id: MessageId, sender: str, subject: str, at: datetime
) -> Outgoing:
    """A command as `sender` publishes it."""
    return _compose(
        data,
        message_id=message_id,
        message_type=contract.name,
        duty=None,
        source=f"/identities/{sender}",
        subject=subject,
        at=at,
        exchange=COMMANDS,
        key=f"{sender}.{contract.duty}.{contract.verb}",
    )


def _compose(
    data: Model,
    *,
    message_id: MessageId,
    message_type: str,
    subject: str,
    at: datetime,
    exchange: str,
    key: str,
    duty: Duty | None = None,
    source: str | None = None,
    sequence: int | None = None,
    policy_serial: int | None = None,
    inreplyto: MessageId | None = None,
) -> Outgoing:
    header = Header(
        id=message_id,
        source=source or f"/duties/{duty}",
        type=message_type,
        subject=subject,
        time=at,
        inreplyto=inreplyto,
        sequence=None if sequence is None else str(sequence),
        policyserial=None if policy_serial is None else str(policy_serial),
    )
    fields = header.model_dump(mode="json", exclude_none=True) | {"data": data.model_dump(mode="json")}
    return Outgoing(exchange=exchange, key=key, id=message_id, type=message_type, body=canonical_json(fields).decode())
