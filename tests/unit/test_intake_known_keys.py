"""A key belongs to whoever was accepted with it first, and to nobody once it was compromised."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.intake import known_keys
from services.intake.model import KnownKey, RequestRecord
from shared.contracts import commands
from shared.contracts.content import RequestContent
from shared.contracts.statement import UnsignedSubmission
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import Delivery
from shared.vocabulary.findings import finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr
from tests import world
from tests.fakes.duties import Intake, command, data_of, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.lives import Life, begin

USED, COMPROMISED = "key.used-by-another", "key.compromised"
TWO_IDENTITIES = world.policy_text(
    **{
        "[identities.carol]": '[identities.ben-too]\nkind = "person"\nperson = "ben"\nmust_sign = false\n'
        'permissions.web = ["submit"]\n\n[identities.carol]'
    }
)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def asked_with(
    own: ec.EllipticCurvePrivateKey, request_id: RequestId | None = None, *, on_behalf_of: str | None = None
) -> RequestContent:
    """A request for this key, with a CSR of its own."""
    return world.content(request_id, csr=world.make_csr(key=own), on_behalf_of=on_behalf_of)


def submission(asked: RequestContent, by: str = "shop") -> commands.SubmitRequest:
    signed = by in {"shop", "ben"}
    return commands.SubmitRequest(
        submission=world.submission(asked, by=by) if signed else UnsignedSubmission(content=asked)
    )


async def accepted(duty: Intake, asked: RequestContent, by: str = "shop") -> RequestContent:
    assert (await duty.ask(submission(asked, by), by=by)).code == "ok"
    return asked


async def stored(duty: Intake, asked: RequestContent) -> RequestRecord:
    record = await duty.requests.load(asked.request_id)
    assert record is not None
    return record


async def known(duty: Intake, asked: RequestContent) -> KnownKey | None:
    return await duty.keys.load(parse_csr(asked.csr or "").spki_sha256)


async def revoke(duty: Intake, asked: RequestContent, reason: RevocationReason) -> Life:
    """Intake hears that this accepted request got a certificate, which was revoked."""
    life = begin(asked).approved().issued().revoked(reason)
    for told in life.told:
        await duty.handle(told)
    return life


# Whose a key is


async def test_a_key_that_another_requester_was_accepted_with_is_refused_and_whose_it_is_is_not_told() -> None:
    duty, own = Intake(), key()
    await accepted(duty, asked_with(own))
    mine = asked_with(own)
    published = await duty.send(submission(mine, "ben"), by="ben")
    (answer,) = published
    assert [each["code"] for each in data_of(answer)["findings"]] == [USED]
    assert "shop" not in answer.body
    assert (await stored(duty, mine)).state is State.REFUSED


async def test_the_very_csr_of_another_requester_is_refused_too() -> None:
    duty, seen = Intake(), world.make_csr()
    await accepted(duty, world.content(csr=seen))
    assert await duty.refused(submission(world.content(csr=seen), "ben"), by="ben") == [USED]


async def test_the_same_requester_may_use_a_key_again() -> None:
    duty, own = Intake(), key()
    asked = [await accepted(duty, asked_with(own)) for _ in range(3)]
    used = await known(duty, asked[0])
    assert used is not None
    assert (used.requesters, used.requests) == (("shop",), tuple(each.request_id for each in asked))


@pytest.mark.parametrize(
    ("first", "behalf", "second", "codes"),
    [
        ("portal", "alice", "portal", []),
        ("portal", "ben", "ben", []),
        ("ben", None, "ben-too", []),
        ("ben-too", None, "ben", []),
        ("portal", "ben", "ben-too", []),
        ("portal", "alice", "ben", [USED]),
        ("portal", None, "shop", [USED]),
        ("shop", None, "portal", [USED]),
    ],
)
async def test_whoever_shares_an_identity_or_a_person_with_the_first_requesters_is_no_other(
    first: str, behalf: str | None, second: str, codes: list[str]
) -> None:
    duty, own = Intake(TWO_IDENTITIES), key()
    await accepted(duty, asked_with(own, on_behalf_of=behalf), first)
    answer = await duty.ask(submission(asked_with(own), second), by=second)
    assert [found.code for found in answer.findings] == codes


async def test_a_stranger_to_the_policy_is_the_same_requester_as_nobody_else() -> None:
    gone = KnownKey(id=parse_csr(world.make_csr()).spki_sha256, requesters=(IdentityName("gone"),), requests=())
    requesters = (IdentityName("gone-too"),)
    assert [found.code for found in known_keys.check_known_key(gone, requesters, world.policy())] == [USED]


async def test_every_finding_is_told_together_with_that_the_key_is_taken() -> None:
    duty, own = Intake(), key()
    await accepted(duty, asked_with(own))
    asked = world.content(csr=world.make_csr("www.example.net", key=own))
    assert await duty.refused(submission(asked, "ben"), by="ben") == ["name.dns-outside", USED]


async def test_only_the_latest_requests_of_a_key_are_remembered_and_its_first_requesters_always() -> None:
    duty, own = Intake(), key()
    record = await stored(duty, await accepted(duty, asked_with(own)))
    used = None
    digest = known_keys.key_of(record)
    assert digest is not None
    for _ in range(known_keys.REMEMBERED_REQUESTS + 5):
        record = record.model_copy(update={"id": new_request_id(), "requesters": (IdentityName("ben"),)})
        used = known_keys.taken(used or await known(duty, asked_with(own)), digest, record)
    assert used is not None
    assert len(used.requests) == known_keys.REMEMBERED_REQUESTS
    assert used.requests[-1] == record.id
    assert used.requesters == ("shop",)


# What takes a key, and what does not


@pytest.mark.parametrize("why", ["another domain", "another's request id", "no permission", "the linter"])
async def test_what_is_refused_takes_no_key(why: str) -> None:
    duty, own = Intake(), key()
    taken = await accepted(duty, world.content())
    attempts: dict[str, tuple[Model, str]] = {
        "another domain": (submission(world.content(csr=world.make_csr("a.example.net", key=own)), "ben"), "ben"),
        "another's request id": (submission(asked_with(own, request_id=taken.request_id), "ben"), "ben"),
        "no permission": (submission(asked_with(own), "alice"), "alice"),
        "the linter": (submission(asked_with(own), "ben"), "ben"),
    }
    said, by = attempts[why]
    duty.linter.says = [finding("lint.bad", "bad")] if why == "the linter" else []
    await duty.refused(said, by=by)
    duty.linter.says = []
    await accepted(duty, asked_with(own))


class Meeting:
    """A linter at which so many submissions wait for one another."""

    def __init__(self, parties: int) -> None:
        self._barrier = asyncio.Barrier(parties)

    async def lint(self, *_: object) -> list[object]:
        async with asyncio.timeout(60):
            await self._barrier.wait()
        return []


@pytest.mark.parametrize("others", [["ben"], ["ben", "portal"]])
async def test_of_different_requesters_who_submit_one_key_at_once_exactly_one_is_accepted(
    others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have seen that the key is free before any of them takes it."""
    duty, own, everybody = Intake(), key(), ["shop", *others]
    asked = {by: asked_with(own) for by in everybody}
    monkeypatch.setattr(duty.linter, "lint", Meeting(len(everybody)).lint)
    deliveries = {by: command(submission(asked[by], by), by=by) for by in everybody}
    await asyncio.gather(*(duty.runtime.handle(delivery) for delivery in deliveries.values()))
    states = {by: (await stored(duty, asked[by])).state for by in everybody}
    (winner,) = [by for by, state in states.items() if state is State.PENDING]
    used = await known(duty, asked[winner])
    assert used is not None
    assert (used.requesters, used.requests) == ((winner,), (asked[winner].request_id,))
    events = lifecycle(duty.publisher.published)
    assert [data_of(told)["request_id"] for told in events] == [asked[winner].request_id]
    for loser in set(everybody) - {winner}:
        record = await stored(duty, asked[loser])
        assert (record.state, record.evidence, record.outcomes) == (State.REFUSED, None, {})
        assert await duty.refused(submission(asked[loser], loser), by=loser) == [USED]


