"""With many requests there, summary and list read no more documents than they show; and what tallying costs.

What is counted are the documents that the server gives out, and those that it looks at by its own `explain`.
Putting them there is what takes the time. `make bench` holds the time of both against that with a hundred.
"""

from collections.abc import AsyncIterator

import pytest

from services.intake.tallying import BATCH, Tallying
from shared.contracts import commands
from shared.evidence.in_force import PolicyInForce
from shared.vocabulary.duties import Duty
from shared.vocabulary.names import ApprovalGroupName
from shared.vocabulary.states import State
from tests import world
from tests.fakes.crowd import Crowd
from tests.fakes.large import Large, large_databases
from tests.infrastructure import TestRun
from tests.unit.test_intake_publications import with_mail
from tests.world import FixedClock

WEB, MAIL = ApprovalGroupName("web"), ApprovalGroupName("mail")
CROWD = Crowd((WEB, MAIL), closed=100_000, pending=5_000)
PAGE = 50


@pytest.fixture
async def large(test_run: TestRun) -> AsyncIterator[Large]:
    in_force = PolicyInForce(world.policy(with_mail(audited=True)))
    async with large_databases(test_run.folder("large"), in_force, FixedClock()) as opened:
        yield opened


@pytest.mark.timeout(900)
async def test_summary_and_list_read_no_more_documents_than_they_show(large: Large) -> None:
    large.settle(CROWD)
    intake, approval = large.watched[Duty.INTAKE], large.watched[Duty.APPROVAL]

    shown = await large.summary()
    figures = [number for group in shown.groups for number in group.counts.values()]
    assert sum(figures) == CROWD.closed + CROWD.pending
    assert sum(group.counts[State.PENDING] for group in shown.groups) == CROWD.pending
    given = sum(number for _, number in intake.given)
    assert given == 4, "each group's tally twice, and no request"
    assert large.looked_at(Duty.INTAKE) == given <= len(figures)

    in_web, in_both = commands.ListPending(approval_group=WEB, limit=PAGE), commands.ListPending(limit=PAGE)
    for ask, groups in ((in_web, 1), (in_both, 2)):
        await large.pending(ask)  # so that the stand-in is asked for ranges; MongoDB needs no such thing
        approval.clear()
        page = await large.pending(ask)
        assert (len(page.cases), page.more) == (PAGE, True)
        *ids, cases = [number for _, number in approval.given]
        assert cases == PAGE, "a case is read for each that is shown, and no other"
        assert ids == [PAGE + 1] * groups, "of each group's index as many ids, and one to see if there is more"
        assert large.looked_at(Duty.APPROVAL) == PAGE + groups * (PAGE + 1)


async def test_a_hundred_requests_share_two_commands_of_the_tally_which_write_each_of_them_once(large: Large) -> None:
    assert BATCH == 100
    large.settle(Crowd((WEB,), closed=0, pending=BATCH))
    with large.server.admin() as client:
        client["intake"]["requests"].update_many({}, {"$set": {"state": State.APPROVED, "untallied": WEB}})
    handler, watched = large.summary_handler, large.watched[Duty.INTAKE]
    tally = await Tallying(handler.requests, handler.tallies, {WEB: 1}).advance(WEB)
    assert (tally.counts[State.PENDING], tally.counts[State.APPROVED]) == (0, BATCH)
    writes = [each for each in watched.commands if "update" in each or "insert" in each]
    assert [each.get("update") for each in writes] == ["tallies", "requests"]
    assert sum(len(each["updates"]) for each in writes) == 1 + BATCH
    assert sum("find" in each for each in watched.commands) == 2, "the tally, and what waits"
