"""The issuer dies before or after any effect of a generated order: one key, one order, one PKCS#12."""

from datetime import timedelta

import pytest

from shared.contracts import commands
from shared.evidence.in_force import PolicyInForce
from shared.messaging.runtime import Settlement
from shared.vocabulary.orders import OrderState
from tests import world
from tests.fakes.duties import Issuer, command, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.ledger import Accepted
from tests.world import PASSWORD, wanting

MOST_EFFECTS = 40


def approved() -> world.Approved:
    asked = wanting()
    policy = PolicyInForce(world.policy(world.generating_policy())).policy
    return world.judged(world.accepted(asked, revision=world.revision_of(asked, policy)))


async def story(crash_at: int | None, slow: timedelta) -> Accepted:
    """From the approval to the erasure, with a crash at one of the effects."""
    issuer = Issuer(world.generating_policy(), steps=Steps(crash_at))
    issuer.ca.slow = slow
    case = Accepted(issuer, approved())
    download = command(commands.DownloadCertificate(request_id=case.id, format="der-pkcs12"), by="shop")
    done: set[str] = set()
    for _ in range(2):
        try:
            if "approved" not in done:
                assert await issuer.runtime.handle(case.delivery()) is Settlement.ACKNOWLEDGE
                done.add("approved")
            while (order := await case.stored()).state is not OrderState.ISSUED or order.unpublished:
                due = order.due or 0
                issuer.clock.advance(timedelta(milliseconds=max(0, due - issuer.clock.now().timestamp() * 1000)))
                await issuer.ordering.advance(order)
            if "downloaded" not in done:
                assert await issuer.runtime.handle(download) is Settlement.ACKNOWLEDGE
                done.add("downloaded")
        except CrashError:
            issuer.steps.crash_at = None
            issuer.ordering = issuer.new_copy()
    return case


@pytest.mark.parametrize("slow", [timedelta(0), timedelta(seconds=75)], ids=["at once", "later"])
@pytest.mark.parametrize("crash_at", [None, *range(1, MOST_EFFECTS)])
async def test_a_crash_at_any_effect_leaves_one_order_one_key_and_nothing_held(
    crash_at: int | None, slow: timedelta
) -> None:
    case = await story(crash_at, slow)
    order = await case.stored()
    assert len(case.issuer.ca.orders) == 1
    assert case.issuer.ca.orders[0].request.csr == order.csr
    assert order.csr in {made.csr for made in case.issuer.maker.made}
    assert (order.held, order.held_for, order.due, order.unpublished) == (None, None, None, ())
    assert "ra.certificate.issued.v1" in case.happened()
    files = {message.body for message in case.issuer.publisher.published if message.type.endswith("download.reply.v1")}
    assert len(files) == 1, "the requester is given one file, however often"
    erased = {message.body for message in lifecycle(case.issuer.publisher.published) if "key.erased" in message.key}
    assert len(erased) == 1
    assert PASSWORD not in "".join(case.issuer.orders.documents.values())


@pytest.mark.parametrize("slow", [timedelta(0), timedelta(seconds=75)], ids=["at once", "later"])
async def test_the_crashes_above_hit_every_effect(slow: timedelta) -> None:
    case = await story(None, slow)
    assert 10 <= len(case.issuer.steps.passed) < MOST_EFFECTS
    assert {"before making a key", "after making a key", "before packing", "after packing"} <= set(
        case.issuer.steps.passed
    )
