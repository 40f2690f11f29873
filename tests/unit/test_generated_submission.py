"""What intake takes of a request with a sealed password, and what it keeps nothing of."""

from dataclasses import replace
from typing import Any

import pytest

from shared.contracts import commands
from shared.contracts.replies import SubmitResult
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.evidence.jws import Typ
from shared.identifiers import new_request_id
from shared.sealing import OpeningKey, seal
from shared.vocabulary.model import canonical_json
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Intake, command
from tests.world import NOW, PASSWORD, signing_key, wanting


def intake() -> Intake:
    return Intake(world.generating_policy())


def raw(fields: dict[str, Any]) -> commands.SubmitRequest:
    """A signed submission of this, whatever it is."""
    token = signing_key("shop").sign(canonical_json(fields), Typ.SUBMISSION, NOW)
    return commands.SubmitRequest(submission=JwsStatement(jws=token))


async def refused(duty: Intake, data: commands.SubmitRequest) -> list[str]:
    return await duty.refused(data, by="shop")


def everything(duty: Intake) -> str:
    stored = (text for store in (duty.requests, duty.keys, duty.tallies) for text in store.documents.values())
    return "\n".join((*stored, *(message.body for message in duty.publisher.published)))


PLAIN: dict[str, Any] = {
    "beside the sealed one": lambda fields: fields | {"password": PASSWORD},
    "beside it, further in": lambda fields: fields | {"generated": fields["generated"] | {"password": PASSWORD}},
    "in its place": lambda fields: fields | {"generated": fields["generated"] | {"sealed_password": PASSWORD}},
    "in its place, looking like it": lambda fields: (
        fields | {"generated": fields["generated"] | {"sealed_password": ".".join([PASSWORD] * 5)}}
    ),
    "as the key type": lambda fields: fields | {"generated": fields["generated"] | {"key_type": f"{PASSWORD}!"}},
}


@pytest.mark.parametrize("where", PLAIN)
async def test_a_plain_password_is_refused_and_kept_nowhere(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    duty, asked = intake(), wanting()
    fields = PLAIN[where](asked.model_dump(mode="json"))
    assert set(await refused(duty, raw(fields))) == {"submission.invalid"}
    assert await duty.requests.load(asked.request_id) is None
    assert PASSWORD not in everything(duty)
    assert PASSWORD not in "".join(capsys.readouterr())


async def test_a_plain_password_in_an_unsigned_submission_is_refused_and_not_parked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    duty, asked = intake(), wanting()
    good = command(commands.SubmitRequest(submission=UnsignedSubmission(content=asked)), by="portal")
    sealed = asked.generated.sealed_password if asked.generated else ""
    bad = replace(good, body=good.body.replace(sealed.encode(), PASSWORD.encode()))
    published = await duty.handle(bad)
    assert [message.type for message in published] == ["ra.message.refused.v1"]
    assert PASSWORD not in everything(duty)
    assert PASSWORD not in "".join(capsys.readouterr())


async def test_new_requests_are_sealed_to_a_key_in_use() -> None:
    other = OpeningKey.generate()
    request_id = new_request_id()
    assert await refused(intake(), raw_of(request_id, seal(PASSWORD, request_id, other.public))) == [
        "password.opening-key-unknown"
    ]
    text = world.generating_policy(
        (
            "[duties.intake]",
            f'[[opening_keys]]\nkey = {{ x = "{other.public.x}" }}\nretired = true\n\n[duties.intake]',
        )
    )
    assert await refused(Intake(text), raw_of(request_id, seal(PASSWORD, request_id, other.public))) == [
        "password.opening-key-retired"
    ]


def raw_of(request_id: Any, sealed: str) -> commands.SubmitRequest:
    return raw(wanting(request_id, sealed=sealed).model_dump(mode="json"))


async def test_old_encryption_is_for_where_the_policy_allows_it() -> None:
    asked = wanting(pkcs12="3des")
    assert await refused(intake(), raw(asked.model_dump(mode="json"))) == ["password.pkcs12-not-allowed"]
    allowed = ("enrollment_methods =", "generated = { pkcs12_3des = true }\nenrollment_methods =")
    reply = await Intake(world.generating_policy(allowed)).ask(raw(asked.model_dump(mode="json")), by="shop")
    assert reply.result == SubmitResult(request_id=asked.request_id, state=State.PENDING)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key_type": "ecdsa-p521"}, "key.type-not-allowed"),
        ({"key_type": "rsa-512"}, "key.type-unknown"),
        ({"entered": {}}, "dn.attribute-missing"),
    ],
)
async def test_key_type_names_and_subject_are_screened_as_those_of_a_csr(changes: dict[str, Any], code: str) -> None:
    asked = wanting(**changes)
    assert code in await refused(intake(), raw(asked.model_dump(mode="json")))


async def test_where_the_policy_has_no_such_method_it_is_refused() -> None:
    assert "request.method-not-allowed" in await refused(Intake(), raw(wanting().model_dump(mode="json")))


async def test_no_two_requests_are_told_from_one_another_by_keys_that_are_not_there_yet() -> None:
    duty = intake()
    for by in ("shop", "ben"):
        asked = wanting()
        data = commands.SubmitRequest(submission=world.submission(asked, by=by))
        assert (await duty.ask(data, by=by)).result == SubmitResult(request_id=asked.request_id, state=State.PENDING)
    assert duty.keys.documents == {}


async def test_a_sealed_password_that_was_cut_off_or_holds_10_kb_is_refused() -> None:
    asked = wanting()
    fields = asked.model_dump(mode="json")
    whole = fields["generated"]["sealed_password"]
    for cut in (whole.rsplit(".", 1)[0], whole[:40], f"{whole}.{whole}", f"{whole}{'A' * 10_000}", ""):
        fields["generated"] = fields["generated"] | {"sealed_password": cut}
        assert set(await refused(intake(), raw(fields))) == {"submission.invalid"}
