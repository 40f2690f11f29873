"""The only copy of a generated key is handed out once, and is not lost on the way."""

from datetime import timedelta

import pytest

from services.issuer.delivering import ERASED_AFTER
from shared.contracts import commands
from shared.contracts.replies import DownloadResult
from shared.evidence.jws import payload_of
from shared.evidence.steps import Erasure
from shared.messaging.messages import REPLIES
from shared.messaging.runtime import Settlement
from shared.vocabulary.held import ErasedBecause
from tests.fakes.duties import command, read_reply
from tests.fakes.generated import Way
from tests.world import wanting


async def erased_because(way: Way, request_id: str) -> ErasedBecause:
    """Why the evidence says that it is erased."""
    await way.pass_on()
    evidence = (await way.record(request_id)).evidence  # type: ignore[arg-type]  # it is one
    assert evidence is not None
    return Erasure.read(payload_of(evidence.erasure or ""), code="a.b").why


async def test_a_file_that_the_broker_has_not_taken_for_minutes_still_comes_with_the_redelivery() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    question = command(commands.DownloadCertificate(request_id=asked.request_id, format="der-pkcs12"), by="shop")
    way.issuer.publisher.away = True
    assert await way.issuer.runtime.handle(question) is Settlement.LEAVE
    way.issuer.publisher.away = False
    way.issuer.clock.advance(timedelta(minutes=5))
    await way.issuer.ordering.advance(await way.order(asked.request_id))
    (answer,) = [message for message in await way.issuer.handle(question) if message.exchange == REPLIES]
    result = read_reply(answer, DownloadResult).result
    assert isinstance(result, DownloadResult)
    assert result.content == way.issuer.maker.packed[0]
    assert (await way.order(asked.request_id)).held is None
    assert await erased_because(way, asked.request_id) is ErasedBecause.DOWNLOADED


async def test_who_has_no_inbox_for_the_file_gets_it_when_they_ask_again_and_nobody_else_does() -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    way.issuer.publisher.unroutable = {REPLIES}
    question = commands.DownloadCertificate(request_id=asked.request_id, format="der-pkcs12")
    assert await way.issuer.send(question, by="shop") == []
    assert way.issuer.publisher.parked == []
    way.issuer.publisher.unroutable = set()
    assert await way.not_downloaded(asked.request_id, by="olga") == ["download.erased"]
    assert (await way.download(asked.request_id)).content == way.issuer.maker.packed[0]
    assert await way.not_downloaded(asked.request_id) == ["download.erased"]
    assert await erased_because(way, asked.request_id) is ErasedBecause.DOWNLOADED


@pytest.mark.parametrize(
    ("age", "left"), [(timedelta(0), ERASED_AFTER), (timedelta(days=14, hours=-1), timedelta(hours=1))]
)
async def test_what_never_arrived_is_erased_in_a_day_or_in_its_own_time_and_nobody_says_it_was_downloaded(
    age: timedelta, left: timedelta
) -> None:
    way, asked = Way(), wanting()
    await way.issue(asked)
    way.issuer.clock.advance(age)
    way.issuer.publisher.unroutable = {REPLIES}
    await way.issuer.send(commands.DownloadCertificate(request_id=asked.request_id, format="der-pkcs12"), by="shop")
    way.issuer.clock.advance(left - timedelta(minutes=1))
    await way.issuer.ordering.advance(await way.order(asked.request_id))
    assert (await way.order(asked.request_id)).held is not None
    way.issuer.clock.advance(timedelta(minutes=1))
    await way.issuer.ordering.advance(await way.order(asked.request_id))
    assert (await way.order(asked.request_id)).held is None
    assert await erased_because(way, asked.request_id) is ErasedBecause.UNCONFIRMED
    assert "it is not known whether its download arrived" in way.bodies()
