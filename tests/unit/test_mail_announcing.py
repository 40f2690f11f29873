"""Who is told what: requesters and the request's addresses, and those who decide; by notice and by mail."""

from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.intake.announcing import Announcer, Occasion
from services.intake.mail.addressing import (
    Address,
    approvers,
    each_once,
    is_deliverable,
    named_addresses,
    without_editors,
)
from services.intake.mail.composing import Composer
from services.intake.mail.content import MOST_DIFFERENCES, content_of
from services.intake.mail.model import News, Undelivered
from services.intake.mail.queueing import MOST_WAITING
from services.intake.mail.templates import Templates
from services.intake.model import RequestRecord
from shared.contracts import commands, events
from shared.contracts.replies import StatusResult
from shared.contracts.statement import UnsignedSubmission
from shared.messaging.messages import Outgoing
from shared.vocabulary.findings import finding
from shared.vocabulary.names import ApprovalGroupName, IdentityName
from tests import world
from tests.fakes.duties import Intake, command, data_of, event, notices
from tests.fakes.lives import WEB, Life, begin
from tests.fakes.mails import ALICE, CAROL, PORTAL, SHOP, mail_settings, policy_with_addresses
from tests.world import NOW

OWNER = "owner@example.com"


def intake(**changes: Any) -> Intake:
    return Intake(policy_with_addresses(), mailing=mail_settings(**changes))


async def stored(duty: Intake, request_id: str) -> RequestRecord:
    record = await duty.requests.load(request_id)
    assert record is not None
    return record


def told(record: RequestRecord) -> set[tuple[str, str]]:
    return {(str(mail.news), mail.to) for mail in record.mails}


def noticed(published: list[Outgoing]) -> list[tuple[str, str, str | None]]:
    """Who was told, by which type, and why or in which state."""
    return [
        (each.key.split(".")[0], each.type.split(".")[1], data_of(each).get("why") or data_of(each).get("state"))
        for each in notices(published)
    ]


async def lived(duty: Intake, life: Life) -> tuple[RequestRecord, list[Outgoing]]:
    """The record after the submission and what happened, and what the last event led to."""
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    await duty.requests.replace((await stored(duty, life.begun.revision.request_id)).model_copy(update={"mails": ()}))
    published: list[Outgoing] = []
    for delivery in life.told:
        published = await duty.handle(delivery)
    return await stored(duty, life.begun.revision.request_id), published


async def test_a_new_request_is_told_to_its_requester_its_addresses_and_those_who_decide() -> None:
    duty, asked = intake(), world.content(emails=(OWNER, "stranger@example.net"))
    published = await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    record = await stored(duty, asked.request_id)
    assert told(record) == {("received", SHOP), ("received", OWNER), ("pending", ALICE), ("pending", CAROL)}
    assert {mail.to for mail in record.mails if mail.is_named} == {OWNER}
    assert noticed(published) == [(name, "decision", "submitted") for name in ("alice", "ben", "carol")]


async def test_without_mail_nothing_waits_and_the_notices_are_the_same() -> None:
    asked = world.content(emails=(OWNER,))
    duty = Intake(policy_with_addresses())
    published = await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    record = await stored(duty, asked.request_id)
    assert (record.mails, record.due) == ((), None)
    assert len(noticed(published)) == 3


async def test_a_refused_request_is_told_with_its_reasons_to_requester_and_addresses_and_to_nobody_else() -> None:
    duty, asked = intake(), world.content(csr="no CSR", emails=(OWNER,))
    published = await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    record = await stored(duty, asked.request_id)
    assert told(record) == {("refused", SHOP), ("refused", OWNER)}
    assert record.happenings[0].findings[0].code == "csr.unreadable"
    assert noticed(published) == []


async def test_what_was_never_taken_for_a_request_leads_to_no_mail() -> None:
    duty, asked = intake(), world.content(emails=(OWNER,))
    await duty.refused(commands.SubmitRequest(submission=world.submission(asked, by="mallory")), by="shop")
    assert duty.requests.documents == {}


async def test_for_whom_a_request_is_submitted_is_told_too() -> None:
    duty, asked = intake(), world.content(on_behalf_of="alice")
    published = await duty.send(commands.SubmitRequest(submission=UnsignedSubmission(content=asked)), by="portal")
    assert told(await stored(duty, asked.request_id)) == {("received", PORTAL), ("received", ALICE), ("pending", CAROL)}
    assert noticed(published) == [
        ("alice", "request", "pending"),
        ("ben", "decision", "submitted"),
        ("carol", "decision", "submitted"),
    ]


