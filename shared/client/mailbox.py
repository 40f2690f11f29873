"""The mailbox: sorts what arrives, and believes only the duty that was asked."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from shared.client.ports import ConnectionLostError
from shared.contracts.catalogue import AWAITED_TYPE, NOTICE_TYPE
from shared.messaging.messages import Delivery
from shared.vocabulary.duties import Duty


@dataclass(frozen=True)
class _Question:
    """A command that waits for its answer, and who else pretended to give it."""

    duty: Duty
    answer: asyncio.Future[bytes]
    pretenders: set[str]


class _Peek(BaseModel):
    """As much of an envelope as it takes to know whom it is for."""

    type: str
    subject: str
    inreplyto: str | None = None


class Mailbox:
    """Takes every delivery of a session and hands it to whoever waits for it."""

    def __init__(self) -> None:
        self._questions: dict[str, _Question] = {}
        self._listeners: dict[str, list[asyncio.Event]] = {}
        self._watchers: list[asyncio.Queue[bytes | None]] = []

    @contextmanager
    def asking(self, message_id: str, duty: Duty, pretenders: set[str]) -> Iterator[asyncio.Future[bytes]]:
        """The body of the answer to the message of this id, once this duty gives it.

        Others that answer are not believed but put among `pretenders`. The future raises `ConnectionLostError` when
        the session ends.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[message_id] = _Question(duty, answer, pretenders)
        try:
            yield answer
        finally:
            del self._questions[message_id]
            answer.cancel()

    @contextmanager
    def listening(self, request_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever intake has news about this request."""
        news = asyncio.Event()
        listeners = self._listeners.setdefault(request_id, [])
        listeners.append(news)
        try:
            yield news
        finally:
            listeners.remove(news)
            if not listeners:
                del self._listeners[request_id]

    @contextmanager
    def watching(self) -> Iterator[asyncio.Queue[bytes | None]]:
        """Each notice of intake's that a decision is awaited; None when the session has ended."""
        arriving: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._watchers.append(arriving)
        try:
            yield arriving
        finally:
            self._watchers.remove(arriving)

    def take(self, delivery: Delivery) -> None:
        """Hand on a delivery; what nobody waits for, and what can't be read, is dropped."""
        try:
            peek = _Peek.model_validate_json(delivery.body)
        except ValidationError:
            return
        if peek.type == NOTICE_TYPE:
            self._notice(delivery, peek)
        elif peek.type == AWAITED_TYPE:
            self._awaited(delivery)
        elif peek.inreplyto is not None:
            self._answer(delivery, peek.inreplyto)

    def _notice(self, delivery: Delivery, peek: _Peek) -> None:
        if delivery.sender == Duty.INTAKE:
            for news in self._listeners.get(peek.subject, ()):
                news.set()

    def _awaited(self, delivery: Delivery) -> None:
        if delivery.sender == Duty.INTAKE:
            for arriving in self._watchers:
                arriving.put_nowait(delivery.body)

    def _answer(self, delivery: Delivery, message_id: str) -> None:
        question = self._questions.get(message_id)
        if question is None or question.answer.done():
            return
        if delivery.sender == question.duty:
            question.answer.set_result(delivery.body)
        else:
            question.pretenders.add(str(delivery.sender))

    def lose(self) -> None:
        """The session has ended: no answer will come any more."""
        for question in self._questions.values():
            if not question.answer.done():
                question.answer.set_exception(ConnectionLostError())
                question.answer.exception()  # looked at: nobody may be waiting for it yet
        for arriving in self._watchers:
            arriving.put_nowait(None)
