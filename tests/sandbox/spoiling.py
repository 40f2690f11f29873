"""Answers as they should not be."""

import json
from typing import NamedTuple

from tests.sandbox.errors import error_body
from tests.sandbox.knobs import Fault, FaultKind

Headers = list[tuple[bytes, bytes]]
PAGE = "<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>Try again later</h1></body></html>\n"


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


def instead(fault: Fault) -> Answer:
    """What is answered where nothing was done."""
    if fault.kind is FaultKind.HTML:
        return _answer(fault, PAGE.format(status=fault.status), "text/html; charset=utf-8")
    body = fault.body
    if fault.code is not None:
        body = json.dumps(error_body(fault.code, body or "The sandbox was told to say so."))
    return _answer(fault, body, fault.content_type)


def spoilt(fault: Fault, answer: Answer) -> Answer:
    """What becomes of the answer of a call that was done."""
    match fault.kind:
        case FaultKind.COMMIT_THEN_ANSWER:
            return instead(fault)
        case FaultKind.MALFORMED:
            return _with_body(answer, b'{"id": 1, "requests": [')
        case FaultKind.WRONG_TYPE:
            return _with_body(answer, json.dumps(_of_wrong_type(_json(answer))).encode())
        case FaultKind.DRIFT:
            return _with_body(answer, json.dumps(_drifted(_json(answer))).encode())
        case _:
            return answer


def _answer(fault: Fault, body: str, content_type: str) -> Answer:
    content = body.encode()
    headers = {"content-type": content_type, "content-length": str(len(content)), **fault.headers}
    return Answer(fault.status, [(name.lower().encode(), value.encode()) for name, value in headers.items()], content)


def _with_body(answer: Answer, body: bytes) -> Answer:
    kept = [(name, value) for name, value in answer.headers if name.lower() != b"content-length"]
    return Answer(answer.status, [*kept, (b"content-length", str(len(body)).encode())], body)


def _json(answer: Answer) -> object:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _of_wrong_type(value: object) -> object:
    """Every field an object that nobody expects; a list, where there is no field."""
    if isinstance(value, dict) and value:
        return {name: {"unexpected": True} for name in value}
    return ["unexpected"]


def _drifted(value: object) -> object:
    if isinstance(value, dict):
        return {name: [] if name == "organization" else _drifted(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_drifted(entry) for entry in value]
    return str(value) if type(value) in {int, float} else value
