"""What the day makes of a request: nobody approves what could not be issued any more."""

from datetime import timedelta

from shared.contracts import commands
from shared.contracts.replies import CaseResult
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import open_case
from tests.world import NOW

DAY = timedelta(days=1)


async def test_what_would_end_before_it_is_issued_is_not_approved_and_says_why() -> None:
    case = await open_case(world.content(expires_on=(NOW + 5 * DAY).date()))
    assert (await case.duty.ask(case.approval_by("alice"), by="alice")).code == "ok"
    case.duty.clock.advance(8 * DAY)
    now = case.duty.clock.now()
    shown = (await case.duty.ask(commands.ShowCase(request_id=case.id), by="ben")).result
    assert isinstance(shown, CaseResult)
    assert [found.code for found in shown.blocked_because] == ["validity.past"]
    assert await case.refused(case.approval_by("ben", at=now), by="ben") == ["validity.past"]
    assert (await case.stored()).state is State.PENDING
    assert (await case.duty.ask(case.denial_by("carol", at=now), by="carol")).code == "ok"
