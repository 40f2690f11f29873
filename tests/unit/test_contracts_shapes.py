"""What every contract has in common: frozen, strict, and the same after a way through JSON."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from shared.contracts import commands, events, replies
from shared.contracts.catalogue import COMMANDS, EVENTS, NEWS, NOTICES, REFUSAL_TYPE
from shared.contracts.content import RequestContent
from shared.contracts.envelope import Envelope
from shared.contracts.replies import Reply, ReplyCode, Result
from shared.messaging.messages import notify, publish_event, publish_news
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Blob, Model, canonical_json
from shared.vocabulary.names import IdentityName
from shared.vocabulary.states import FINAL_STATES, NEXT_STATES, State
from tests.fakes.duties import command
from tests.fakes.samples import (
    MOMENT,
    REQUEST,
    result_for,
    sample_commands,
    sample_events,
    sample_news,
    sample_notices,
    sample_results,
)
from tests.world import NOW, content

EXAMPLES: list[BaseModel] = [
    *sample_commands().values(),
    *sample_events().values(),
    *sample_news().values(),
    *sample_notices().values(),
    *sample_results().values(),
]
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)


def models_in(value: Any) -> Iterator[BaseModel]:
    """This value and all the models inside it."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from models_in(getattr(value, name))
    elif isinstance(value, list | tuple | frozenset):
        for each in value:
            yield from models_in(each)
    elif isinstance(value, dict):
        yield from models_in(list(value.values()))


def test_there_is_an_example_of_every_contract() -> None:
    assert set(sample_commands()) == {contract.model for contract in COMMANDS}
    assert set(sample_events()) == {contract.model for contract in EVENTS}
    assert set(sample_news()) == {contract.model for contract in NEWS}
    assert set(sample_notices()) == {contract.model for contract in NOTICES}
    assert set(sample_results()) == {contract.result for contract in COMMANDS}


@every_example
def test_a_contract_and_all_in_it_is_frozen_and_forbids_what_it_does_not_know(example: BaseModel) -> None:
    for model in models_in(example):
        assert model.model_config.get("frozen") is True, type(model)
        assert model.model_config.get("extra") == "forbid", type(model)
        for name in type(model).model_fields:
            with pytest.raises(ValidationError):
                setattr(model, name, None)


@every_example
def test_a_contract_is_the_same_after_a_way_through_json(example: BaseModel) -> None:
    text = example.model_dump_json()
    assert type(example).model_validate_json(text) == example
    assert type(example).model_validate(json.loads(text)) == example


@every_example
def test_a_contract_refuses_one_field_more(example: BaseModel) -> None:
    with pytest.raises(ValidationError):
        type(example).model_validate_json(json.dumps({**json.loads(example.model_dump_json()), "x": 1}))


@every_example
def test_a_contract_refuses_to_go_without_a_field_that_it_needs(example: BaseModel) -> None:
    whole = json.loads(example.model_dump_json())
    for name, field in type(example).model_fields.items():
        if field.is_required():
            with pytest.raises(ValidationError):
                type(example).model_validate({key: value for key, value in whole.items() if key != name})


@pytest.mark.parametrize("contract", COMMANDS, ids=lambda contract: contract.name)
def test_a_reply_carries_its_result_whole(contract: Any) -> None:
    result = result_for(contract.model)
    reply = Reply[Result](code=ReplyCode.OK, message="done", result=result)
    text = canonical_json(reply.model_dump(mode="json"))
    assert Reply[contract.result].model_validate_json(text).result == result


def test_the_names_of_types_are_unique_versioned_and_tell_reply_from_command() -> None:
    names = [
        *(contract.name for contract in COMMANDS),
        *(contract.reply_type for contract in COMMANDS),
        *(contract.name for contract in EVENTS),
        *(contract.name for contract in NEWS),
        REFUSAL_TYPE,
        *(contract.name for contract in NOTICES),
    ]
    assert len(names) == len(set(names))
    assert all(name.startswith("ra.") and name.endswith(".v1") for name in names)
    for contract in COMMANDS:
        assert contract.reply_type == contract.name.removesuffix(".v1") + ".reply.v1"