async def test_for_whom_a_request_was_refused_is_told_too_and_again_when_the_submission_comes_again() -> None:
    duty, asked = intake(), world.content(csr="no CSR", on_behalf_of="alice")
    said = command(commands.SubmitRequest(submission=UnsignedSubmission(content=asked)), by="portal")
    first, again = await duty.handle(said), await duty.handle(said)
    assert told(await stored(duty, asked.request_id)) == {("refused", PORTAL), ("refused", ALICE)}
    assert noticed(first) == noticed(again) == [("alice", "request", "refused")]
    assert notices(first)[0].id == notices(again)[0].id
    assert data_of(notices(first)[0])["findings"][0]["code"] == "csr.unreadable"


async def test_whoever_may_not_submit_for_another_causes_that_one_no_news() -> None:
    duty, asked = intake(), world.content(csr="no CSR", on_behalf_of="alice")
    said = command(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    assert noticed(await duty.handle(said)) == []
    assert duty.requests.documents == {}


async def test_mails_for_which_there_is_no_room_are_told_and_counted() -> None:
    duty, asked = intake(), world.content(emails=(OWNER,))
    counted: list[News] = []
    await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    record = await stored(duty, asked.request_id)
    mail = record.mails[0].model_copy(update={"news": News.EDITED})
    full = record.model_copy(update={"mails": (mail,) * MOST_WAITING})
    announcer = Announcer(duty.in_force, duty.clock, mail_settings(), on_given_up=counted.append)
    with capture_logs() as logs:
        found = announcer.submitted(full, (OWNER,), Occasion("o", 1)).record
    assert len(found.mails) == MOST_WAITING
    assert sorted(counted) == ["pending", "pending", "received", "received"]
    assert [(line["event"], line["request"]) for line in logs] == [("mail given up", record.id)] * 4
    assert {each.to for each in found.undelivered} == {SHOP, OWNER, ALICE, CAROL}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ca.name-refused", "the CA refused the order"),
        ("ca.order-ended", "the CA ended the order"),
        ("issued.revocation-proposed", "the CA sent no certificate that can be read"),
        ("order.ended-by-operator", "an operator of the registration authority ended it"),
    ],
)
async def test_who_made_an_order_fail_is_told_in_words_that_fit(code: str, says: str) -> None:
    duty, life = intake(), begin().approved().failed((finding(code, "so it is"),))
    record, published = await lived(duty, life)
    assert data_of(notices(published)[0])["message"] == says
    (mail,) = [mail for mail in record.mails if mail.news == "failed"]
    letter = Composer(Templates(), "countersign@example.com", "Example Ltd", "").letter(mail, record)
    message: Any = message_from_bytes(letter.content, policy=default)
    text = message.get_body(("plain",)).get_content()
    assert says in text
    assert ("refused" in text) == (code == "ca.name-refused")


async def test_mails_that_were_given_up_are_shown_and_those_to_approvers_not_to_requesters() -> None:
    duty, asked = intake(), world.content()
    await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    record = await stored(duty, asked.request_id)
    lost = [
        Undelivered(news=news, to=to, at_ms=0, reason="550 no")
        for news, to in ((News.RECEIVED, SHOP), (News.PENDING, ALICE), (News.REMINDER, CAROL))
    ]
    await duty.requests.replace(record.model_copy(update={"undelivered": tuple(lost)}))
    shown = {}
    for who in ("shop", "olga"):
        result = (await duty.ask(commands.ShowStatus(request_id=asked.request_id), by=who)).result
        shown[who] = [mail.to for mail in StatusResult.model_validate(result).undelivered or ()]
    assert shown == {"shop": [SHOP], "olga": [SHOP, ALICE, CAROL]}


async def test_the_same_submission_again_leads_to_no_further_mail() -> None:
    duty, asked = intake(), world.content(emails=(OWNER,))
    said = commands.SubmitRequest(submission=world.submission(asked))
    await duty.send(said, by="shop")
    before = await stored(duty, asked.request_id)
    await duty.send(said, by="shop")
    assert await stored(duty, asked.request_id) == before


