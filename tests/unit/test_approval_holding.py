"""A quorum's approvals wait while nobody can tell whether the CA delivers, and are refused where it does not."""

from datetime import datetime, timedelta

import pytest

from shared.contracts import commands, events
from shared.contracts.replies import CaseResult, SigningCertificatesResult
from shared.errors import UnavailableError
from shared.evidence.compatibility import sign_facts
from shared.evidence.verification import verify_approval
from shared.messaging.messages import Delivery, publish_news
from shared.messaging.schedule import milliseconds
from shared.policy.compatibility import ProductFacts
from shared.vocabulary.fit import Fit
from shared.vocabulary.names import SigningCertificateName
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import GOOD_FOR, HELD, data_of, delivery_of, lifecycle, work_off
from tests.world import NOW, TODAY, signing_key

SILENT = {"allowed_ca_certs": None, "imported_order": None}


def facts(**changes: object) -> ProductFacts:
    return world.product_facts().model_copy(update=changes)


def news(told: ProductFacts, *, signer: str = "issuer", name: str = "public-tls") -> Delivery:
    token = sign_facts(told, signing_key(signer))
    message = events.ProductFactsTaken(signing_certificate=SigningCertificateName(name), facts=token)
    return delivery_of(publish_news(message, about=name, origin=token, policy_serial=1, at=NOW), "issuer")


async def held_case(policy_text: str | None = None) -> Opened:
    case = await open_case(policy_text=policy_text)
    case.duty.know()
    await case.approve("alice")
    result = await case.approve("ben")
    assert (result.state, result.approvals, result.quorum) == (State.PENDING, 2, 2)
    assert [found.code for found in result.held_because] == ["ca.facts-missing"]
    return case


def ms(moment: datetime) -> int:
    return milliseconds(moment.timestamp())


async def look(case: Opened, later: timedelta = HELD) -> None:
    """One look at what is due by then."""
    case.duty.clock.advance(later)
    for due in await case.duty.cases.due(round(case.duty.clock.now().timestamp() * 1000), limit=10):
        await case.duty.due.advance(due)


@pytest.mark.parametrize("when", ["missing", "stale", "of another combination", "forged", "silent"])
async def test_while_nobody_can_tell_the_case_is_held_with_its_approvals(when: str) -> None:
    case = await open_case()
    match when:
        case "missing":
            case.duty.know()
        case "stale":
            case.duty.clock.advance(GOOD_FOR + timedelta(seconds=1))
        case "of another combination":
            case.duty.know(world.product_facts(world.combination().model_copy(update={"ca_cert_id": "another"})))
        case "forged":
            forged = case.duty.facts.all()[0].model_copy(update={"token": sign_facts(facts(), signing_key("approval"))})
            case.duty.facts.documents[forged.id] = forged.model_dump_json()
        case _:
            case.duty.know(facts(**SILENT))
    await case.approve("alice", at=case.duty.clock.now())
    follows = await case.send(case.approval_by("ben", at=case.duty.clock.now()), by="ben")
    assert lifecycle(follows) == []
    stored = await case.stored()
    assert (stored.state, stored.verdict, len(stored.evidence.decisions)) == (State.PENDING, None, 2)
    assert stored.held_because


async def test_a_held_case_goes_on_by_itself_when_the_facts_come() -> None:
    case = await held_case()
    await look(case)
    assert (await case.stored()).state is State.PENDING
    await case.duty.handle(news(facts()))
    await work_off(case.duty.cases.due, case.duty.due.advance, case.duty.clock)
    (told,) = lifecycle(case.duty.publisher.published)
    assert told.type == "ra.request.approved.v1"
    stored = await case.stored()
    assert (stored.state, stored.held_because, stored.due, stored.unpublished) == (State.APPROVED, (), None, ())
    approval = verify_approval(stored.evidence, case.duty.in_force.anchor, now=case.duty.clock.now())
    assert approval.verdict.sequence == stored.sequence == 2


async def test_what_does_not_go_together_refuses_the_last_approval_and_keeps_the_others() -> None:
    case = await open_case()
    case.duty.know(facts(allowed_ca_certs=("another",)))
    await case.approve("alice")
    assert await case.refused(case.approval_by("ben"), by="ben") == ["ca.intermediate-not-allowed"]
    assert len((await case.stored()).evidence.decisions) == 1
    case.duty.know(facts())
    assert (await case.approve("ben")).state is State.APPROVED


async def test_a_request_that_the_product_does_not_deliver_is_refused_by_the_same_rules_as_at_the_order() -> None:
    case = await open_case(world.content(csr=world.make_csr("www.example.com", "shop.example.com")))
    case.duty.know(facts(several_names=False))
    await case.approve("alice")
    assert await case.refused(case.approval_by("ben"), by="ben") == ["product.one-name"]


async def test_a_held_case_that_turns_out_not_to_go_together_stays_held_with_that_reason() -> None:
    case = await held_case()
    case.duty.know(facts(product_known=False))
    await look(case)
    stored = await case.stored()
    assert (stored.state, [found.code for found in stored.held_because]) == (State.PENDING, ["ca.product-unknown"])


async def test_an_attestation_lets_a_held_case_go_on_where_the_ca_is_silent() -> None:
    case = await held_case()
    case.duty.know(facts(**SILENT))
    await look(case)
    assert [found.code for found in (await case.stored()).held_because] == ["ca.silent"]
    case.duty.attested.day = TODAY
    await look(case)
    assert (await case.stored()).state is State.APPROVED


