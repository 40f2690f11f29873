"""The issuer dies before or after any effect of a generated order: one key, one order, one PKCS#12, nothing held."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.issuer.model import Order
from shared.contracts import commands
from shared.evidence.in_force import PolicyInForce
from shared.messaging.messages import Delivery
from shared.messaging.runtime import Settlement
from shared.password import Password
from shared.vocabulary.held import HeldKind
from shared.vocabulary.orders import OrderState
from shared.x509 import encryption, pkcs12
from shared.x509.csr import parse_csr
from shared.x509.keypairs import decrypted_pkcs8, public_key_der
from tests import world
from tests.fakes.duties import Issuer, command, lifecycle
from tests.fakes.faults import CrashError, Steps
from tests.fakes.ledger import Accepted
from tests.world import PASSWORD, wanting

ROUNDS_IN_ALL = 100
SLOW = timedelta(seconds=75)
FORGOTTEN = timedelta(days=15)


@dataclass(frozen=True)
class Plot:
    """How the life of an order goes on, if nobody dies."""

    slow: timedelta = timedelta(0)
    """How long the CA takes."""
    key_type: str = "ecdsa-p256"
    last: str = "download"
    """What puts an end to what is held: this command, or time alone."""


PLOTS = {
    "issued at once": Plot(),
    "issued later": Plot(SLOW),
    "never downloaded": Plot(SLOW, last="time"),
    "erased by an operator": Plot(SLOW, last="erase"),
}


@dataclass
class Life:
    """One order, with a crash at one of the effects, and all that ever stood in its ledger."""

    plot: Plot
    crash_at: int | None = None
    seen: dict[str, None] = field(default_factory=dict)
    crashed: bool = False

    def __post_init__(self) -> None:
        self.issuer = Issuer(world.generating_policy(), steps=Steps(self.crash_at))
        self.issuer.ca.slow = self.plot.slow
        self.issuer.steps.when = lambda _: self.seen.update(dict.fromkeys(self.issuer.orders.documents.values()))
        asked, policy = wanting(key_type=self.plot.key_type), PolicyInForce(world.policy(world.generating_policy()))
        begun = world.accepted(asked, revision=world.revision_of(asked, policy.policy))
        self.case = Accepted(self.issuer, world.judged(begun))
        self._to_come = [self.case.delivery(), *self._last()]

    def _last(self) -> Iterator[Delivery]:
        match self.plot.last:
            case "download":
                yield command(commands.DownloadCertificate(request_id=self.case.id, format="der-pkcs12"), by="shop")
            case "erase":
                yield command(commands.EraseSealed(request_id=self.case.id), by="olga")

    async def live(self) -> Order:
        """From the approval to the erasure; what was not acknowledged when the issuer died is delivered again."""
        while True:
            try:
                if self.issuer.orders.documents:
                    await self._work()
                while self._to_come:
                    assert await self.issuer.runtime.handle(self._to_come[0]) is Settlement.ACKNOWLEDGE
                    del self._to_come[0]
                    await self._work()
                if self.plot.last == "time":
                    self.issuer.clock.advance(FORGOTTEN)
                await self._work()
                break
            except CrashError:
                self.crashed = True
                self.issuer.steps.crash_at = None
                self.issuer.ordering = self.issuer.new_copy()
        self.issuer.steps.when("the end")
        return await self.case.stored()

    async def _work(self) -> None:
        """Do what is due, until nothing is to be done but to erase in time."""
        for _ in range(40):
            order = await self.case.stored()
            now_ms = self.issuer.clock.now().timestamp() * 1000
            rests = order.held is not None and order.due == order.held.erase_ms
            if order.due is None or (rests and order.due > now_ms):
                return
            self.issuer.clock.advance(timedelta(milliseconds=max(0.0, order.due - now_ms)))
            await self.issuer.ordering.advance(order)
        raise AssertionError("the order does not come to rest")


def check(life: Life, order: Order) -> None:
    """One key, one order, one PKCS#12, and nothing left unsealed or unerased."""
    issuer, versions = life.issuer, [Order.model_validate_json(text) for text in life.seen]
    assert order.state is OrderState.ISSUED
    assert (order.held, order.held_for, order.due, order.unpublished) == (None, None, None, ())
    assert [each.request.csr for each in issuer.ca.orders] == [order.csr]
    assert {each.csr for each in versions if each.csr is not None} == {order.csr}
    held = {(each.held.kind, each.held.content) for each in versions if each.held is not None}
    assert sorted(kind for kind, _ in held) == [HeldKind.PKCS12, HeldKind.PKCS8]
    told = {message.id: message for message in issuer.publisher.published}
    files = {message.body for message in told.values() if message.type.endswith("download.reply.v1")}
    assert len(files) == (1 if life.plot.last == "download" else 0), "the requester is given one file, however often"
    erased = {message.body for message in lifecycle(issuer.publisher.published) if "key.erased" in message.key}
    assert len(erased) == 1
    assert life.case.happened().count("ra.certificate.issued.v1") == 1
    (sealed,) = (content for kind, content in held if kind is HeldKind.PKCS8)
    assert public_key_der(decrypted_pkcs8(sealed, Password(PASSWORD))) == parse_csr(order.csr or b"").spki
    ever = "\n".join((*life.seen, *(message.body for message in issuer.publisher.published)))
    assert PASSWORD not in ever


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing a password of this test may be easy."""
    for module in (encryption, pkcs12):
        monkeypatch.setattr(module, "ROUNDS", 1000)


async def test_a_crash_at_any_effect_leaves_one_key_one_order_one_file_and_nothing_held() -> None:
    rounds, steps = 0, set[str]()
    for plot in PLOTS.values():
        crash_at, crashed = 0, True
        while crashed:
            crash_at += 1
            life = Life(plot, crash_at)
            order = await life.live()
            check(life, order)
            crashed = life.crashed
            rounds += crashed
            steps.update(life.issuer.steps.passed)
    assert rounds >= ROUNDS_IN_ALL
    assert {"before making a key", "after making a key", "before packing", "after packing"} <= steps
    assert {f"{when} {what}" for when in ("before", "after") for what in ("ordering", "writing", "publishing")} <= steps


async def test_an_rsa_key_outlives_a_crash_between_its_making_and_its_certificate_like_any_other() -> None:
    life = Life(Plot(SLOW, key_type="rsa-2048"))
    check(life, await life.live())
    crash_at = life.issuer.steps.passed.index("after making a key") + 1
    again = Life(life.plot, crash_at)
    check(again, await again.live())
    assert again.crashed
    assert len(again.issuer.maker.made) == 2, "the first one was lost before anything was ordered with it"