LIVES: dict[str, tuple[Life, list[tuple[str, str, str | None]], set[tuple[str, str]]]] = {
    "denied": (begin().denied(), [("shop", "request", "denied")], {("denied", SHOP)}),
    "withdrawn": (begin().withdrawn(), [("shop", "request", "withdrawn")], {("withdrawn", SHOP)}),
    "expired": (begin().expired(), [("shop", "request", "expired")], {("expired", SHOP)}),
    "approved": (begin().approved(), [], set()),
    "issued": (begin().approved().issued(), [("shop", "request", "issued")], {("issued", SHOP)}),
    "failed": (begin().approved().failed(), [("shop", "request", "failed")], {("failed", SHOP)}),
    "quarantined": (
        begin().approved().quarantined(),
        [("shop", "request", "quarantined")],
        {("quarantined", SHOP)},
    ),
    "revoked": (
        begin().approved().issued().revoked(),
        [("shop", "request", "revoked")],
        {("issued", SHOP), ("revoked", SHOP)},
    ),
    "asked to be revoked": (
        begin().approved().issued().revocation_asked(),
        [("shop", "request", "issued")],
        {("issued", SHOP), ("revocation", SHOP)},
    ),
    "waiting to be revoked": (
        begin().approved().issued().revocation_asked(awaits=1),
        [("shop", "request", "issued")],
        {("issued", SHOP), ("revocation", SHOP), ("revocation", ALICE), ("revocation", CAROL)},
    ),
    "edited": (
        begin().edited(name="the back door"),
        [("shop", "request", "pending"), ("alice", "decision", "edited"), ("ben", "decision", "edited")],
        {("edited", SHOP), ("pending", ALICE)},
    ),
    "reminded": (
        begin().reminded(),
        [("alice", "decision", "reminded"), ("ben", "decision", "reminded")],
        {("reminder", ALICE)},
    ),
    "returned": (
        begin().approved().returned(),
        [(name, "decision", "returned") for name in ("alice", "ben", "carol")],
        {("pending", ALICE), ("pending", CAROL)},
    ),
}


@pytest.mark.parametrize("name", LIVES)
async def test_each_of_the_news_reaches_those_whom_it_concerns_and_nobody_else(name: str) -> None:
    life, expected_notices, expected_mails = LIVES[name]
    record, published = await lived(intake(), life)
    assert noticed(published) == expected_notices
    assert told(record) == expected_mails


async def test_a_revocation_is_told_to_those_who_may_revoke_too() -> None:
    text = policy_with_addresses().replace(
        'permissions.web = ["decide", "view"]', 'permissions.web = ["revoke", "view"]'
    )
    record, _ = await lived(Intake(text, mailing=mail_settings()), begin().approved().issued().revoked())
    assert {("revoked", SHOP), ("revoked", ALICE)} <= told(record)


async def test_an_edit_is_told_with_what_was_changed_by_whom_also_to_addresses_that_it_took_out() -> None:
    life = begin(world.content(emails=(OWNER,))).edited(name="the back door", emails=("new@example.com",))
    record, published = await lived(intake(), life)
    assert {address for news, address in told(record) if news == "edited"} == {SHOP, OWNER, "new@example.com"}
    notice = data_of(notices(published)[0])
    assert "carol" in notice["message"]
    assert {each["what"] for each in notice["differences"]} >= {"name"}


async def test_once_it_is_ended_nothing_that_waits_calls_for_a_decision_any_more() -> None:
    duty, life = intake(), begin()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    await duty.handle(life.reminded().told[-1])
    waiting = told(await stored(duty, life.begun.revision.request_id))
    assert {("pending", CAROL), ("reminder", ALICE)} <= waiting
    await duty.handle(life.withdrawn().told[-1])
    left = {news for news, _ in told(await stored(duty, life.begun.revision.request_id))}
    assert left == {"received", "withdrawn"}


async def test_whoever_edited_it_is_not_called_to_decide_by_a_mail_that_still_waits() -> None:
    duty, life = intake(), begin()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    assert ("pending", CAROL) in told(await stored(duty, life.begun.revision.request_id))
    await duty.handle(life.edited(name="the back door").told[-1])
    calls = {to for news, to in told(await stored(duty, life.begun.revision.request_id)) if news == "pending"}
    assert calls == {ALICE}


async def test_whoever_edited_it_is_not_called_to_decide_when_it_comes_back() -> None:
    record, published = await lived(intake(), begin().edited(name="the back door").approved().returned())
    assert {to for news, to in told(record) if news == "pending"} == {ALICE}
    assert [who for who, what, _ in noticed(published) if what == "decision"] == ["alice", "ben"]


def test_neither_editors_nor_their_people_are_called_unless_the_group_lets_editors_approve() -> None:
    revision = begin().edited(name="the back door").begun.revision
    deciders = [IdentityName(name) for name in ("alice", "ben", "carol")]
    policy = world.policy()
    assert without_editors(deciders, revision, policy) == deciders[:2]
    of_another_name = revision.model_copy(update={"editors": ("someone-who-left",)})
    assert without_editors(deciders, of_another_name, policy) == deciders[:2]
    unowned = revision.model_copy(update={"editor_people": ()})
    assert without_editors(deciders, unowned, policy) == deciders[:2]