@pytest.mark.parametrize("how", ["denied", "withdrawn"])
async def test_a_held_case_can_be_denied_and_withdrawn(how: str) -> None:
    case = await held_case()
    said = case.denial_by("carol") if how == "denied" else case.withdrawal()
    await case.send(said, by="carol" if how == "denied" else "shop")
    case.duty.hear()
    await look(case)
    (told,) = lifecycle(case.duty.publisher.published)
    assert told.type == f"ra.request.{how}.v1"
    assert (await case.stored()).held_because == ()


async def test_a_held_case_was_decided_in_time_and_can_be_denied_until_its_verdict_and_no_more_be_approved() -> None:
    case = await held_case(
        world.policy_text(**{"decide_within_hours = 336": "decide_within_hours = 10", "[24, 72, 168]": "[2, 5]"})
    )
    await look(case, timedelta(hours=10))
    now = case.duty.clock.now()
    assert (await case.stored()).state is State.PENDING
    assert await case.refused(case.approval_by("carol", at=now), by="carol") == ["decision.too-late"]
    (told,) = lifecycle(await case.send(case.denial_by("carol", at=now), by="carol"))
    assert told.type == "ra.request.denied.v1"


async def test_a_held_case_whose_approvals_lapse_waits_for_people_again() -> None:
    case = await held_case(world.policy_text(**{"decide_within_hours = 336": "decide_within_hours = 400"}))
    await look(case, timedelta(hours=337))
    stored = await case.stored()
    assert (stored.state, stored.held_because, stored.evidence.decisions) == (State.PENDING, (), ())
    assert stored.due == ms(stored.accepted_at + timedelta(hours=400))


async def test_a_held_case_is_renewed_under_a_policy_that_changes_it_and_then_waits_for_people() -> None:
    case = await held_case()
    case.duty.adopt(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))
    await look(case)
    stored = await case.stored()
    assert (stored.state, stored.held_because, stored.due) == (State.PENDING, (), ms(NOW + timedelta(hours=24)))
    assert (len(stored.evidence.revisions), stored.evidence.decisions) == (2, ())


async def test_a_broker_that_is_away_when_a_held_case_goes_on_loses_nothing() -> None:
    case = await held_case()
    case.duty.hear()
    case.duty.publisher.away = True
    with pytest.raises(UnavailableError):
        await look(case)
    case.duty.publisher.away = False
    await look(case)
    (told,) = lifecycle(case.duty.publisher.published)
    assert told.type == "ra.request.approved.v1"
    assert (await case.stored()).unpublished == ()


async def test_who_looks_at_a_held_case_is_told_why_it_waits() -> None:
    case = await held_case()
    shown = await case.duty.ask(commands.ShowCase(request_id=case.id), by="carol")
    assert isinstance(shown.result, CaseResult)
    assert [found.code for found in shown.result.held_because] == ["ca.facts-missing"]


async def test_the_newest_facts_count_whatever_order_they_come_in() -> None:
    duty = (await open_case()).duty
    newer = facts(taken_at=NOW + timedelta(minutes=1), longest_years=2)
    duty.know()
    for told in (newer, facts(), newer):
        await duty.handle(news(told))
    (kept,) = duty.facts.all()
    assert (kept.token, kept.version) == (sign_facts(newer, signing_key("issuer")), 1)
    await duty.handle(news(facts(taken_at=NOW + timedelta(minutes=2))))
    assert duty.facts.all()[0].version == 2


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (news(facts(), signer="approval"), "evidence.unknown-key"),
        (news(facts(), name="private-tls"), "evidence.facts-differ"),
    ],
)
async def test_facts_that_are_not_the_issuers_or_of_another_name_are_refused_and_counted(
    told: Delivery, code: str
) -> None:
    duty = (await open_case()).duty
    duty.know()
    await duty.handle(told)
    assert duty.facts.all() == []
    assert duty.counted("ra_evidence_refused", code=code) == 1


async def test_forged_facts_in_the_database_give_way_to_true_ones() -> None:
    duty = (await open_case()).duty
    kept = duty.facts.all()[0].model_copy(update={"token": sign_facts(facts(), signing_key("approval"))})
    duty.facts.documents[kept.id] = kept.model_dump_json()
    await duty.handle(news(facts(taken_at=NOW - timedelta(hours=1))))
    assert duty.facts.all()[0].token != kept.token


@pytest.mark.parametrize("identity", ["alice", "olga"])
async def test_who_decides_views_or_audits_sees_the_verdict_of_each_signing_certificate(identity: str) -> None:
    duty = (await open_case()).duty
    duty.attested.day = TODAY
    answer = await duty.ask(commands.ListSigningCertificates(), by=identity)
    assert isinstance(answer.result, SigningCertificatesResult)
    (standing,) = answer.result.signing_certificates
    assert (standing.name, standing.product, standing.fit) == ("public-tls", "ssl_basic", Fit.COMPATIBLE)
    assert (standing.facts_taken_at, standing.attested_until) == (NOW, TODAY)
    duty.know()
    answer = await duty.ask(commands.ListSigningCertificates(), by=identity)
    assert isinstance(answer.result, SigningCertificatesResult)
    (standing,) = answer.result.signing_certificates
    assert (standing.fit, standing.facts_taken_at) == (Fit.UNKNOWN, None)


async def test_who_does_neither_is_refused() -> None:
    duty = (await open_case()).duty
    assert await duty.refused(commands.ListSigningCertificates(), by="shop") == ["identity.not-permitted"]


async def test_a_held_answer_says_that_it_waits_and_goes_on() -> None:
    case = await open_case()
    case.duty.know()
    await case.approve("alice")
    (answer,) = await case.send(case.approval_by("ben"), by="ben")
    assert "goes on by itself" in data_of(answer)["message"]