def test_no_two_commands_of_a_duty_share_a_verb_and_no_two_events_a_key() -> None:
    assert len({(contract.duty, contract.verb) for contract in COMMANDS}) == len(COMMANDS)
    keys = [(each.duty, each.key) for each in EVENTS] + [(each.duty, each.key) for each in NEWS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("model", list(sample_commands()), ids=lambda model: model.__name__)
def test_a_command_comes_out_of_its_envelope_as_it_went_in(model: type[Model]) -> None:
    delivery = command(sample_commands()[model], by="shop")
    envelope = Envelope[model].model_validate_json(delivery.body)  # type: ignore[valid-type]  # chosen at run time
    assert envelope.data == sample_commands()[model]
    assert (envelope.source, envelope.order, envelope.specversion) == ("/identities/shop", 0, "1.0")


@pytest.mark.parametrize("model", list(sample_events()), ids=lambda model: model.__name__)
def test_an_event_comes_out_of_its_envelope_as_it_went_in(model: type[events.LifecycleEvent]) -> None:
    outgoing = publish_event(sample_events()[model], origin="o", sequence=7, policy_serial=12, at=NOW)
    envelope = Envelope[model].model_validate_json(outgoing.body)  # type: ignore[valid-type]  # chosen at run time
    assert (envelope.data, envelope.order, envelope.subject) == (sample_events()[model], 7, REQUEST)
    assert envelope.policy_serial == 12
    assert outgoing.key.startswith(envelope.source.removeprefix("/duties/"))
    assert outgoing.key.endswith(".web")


def test_news_tell_what_they_are_about_and_have_no_sequence_number() -> None:
    for model, news in sample_news().items():
        about = getattr(news, "request_id", "public-tls")
        outgoing = publish_news(news, about=about, origin="o", policy_serial=12, at=NOW)
        envelope = Envelope[model].model_validate_json(outgoing.body)  # type: ignore[valid-type]  # chosen at run time
        assert (envelope.data, envelope.order, envelope.subject) == (news, 0, about)
        assert envelope.policy_serial == 12
        assert outgoing.key.startswith(envelope.source.removeprefix("/duties/"))
        assert outgoing.key.endswith(f".{about}")


@pytest.mark.parametrize("model", list(sample_notices()), ids=lambda model: model.__name__)
def test_a_notice_goes_to_its_receiver_alone(model: type[Model]) -> None:
    notice = sample_notices()[model]
    outgoing = notify(notice, about=REQUEST, origin="o", receiver=IdentityName("shop"), at=NOW)
    assert outgoing.key == "shop.intake.notice"
    envelope = Envelope[model].model_validate_json(outgoing.body)  # type: ignore[valid-type]  # chosen at run time
    assert (envelope.data, envelope.subject, envelope.source) == (notice, REQUEST, "/duties/intake")


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "Q Q==", "QQ==\n", "_-==", "QQ==QQ==", "Ä"])
def test_bytes_have_one_text_only(text: str) -> None:
    class Holder(Model):
        data: Blob

    with pytest.raises(ValidationError):
        Holder.model_validate_json(json.dumps({"data": text}))
    assert Holder(data=b"A").model_dump_json() == '{"data":"QQ=="}'


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": "0190a0c0-1111-4000-8000-000000000001"},
        {"request_id": "0190A0C0-1111-7000-8000-000000000001"},
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "x" * 101},
        {"approval_group": "web.*"},
        {"approval_group": "-web"},
        {"signing_certificate": "../x"},
        {"on_behalf_of": "a b"},
        {"emails": ["nobody"]},
        {"emails": ["a@b\nBcc: c@d"]},
        {"emails": [f"a{number}@example.com" for number in range(11)]},
        {"method": "generated"},
        {"csr": "x" * 65_537},
        {"notes": "x" * 4_001},
        {"expires_on": "tomorrow"},
    ],
)
def test_what_a_requester_writes_is_bounded_and_cannot_break_out(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RequestContent.model_validate(content().model_dump() | changes)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_a_size(limit: int) -> None:
    for model in (commands.ListRequests, commands.ListPending):
        with pytest.raises(ValidationError):
            model(limit=limit)


@pytest.mark.parametrize("code", ["", "x", "A.b", "a.", "a b.c", "a.b\n"])
def test_a_finding_has_a_dotted_code(code: str) -> None:
    with pytest.raises(ValidationError):
        Finding(code=code, message="m")


def test_every_event_leads_along_the_ways_between_states() -> None:
    reached = {contract.model.state for contract in EVENTS}
    for state in State:
        assert (NEXT_STATES[state] == frozenset()) is (state in FINAL_STATES)
        assert NEXT_STATES[state] <= reached


def test_a_moment_keeps_its_zone_through_a_reply() -> None:
    status = result_for(commands.ShowStatus)
    again = replies.StatusResult.model_validate_json(status.model_dump_json())
    assert again.not_after == MOMENT
    assert again.not_after is not None
    assert again.not_after.utcoffset() is not None
    assert {contract.duty for contract in EVENTS} == set(Duty)
