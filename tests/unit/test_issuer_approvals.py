"""Approvals at the issuer's door: what holds is accepted once, what does not reaches no CA."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts import commands
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import DecisionKind
from shared.identifiers import new_request_id
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import MessageId
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.duties import Issuer, data_of, event, lifecycle
from tests.fakes.ledger import Accepted, accept
from tests.world import NOW, decision, signing_key, verdict

SECOND = timedelta(seconds=1)


async def test_an_approval_that_holds_is_accepted_offered_and_answered_to_nobody() -> None:
    case = await accept()
    assert case.issuer.publisher.published == []
    order = await case.stored()
    assert (order.state, order.sequence, order.due) == (OrderState.ACCEPTED, 2, int(NOW.timestamp() * 1000))
    assert case.issuer.offered == [order]


def _judged(case: Accepted, *decisions: JwsStatement, **update: Any) -> Evidence:
    token = verdict(case.begun.digest, case.id, decisions)
    return case.begun.evidence.model_copy(update={"decisions": decisions, "verdict": token, **update})


def _by(case: Accepted, name: str, **others: Any) -> JwsStatement:
    return decision(case.begun.digest, case.id, by=name, **others)


def _with(case: Accepted, **update: Any) -> Evidence:
    return case.begun.evidence.model_copy(update=update)


def _revision_by(case: Accepted, signer: str) -> JwsStatement:
    return RevisionStatement(jws=signing_key(signer).sign(case.begun.revision.canonical(), Typ.REVISION, NOW))


OWN_VERDICT = {
    "too few": (lambda c: _judged(c, _by(c, "alice")), "evidence.quorum-missing"),
    "one person twice": (lambda c: _judged(c, _by(c, "alice"), _by(c, "alice", note="x")), "evidence.person-twice"),
    "an approval signed by somebody else": (
        lambda c: _judged(c, _by(c, "alice"), _by(c, "ben", signer="mallory")),
        "evidence.unknown-key",
    ),
    "a denial among them": (
        lambda c: _judged(c, _by(c, "alice"), _by(c, "ben", kind=DecisionKind.DENY)),
        "evidence.denied",
    ),
    "decisions exchanged": (lambda c: _with(c, decisions=(_by(c, "alice"), _by(c, "carol"))), "evidence.decisions"),
    "the requester among them": (lambda c: _judged(c, _by(c, "alice"), _by(c, "shop")), "decision.by-requester"),
    "a revision nobody signed": (
        lambda c: _with(c, revisions=(_revision_by(c, "mallory"),)),
        "evidence.unknown-key",
    ),
    "another submission": (
        lambda c: _with(c, submission=world.submission(world.content())),
        "evidence.submission-differs",
    ),
}


@pytest.mark.parametrize(("tamper", "code"), OWN_VERDICT.values(), ids=OWN_VERDICT)
async def test_an_approval_that_does_not_hold_is_counted_and_given_back_and_never_ordered(
    tamper: Any, code: str
) -> None:
    case = Accepted(Issuer(), world.approved())
    delivery = case.delivery(tamper(case))
    published = await case.issuer.handle(delivery)
    (told,) = lifecycle(published)
    assert (told.type, told.key) == ("ra.request.returned.v1", "issuer.request.returned.web")
    codes = [found["code"] for found in data_of(told)["findings"]]
    assert any(each.startswith(code) for each in codes)
    assert all(case.issuer.counted("ra_evidence_refused", code=each) >= 1 for each in codes)
    await case.issuer.work_off()
    assert case.issuer.ca.orders == []
    assert await case.issuer.handle(delivery) == published


FORGED = {
    "no verdict": lambda c: _with(c, verdict=None),
    "a verdict signed by a stranger": lambda c: _with(c, verdict=_forged(c, "mallory")),
    "a verdict signed by an approver": lambda c: _with(c, verdict=_forged(c, "alice")),
    "a verdict signed by intake": lambda c: _with(c, verdict=_forged(c, "intake")),
    "a verdict about another request": lambda _: world.approved().evidence,
    "another signature of approval's": lambda c: _with(
        c, verdict=signing_key("approval").sign(b"{}", Typ.DECISION, NOW)
    ),
}


def _forged(case: Accepted, signer: str) -> str:
    return signing_key(signer).sign(payload_of(case.begun.evidence.verdict or ""), Typ.VERDICT, NOW)


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_forgery_is_counted_kept_and_answered_to_nobody(forge: Any) -> None:
    case = Accepted(Issuer(), world.approved())
    delivery = case.delivery(forge(case))
    for _ in range(2):
        assert await case.issuer.handle(delivery) == []
    (kept,) = case.issuer.refusals.all()
    assert kept.findings
    assert all(case.issuer.counted("ra_evidence_refused", code=each.code) >= 1 for each in kept.findings)
    await case.issuer.work_off()
    assert (case.issuer.ca.orders, case.issuer.orders.documents) == ([], {})


async def test_a_forgery_does_not_stand_in_the_way_of_the_true_approval() -> None:
    case = Accepted(Issuer(), world.approved())
    forged = case.begun.evidence.model_copy(update={"verdict": None})
    await case.issuer.handle(event(case.approved_event(forged), sequence=2, origin="forged"))
    await case.issuer.handle(case.delivery())
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1


@pytest.mark.parametrize("sequence", [1, 3, 4])
async def test_a_verdict_in_another_event_than_its_own_is_not_accepted(sequence: int) -> None:
    case = Accepted(Issuer(), world.approved())
    await case.issuer.handle(case.delivery(sequence=sequence))
    await case.issuer.work_off()
    assert case.issuer.ca.orders == []


@pytest.mark.parametrize("when", ["at once", "while it is ordered", "after it was issued", "under another id"])
async def test_an_approved_event_replayed_never_orders_twice(when: str) -> None:
    case = await accept()
    if when != "at once":
        case.issuer.ca.slow = timedelta(seconds=40) if when == "while it is ordered" else timedelta(0)
        await case.issuer.ordering.advance(await case.stored())
    again = (
        event(case.approved_event(), sequence=2, origin="another") if when == "under another id" else case.delivery()
    )
    await asyncio.gather(*(case.issuer.runtime.handle(again) for _ in range(5)))
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1
    assert case.happened()[-1] == "ra.certificate.issued.v1"


@pytest.mark.parametrize("step", ["accepted", "ordered", "issued"])
async def test_a_replay_that_no_longer_verifies_gives_nothing_back_that_is_under_way(step: str) -> None:
    case = await accept()
    case.issuer.ca.slow = timedelta(0) if step == "issued" else timedelta(hours=1)
    if step != "accepted":
        await case.issuer.ordering.advance(await case.stored())
    before = await case.stored()
    case.issuer.clock.advance(timedelta(hours=400))
    published = await case.issuer.handle(case.delivery())
    assert published == []
    assert await case.stored() == before


async def test_an_approval_given_back_never_serves_again_even_when_the_policy_changes_back() -> None:
    issuer = Issuer()
    case = Accepted(issuer, world.approved())
    issuer.adopt(world.policy_text().replace("quorum = 2", "quorum = 3"))
    await issuer.handle(case.delivery())
    issuer.adopt(world.policy_text())
    await issuer.handle(event(case.approved_event(), sequence=2, origin="again"))
    await issuer.work_off()
    assert issuer.ca.orders == []
    await case.approve_again(sequence=4)
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1


def denial(case: Accepted, by: str = "carol", **others: Any) -> commands.DenyRequest:
    said = decision(case.begun.digest, case.id, by=by, kind=DecisionKind.DENY, **others)
    return commands.DenyRequest(request_id=case.id, decision=said)


async def test_a_denial_seen_on_its_way_makes_the_approval_that_leaves_it_out_fall() -> None:
    case = Accepted(Issuer(), world.approved())
    assert await case.issuer.send(denial(case), by="carol") == []
    published = await case.issuer.handle(case.delivery())
    (told,) = lifecycle(published)
    assert data_of(told)["denial"] == denial(case).decision.model_dump()
    assert [found["code"] for found in data_of(told)["findings"]] == ["evidence.denial-omitted"]
    await case.issuer.work_off()
    assert case.issuer.ca.orders == []
    assert await case.issuer.handle(case.delivery()) == published


@pytest.mark.parametrize("seconds", [-1, 0, 1])
async def test_a_denial_counts_until_the_order_whatever_dates_it_and_the_verdict_bear(seconds: int) -> None:
    """Copies share the queue, and an approval may overtake a denial; and who signs a verdict chooses its date."""
    case = Accepted(Issuer(), world.approved(at=NOW))
    case.issuer.clock.advance(SECOND * 5)
    await case.issuer.handle(case.delivery())
    await case.issuer.send(denial(case, at=NOW + SECOND * seconds), by="carol")
    await case.issuer.work_off()
    assert case.issuer.ca.orders == []
    (told,) = lifecycle(case.issuer.publisher.published)
    assert data_of(told)["denial"] is not None


async def test_a_denial_after_the_order_comes_too_late() -> None:
    case = await accept()
    await case.issuer.work_off()
    await case.issuer.send(denial(case, at=NOW), by="carol")
    await case.issuer.work_off()
    assert case.happened() == ["ra.certificate.issued.v1"]
    assert (await case.stored()).denials == ()


@pytest.mark.parametrize("by", ["alice", "ben", "carol"])
async def test_second_thoughts_of_an_approver_count_also_under_another_name(by: str) -> None:
    issuer = Issuer(world.policy_text(**{'person = "carol"': 'person = "ben"'}))
    case = Accepted(issuer, world.approved())
    issuer.clock.advance(SECOND * 5)
    await issuer.send(denial(case, by, at=NOW + SECOND), by=by)
    (told,) = lifecycle(await issuer.handle(case.delivery()))
    assert data_of(told)["denial"] == denial(case, by, at=NOW + SECOND).decision.model_dump()
    await issuer.work_off()
    assert issuer.ca.orders == []


@pytest.mark.parametrize(
    ("said", "by"),
    [
        (lambda c: denial(c, signer="mallory"), "carol"),
        (denial, "alice"),
        (lambda c: denial(c, by="shop"), "shop"),
        (lambda c: commands.DenyRequest(request_id=c.id, decision=_by(c, "carol")), "carol"),
        (lambda c: commands.DenyRequest(request_id=new_request_id(), decision=denial(c).decision), "carol"),
    ],
    ids=["forged", "another's", "no approver", "an approval", "of another request"],
)
async def test_what_is_no_denial_of_its_sender_is_not_noted(said: Any, by: str) -> None:
    case = Accepted(Issuer(), world.approved())
    assert await case.issuer.send(said(case), by=by) == []
    assert case.issuer.orders.documents == {}


async def test_an_approver_fills_the_ledger_with_one_denial_each() -> None:
    case = Accepted(Issuer(), world.approved())
    for number in range(20):
        await case.issuer.send(denial(case, note=str(number)), by="carol")
    await case.issuer.send(denial(case, by="ben"), by="ben")
    assert len((await case.stored()).denials) == 2


async def test_a_denial_of_another_revision_does_not_stand_against_this_one() -> None:
    case = Accepted(Issuer(), world.approved())
    other = decision(digest_of(b"x"), case.id, by="carol", kind=DecisionKind.DENY)
    await case.issuer.send(commands.DenyRequest(request_id=case.id, decision=other), by="carol")
    await case.issuer.handle(case.delivery())
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1


async def test_downloads_are_for_requesters_and_who_may_and_name_what_is_wrong() -> None:
    case = await accept()

    def ask(form: str = "pem-x509") -> commands.DownloadCertificate:
        return commands.DownloadCertificate(request_id=case.id, format=form)

    assert await case.issuer.refused(ask(), by="shop") == ["download.not-issued"]
    await case.issuer.work_off()
    for who in ("shop", "olga"):
        answer = await case.issuer.ask(ask(), by=who)
        assert answer.result is not None
        assert b"-----BEGIN CERTIFICATE-----" in answer.result.content
    for who in ("alice", "portal"):
        assert await case.issuer.refused(ask(), by=who) == ["request.unknown"]
    assert await case.issuer.refused(ask("exe"), by="shop") == ["download.format-unknown"]
    elsewhere = commands.DownloadCertificate(request_id=new_request_id(), format="pem-x509")
    assert await case.issuer.refused(elsewhere, by="shop") == ["request.unknown"]


async def test_a_quarantined_certificate_is_not_delivered() -> None:
    case = await accept()
    case.issuer.ca.common_name = "evil.example.com"
    await case.issuer.work_off()
    ask = commands.DownloadCertificate(request_id=case.id, format="pem-x509")
    assert await case.issuer.refused(ask, by="shop") == ["download.quarantined"]


async def test_a_denial_under_the_id_of_the_approval_to_come_does_not_swallow_it() -> None:
    case = Accepted(Issuer(), world.approved())
    delivery = case.delivery()
    other = decision(digest_of(b"x"), case.id, by="carol", kind=DecisionKind.DENY)
    said = commands.DenyRequest(request_id=case.id, decision=other)
    assert delivery.message_id is not None
    await case.issuer.send(said, by="carol", message_id=MessageId(delivery.message_id))
    await case.issuer.handle(delivery)
    await case.issuer.work_off()
    assert len(case.issuer.ca.orders) == 1


async def test_a_denial_of_the_former_revision_makes_the_approval_of_its_renewal_fall() -> None:
    begun = world.accepted()
    shorter = world.newer_policy(("max_validity_days = 199", "max_validity_days = 90"))
    case = Accepted(Issuer(shorter), world.judged(world.renewed(begun, world.policy(shorter))))
    said = decision(begun.digest, case.id, by="carol", kind=DecisionKind.DENY)
    await case.issuer.send(commands.DenyRequest(request_id=case.id, decision=said), by="carol")
    (told,) = lifecycle(await case.issuer.handle(case.delivery()))
    assert data_of(told)["denial"] == said.model_dump()
    await case.issuer.work_off()
    assert case.issuer.ca.orders == []
