"""Intake hears of an edit: it believes the editor alone, shows what the request is now, and tells the requester."""

import json
from typing import Any

import pytest

from services.intake.model import RequestRecord
from services.intake.rules import status_of
from shared.contracts import commands, events
from shared.evidence.differences import differences
from shared.vocabulary.differences import difference
from shared.vocabulary.findings import Severity, finding
from shared.vocabulary.names import IdentityName
from shared.vocabulary.states import State
from shared.x509.entered import EditedValues
from shared.x509.names import SubjectAltNames
from tests import world
from tests.fakes.duties import Intake, data_of, event
from tests.fakes.lives import Life, begin
from tests.world import Approved

NAMES = EditedValues(names=SubjectAltNames(dns=("www.example.com", "shop.example.com")))
NO_EDITOR = world.newer_policy(('permissions.web = ["decide", "view", "edit"]', 'permissions.web = ["decide", "view"]'))


async def told(life: Life, duty: Intake | None = None) -> Intake:
    """Intake after the submission and all that this life tells."""
    duty = duty or Intake()
    await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
    for delivery in life.told:
        await duty.handle(delivery)
    return duty


async def record_of(duty: Intake, life: Life) -> RequestRecord:
    record = await duty.requests.load(life.begun.revision.request_id)
    assert record is not None
    return record


async def test_the_requester_is_told_by_whom_and_what_was_changed() -> None:
    life = begin().edited(name="another", notes="x")
    duty = await told(life)
    (notice,) = [message for message in duty.publisher.published if message.key == "shop.intake.notice"]
    said = events.RequestNotice.model_validate(data_of(notice))
    assert (said.state, said.message) == (
        State.PENDING,
        "edited by carol; the approvers decide on what it is now",
    )
    assert said.differences == (difference("name", "the shop's front door", "another"), difference("notes", "", "x"))
    status = status_of(await record_of(duty, life), IdentityName("shop"))
    assert (status.history[-1].by, status.history[-1].differences) == ("approval", said.differences)


async def test_what_is_shown_is_what_the_request_is_now() -> None:
    life = begin().edited(name="another", entered=NAMES)
    record = await record_of(await told(life), life)
    assert (record.name, record.names) == ("another", ("shop.example.com", "www.example.com"))
    assert (record.state, record.subject) == (State.PENDING, "CN=www.example.com,O=Example Ltd")
    assert record.evidence == life.begun.evidence


async def test_the_findings_shown_are_those_of_what_it_is_now() -> None:
    odd = finding("lint.odd", "an odd thing", severity=Severity.WARNING)
    life = begin()
    duty = Intake()
    duty.linter.says = [odd]
    former = life.begun.revision
    life.begun = world.edited(life.begun, name="another")
    changed = differences(former, life.begun.revision)
    fields = {"by": "carol", "differences": changed, "evidence": life.begun.evidence, **life._about}
    life._tell(events.RequestEdited.model_validate(fields))
    await told(life, duty)
    assert (await record_of(duty, life)).findings == ()


def _forged(life: Life, **changes: Any) -> events.RequestEdited:
    true = events.RequestEdited.model_validate(json.loads(life.told[0].body)["data"])
    return true.model_copy(update=changes)


def _with(chain: Approved) -> dict[str, object]:
    return {"evidence": chain.evidence}


FORGED = {
    "by another": (lambda _: {"by": "alice"}, "evidence.edit-differs"),
    "with other differences": (lambda _: {"differences": ()}, "evidence.edit-differs"),
    "with a renewal": (lambda b: _with(world.renewed(b, world.policy())), "evidence.edit-missing"),
    "with nothing but the submission": (_with, "evidence.edit-missing"),
    "with a forged signature": (
        lambda b: _with(world.edited(b, statement=world.edit(b, name="another", signer="mallory"))),
        "evidence.unknown-key",
    ),
    "with anothers request": (
        lambda _: _with(world.edited(world.accepted(), name="another")),
        "evidence.request-differs",
    ),
}


@pytest.mark.parametrize(("changes", "code"), FORGED.values(), ids=FORGED)
async def test_what_no_editor_signed_for_is_not_believed(changes: Any, code: str) -> None:
    life = begin()
    begun = life.begun
    life.edited(name="another")
    duty = Intake()
    await duty.send(commands.SubmitRequest(submission=begun.evidence.submission), by="shop")
    before = await record_of(duty, life)
    await duty.handle(event(_forged(life, **changes(begun)), sequence=2))
    assert duty.counted("ra_refusals", code=code) == 1
    assert await record_of(duty, life) == before


async def test_an_edit_of_the_past_is_told_though_its_editor_may_not_edit_any_more() -> None:
    life = begin().edited(name="another")
    for policy_serial, name in ((1, "another"), (2, "the shop's front door")):
        duty = Intake()
        await duty.send(commands.SubmitRequest(submission=life.begun.evidence.submission), by="shop")
        duty.adopt(NO_EDITOR)
        edited = events.RequestEdited.model_validate(json.loads(life.told[0].body)["data"])
        await duty.handle(event(edited, sequence=2, policy_serial=policy_serial))
        assert (await record_of(duty, life)).name == name
