"""Watching: each piece of news once, from intake alone, and what was missed is told when the connection is back."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from shared.client import watching
from shared.client.errors import CredentialsError, NotConnectedError
from shared.client.watching import MISSED, ConnectionNews, News
from shared.contracts import commands, replies
from shared.contracts.notices import Awaited, DecisionAwaited
from shared.identifiers import new_message_id, new_request_id
from shared.messaging.messages import Outgoing, notify
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId
from shared.vocabulary.states import State
from tests.fakes.client_session import FakeBroker
from tests.unit.test_client_commands import _client
from tests.world import NOW

WEB, SHOP = ApprovalGroupName("web"), IdentityName("shop")
LOST, REGAINED = ConnectionNews(connection="lost"), ConnectionNews(connection="regained")


def awaited(request_id: RequestId) -> DecisionAwaited:
    return DecisionAwaited(
        request_id=request_id,
        approval_group=WEB,
        name="n",
        subject="CN=n",
        requesters=(SHOP,),
        why=Awaited.SUBMITTED,
        message="m",
    )


def notice(request_id: RequestId, origin: str | None = None) -> Outgoing:
    origin = origin or new_message_id()
    return notify(awaited(request_id), about=request_id, origin=origin, receiver=IdentityName("alice"), at=NOW)


def case(request_id: RequestId, *, decided: bool = False) -> replies.PendingCase:
    summary = replies.RequestSummary(
        request_id=request_id,
        name="n",
        state=State.PENDING,
        approval_group=WEB,
        requesters=(SHOP,),
        subject="CN=n",
        submitted_at=NOW,
        changed_at=NOW,
    )
    return replies.PendingCase(request=summary, approvals=0, quorum=2, decided_by_me=decided)


def pages(*given: replies.PendingResult) -> Callable[[object], replies.PendingResult]:
    left = list(given)
    return lambda _: left.pop(0)


async def following(news: AsyncIterator[News]) -> News:
    return await anext(news)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.0)


async def test_a_notice_is_told_once_and_only_if_it_is_intakes() -> None:
    broker, one, two = FakeBroker(), new_request_id(), new_request_id()
    async with _client(broker) as client:
        news = client.watch()
        first = notice(one, "origin")
        waiting = following(news)
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        broker.session.deliver(notice(two), sender="approval")
        broker.session.deliver(notice(two), sender=None)
        broker.session.deliver(first, sender="intake")
        broker.session.deliver(first, sender="intake")
        assert await task == awaited(one)
        broker.session.deliver(notice(one), sender="intake")
        assert await anext(news) == awaited(one), "of another occasion"
        broker.session.deliver(notice(two), sender="intake")
        assert await anext(news) == awaited(two)


async def test_what_came_while_the_connection_was_lost_is_told_once_it_is_back() -> None:
    broker = FakeBroker()
    known, missed, late, decided = (new_request_id() for _ in range(4))
    broker.answers[commands.ListPending] = pages(
        replies.PendingResult(cases=(case(known), case(missed)), more=True, next=missed),
        replies.PendingResult(cases=(case(late), case(decided, decided=True)), more=False),
    )
    async with _client(broker) as client:
        news = client.watch()
        task = asyncio.ensure_future(following(news))
        await asyncio.sleep(0)
        broker.session.deliver(notice(known), sender="intake")
        assert await task == awaited(known)
        broker.refuses = NotConnectedError("not yet")
        broker.session.lose()
        assert await anext(news) == LOST
        task = asyncio.ensure_future(following(news))
        await asyncio.sleep(0)
        broker.refuses = None
        assert await task == REGAINED
        for expected in (missed, late):
            told = await anext(news)
            assert isinstance(told, DecisionAwaited)
            assert (told.request_id, told.message) == (expected, MISSED)
        asked = [each for each in broker.commands() if isinstance(each, commands.ListPending)]
        assert [each.after for each in asked] == [None, missed]
        assert all(each.accepted_after is not None for each in asked)
        broker.session.deliver(notice(new_request_id()), sender="intake")
        assert isinstance(await anext(news), DecisionAwaited)


async def test_who_is_not_let_in_any_more_is_told_so() -> None:
    broker = FakeBroker()
    async with _client(broker) as client:
        news = client.watch()
        task = asyncio.ensure_future(following(news))
        await asyncio.sleep(0)
        broker.refuses = CredentialsError("no")
        broker.session.lose()
        assert await task == LOST
        with pytest.raises(CredentialsError):
            await anext(news)
