"""The JSON on the page for upstream systems is what the duties take and send."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import commands, replies
from shared.contracts.catalogue import COMMANDS, NOTICES
from shared.contracts.content import RequestContent
from shared.contracts.envelope import Envelope
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.evidence.jws import Typ, verify
from shared.screening import screen
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model
from tests import world

PAGE = Path(__file__).resolve().parents[2] / "docs" / "messages.md"
BLOCKS = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ENVELOPES = [block for block in BLOCKS if "specversion" in json.loads(block)]
MODELS: dict[str, type[Model]] = {
    **{contract.name: contract.model for contract in COMMANDS},
    **{contract.reply_type: replies.Reply[contract.result] for contract in COMMANDS},  # type: ignore[name-defined]  # models chosen at run time
    **{contract.name: contract.model for contract in NOTICES},
}


def _envelope(block: str) -> Envelope[Any]:
    model = MODELS[json.loads(block)["type"]]
    return Envelope[model].model_validate_json(block)  # type: ignore[valid-type]  # a model chosen at run time


def _submissions() -> list[commands.SubmitRequest]:
    envelopes = [_envelope(block) for block in ENVELOPES]
    return [envelope.data for envelope in envelopes if isinstance(envelope.data, commands.SubmitRequest)]


def _the_block_with(field: str) -> dict[str, Any]:
    (found,) = [json.loads(block) for block in BLOCKS if field in json.loads(block)]
    return dict(found)


def _check_content(content: RequestContent) -> None:
    """Check that intake would accept it under the example policy."""
    assert screen(content, world.policy(), today=world.NOW.date()).findings == ()


@pytest.mark.parametrize("block", ENVELOPES, ids=[json.loads(block)["type"] for block in ENVELOPES])
def test_every_envelope_on_the_page_is_one_that_crosses_the_broker(block: str) -> None:
    envelope = _envelope(block)
    request_id = getattr(envelope.data, "request_id", envelope.subject)
    assert envelope.subject == request_id


def test_the_page_shows_a_submission_of_either_kind_an_answer_of_either_kind_and_every_notice() -> None:
    assert [each.submission.kind for each in _submissions()] == ["unsigned", "jws"]
    answers = [_envelope(block).data for block in ENVELOPES if ".reply." in json.loads(block)["type"]]
    assert {answer.code for answer in answers} == {replies.ReplyCode.OK, replies.ReplyCode.REFUSED}
    shown = {json.loads(block)["type"] for block in ENVELOPES}
    assert shown >= {contract.name for contract in NOTICES}


def test_the_unsigned_submission_fits_the_example_policy() -> None:
    statement = _submissions()[0].submission
    assert isinstance(statement, UnsignedSubmission)
    _check_content(statement.content)


def test_the_signed_submission_verifies_with_the_key_and_the_header_on_the_page() -> None:
    statement = _submissions()[1].submission
    assert isinstance(statement, JwsStatement)
    key = PublicKey.model_validate(_the_block_with("kty"))
    verified = verify(statement.jws, Typ.SUBMISSION, [key], now=world.NOW + timedelta(minutes=1))
    header = _the_block_with("alg")
    assert header == {
        "alg": "Ed25519",
        "typ": str(Typ.SUBMISSION),
        "kid": key.kid,
        "iat": int(verified.signed_at.timestamp()),
    }
    content = RequestContent.read(verified.payload, code="submission.invalid")
    assert content.request_id in {_envelope(block).subject for block in ENVELOPES}
    _check_content(content)


def test_every_command_and_notice_and_only_those_stand_in_the_pages_tables() -> None:
    named = set(re.findall(r"`(ra\.[a-z.-]+\.v1)`", PAGE.read_text()))
    commands_named = {name for name in named if ".reply." not in name and name != "ra.message.refused.v1"}
    assert commands_named == {each.name for each in COMMANDS} | {each.name for each in NOTICES}


def test_every_refusal_on_the_page_is_one_that_the_code_gives() -> None:
    page = PAGE.read_text()
    table = page[page.index("## Refusals you may see") : page.index("## When no answer comes")]
    root = PAGE.parents[1]
    code = "".join(path.read_text() for folder in ("shared", "services") for path in (root / folder).rglob("*.py"))
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)]
    assert len(named) > 20
    for name in named:
        stem = name.partition("…")[0].replace("request.unknown-", "request.unknown-{kind}")
        assert f'"{stem}' in code or name.startswith("request.…"), f"{name} is given nowhere"