async def test_a_reminder_of_what_was_decided_meanwhile_reaches_nobody() -> None:
    duty, life = intake(), begin().denied()
    record, _ = await lived(duty, life)
    reminded = events.RequestReminded(
        request_id=record.id, approval_group=WEB, awaits=(IdentityName("alice"),), approvals=0, quorum=2, until=NOW
    )
    assert await duty.handle(event(reminded, sequence=3)) == []


async def test_a_reminder_reaches_only_those_whose_decision_may_count_whoever_it_names() -> None:
    duty, life = intake(), begin()
    record, _ = await lived(duty, life)
    named = tuple(IdentityName(name) for name in ("alice", "nobody", "olga", "portal", "shop"))
    reminded = events.RequestReminded(
        request_id=record.id, approval_group=WEB, awaits=named, approvals=0, quorum=2, until=NOW
    )
    assert noticed(await duty.handle(event(reminded, sequence=2))) == [("alice", "decision", "reminded")]
    assert told(await stored(duty, record.id)) == {("reminder", ALICE)}


async def test_mails_and_notices_of_the_same_news_have_the_same_ids_when_it_is_handled_again() -> None:
    life, ids = begin().approved().issued(), []
    for _ in range(2):
        record, published = await lived(intake(), life)
        ids.append(([mail.id for mail in record.mails], [each.id for each in published]))
    assert ids[0] == ids[1]


async def test_no_mail_goes_where_the_operator_did_not_allow_it() -> None:
    asked = ("a@example.com", "b@EXAMPLE.com", "c@sub.example.com", "d@example.net", "e@notexample.com")
    assert [each.text for each in named_addresses(asked, ("example.com",))] == ["a@example.com", "b@EXAMPLE.com"]
    assert list(named_addresses(asked, ())) == []
    assert len(list(named_addresses(asked, ("*",)))) == len(asked)


@pytest.mark.parametrize("address", ["a@example.com", "a.b+c@xn--bcher-kva.example", "o'neil@example.com", "a=b@x.y"])
def test_plain_addresses_are_told(address: str) -> None:
    assert is_deliverable(address)


@pytest.mark.parametrize(
    "address",
    [
        "a%other.example@example.com",
        "other.example!a@example.com",
        "a?b@example.com",
        "=?utf-8?q?=0aBcc=3a_x?=@example.com",
        ".a@example.com",
        "a..b@example.com",
        "-oQ/tmp@example.com",
        "|a@example.com",
        "a@localhost",
        "a@-example.com",
        "a@example..com",
        "a@example.com.",
        "ä@example.com",
        "a@bücher.example",
        "a b@example.com",
        "a@example.com\n",
        "@example.com",
        "",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_deliverable(address)


def test_each_address_is_told_once_and_counts_as_the_policys_where_it_is_in_the_policy() -> None:
    found = each_once(
        [Address("a@Example.com", is_named=False), Address("a@example.COM", is_named=True), Address("@", is_named=True)]
    )
    assert found == [Address("a@Example.com", is_named=False)]


def test_whoever_owns_a_requester_is_no_approver_unless_the_group_wants_it() -> None:
    web = ApprovalGroupName("web")
    ben = [IdentityName("ben")]
    assert approvers(web, ben, world.policy()) == ["alice", "carol"]
    allowing = world.policy(world.newer_policy(("quorum = 2", "quorum = 2\nrequester_counts = true")))
    assert approvers(web, ben, allowing) == ["alice", "ben", "carol"]
    assert approvers(ApprovalGroupName("none"), ben, world.policy()) == []
    second = world.newer_policy(('person = "olga"', 'person = "ben"'))
    assert approvers(web, [IdentityName("olga")], world.policy(second)) == ["alice", "carol"]


async def test_a_mail_tells_of_so_many_changes_and_counts_the_others() -> None:
    record, _ = await lived(intake(), begin().edited(name="the back door"))
    (mail,) = (each for each in record.mails if each.news == News.EDITED and each.to == SHOP)
    happening = record.happenings[-1]
    many = happening.model_copy(update={"differences": happening.differences[:1] * (MOST_DIFFERENCES + 3)})
    record = record.model_copy(update={"happenings": (*record.happenings[:-1], many)})
    content = content_of(mail, record, organisation="Example Ltd", footer="")
    assert (len(content["differences"]), content["more_differences"]) == (MOST_DIFFERENCES, 3)
    written = Templates().write(content)
    assert "and 3 more" in written.text
    assert "and 3 more" in written.html
