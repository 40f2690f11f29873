"""What intake tells an auditor of orders: all that it heard, signed, of the groups that the auditor may see."""

from collections.abc import Callable

import pytest

from services.desk.published import fact_of
from services.intake import rules
from shared.contracts import commands
from shared.contracts.replies import Publication, PublicationsResult
from shared.evidence.anchor import Anchor
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Intake
from tests.fakes.lives import Life, begin
from tests.world import NOW

MAIL = """
[approval_groups.mail]
description = "Mail"
quorum = 2
"""


def with_mail(*, audited: bool) -> str:
    """A policy with a second group, which olga audits or not."""
    text = world.policy_text().replace("[approval_groups.web]", f"{MAIL}\n[approval_groups.web]")
    text = text.replace('approval_groups = ["web"]', 'approval_groups = ["web", "mail"]')
    text = text.replace('permissions.web = ["submit"]', 'permissions.web = ["submit"]\npermissions.mail = ["submit"]')
    text = text.replace('permissions.web = ["decide", ', 'permissions.mail = ["decide"]\npermissions.web = ["decide", ')
    return text.replace('"audit"]', '"audit"]\npermissions.mail = ["audit"]') if audited else text


async def heard(duty: Intake, life: Life) -> None:
    """Have intake hear a request's whole life."""
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    for delivery in life.told:
        await duty.handle(delivery)


async def listed(duty: Intake, **ask: object) -> PublicationsResult:
    answer = await duty.ask(commands.ListPublications.model_validate(ask), by="olga")
    assert isinstance(answer.result, PublicationsResult)
    return answer.result


async def the_one(life: Life) -> Publication:
    duty = Intake()
    await heard(duty, life)
    page = await listed(duty)
    assert (page.more, page.complete, page.groups) == (False, True, ("web",))
    (publication,) = page.publications
    assert publication.request_id == life.begun.revision.request_id
    return publication


async def test_an_announced_order_is_told_with_its_number() -> None:
    publication = await the_one(begin().approved().ordered())
    assert (publication.state, publication.order_id, publication.issuance) == (State.ORDERED, 7, None)


async def test_a_certificate_and_its_revocation_are_told_as_they_were_signed() -> None:
    publication = await the_one(begin().approved().ordered().issued().revoked())
    fact = fact_of(publication, Anchor.of(world.policy()), now=NOW)
    assert fact.state is State.REVOKED
    assert fact.certificate is not None
    assert fact.certificate.is_revoked


@pytest.mark.parametrize("life", [Life.quarantined, lambda life: life.quarantined().revoked()])
async def test_the_evidence_of_a_quarantined_certificate_which_holds_it_goes_to_auditors_only(
    life: Callable[[Life], Life],
) -> None:
    duty, lived = Intake(), life(begin().approved())
    await heard(duty, lived)
    export = commands.ExportEvidence(request_id=lived.begun.revision.request_id)
    assert await duty.refused(export, by="shop") == ["evidence.quarantined"]
    assert (await duty.ask(export, by="olga")).result is not None


async def test_a_request_that_was_not_approved_is_told_without_an_order() -> None:
    publication = await the_one(begin().denied())
    assert (publication.state, publication.order_id, publication.verdict) == (State.DENIED, None, None)
    assert len(publication.revisions) == 1


async def test_a_refused_request_is_told_without_anything_signed() -> None:
    duty = Intake()
    asked = world.content(csr=world.make_csr("www.example.net"))
    await duty.refused(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    (publication,) = (await listed(duty)).publications
    assert (publication.state, publication.revisions) == (State.REFUSED, ())


async def test_requests_are_told_page_by_page_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    duty = Intake()
    lives = sorted((begin() for _ in range(3)), key=lambda life: life.begun.revision.request_id)
    for life in lives:
        await heard(duty, life)
    ids = [life.begun.revision.request_id for life in lives]
    first = await listed(duty, limit=2)
    rest = await listed(duty, limit=2, after=first.publications[-1].request_id)
    assert [each.request_id for each in first.publications] == ids[:2]
    assert [each.request_id for each in rest.publications] == ids[2:]
    assert (first.more, rest.more) == (True, False)

    monkeypatch.setattr(rules, "PAGE_BYTES", 1)
    short = await listed(duty)
    assert ([each.request_id for each in short.publications], short.more) == (ids[:1], True)


@pytest.mark.parametrize("sender", ["shop", "alice", "portal"])
async def test_who_audits_no_group_is_told_nothing(sender: str) -> None:
    duty = Intake()
    await heard(duty, begin().approved().issued())
    assert await duty.refused(commands.ListPublications(), by=sender) == ["identity.not-permitted"]


async def test_requests_of_a_group_that_is_not_audited_are_left_out_and_that_is_said() -> None:
    for audited in (False, True):
        duty = Intake(with_mail(audited=audited))
        await heard(duty, begin())
        asked = world.content(approval_group="mail")
        await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
        page = await listed(duty)
        assert page.complete is audited
        assert page.groups == (("mail", "web") if audited else ("web",))
        assert len(page.publications) == len(page.groups)


async def test_requests_of_a_group_that_is_gone_are_missing_and_that_is_said() -> None:
    duty = Intake(with_mail(audited=True))
    asked = world.content(approval_group="mail")
    await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    duty.adopt(world.newer_policy())
    page = await listed(duty)
    assert (page.publications, page.groups, page.complete) == ((), ("web",), False)
