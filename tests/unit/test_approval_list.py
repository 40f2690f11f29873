"""The list of what waits: by filters, and page by page, nothing twice and nothing left out."""

from datetime import timedelta

import pytest

from services.approval import waiting
from shared.contracts import commands
from shared.contracts.events import RequestAccepted
from shared.contracts.replies import PendingResult
from shared.vocabulary.names import ApprovalGroupName
from tests import world
from tests.fakes.duties import Approval, event
from tests.world import NOW

WEB = ApprovalGroupName("web")


async def opened(approval: Approval, host: str, **content: object) -> str:
    """A case for this host; the next one is accepted an hour later."""
    begun = world.accepted(world.content(csr=world.make_csr(host), **content), at=NOW)  # type: ignore[arg-type]  # whatever the content has
    about = {"request_id": begun.revision.request_id, "approval_group": WEB}
    await approval.handle(event(RequestAccepted(**about, evidence=begun.evidence), sequence=1))
    approval.clock.advance(timedelta(hours=1))
    return begun.revision.request_id


async def listed(approval: Approval, **ask: object) -> PendingResult:
    answer = await approval.ask(commands.ListPending.model_validate(ask), by="alice")
    assert isinstance(answer.result, PendingResult)
    return answer.result


@pytest.fixture
async def three() -> tuple[Approval, list[str]]:
    approval = Approval()
    return approval, [
        await opened(approval, "www.example.com", name="The Shop's door"),
        await opened(approval, "mail.example.com", name="mail"),
        await opened(approval, "shop.example.org", name="another"),
    ]


@pytest.mark.parametrize(
    ("ask", "found"),
    [
        ({"text": "SHOP'S"}, [0]),
        ({"text": "cn=mail.EXAMPLE"}, [1]),
        ({"text": "shop"}, [0, 1, 2]),  # the requester's name
        ({"text": "nothing"}, []),
        ({"requester": "shop"}, [0, 1, 2]),
        ({"requester": "sho"}, []),
        ({"accepted_before": NOW + timedelta(hours=1)}, [0]),
        ({"accepted_after": NOW, "accepted_before": NOW + timedelta(hours=2)}, [1]),
        ({"text": "example", "accepted_after": NOW + timedelta(minutes=90)}, [2]),
        ({"approval_group": "web", "text": "example.org"}, [2]),
    ],
)
async def test_a_filter_shows_those_that_fit_it(
    three: tuple[Approval, list[str]], ask: dict[str, object], found: list[int]
) -> None:
    approval, ids = three
    page = await listed(approval, **ask)
    assert [case.request.request_id for case in page.cases] == sorted(ids[number] for number in found)
    assert (page.more, page.next) == (False, None)


@pytest.mark.parametrize("ask", [{}, {"text": "example"}])
async def test_pages_follow_one_another_without_a_gap(
    three: tuple[Approval, list[str]], ask: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOKED_AT_ONCE", 1)
    approval, ids = three
    seen, after = [], None
    for more in (True, True, False):
        page = await listed(approval, **ask, limit=1, after=after)
        seen += [case.request.request_id for case in page.cases]
        assert page.more is more
        after = page.next
    assert seen == sorted(ids)


async def test_a_search_that_takes_too_long_says_where_to_go_on(
    three: tuple[Approval, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOKED_AT_ONCE", 1)
    monkeypatch.setattr(waiting, "MOST_LOOKED_AT", 2)
    approval, ids = three
    last = max(ids)
    page = await listed(approval, text=last)
    assert (page.cases, page.more, page.next) == ((), True, sorted(ids)[1])
    following = await listed(approval, text=last, after=page.next)
    assert [case.request.request_id for case in following.cases] == [last]
    assert not following.more


async def test_what_is_decided_while_it_is_listed_is_left_out_and_the_rest_is_still_there(
    three: tuple[Approval, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    approval, ids = three
    first = min(ids)
    of_ids = approval.cases.of_ids

    async def meanwhile(wanted: object) -> object:
        case = await approval.cases.load(first)
        assert case is not None
        await approval.cases.replace(case.model_copy(update={"open_for": None}))
        return await of_ids(wanted)  # type: ignore[arg-type]  # as it was given

    monkeypatch.setattr(approval.cases, "of_ids", meanwhile)
    page = await listed(approval, limit=2)
    assert [case.request.request_id for case in page.cases] == [sorted(ids)[1]]
    assert page.next == sorted(ids)[1]
