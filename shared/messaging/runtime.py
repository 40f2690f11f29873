"""The one runtime that settles messages.

decode → handler → (the handler's one atomic write) → audit log → publish, confirmed → acknowledge. On redelivery the
handler finds what it stored under the message's id and the same messages are published again. Hostile or broken input
is refused, counted and answered; only our own failure parks a message. An event composed under a newer policy than the
one in force here is put by until that policy comes, and with it what follows in its queue about the same request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from shared.clock import Clock
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.catalogue import COMMANDS as COMMAND_CONTRACTS
from shared.contracts.catalogue import EVENTS as EVENT_CONTRACTS
from shared.contracts.catalogue import NEWS as NEWS_CONTRACTS
from shared.contracts.envelope import MAX_MESSAGE_BYTES, Envelope, Header
from shared.contracts.events import LifecycleEvent
from shared.errors import ConflictError, RefusedError, UnavailableError
from shared.messaging import auditing
from shared.messaging.auditing import CHECKPOINT_TYPES, AuditTrail
from shared.messaging.gate import Gate
from shared.messaging.messages import (
    REPLIES,
    Delivery,
    Outcome,
    Outgoing,
    PutBy,
    Received,
    RefusedAndToldError,
    refuse_unreadable,
    reply_failed,
    reply_refused,
)
from shared.messaging.policy_gate import PolicyGate, headers_of
from shared.messaging.ports import Handler, NotTakenError, Publisher, UnroutableError
from shared.observability.metrics import MessageMetrics
from shared.observability.sampling import Sampler
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import Model, digest_of, mistakes
from shared.vocabulary.names import IdentityName, MessageId, MessageIdField

log = structlog.get_logger()

CONFLICT_ATTEMPTS = 50
HANDLER_SECONDS = 60.0


class Settlement(Enum):
    """What the adapter does with the delivery."""

    ACKNOWLEDGE = "acknowledge"
    LEAVE = "leave"
    """Neither acknowledged nor rejected: the broker delivers it again when the channel is gone."""


@dataclass(frozen=True)
class Route:
    """Who handles a type of message, and who may send it."""

    model: type[Model]
    handler: Handler[Any]
    duty: Duty | None
    """The duty that alone may send it; `None` for commands, which identities send."""

    @cached_property
    def envelope(self) -> type[Envelope[Model]]:
        """The model of the whole message, kept: pydantic lets go of it, and making it takes milliseconds."""
        return Envelope[self.model]  # type: ignore[name-defined]  # a model chosen at run time


Routes = dict[str, Route]


def routes(*handlers: tuple[type[Model], Handler[Any]]) -> Routes:
    """The routing table for these models, looked up in the catalogue of contracts."""
    contracts: dict[type[Model], tuple[str, Duty | None]] = {
        **{contract.model: (contract.name, None) for contract in COMMAND_CONTRACTS},
        **{contract.model: (contract.name, contract.duty) for contract in EVENT_CONTRACTS},
        **{contract.model: (contract.name, contract.duty) for contract in NEWS_CONTRACTS},
    }
    table = {}
    for model, handler in handlers:
        message_type, duty = contracts[model]
        table[message_type] = Route(model, handler, duty)
    return table


class Runtime:
    """Handles deliveries for one duty."""

    def __init__(
        self,
        duty: Duty,
        routing: Routes,
        publisher: Publisher,
        *,
        is_identity: Callable[[str], bool],
        gates: Sequence[Gate],
        policy: PolicyGate,
        audit: AuditTrail,
        metrics: MessageMetrics,
        clock: Clock,
        concurrency: int = 16,
    ) -> None:
        """`is_identity` says whether the policy knows a sender; `concurrency` bounds what is handled at once."""
        self._duty = duty
        self._routes = routing
        self._publisher = publisher
        self._is_identity = is_identity
        self._gates = {gate.name: gate for gate in gates}
        self._policy = policy
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._sampler = Sampler()
        self._turns: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def handle(self, delivery: Delivery) -> Settlement:
        """Handle one delivery to its end, waiting out what is away.

        Cancelling this leaves the delivery unsettled, which is safe at every point.
        """
        try:
            message = self._decode(delivery)
        except RefusedError as refusal:
            async with self._slots:
                return await self._refuse_unreadable(delivery, refusal.findings)
        lane = delivery.queue if delivery.put_by is None else f"{delivery.queue} put by"
        async with self._in_turn(lane, message.subject):
            put_by = await self._policy.passed(delivery, message)
            if put_by is not None:
                return await self._put_by(delivery, message, put_by)
            async with self._slots:
                settlement = await self._handle(delivery, message)
            if settlement is Settlement.ACKNOWLEDGE:
                self._policy.was_handled(delivery, message)
            return settlement

    async def _put_by(self, delivery: Delivery, message: Received[Model], put_by: PutBy) -> Settlement:
        headers = headers_of(delivery, message, waits_for=put_by.waits_for, seen_by=put_by.seen_by)
        try:
            await self._publisher.put_by(delivery.body, headers)
        except UnavailableError:
            return Settlement.LEAVE
        self._policy.was_put_by(delivery, message, put_by)
        return Settlement.ACKNOWLEDGE

    async def _handle(self, delivery: Delivery, message: Received[Model]) -> Settlement:
        route = self._routes[message.type]
        result, outcome, findings = "handled", Outcome(), tuple[Finding, ...]()
        try:
            outcome = await self._persist(route, message)
        except RefusedError as refusal:
            result, findings = "refused", refusal.findings
            outcome = self._refused(route, message, refusal)
        except Exception:
            log.exception("handler failed; message parked", type=message.type, id=message.id, sender=message.sender)
            await self._audit.write(auditing.handled(delivery, message, "parked"))
            return await self._park(delivery, message, route, reason="handler failed")
        if findings or message.type not in CHECKPOINT_TYPES:
            await self._audit.write(auditing.handled(delivery, message, result, findings))
        try:
            settlement = await self._publish_all(outcome.publish)
        except (UnroutableError, NotTakenError) as error:
            return await self._park(delivery, message, route, reason=f"no queue takes what follows: {error}")
        if settlement is Settlement.ACKNOWLEDGE:
            self._metrics.handled(message.type, result)
        return settlement

    async def _persist(self, route: Route, message: Received[Model]) -> Outcome:
        conflicts = 0
        while True:
            for gate in self._gates.values():
                await gate.passed()
            try:
                async with asyncio.timeout(HANDLER_SECONDS):
                    return await route.handler(message)
            except ConflictError:
                conflicts += 1
                if conflicts == CONFLICT_ATTEMPTS:
                    raise
            except UnavailableError as away:
                self._metrics.retried(message.type)
                if away.dependency not in self._gates:
                    raise
                self._gates[away.dependency].close(away)

    def _refused(self, route: Route, message: Received[Model], refusal: RefusedError) -> Outcome:
        self._count_refusal(refusal.findings, type=message.type, sender=message.sender)
        told = refusal.told if isinstance(refusal, RefusedAndToldError) else ()
        if route.duty is not None or not self._answers(message.type):
            return Outcome(publish=told)
        return Outcome(publish=(*told, reply_refused(message, refusal.findings, at=self._clock.now())))

    def _answers(self, message_type: str) -> bool:
        """Whether this duty is the one that answers this command, rather than a witness of it."""
        return any(contract.name == message_type and contract.duty is self._duty for contract in COMMAND_CONTRACTS)

    async def _publish_all(self, messages: Sequence[Outgoing]) -> Settlement:
        for message in messages:
            try:
                await self._publisher.publish(message)
            except UnavailableError as away:
                log.warning("not published; the message will be delivered again", type=message.type, reason=str(away))
                return Settlement.LEAVE
            except (UnroutableError, NotTakenError) as error:
                # An answer that its receiver's own queue refuses is the receiver's loss: the bounded inbox has it.
                self._metrics.unroutable(message.exchange)
                log.error("not taken", exchange=message.exchange, key=message.key, reason=str(error))  # noqa: TRY400 - the trace says no more
                if message.exchange != REPLIES:
                    raise
        return Settlement.ACKNOWLEDGE

    def _decode(self, delivery: Delivery) -> Received[Model]:
        if delivery.sender is None:
            raise RefusedError(finding("message.sender-missing", "the user_id property is missing"))
        header = read_header(delivery.body)
        route = self._routes.get(header.type)
        if route is None:
            raise RefusedError(
                finding(
                    "message.type-unknown",
                    f"{self._duty} does not know this type or version",
                    value=header.type,
                )
            )
        self._check_sender(route, delivery)
        try:
            envelope = route.envelope.model_validate_json(delivery.body)
        except ValidationError as error:
            raise RefusedError.of(mistakes(error, code="message.invalid")) from None
        if route.duty is not None:
            _check_event(envelope, has_sequence=issubclass(route.model, LifecycleEvent))
        about = getattr(envelope.data, "request_id", None) or header.subject
        if about != header.subject:
            raise RefusedError(finding("message.subject-differs", "the subject is not the request's id", value=about))
        return Received(
            id=header.id,
            type=header.type,
            subject=header.subject,
            sender=IdentityName(delivery.sender),
            order=envelope.order,
            data=envelope.data,
            policy_serial=envelope.policy_serial if route.duty is not None else 0,
        )

    def _check_sender(self, route: Route, delivery: Delivery) -> None:
        sender = delivery.sender or ""
        if route.duty is not None:
            if sender != route.duty:
                raise RefusedError(finding("message.sender-foreign", f"only {route.duty} may send this", value=sender))
            return
        if not self._is_identity(sender):
            raise RefusedError(finding("message.sender-unknown", "the policy knows no such identity", value=sender))
        named, _, rest = delivery.key.partition(".")
        if named != sender:
            raise RefusedError(
                finding("message.sender-foreign", "the routing key names another identity", value=delivery.key)
            )
        contract = COMMAND_OF[route.model]
        if rest != f"{contract.duty}.{contract.verb}":  # the broker's rights are for the key: it must say what comes
            raise RefusedError(
                finding("message.key-differs", "the routing key names another command than the type", value=rest)
            )

    async def _refuse_unreadable(self, delivery: Delivery, findings: Sequence[Finding]) -> Settlement:
        self._count_refusal(findings, type="unreadable", sender=delivery.sender or "")
        self._metrics.handled("unreadable", "refused")
        await self._audit.write(auditing.unreadable(delivery, findings))
        sender = delivery.sender
        if sender is None or not self._is_identity(sender) or delivery.key.split(".")[1:2] != [str(self._duty)]:
            return Settlement.ACKNOWLEDGE
        answer = refuse_unreadable(
            self._duty,
            IdentityName(sender),
            findings,
            origin=f"{sender}/{digest_of(delivery.body)}",
            inreplyto=_id_of(delivery),
            at=self._clock.now(),
        )
        return await self._publish_all([answer])

    async def _park(self, delivery: Delivery, message: Received[Model], route: Route, *, reason: str) -> Settlement:
        try:
            await self._publisher.park(delivery.body, headers_of(delivery, message, reason=reason))
        except UnavailableError:
            return Settlement.LEAVE
        self._metrics.parked(message.type)
        if route.duty is not None or not self._answers(message.type):
            return Settlement.ACKNOWLEDGE
        return await self._publish_all([reply_failed(message, at=self._clock.now())])

    def _count_refusal(self, findings: Sequence[Finding], *, type: str, sender: str) -> None:  # noqa: A002 - the log's own word
        for found in findings:
            self._metrics.refused(found.code)
        codes = [found.code for found in findings]
        left_out = self._sampler.lets_through(" ".join(codes), self._clock.now())
        if left_out is not None:
            log.warning("refused", type=type, sender=sender, findings=codes, left_out=left_out)

    @asynccontextmanager
    async def _in_turn(self, queue: str, subject: str) -> AsyncIterator[None]:
        """One message at a time of each queue about each subject, in the order of arrival."""
        turn = (queue, subject)
        lock, waiting = self._turns.get(turn, (asyncio.Lock(), 0))
        self._turns[turn] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[turn]
            if waiting == 1:
                del self._turns[turn]
            else:
                self._turns[turn] = (lock, waiting - 1)


def _check_event(envelope: Envelope[Model], *, has_sequence: bool) -> None:
    """What an event carries beside what every message has; one about no single request has no sequence number."""
    if has_sequence and envelope.order == 0:
        raise RefusedError(finding("message.sequence-missing", "a lifecycle event carries its sequence number"))
    if envelope.policy_serial == 0:
        text = "an event carries the serial of the policy that its duty had in force"
        raise RefusedError(finding("message.policyserial-missing", text))


def read_header(body: bytes) -> Header:
    """The context attributes of an envelope.

    Raises:
        RefusedError: `message.too-large`, `message.not-json` or `message.envelope-invalid`.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise RefusedError(finding("message.too-large", f"a message has at most {MAX_MESSAGE_BYTES} bytes"))
    try:
        return _Loose.model_validate_json(body).header()
    except ValidationError as error:
        kinds = {mistake["type"] for mistake in error.errors(include_url=False, include_input=False)}
        if "json_invalid" in kinds:
            raise RefusedError(finding("message.not-json", "the body is no JSON")) from None
        raise RefusedError.of(mistakes(error, code="message.envelope-invalid")) from None


class _Loose(Header):
    data: Any

    def header(self) -> Header:
        return Header.model_validate(self.model_dump(exclude={"data"}))


class _IdOnly(BaseModel):
    id: MessageIdField


class _AnyId(BaseModel):
    id: str


def _id_of(delivery: Delivery) -> MessageId | None:
    """The id to which an answer can refer: the envelope's if it has a good one, else the message's own property."""
    for candidate in (_envelope_id(delivery.body), delivery.message_id):
        try:
            return _IdOnly.model_validate({"id": candidate}).id
        except ValidationError:
            continue
    return None


def _envelope_id(body: bytes) -> str | None:
    try:
        return _AnyId.model_validate_json(body[:MAX_MESSAGE_BYTES]).id
    except ValidationError:
        return None
