"""Revoking: by whom, for what, and once, whatever the CA answers and whenever the process dies."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import commands, events
from shared.contracts.statement import JwsStatement
from shared.errors import UnavailableError
from shared.evidence.jws import Typ, payload_of, verify
from shared.evidence.steps import Revocation
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import Delivery
from shared.vocabulary.model import digest_of
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests import world
from tests.fakes.authority import REFUSAL
from tests.fakes.duties import POLL, Revoker, data_of, event, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.lives import Life, begin
from tests.fakes.revocations import Issued, issued
from tests.world import NOW, signing_key

AVAILABLE = {"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"}
MOST_EFFECTS = 26
ASKED, REVOKED, FAILED = "ra.revocation.asked.v1", "ra.certificate.revoked.v1", "ra.revocation.failed.v1"


@pytest.mark.parametrize("who", ["shop", "olga"])
async def test_whoever_asked_for_it_and_whoever_may_has_it_revoked_and_signed_for(who: str) -> None:
    case = await issued()
    result = await case.revoke(by=who)
    assert (result.state, result.reason, result.certificate) == ("issued", "superseded", (await case.stored()).digest)
    await case.revoker.work_off()
    asked, told = case.happened()
    assert (asked.type, asked.key) == ("ra.revocation.asked.v1", "revoker.revocation.asked.web")
    assert '"sequence":"4"' in asked.body
    assert (told.type, told.key) == ("ra.certificate.revoked.v1", "revoker.certificate.revoked.web")
    assert '"sequence":"5"' in told.body
    token = events.CertificateRevoked.model_validate(data_of(told)).revocation
    signed = verify(token, Typ.REVOCATION, [case.revoker.key.public], now=case.revoker.clock.now())
    said = Revocation.read(signed.payload, code="x")
    assert (said.requested_by, said.notes, said.reason) == (who, "old", RevocationReason.SUPERSEDED)
    assert len(case.revoker.ca.revoked) == 1
    assert (await case.revoke(by=who)).state == "revoked"


@pytest.mark.parametrize("reason", list(RevocationReason))
async def test_the_reasons_are_those_that_the_ca_takes_and_the_others_are_named_as_unavailable(
    reason: RevocationReason,
) -> None:
    case = await issued()
    if reason in AVAILABLE:
        assert (await case.revoker.ask(case.revocation(reason), by="shop")).code == "ok"
    else:
        before = await case.stored()
        codes = await case.revoker.refused(case.revocation(reason), by="shop")
        assert codes == ["revocation.reason-not-available"]
        assert await case.stored() == before


@pytest.mark.parametrize("who", ["alice", "portal"])
async def test_for_a_stranger_there_is_nothing_to_revoke(who: str) -> None:
    case = await issued()
    nowhere = commands.RevokeCertificate(request_id=new_request_id(), reason=RevocationReason.SUPERSEDED)
    assert await case.revoker.refused(case.revocation(), by=who) == ["revocation.not-issued"]
    assert await case.revoker.refused(nowhere, by=who) == ["revocation.not-issued"]


async def test_what_is_not_issued_cannot_be_revoked_even_by_its_requester() -> None:
    case = Issued(Revoker(), begin())
    assert await case.revoker.refused(case.revocation(), by="shop") == ["revocation.not-issued"]


async def test_a_quarantined_certificate_can_be_revoked_and_says_so_meanwhile() -> None:
    case = await issued(begin().approved().quarantined())
    assert (await case.revoke(by="olga")).state == "quarantined"
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]


async def test_a_repeated_revocation_is_answered_and_another_reason_is_refused() -> None:
    case = await issued()
    await case.revoke()
    same, other = case.revocation(), case.revocation(RevocationReason.UNSPECIFIED)
    assert (await case.revoker.ask(same, by="olga")).result.reason == "superseded"  # type: ignore[union-attr]  # it has one
    assert await case.revoker.refused(other, by="olga") == ["revocation.reason-differs"]
    await case.revoker.work_off()
    assert (await case.revoker.ask(same, by="olga")).result.state == "revoked"  # type: ignore[union-attr]  # it has one
    assert await case.revoker.refused(other, by="olga") == ["revocation.reason-differs"]
    await case.revoker.work_off()
    assert case.revoker.ca.calls == 1


async def test_a_redelivered_revocation_is_answered_with_the_same_message() -> None:
    case, message_id = await issued(), new_message_id()
    first = await case.revoker.send(case.revocation(), by="shop", message_id=message_id)
    await case.revoker.work_off()
    assert await case.revoker.send(case.revocation(), by="shop", message_id=message_id) == first


async def test_a_certificate_that_was_revoked_elsewhere_counts_as_revoked() -> None:
    case = await issued()
    await case.revoke()
    case.revoker.ca.revoked.append(((await case.stored()).certificate_id, RevocationReason.SUPERSEDED))
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]


async def test_a_refusal_of_the_ca_is_told_and_the_revocation_may_be_asked_for_again() -> None:
    case = await issued()
    case.revoker.ca.refuses = True
    await case.revoke()
    await case.revoker.work_off()
    _, told = case.happened()
    assert told.type == FAILED
    assert data_of(told)["findings"] == [REFUSAL.model_dump(mode="json")]
    assert (await case.stored()).state is CertificateState.LIVE
    case.revoker.ca.refuses = False
    await case.revoke()
    await case.revoker.work_off()
    assert [message.body.split('"sequence":"')[1][0] for message in case.happened()] == ["4", "5", "6", "7"]
    assert (await case.stored()).state is CertificateState.REVOKED


async def test_a_revocation_asked_for_before_the_last_failure_was_announced_is_carried_out_all_the_same() -> None:
    case = await issued()
    case.revoker.ca.refuses = True
    await case.revoke()
    case.revoker.publisher.away = True
    with pytest.raises(UnavailableError):
        await case.revoker.revoking.advance(await case.stored())
    case.revoker.publisher.away, case.revoker.ca.refuses = False, False
    await case.revoke()
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, ASKED, FAILED, REVOKED]


async def test_while_the_ca_is_away_the_revocation_waits() -> None:
    case = await issued()
    case.revoker.ca.away = True
    await case.revoke()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await case.revoker.revoking.advance(await case.stored())
    assert [message.type for message in case.happened()] == [ASKED]
    case.revoker.ca.away = False
    await case.revoker.work_off()
    assert len(case.revoker.ca.revoked) == 1
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]


async def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    case = await issued()
    case.revoker.ca.silent = True
    await case.revoke()
    await case.revoker.work_off()
    assert [message.type for message in case.happened()] == [ASKED, REVOKED]


async def test_while_the_ca_wants_an_approval_of_its_own_the_revocation_waits_and_is_looked_at_again() -> None:
    case = await issued()
    case.revoker.ca.wants_approval, case.revoker.ca.approves = True, False
    await case.revoke()
    await case.revoker.revoking.advance(await case.stored())
    waiting = await case.stored()
    assert (waiting.state, waiting.due) == (CertificateState.REVOKING, int((NOW + POLL).timestamp() * 1000))
    assert [found.code for found in waiting.asked.findings] == ["revocation.approval-there", "ca.refused"]
    case.revoker.ca.approves = True
    await case.revoker.work_off()
    assert (await case.stored()).state is CertificateState.REVOKED


async def test_an_issued_event_that_comes_twice_does_not_undo_a_revocation() -> None:
    case = await issued()
    await case.revoke()
    await case.revoker.work_off()
    before = await case.stored()
    await case.revoker.handle(case.life.told[-1])
    assert await case.stored() == before


def _issued_event(life: Life, **changes: Any) -> Delivery:
    told = events.CertificateIssued.model_validate(_data(life.told[-1]))
    return event(told.model_copy(update=changes), sequence=3)


def _data(delivery: Delivery) -> Any:
    return json.loads(delivery.body)["data"]


FORGED: dict[str, tuple[Callable[[Life], dict[str, Any]], str]] = {
    "signed by a stranger": (
        lambda life: {"issuance": signing_key("mallory").sign(_issuance(life), Typ.ISSUANCE, NOW)},
        "evidence.unknown-key",
    ),
    "signed by approval": (
        lambda life: {"issuance": signing_key("approval").sign(_issuance(life), Typ.ISSUANCE, NOW)},
        "evidence.unknown-key",
    ),
    "for another request": (lambda _: {"request_id": new_request_id()}, "evidence.issuance-differs"),
    "with another revision": (
        lambda _: {"revision": begin().begun.evidence.revisions[0]},
        "evidence.issuance-differs",
    ),
    "with a renewal that approval did not sign": (
        lambda life: {"revision": world.renewed(life.begun, world.policy(), signer="intake").evidence.revisions[1]},
        "evidence.unknown-key",
    ),
    "with a revision that intake did not sign": (
        lambda life: {
            "revision": JwsStatement(
                jws=signing_key("mallory").sign(life.begun.revision.canonical(), Typ.REVISION, NOW)
            )
        },
        "evidence.unknown-key",
    ),
}


def _issuance(life: Life) -> bytes:
    return payload_of(_data(life.told[-1])["issuance"])


@pytest.mark.parametrize(("forge", "code"), FORGED.values(), ids=FORGED)
async def test_a_forged_certificate_is_refused_counted_and_not_kept(
    forge: Callable[[Life], dict[str, Any]], code: str
) -> None:
    revoker, life = Revoker(), begin().approved().issued()
    assert await revoker.handle(_issued_event(life, **forge(life))) == []
    assert revoker.counted("ra_evidence_refused", code=code) == 1
    assert revoker.certificates.documents == {}


async def test_a_certificate_of_a_renewed_request_is_noted_with_its_requesters() -> None:
    revoker, life = Revoker(), begin().renewed(world.policy()).approved().issued()
    assert await revoker.handle(life.told[-1]) == []
    noted = await revoker.certificates.load(life.begun.revision.request_id)
    assert noted is not None
    assert noted.requesters == ("shop",)


def willing(_revoker: Revoker) -> None:
    """The CA revokes at once."""


def silent(revoker: Revoker) -> None:
    revoker.ca.silent = True


def unwilling(revoker: Revoker) -> None:
    revoker.ca.refuses = True


@pytest.mark.parametrize(
    ("tell", "end"),
    [
        (willing, "ra.certificate.revoked.v1"),
        (silent, "ra.certificate.revoked.v1"),
        (unwilling, "ra.revocation.failed.v1"),
    ],
)
@pytest.mark.parametrize("crash_at", [None, *range(1, MOST_EFFECTS)])
async def test_a_crash_at_any_effect_leaves_one_outcome(
    tell: Callable[[Revoker], None], end: str, crash_at: int | None
) -> None:
    case = Issued(Revoker(steps=Steps(crash_at)), begin().approved().issued())
    tell(case.revoker)
    message_id = new_message_id()
    for _ in range(2):
        try:
            await case.revoker.handle(case.life.told[-1])
            await case.revoker.send(case.revocation(), by="shop", message_id=message_id)
            await case.revoker.work_off()
        except CrashError:
            case.revoker.steps.crash_at = None
    assert [message.type for message in case.happened()] == [ASKED, end]
    bodies = {message.body for message in lifecycle(case.revoker.publisher.published)}
    assert len(bodies) == len(case.happened()), "a repetition is the same to the byte"
    certificate = await case.stored()
    assert (certificate.sequence, certificate.unpublished, certificate.due) == (5, (), None)
    assert len(case.revoker.ca.revoked) == (0 if tell is unwilling else 1)
    if crash_at is None:
        assert len(case.revoker.steps.passed) < MOST_EFFECTS, "the crashes hit every effect"


async def test_the_digest_of_the_issuance_is_what_the_revocation_names() -> None:
    case = await issued()
    assert (await case.stored()).issuance == digest_of(_issuance(case.life))
