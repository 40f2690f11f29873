"""Answers: an envelope of a duty, read as the result of the command that it answers."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.client.errors import CommandFailedError, CommandRefusedError, UnreadableAnswerError
from shared.contracts.catalogue import REFUSAL_TYPE, CommandContract
from shared.contracts.envelope import Envelope
from shared.contracts.replies import Refusal, Reply, ReplyCode, Result

ResultT = TypeVar("ResultT", bound=Result)


class _Typed(BaseModel):
    type: str


def read_answer(body: bytes, contract: CommandContract, result: type[ResultT], *, about: str | None) -> ResultT:
    """The result that this answer brings; `about` is the request that it must be about, if it is about one.

    Raises:
        CommandRefusedError: the duty refused the command.
        CommandFailedError: the duty failed.
        UnreadableAnswerError: this is no answer to such a command.
    """
    try:
        message_type = _Typed.model_validate_json(body).type
        if message_type == REFUSAL_TYPE:
            refusal = Envelope[Refusal].model_validate_json(body).data
            raise CommandRefusedError(refusal.message, refusal.findings)
        reply = Envelope[Reply[result]].model_validate_json(body).data  # type: ignore[valid-type]  # a model chosen at run time
    except ValidationError as error:
        raise _unreadable(contract, f"{error.error_count()} mistakes in it") from None
    if message_type != contract.reply_type:
        raise _unreadable(contract, "it answers another command")
    return _result(reply, contract, about)


def _result(reply: Reply[ResultT], contract: CommandContract, about: str | None) -> ResultT:
    if reply.code is ReplyCode.REFUSED:
        raise CommandRefusedError(reply.message, reply.findings)
    if reply.code is ReplyCode.FAILED:
        raise CommandFailedError(reply.message, reply.findings)
    if reply.result is None:
        raise _unreadable(contract, "it says ok and brings no result")
    if about is not None and _request_of(reply.result) not in (None, about):
        raise _unreadable(contract, "it is about another request")
    return reply.result


def _request_of(result: Result) -> str | None:
    """The request that a result is about, whether it says so itself or in its summary."""
    summary = getattr(result, "request", result)
    request_id: str | None = getattr(summary, "request_id", None)
    return request_id


def _unreadable(contract: CommandContract, reason: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"The answer of {contract.duty} can't be understood: {reason}. "
        "This client and the duties may be of different versions; tell an operator."
    )
