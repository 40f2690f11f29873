"""What time does to a request that waits for its approvers: reminders, its end, and what a new policy changes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.approval.rounds import Rounds
from shared.contracts import commands, events
from shared.errors import UnavailableError
from shared.messaging.gate import Gate
from shared.messaging.messages import Outgoing
from shared.messaging.runtime import Settlement
from shared.observability.metrics import CaseMetrics
from shared.vocabulary.model import Model
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import open_case
from tests.fakes.duties import Approval, command, data_of, event, lifecycle, replies
from tests.fakes.faults import CrashError, Steps
from tests.world import NOW, signing_key

HOUR = timedelta(hours=1)
SHORT = (("decide_within_hours = 336", "decide_within_hours = 10"), ("[24, 72, 168]", "[2, 5]"))
NONE = world.policy_text(**{"[24, 72, 168]": "[]"})
LONG = (("decide_within_hours = 336", "decide_within_hours = 1000"), ("[24, 72, 168]", "[400]"))


async def look(duty: Approval, at: datetime) -> list[Outgoing]:
    """Everything that is due at this time is looked at until nothing is; gives what was published."""
    before = len(duty.publisher.published)
    duty.clock.instant = at
    while due := await duty.cases.due(round(at.timestamp() * 1000), limit=10):
        for case in due:
            await duty.due.advance(case)
    return duty.publisher.published[before:]


def rounds_of(duty: Approval, registry: CollectorRegistry | None = None) -> Rounds:
    metrics = CaseMetrics(registry or CollectorRegistry())
    gate = Gate("database", duty._probe, on_change=lambda _: None)
    return Rounds(duty.cases, duty.in_force, metrics, duty.clock, gate, lambda: None)


async def test_a_request_that_nobody_decides_expires_when_its_time_is_over() -> None:
    case = await open_case()
    await case.approve("alice")
    await look(case.duty, NOW + 335 * HOUR)
    assert (await case.stored()).state is State.PENDING
    (told,) = await look(case.duty, NOW + 336 * HOUR)
    assert told.type == "ra.request.expired.v1"
    assert (data_of(told)["approvals"], data_of(told)["quorum"]) == (1, 2)
    stored = await case.stored()
    assert (stored.state, stored.open_for, stored.due, stored.unpublished) == (State.EXPIRED, None, None, ())
    assert f'"sequence":"{stored.sequence}"' in told.body


async def test_a_request_whose_group_was_renamed_expires_as_well_though_nobody_sees_it() -> None:
    case = await open_case()
    renamed = world.policy_text().replace('"web"', '"shopping"').replace("_groups.web]", "_groups.shopping]")
    case.duty.adopt(renamed.replace("permissions.web", "permissions.shopping").replace("serial = 1", "serial = 2"))
    rounds = rounds_of(case.duty)
    await rounds.go()
    assert await look(case.duty, NOW + 335 * HOUR) == []
    (told,) = await look(case.duty, NOW + 336 * HOUR)
    assert told.type == "ra.request.expired.v1"
    assert (await case.stored()).state is State.EXPIRED


async def test_what_has_expired_cannot_be_decided_or_withdrawn_any_more() -> None:
    case = await open_case()
    await case.approve("alice")
    await look(case.duty, NOW + 336 * HOUR)
    now = case.duty.clock.now()
    assert await case.refused(case.approval_by("ben", at=now), by="ben") == ["decision.too-late"]
    assert await case.refused(case.denial_by("carol", at=now), by="carol") == ["decision.too-late"]
    assert await case.refused(case.withdrawal(), by="shop") == ["request.not-pending"]
    assert (await case.stored()).state is State.EXPIRED


@pytest.mark.parametrize("scheduler", ["has looked", "is late"])
async def test_nothing_is_decided_or_edited_any_more_from_the_moment_on_in_which_the_time_is_over(
    scheduler: str,
) -> None:
    case = await open_case()
    await case.approve("alice")
    case.duty.clock.instant = now = NOW + 336 * HOUR
    if scheduler == "has looked":
        await look(case.duty, now)
    edit = commands.EditRequest(request_id=case.id, edit=world.edit(case.begun, by="carol", at=now, notes="new"))
    assert await case.refused(edit, by="carol") == ["edit.too-late"]
    assert await case.refused(case.approval_by("ben", at=now), by="ben") == ["decision.too-late"]
    assert await case.refused(case.denial_by("ben", at=now), by="ben") == ["decision.too-late"]
    await look(case.duty, now)
    assert (await case.stored()).state is State.EXPIRED


async def test_approvers_who_have_not_decided_are_reminded_at_the_times_of_the_policy() -> None:
    case = await open_case()
    assert await look(case.duty, NOW + 23 * HOUR) == []
    (first,) = await look(case.duty, NOW + 24 * HOUR)
    assert first.type == "ra.request.reminded.v1"
    assert data_of(first)["awaits"] == ["alice", "ben", "carol"]
    assert datetime.fromisoformat(data_of(first)["until"]) == NOW + 336 * HOUR
    case.duty.clock.instant = NOW + 30 * HOUR
    await case.approve("alice", at=NOW + 30 * HOUR)
    (second,) = await look(case.duty, NOW + 72 * HOUR)
    assert (data_of(second)["awaits"], data_of(second)["approvals"]) == (["ben", "carol"], 1)
    (third,) = await look(case.duty, NOW + 168 * HOUR)
    for number, told in ((2, first), (3, second), (4, third)):
        assert f'"sequence":"{number}"' in told.body
    assert await look(case.duty, NOW + 335 * HOUR) == []


async def test_whoever_asked_is_not_reminded_nor_is_the_same_person_under_another_name() -> None:
    text = world.policy_text().replace(
        'kind = "system"\ndescription = "The web', 'kind = "person"\nperson = "ben"\ndescription = "The web'
    )
    start = text.index("[identities.carol]")
    second = text[start : text.index("[identities.olga]")].replace("identities.carol", "identities.carla")
    second = second.replace(signing_key("carol").public.x, signing_key("carla").public.x)
    case = await open_case(policy_text=text[:start] + second + text[start:])
    (first,) = await look(case.duty, NOW + 24 * HOUR)
    assert data_of(first)["awaits"] == ["alice", "carla", "carol"]
    await case.approve("carol", at=case.duty.clock.now())
    (then,) = await look(case.duty, NOW + 72 * HOUR)
    assert data_of(then)["awaits"] == ["alice"]


async def test_a_reminder_that_would_remind_nobody_is_not_told() -> None:
    text = world.policy_text().replace(
        'kind = "system"\ndescription = "The web', 'kind = "person"\nperson = "alice"\ndescription = "The web'
    )
    start = text.index("[identities.carol]")
    case = await open_case(policy_text=text[:start] + text[start:].replace('["decide", "view", ', '["view", ', 1))
    await case.approve("ben")
    assert await look(case.duty, NOW + 24 * HOUR) == []
    assert (await case.stored()).sequence == 1


async def test_reminders_that_were_missed_are_made_up_for_by_one() -> None:
    case = await open_case()
    told = await look(case.duty, NOW + 170 * HOUR)
    assert [message.type for message in told] == ["ra.request.reminded.v1"]
    assert (await case.stored()).due == round((NOW + 336 * HOUR).timestamp() * 1000)


async def test_what_expired_while_approval_was_away_is_not_reminded_of() -> None:
    case = await open_case()
    told = await look(case.duty, NOW + 500 * HOUR)
    assert [message.type for message in told] == ["ra.request.expired.v1"]


async def test_a_request_whose_quorum_is_reached_and_that_is_held_neither_reminds_nor_expires() -> None:
    case = await open_case(
        policy_text=world.policy_text(**{"approvals_stay_good_hours = 336": "approvals_stay_good_hours = 400"})
    )
    case.duty.know()
    await case.approve("alice")
    await case.approve("ben")
    case.duty.clock.instant = NOW + 337 * HOUR
    for due in await case.duty.cases.due(round(case.duty.clock.now().timestamp() * 1000), limit=10):
        await case.duty.due.advance(due)
    assert lifecycle(case.duty.publisher.published) == []
    assert (await case.stored()).state is State.PENDING


async def test_a_held_request_whose_approvals_lapse_after_its_time_expires() -> None:
    case = await open_case()
    case.duty.know()
    await case.approve("alice")
    await case.approve("ben")
    (told,) = await look(case.duty, NOW + 337 * HOUR)
    assert (told.type, data_of(told)["approvals"]) == ("ra.request.expired.v1", 0)


async def test_approvers_have_their_time_anew_when_an_approval_is_given_back() -> None:
    case = await open_case()
    case.duty.clock.instant = NOW + 300 * HOUR
    case.duty.hear()
    for name in ("alice", "ben"):
        await case.approve(name, at=case.duty.clock.now())
    case.duty.clock.instant = NOW + 400 * HOUR
    back = events.RequestReturned(
        request_id=case.id, approval_group=case.begun.revision.policy.approval_group, verdict=None, findings=()
    )
    verdict = (await case.stored()).verdict
    await case.duty.handle(event(back.model_copy(update={"verdict": verdict}), sequence=3))
    (reminder,) = await look(case.duty, NOW + 424 * HOUR)
    assert reminder.type == "ra.request.reminded.v1"
    assert datetime.fromisoformat(data_of(reminder)["until"]) == NOW + 736 * HOUR
    told = await look(case.duty, NOW + 736 * HOUR)
    assert [message.type for message in told] == ["ra.request.expired.v1"]


@pytest.mark.parametrize(
    ("changes", "due"),
    [(SHORT, 2 * HOUR), (LONG, 400 * HOUR), ((("[24, 72, 168]", "[]"),), 336 * HOUR)],
    ids=["shorter", "longer", "no reminders"],
)
async def test_another_policy_moves_the_deadlines_of_what_is_open(
    changes: tuple[tuple[str, str], ...], due: timedelta
) -> None:
    duty = Approval()
    open_cases = [await open_case(duty=duty) for _ in range(3)]
    decided = await open_case(duty=duty)
    await decided.send(decided.denial_by("carol"), by="carol")
    rounds = rounds_of(duty)
    await rounds.go()
    writes = duty.cases.writes
    duty.adopt(world.newer_policy(*changes))
    await rounds.go()
    await rounds.go()
    assert duty.cases.writes == writes + 3
    for case in open_cases:
        assert (await case.stored()).due == round((NOW + due).timestamp() * 1000)
    assert (await decided.stored()).due is None


async def test_a_policy_that_came_while_approval_was_down_moves_deadlines_when_it_starts() -> None:
    case = await open_case()
    case.duty.adopt(world.newer_policy(*SHORT))
    await rounds_of(case.duty).go()
    (told,) = await look(case.duty, NOW + 11 * HOUR)
    assert told.type == "ra.request.expired.v1"


async def test_a_copy_that_has_the_older_policy_still_lets_nothing_expire_by_it() -> None:
    case = await open_case(policy_text=world.policy_text(**dict(SHORT)))
    case.duty.adopt(world.newer_policy(*LONG))
    await rounds_of(case.duty).go()
    due = (await case.stored()).model_copy(update={"due": 0})
    late = Approval(world.policy_text(**dict(SHORT)))
    late.cases, late.clock.instant = case.duty.cases, NOW + 11 * HOUR
    late.runtime = late.new_runtime()
    await late.due.advance(due)
    assert lifecycle(late.publisher.published) == []
    assert (await case.stored()).state is State.PENDING


async def test_what_comes_back_to_a_copy_with_the_older_policy_is_looked_at_by_one_with_the_newer() -> None:
    case = await open_case()
    newer = case.duty
    newer.adopt(world.newer_policy(*SHORT))
    await rounds_of(newer).go()
    await case.decide("approved")
    older = Approval()
    older.cases = newer.cases
    older.runtime = older.new_runtime()
    verdict = (await case.stored()).verdict
    back = events.RequestReturned(
        request_id=case.id, approval_group=case.begun.revision.policy.approval_group, verdict=verdict, findings=()
    )
    await older.handle(event(back, sequence=3))
    assert await look(newer, NOW) == []
    stored = await case.stored()
    assert (stored.state, stored.due) == (State.PENDING, round((NOW + 2 * HOUR).timestamp() * 1000))


async def test_a_request_that_the_policy_no_longer_allows_expires_as_well() -> None:
    case = await open_case()
    text = world.policy_text()
    start = text.index("[identities.shop]")
    case.duty.adopt((text[:start] + text[text.index("[identities.", start + 1) :]).replace("serial = 1", "serial = 2"))
    await rounds_of(case.duty).go()
    (told,) = await look(case.duty, NOW + 336 * HOUR)
    assert told.type == "ra.request.expired.v1"


@pytest.mark.parametrize(
    ("hours", "kind", "state"), [(24, "reminded", State.PENDING), (336, "expired", State.EXPIRED)], ids=str
)
@pytest.mark.parametrize("crash_at", range(1, 8))
async def test_a_crash_at_any_step_tells_of_it_once_and_loses_nothing(
    hours: int, kind: str, state: State, crash_at: int
) -> None:
    """Dies at this step, before or after it; another process goes on."""
    case = await open_case(policy_text=world.policy_text(**{"[24, 72, 168]": "[24]"}) if hours == 24 else NONE)
    duty = case.duty
    duty.cases.steps = duty.publisher.steps = Steps(crash_at)
    at = NOW + hours * HOUR
    crashed = False
    try:
        await look(duty, at)
    except CrashError:
        crashed = True
    assert crashed is (crash_at <= 6), "a write, a publish and a write, each with a before and an after"
    duty.cases.steps = duty.publisher.steps = Steps()
    await look(duty, at)
    told = {message.id: message for message in lifecycle(duty.publisher.published)}
    assert [message.type for message in told.values()] == [f"ra.request.{kind}.v1"]
    stored = await case.stored()
    assert (stored.state, stored.unpublished, stored.sequence) == (state, (), 2)


@pytest.mark.parametrize("hours", [24, 336])
async def test_several_copies_that_find_the_same_case_tell_of_it_once(hours: int) -> None:
    case = await open_case()
    duty = case.duty
    await look(duty, NOW + (hours - 1) * HOUR)
    before = len(duty.publisher.published)
    duty.clock.instant = NOW + hours * HOUR
    (due,) = await duty.cases.due(round(duty.clock.now().timestamp() * 1000), limit=10)
    results = await asyncio.gather(*(duty.due.advance(due) for _ in range(5)), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert len({message.id for message in duty.publisher.published[before:]}) == 1


async def test_a_reminder_that_is_not_published_yet_survives_the_verdict() -> None:
    case = await open_case()
    case.duty.publisher.away = True
    with pytest.raises(UnavailableError):
        await look(case.duty, NOW + 24 * HOUR)
    case.duty.publisher.away = False
    case.duty.hear()
    for name in ("alice", "ben"):
        await case.approve(name, at=case.duty.clock.now())
    await look(case.duty, NOW + 25 * HOUR)
    told = lifecycle(case.duty.publisher.published)
    assert [message.type for message in told] == ["ra.request.approved.v1", "ra.request.reminded.v1"]
    assert '"sequence":"3"' in told[0].body
    stored = await case.stored()
    assert (stored.state, stored.due, stored.unpublished) == (State.APPROVED, None, ())


@pytest.mark.parametrize("word", ["approval", "denial", "withdrawal"])
async def test_of_the_end_of_time_and_a_last_word_exactly_one_decides(word: str) -> None:
    case = await open_case(policy_text=NONE)
    await case.approve("alice")
    duty = case.duty
    duty.clock.instant = at = NOW + 336 * HOUR
    duty.hear()
    (due,) = await duty.cases.due(round(at.timestamp() * 1000), limit=10)
    words: dict[str, tuple[str, Model]] = {
        "approval": ("ben", case.approval_by("ben", at=at)),
        "denial": ("ben", case.denial_by("ben", at=at)),
        "withdrawal": ("shop", case.withdrawal()),
    }
    by, said = words[word]
    settled, *_ = await asyncio.gather(
        duty.runtime.handle(command(said, by=by)), duty.due.advance(due), return_exceptions=True
    )
    assert settled is Settlement.ACKNOWLEDGE
    await look(duty, at)
    stored = await case.stored()
    (told,) = lifecycle(duty.publisher.published)
    assert told.type == f"ra.request.{stored.state}.v1"
    answer = replies(duty.publisher.published)[-1]
    assert (data_of(answer)["code"] == "ok") is (stored.state is not State.EXPIRED)


async def test_the_age_of_the_oldest_undecided_request_is_told_by_group() -> None:
    registry = CollectorRegistry()
    duty = Approval()
    rounds = rounds_of(duty, registry)

    def age() -> float | None:
        return registry.get_sample_value("ra_requests_oldest_undecided_seconds", {"approval_group": "web"})

    await rounds.go()
    assert age() == 0
    first = await open_case(duty=duty)
    duty.clock.advance(HOUR)
    await open_case(duty=duty)
    duty.clock.advance(HOUR)
    await rounds.go()
    assert age() == 7200
    other = CollectorRegistry()
    await rounds_of(duty, other).go()
    assert other.get_sample_value("ra_requests_oldest_undecided_seconds", {"approval_group": "web"}) == 7200
    await first.send(first.denial_by("carol", at=duty.clock.now()), by="carol")
    await rounds.go()
    assert age() == 3600


async def test_rounds_go_on_by_themselves_and_at_once_when_another_policy_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, case = CollectorRegistry(), await open_case()
    case.duty.clock.advance(HOUR)
    monkeypatch.setattr("services.approval.rounds.ROUND_SECONDS", 3600.0)
    running = asyncio.create_task(rounds_of(case.duty, registry).run())

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - nothing waits longer than the event loop's next turn
                await asyncio.sleep(0)

    def age() -> float | None:
        return registry.get_sample_value("ra_requests_oldest_undecided_seconds", {"approval_group": "web"})

    def due() -> int | None:
        (stored,) = case.duty.cases.all()
        return stored.due

    await until(lambda: age() == 3600)
    case.duty.adopt(world.newer_policy(*SHORT))
    await until(lambda: due() == round((NOW + 2 * HOUR).timestamp() * 1000))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_database_that_is_away_cuts_a_round_short_and_the_next_is_gone() -> None:
    case = await open_case()
    closed: list[bool] = []
    gate = Gate("database", case.duty._probe, on_change=closed.append)
    rounds = Rounds(
        case.duty.cases, case.duty.in_force, CaseMetrics(CollectorRegistry()), case.duty.clock, gate, lambda: None
    )
    case.duty.cases.away = True
    await rounds._tried()
    assert closed == [True, False]
    await gate.aclose()
    case.duty.cases.away = False
    await rounds._tried()
