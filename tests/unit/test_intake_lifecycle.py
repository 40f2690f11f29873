"""Intake's view of a request: one story, in whatever order its events come."""

import asyncio
import json
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.model import RequestRecord
from services.intake.rules import status_of
from shared.contracts import commands, events
from shared.contracts.statement import UnsignedSubmission
from shared.evidence.file import EvidenceFile, verify_evidence
from shared.evidence.jws import Typ
from shared.identifiers import new_request_id
from shared.messaging.messages import Delivery
from shared.vocabulary.states import State
from tests import world
from tests.fakes.duties import Intake, data_of, event
from tests.fakes.lives import REASON, WEB, Life, begin
from tests.world import NOW, signing_key

SHORTER = world.policy(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))

LIVES: dict[str, tuple[Callable[[], Life], State]] = {
    "revoked": (lambda: begin().approved().ordered().issued().revoked(), State.REVOKED),
    "revoked at the second attempt": (
        lambda: begin().approved().issued().revocation_failed().revoked(),
        State.REVOKED,
    ),
    "not revoked": (lambda: begin().approved().issued().revocation_failed(), State.ISSUED),
    "quarantined": (lambda: begin().approved().ordered().quarantined(), State.QUARANTINED),
    "quarantined and not revoked": (
        lambda: begin().approved().quarantined().revocation_failed(),
        State.QUARANTINED,
    ),
    "denied": (lambda: begin().denied(), State.DENIED),
    "withdrawn": (lambda: begin().withdrawn(), State.WITHDRAWN),
    "withdrawn after the approval": (lambda: begin().approved().withdrawn_in_time(), State.WITHDRAWN),
    "expired": (lambda: begin().reminded().reminded().expired(), State.EXPIRED),
    "approved after a reminder": (lambda: begin().reminded().approved().issued(), State.ISSUED),
    "returned after a reminder": (lambda: begin().reminded().approved().returned().reminded(), State.PENDING),
    "failed": (lambda: begin().approved().failed(), State.FAILED),
    "returned": (lambda: begin().approved().returned(), State.PENDING),
    "returned twice": (lambda: begin().approved().returned().approved().returned(), State.PENDING),
    "approved again": (
        lambda: begin().approved().returned().approved(by=("ben", "carol")),
        State.APPROVED,
    ),
    "issued at the second approval": (
        lambda: begin().approved().returned().approved(by=("ben", "carol")).ordered().issued(),
        State.ISSUED,
    ),
    "denied after a return": (lambda: begin().approved().returned().denied(), State.DENIED),
    "renewed after a return": (
        lambda: begin().approved().returned().renewed(SHORTER).approved().issued().revoked(),
        State.REVOKED,
    ),
    "denied after a renewal": (lambda: begin().renewed(SHORTER).denied(), State.DENIED),
    "edited": (lambda: begin().edited(name="another"), State.PENDING),
    "edited and issued": (
        lambda: begin().edited(name="another").edited(notes="x").approved(by=("alice", "ben")).issued().revoked(),
        State.REVOKED,
    ),
    "edited after a return": (
        lambda: begin().approved().returned().edited(notes="x").renewed(SHORTER).approved().issued(),
        State.ISSUED,
    ),
    "denied after an edit": (lambda: begin().edited(name="another").denied(), State.DENIED),
    "withdrawn after a return": (lambda: begin().approved().returned().withdrawn(), State.WITHDRAWN),
}
every_life = pytest.mark.parametrize(("name", "end"), [(name, end) for name, (_, end) in LIVES.items()], ids=LIVES)


@cache
def life_of(name: str) -> Life:
    return LIVES[name][0]()


@cache
def told_in_order(name: str) -> RequestRecord:
    life = life_of(name)
    return asyncio.run(lived(life, life.told))