# Crashes


MOST_EFFECTS = 20


async def test_a_crash_at_any_effect_leaves_one_accepted_request_that_has_its_key() -> None:
    for crash_at in range(1, MOST_EFFECTS):
        duty, asked, steps = Intake(), asked_with(key()), Steps(crash_at)
        duty.requests.steps = duty.keys.steps = duty.publisher.steps = steps
        delivery = command(submission(asked), by="shop")
        try:
            await duty.handle(delivery)
        except CrashError:
            await duty.handle(delivery)
        else:
            assert crash_at > len(steps.passed)
            assert crash_at == 2 * (1 + 1 + 2 + 3) + 1, (
                "request, key, event, answer, three notices, each before and after"
            )
            return
        used = await known(duty, asked)
        assert used is not None
        assert used.requests == (asked.request_id,)
        assert (await stored(duty, asked)).state is State.PENDING
        (told,) = {message.id for message in lifecycle(duty.publisher.published)}
        assert told
    raise AssertionError("the crashes do not come to an end")


async def crash_before_the_key_is_taken(duty: Intake, asked: RequestContent) -> Delivery:
    """Gives the submission during which the process died, as it will be delivered again."""
    duty.keys.steps = Steps(crash_at=1)
    delivery = command(submission(asked), by="shop")
    with pytest.raises(CrashError):
        await duty.handle(delivery)
    duty.keys.steps = Steps()
    return delivery


async def test_whoever_takes_the_key_while_the_first_requesters_submission_waits_for_redelivery_has_it() -> None:
    duty, own = Intake(), key()
    first, second = asked_with(own), asked_with(own)
    waiting = await crash_before_the_key_is_taken(duty, first)
    await accepted(duty, second, "ben")
    (answer,) = await duty.handle(waiting)
    assert [each["code"] for each in data_of(answer)["findings"]] == [USED]
    assert (await stored(duty, first)).state is State.REFUSED
    assert {data_of(told)["request_id"] for told in lifecycle(duty.publisher.published)} == {second.request_id}


