"""Asking for a revocation: for which reason, by whom, of which certificate, by when, and what it does to the key."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from shared.contracts import commands, events
from shared.evidence.jws import Typ, payload_of, verify
from shared.evidence.revocations import read_key_block
from shared.evidence.steps import Revocation
from shared.identifiers import new_request_id
from shared.messaging.messages import Delivery, Outgoing, publish_news
from shared.policy.products import TLS_REASONS
from shared.vocabulary.names import RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests import world
from tests.fakes.duties import Intake, Issuer, Revoker, data_of, delivery_of
from tests.fakes.holders import new_key, proven
from tests.fakes.ledger import accept
from tests.fakes.lives import WEB, begin
from tests.fakes.revocations import Issued, issued
from tests.world import signing_key

KEY_COMPROMISE, SUPERSEDED = RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED
INVALID, NOT_ISSUED = ["revocation.proof-invalid"], ["revocation.not-issued"]


async def issued_for(key: ec.EllipticCurvePrivateKey, revoker: Revoker | None = None) -> Issued:
    life = begin(world.content(csr=world.make_csr(key=key))).approved().issued()
    return await issued(life, revoker=revoker)


# --- reasons --------------------------------------------------------------------------------------------------------


def test_all_reasons_have_their_codes_a_meaning_and_a_time() -> None:
    assert {reason: reason.code for reason in RevocationReason} == {
        "unspecified": 0,
        "keyCompromise": 1,
        "cACompromise": 2,
        "affiliationChanged": 3,
        "superseded": 4,
        "cessationOfOperation": 5,
        "certificateHold": 6,
        "removeFromCRL": 8,
        "privilegeWithdrawn": 9,
        "aACompromise": 10,
    }
    assert all(reason.meaning for reason in RevocationReason)
    hours = {reason: reason.time_allowed / timedelta(hours=1) for reason in TLS_REASONS}
    assert hours == {
        "unspecified": 24,
        "keyCompromise": 24,
        "affiliationChanged": 120,
        "superseded": 120,
        "cessationOfOperation": 120,
    }


@pytest.mark.parametrize(
    ("reason", "instead"),
    [
        (RevocationReason.PRIVILEGE_WITHDRAWN, "cessationOfOperation"),
        (RevocationReason.CA_COMPROMISE, "keyCompromise"),
        (RevocationReason.AA_COMPROMISE, "keyCompromise"),
        (RevocationReason.CERTIFICATE_HOLD, "no CA that is connected can hold"),
        (RevocationReason.REMOVE_FROM_CRL, "no CA that is connected can hold"),
    ],
)
async def test_a_reason_that_is_not_taken_is_refused_with_what_to_say_instead(
    reason: RevocationReason, instead: str
) -> None:
    case = await issued()
    reply = await case.revoker.ask(case.revocation(reason), by="shop")
    assert [found.code for found in reply.findings] == ["revocation.reason-not-available"]
    assert instead in reply.findings[0].message
    assert case.revoker.ca.calls == 0


async def test_the_clock_runs_from_the_report_and_the_notes_go_to_the_ca() -> None:
    case = await issued()
    result = await case.revoke()
    assert result.deadline == case.revoker.clock.now() + timedelta(days=5)
    await case.revoker.work_off()
    (notes,) = case.revoker.ca.notes
    assert notes.startswith("old [")
    assert (await case.stored()).deadline_ms is None


async def test_what_has_expired_is_not_revoked() -> None:
    case = await issued()
    case.revoker.clock.advance((await case.stored()).not_after - case.revoker.clock.now() + timedelta(seconds=1))
    assert await case.revoker.refused(case.revocation(), by="shop") == ["revocation.expired"]


# --- by serial number -----------------------------------------------------------------------------------------------


async def test_a_certificate_goes_by_its_serial_number_too() -> None:
    case = await issued()
    serial = (await case.stored()).serial_number
    by_serial = commands.RevokeCertificate(serial_number=serial, reason=SUPERSEDED)
    assert await case.revoker.refused(by_serial, by="alice") == NOT_ISSUED
    assert (await case.revoker.ask(by_serial, by="shop")).result.request_id == case.id  # type: ignore[union-attr]  # it has one


async def test_a_serial_number_of_two_issuers_revokes_neither_and_never_somebody_elses() -> None:
    case, other = await issued(), await issued_for(new_key())
    mine, theirs = await case.stored(), await other.stored()
    serial = {"serial_number": mine.serial_number, "issuer": "CN=Another"}
    twin = theirs.model_copy(update={**serial, "requesters": ("portal",), "version": 1})
    await case.revoker.certificates.insert(twin)
    by_serial = commands.RevokeCertificate(serial_number=mine.serial_number, reason=SUPERSEDED)
    assert await case.revoker.refused(by_serial, by="olga") == ["revocation.ambiguous"]
    assert (await case.revoker.ask(by_serial, by="shop")).result.request_id == mine.id  # type: ignore[union-attr]  # it has one
    assert (await case.revoker.certificates.load(twin.id)) == twin


# --- by whoever holds the key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["request", "serial"])
async def test_whoever_holds_the_key_has_it_revoked_for_key_compromise(name: str) -> None:
    key = new_key()
    case = await issued_for(key)
    named = case.id if name == "request" else (await case.stored()).serial_number
    assert (await case.revoker.ask(proven(key, named), by="portal")).result.reason == KEY_COMPROMISE  # type: ignore[union-attr]  # it has one
    await case.revoker.work_off()
    token = events.CertificateRevoked.model_validate(data_of(case.happened()[-1])).revocation
    said = Revocation.read(verify(token, Typ.REVOCATION, [case.revoker.key.public], now=world.NOW).payload, code="x")
    assert said.proof is not None
    assert said.requested_by == "portal"


OTHERS: dict[str, Callable[[ec.EllipticCurvePrivateKey, RequestId], commands.RevokeCertificate]] = {
    "with another key": lambda _, name: proven(new_key(), name),
    "for another certificate": lambda key, name: proven(key, new_request_id()).model_copy(update={"request_id": name}),
    "for another reason": lambda key, name: proven(key, name, reason=SUPERSEDED),
    "relayed by another": lambda key, name: proven(key, name, by="shop"),
    "an old one": lambda key, name: proven(key, name, at=world.NOW - timedelta(minutes=11)),
    "one from the future": lambda key, name: proven(key, name, at=world.NOW + timedelta(minutes=3)),
    "of no certificate": lambda key, _: proven(key, new_request_id()),
}


@pytest.mark.parametrize("made", OTHERS.values(), ids=OTHERS)
async def test_any_other_proof_is_refused_alike_and_tells_a_stranger_nothing(
    made: Callable[[ec.EllipticCurvePrivateKey, RequestId], commands.RevokeCertificate],
) -> None:
    key = new_key()
    case = await issued_for(key)
    before = await case.stored()
    reply = await case.revoker.ask(made(key, case.id), by="portal")
    nothing = await case.revoker.ask(proven(key, new_request_id()), by="portal")
    assert [found.code for found in reply.findings] == INVALID
    assert reply.message == nothing.message
    assert await case.stored() == before


# --- after a key compromise -----------------------------------------------------------------------------------------


async def test_a_key_compromise_replaces_an_earlier_reason_and_is_never_replaced() -> None:
    case = await issued()
    await case.revoke()
    await case.revoker.work_off()
    compromise, other = case.revocation(KEY_COMPROMISE), case.revocation(RevocationReason.UNSPECIFIED)
    assert (await case.revoker.ask(compromise, by="shop")).result.state == "revoked"  # type: ignore[union-attr]  # it has one
    await case.revoker.work_off()
    assert case.revoker.ca.calls == 2
    stored = await case.stored()
    assert (stored.state, stored.revoked_for) == (CertificateState.REVOKED, KEY_COMPROMISE)
    said = Revocation.read(payload_of(data_of(case.happened()[-1])["revocation"]), code="x")
    assert (said.reason, said.replaces, said.elsewhere) == (KEY_COMPROMISE, SUPERSEDED, False)
    assert await case.revoker.refused(other, by="shop") == ["revocation.reason-differs"]
    assert (await case.revoker.ask(compromise, by="shop")).code == "ok"


async def test_a_key_compromise_overtakes_a_revocation_that_is_under_way() -> None:
    case = await issued()
    await case.revoke()
    await case.revoker.ask(case.revocation(KEY_COMPROMISE), by="shop")
    await case.revoker.work_off()
    assert [reason for _, reason in case.revoker.ca.revoked] == [KEY_COMPROMISE]
    assert (await case.stored()).revoked_for is KEY_COMPROMISE


async def test_a_key_compromise_blocks_the_key_at_once_and_lists_what_else_is_good_with_it() -> None:
    key = new_key()
    case = await issued_for(key)
    other = await issued_for(key, case.revoker)
    answered = await case.revoker.send(case.revocation(KEY_COMPROMISE), by="shop")
    (blocked,) = [message for message in answered if message.type == "ra.key.blocked.v1"]
    assert blocked.key == "revoker.key.blocked.web"
    token = events.KeyBlocked.model_validate(data_of(blocked)).block
    block = read_key_block(token, case.revoker.in_force.anchor, now=world.NOW)
    assert (block.key, block.request_id) == ((await case.stored()).key, case.id)
    listed: Any = (await case.revoker.ask(case.revocation(KEY_COMPROMISE), by="shop")).result
    assert [each.request_id for each in listed.same_key] == [other.id]
    second: Any = (await case.revoker.ask(other.revocation(KEY_COMPROMISE), by="shop")).result
    assert second.same_key == ()


def blocking(messages: list[Outgoing]) -> Delivery:
    (blocked,) = [message for message in messages if message.type == "ra.key.blocked.v1"]
    return delivery_of(blocked, "revoker")


async def test_intake_and_issuer_learn_of_a_blocked_key_from_the_message_alone() -> None:
    key = new_key()
    csr = world.make_csr(key=key)
    case, intake, accepted = await issued_for(key), Intake(), await accept(world.content(csr=csr))
    block = blocking(await case.revoker.send(case.revocation(KEY_COMPROMISE), by="shop"))
    for duty in (intake, accepted.issuer):
        await duty.handle(block)
        await duty.handle(block)
    await accepted.issuer.work_off()
    assert accepted.happened() == ["ra.request.failed.v1"]
    assert accepted.issuer.ca.orders == []
    assert [found.code for found in (await accepted.stored()).findings] == ["key.compromised"]
    submission = commands.SubmitRequest(submission=world.submission(world.content(csr=csr)))
    assert await intake.refused(submission, by="shop") == ["key.compromised"]


async def test_a_forged_block_is_refused_by_both() -> None:
    token = signing_key("issuer").sign(b"{}", Typ.KEY_BLOCK, world.NOW)
    news = events.KeyBlocked(approval_group=WEB, block=token)
    forged = publish_news(news, about=WEB, origin="forged", policy_serial=1, at=world.NOW)
    intake, issuer = Intake(), Issuer()
    for duty in (intake, issuer):
        assert await duty.handle(delivery_of(forged, "revoker")) == []
    assert (intake.keys.documents, issuer.blocked.documents) == ({}, {})


async def test_a_certificate_that_comes_on_a_blocked_key_is_noted_all_the_same() -> None:
    key = new_key()
    case = await issued_for(key)
    await case.revoker.ask(case.revocation(KEY_COMPROMISE), by="shop")
    late = await issued_for(key, case.revoker)
    assert (await late.stored()).state is CertificateState.LIVE