async def lived(life: Life, deliveries: list[Delivery]) -> RequestRecord:
    """The record of this request after its submission and these events."""
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    for delivery in deliveries:
        await duty.handle(delivery)
    assert duty.publisher.parked == []
    return await stored(duty, life)


async def stored(duty: Intake, life: Life) -> RequestRecord:
    record = await duty.requests.load(life.begun.revision.request_id)
    assert record is not None
    return record


def view(record: RequestRecord) -> dict[str, object]:
    """All that is kept, but how often it was written and in what order messages were handled."""
    return record.model_dump(exclude={"version", "outcomes"})


@every_life
async def test_events_in_their_order_lead_to_this_state_with_evidence_that_verifies(name: str, end: State) -> None:
    life = life_of(name)
    record = await lived(life, life.told)
    assert record.state is end
    assert record.evidence is not None
    file = EvidenceFile(request_id=record.id, evidence=record.evidence)
    story = verify_evidence(file, Intake().in_force.anchor, now=NOW)
    assert story.revoked is (end is State.REVOKED)
    history = status_of(record, record.sender).history
    assert len(history) == life.sequence
    assert history[-1].state is end


@every_life
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_late_early_and_repeated_events_tell_the_same_story(name: str, end: State, data: st.DataObject) -> None:
    life = life_of(name)
    order = data.draw(st.permutations(life.told))
    repeated = data.draw(st.lists(st.sampled_from(life.told), max_size=4))
    places = [data.draw(st.integers(0, len(order))) for _ in repeated]
    shuffled = list(order)
    for place, delivery in zip(places, repeated, strict=True):
        shuffled.insert(place, delivery)
    found = asyncio.run(lived(life, shuffled))
    assert found.state is end
    assert view(found) == view(told_in_order(name))


async def test_requesters_are_told_what_matters_and_each_of_it_once() -> None:
    life = begin().approved().ordered().issued().revoked()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    published = [message for told in life.told for message in await duty.handle(told)]
    assert [(message.key, data_of(message)["state"]) for message in published] == [
        ("shop.intake.notice", "issued"),
        ("shop.intake.notice", "revoked"),
    ]
    again = [message for told in life.told for message in await duty.handle(told)]
    assert again == published


async def test_requesters_are_told_that_time_is_over_and_approvers_are_reminded() -> None:
    life = begin().reminded().expired()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    published = [message for told in life.told for message in await duty.handle(told)]
    assert [(message.key, message.type, data_of(message).get("why")) for message in published] == [
        ("alice.intake.notice", "ra.decision.awaited.v1", "reminded"),
        ("ben.intake.notice", "ra.decision.awaited.v1", "reminded"),
        ("shop.intake.notice", "ra.request.notice.v1", None),
    ]


async def test_a_reminder_does_not_hide_why_an_approval_was_returned() -> None:
    life = begin().approved().returned().reminded()
    record = await lived(life, life.told)
    assert record.findings == REASON


async def test_both_requesters_are_told() -> None:
    asked = world.content(on_behalf_of="alice")
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=UnsignedSubmission(content=asked)), by="portal")
    told = event(events.RequestWithdrawn(request_id=asked.request_id, approval_group=WEB, by="alice"), sequence=2)
    assert [message.key for message in await duty.handle(told)] == ["portal.intake.notice", "alice.intake.notice"]


async def test_an_event_about_a_request_that_was_never_accepted_is_refused() -> None:
    duty = Intake()
    told = events.RequestFailed(request_id=new_request_id(), approval_group=WEB, findings=REASON)
    assert await duty.handle(event(told, sequence=2)) == []
    assert duty.counted("ra_refusals", code="request.unknown") == 1


async def test_a_refused_request_is_brought_to_life_by_no_event() -> None:
    duty, asked = Intake(), world.content(csr="no CSR")
    await duty.send(commands.SubmitRequest(submission=world.submission(asked)), by="shop")
    told = events.RequestFailed(request_id=asked.request_id, approval_group=WEB, findings=REASON)
    await duty.handle(event(told, sequence=2))
    record = await duty.requests.load(asked.request_id)
    assert record is not None
    assert record.state is State.REFUSED