async def test_a_redelivery_under_another_policy_takes_the_key_before_anything_is_announced() -> None:
    duty, own = Intake(), key()
    first = asked_with(own)
    waiting = await crash_before_the_key_is_taken(duty, first)
    duty.adopt(world.policy_text(**{world.signing_key("shop").public.x: world.signing_key("another").public.x}))
    assert len(lifecycle(await duty.handle(waiting))) == 1
    assert await duty.refused(submission(asked_with(own), "ben"), by="ben") == [USED]


# Compromise


async def test_a_compromised_key_is_refused_to_everybody_for_ever() -> None:
    duty, own = Intake(), key()
    asked = await accepted(duty, asked_with(own))
    await revoke(duty, asked, RevocationReason.KEY_COMPROMISE)
    assert await duty.refused(submission(asked_with(own)), by="shop") == [COMPROMISED]
    assert await duty.refused(submission(asked_with(own), "ben"), by="ben") == [COMPROMISED, USED]
    used = await known(duty, asked)
    assert used is not None
    assert used.compromised_by == asked.request_id


@pytest.mark.parametrize(
    "reason", [reason for reason in RevocationReason if reason is not RevocationReason.KEY_COMPROMISE]
)
async def test_a_key_whose_certificate_was_revoked_for_another_reason_may_be_used_again(
    reason: RevocationReason,
) -> None:
    duty, own = Intake(), key()
    await revoke(duty, await accepted(duty, asked_with(own)), reason)
    await accepted(duty, asked_with(own))


@pytest.mark.parametrize(
    ("signed", "told"),
    [
        (RevocationReason.SUPERSEDED, RevocationReason.KEY_COMPROMISE),
        (RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED),
    ],
)
async def test_a_reason_that_the_revoker_did_not_sign_for_is_not_believed(
    signed: RevocationReason, told: RevocationReason
) -> None:
    duty, own = Intake(), key()
    asked = await accepted(duty, asked_with(own))
    life = begin(asked).approved().issued().revoked(signed, told=told)
    for delivery in life.told:
        await duty.handle(delivery)
    assert duty.counted("ra_refusals", code="evidence.reason-differs") == 1
    assert (await stored(duty, asked)).state is State.ISSUED
    await accepted(duty, asked_with(own))


async def test_a_compromise_of_a_key_that_was_not_known_yet_is_remembered() -> None:
    duty, own = Intake(), key()
    asked = await accepted(duty, asked_with(own))
    duty.keys.documents.clear()  # as if it had been accepted before keys were remembered
    await revoke(duty, asked, RevocationReason.KEY_COMPROMISE)
    assert await duty.refused(submission(asked_with(own)), by="shop") == [COMPROMISED]


async def test_a_crash_at_any_effect_does_not_forget_a_compromise() -> None:
    for crash_at in range(1, MOST_EFFECTS):
        duty, own = Intake(), key()
        asked = await accepted(duty, asked_with(own))
        life = begin(asked).approved().issued().revoked(RevocationReason.KEY_COMPROMISE)
        for told in life.told[:-1]:
            await duty.handle(told)
        steps = Steps(crash_at)
        duty.requests.steps = duty.keys.steps = duty.publisher.steps = steps
        try:
            await duty.handle(life.told[-1])
        except CrashError:
            await duty.handle(life.told[-1])
        duty.requests.steps = duty.keys.steps = duty.publisher.steps = Steps()
        assert (await stored(duty, asked)).state is State.REVOKED
        assert await duty.refused(submission(asked_with(own)), by="shop") == [COMPROMISED]
        if not steps.crashed:
            return
    raise AssertionError("the crashes do not come to an end")


async def test_the_first_compromise_is_kept_when_another_certificate_of_the_key_is_revoked_too() -> None:
    duty, own = Intake(), key()
    first, second = [await accepted(duty, asked_with(own)) for _ in range(2)]
    for asked in (first, second):
        await revoke(duty, asked, RevocationReason.KEY_COMPROMISE)
    used = await known(duty, first)
    assert used is not None
    assert used.compromised_by == first.request_id


async def test_a_request_that_waits_on_a_key_that_is_compromised_meanwhile_stays_accepted() -> None:
    duty, own = Intake(), key()
    first, second = [await accepted(duty, asked_with(own)) for _ in range(2)]
    await revoke(duty, first, RevocationReason.KEY_COMPROMISE)
    answer = await duty.ask(submission(second), by="shop", message_id=new_message_id())
    assert answer.code == "ok"
    assert (await stored(duty, second)).state is State.PENDING


async def test_a_request_that_has_gone_on_is_never_refused_for_its_key() -> None:
    duty, own = Intake(), key()
    asked = await accepted(duty, asked_with(own))
    for told in begin(asked).approved().told:
        await duty.handle(told)
    duty.keys.documents.clear()  # as if so many others had taken it since that this one is forgotten
    await accepted(duty, asked_with(own), "ben")
    assert (await duty.ask(submission(asked), by="shop")).code == "ok"
    assert (await stored(duty, asked)).state is State.APPROVED