@pytest.mark.parametrize("kind", ["approved", "issued", "quarantined"])
async def test_true_evidence_of_another_request_proves_nothing(kind: str) -> None:
    life, other = begin(), begin().approved()
    if kind != "approved":
        other = getattr(other, kind)()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    before = await stored(duty, life)
    foreign = other.told[-1]
    swapped = foreign.body.decode().replace(
        f'"request_id":"{other.begun.revision.request_id}"', f'"request_id":"{before.id}"'
    )
    swapped = swapped.replace(f'"subject":"{other.begun.revision.request_id}"', f'"subject":"{before.id}"')
    await duty.handle(Delivery(swapped.encode(), foreign.sender, "q", foreign.key))
    assert duty.counted("ra_refusals", code="evidence.request-differs") == 1
    assert await stored(duty, life) == before


async def test_the_return_of_an_approval_that_never_held_changes_nothing_that_is_seen() -> None:
    life = begin().approved()
    true = await lived(life, life.told)
    told = events.RequestReturned.model_validate(
        {"request_id": true.id, "approval_group": "web", "verdict": None, "findings": REASON}
    )
    for verdict in (None, "sha256:" + "0" * 64):
        forged = event(told.model_copy(update={"verdict": verdict}), sequence=999_999_999)
        found = await lived(life, [forged, *life.told])
        assert status_of(found, found.sender) == status_of(true, true.sender)
        assert found.evidence == true.evidence


async def test_an_approval_made_under_an_older_policy_is_kept_though_it_would_not_do_under_this_one() -> None:
    """The issuer has judged it, by the policy of that time."""
    life = begin().approved()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    duty.adopt(world.newer_policy(('permissions.web = ["decide", "view", "submit"]', "")))
    await duty.handle(life.told[0])
    record = await stored(duty, life)
    assert record.state is State.APPROVED
    assert record.evidence is not None
    assert len(record.evidence.decisions) == 2


async def test_a_denial_made_under_an_older_policy_is_told_though_its_approver_has_left_since() -> None:
    life = begin().denied()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    duty.adopt(world.newer_policy(('person = "carol"', 'person = "olga"'), (_key("carol"), _key("somebody"))))
    await duty.handle(life.told[0])
    assert (await stored(duty, life)).state is State.DENIED


async def test_a_denial_brings_no_revision_that_does_not_follow_from_what_was_submitted() -> None:
    life = begin().denied()
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    before = await stored(duty, life)
    denied = events.RequestDenied.model_validate(json.loads(life.told[0].body)["data"])
    altered = world.renewed(life.begun, world.policy(), notes="altered").evidence.revisions
    evidence = denied.evidence.model_copy(update={"revisions": altered})
    await duty.handle(event(denied.model_copy(update={"evidence": evidence}), sequence=2))
    assert duty.counted("ra_refusals", code="evidence.renewal-differs") == 1
    assert await stored(duty, life) == before


def _key(owner: str) -> str:
    return signing_key(owner).public.x


async def test_an_approval_under_an_older_policy_is_believed_only_with_approvals_own_signature() -> None:
    life = begin().approved(by=("alice",))
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    before = await stored(duty, life)
    await duty.handle(life.told[0])
    assert duty.counted("ra_refusals", code="evidence.quorum-missing") == 1
    duty.adopt(world.newer_policy())
    evidence = life.begun.evidence.model_copy(update={"verdict": signing_key("mallory").sign(b"{}", Typ.VERDICT, NOW)})
    forged = events.RequestApproved(request_id=before.id, approval_group=WEB, evidence=evidence)
    await duty.handle(event(forged, sequence=2))
    assert duty.counted("ra_refusals", code="evidence.unknown-key") == 1
    assert await stored(duty, life) == before
