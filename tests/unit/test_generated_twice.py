"""A request that is approved twice has a key pair of its own each time, and the evidence is of the one that counts."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.issuer.generating import Generating
from services.issuer.making.ports import Made
from services.issuer.model import Order
from shared.contracts import commands, events
from shared.contracts.replies import EvidenceResult
from shared.evidence.file import read_evidence, verify_evidence
from shared.evidence.jws import Typ
from shared.evidence.steps import Erasure
from shared.identifiers import new_request_id
from shared.messaging.messages import publish_news
from shared.vocabulary.held import ErasedBecause, HeldKind
from shared.vocabulary.model import digest_of
from shared.vocabulary.orders import OrderState
from tests.fakes.duties import delivery_of
from tests.fakes.generated import Way
from tests.world import FixedClock, signing_key, wanting


class SlowMaker:
    """Makes nothing before it is let go; remembers for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = asyncio.Event()

    async def make(self, password: Any, key_type: str, subject: Any, names: Any, extensions: Any) -> Made:
        del password, key_type, names, extensions
        self.asked.append(str(subject))
        await self.let_go.wait()
        return Made(pkcs8=b"k", csr=str(subject).encode(), public_key=b"p")


class AnyPassword:
    """Opens everything."""

    def read(self, _: object) -> object:
        return object()


def revision_with(subject: str) -> Any:
    """As much of a revision as making a key takes."""
    return SimpleNamespace(wanted_key_type="ecdsa-p256", subject=subject, names=(), extensions=())


async def test_a_key_that_was_in_the_making_for_one_approval_serves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.issuer.generating.PATIENCE_SECONDS", 0.01)
    maker = SlowMaker()
    generating = Generating(cast("Any", maker), cast("Any", maker), cast("Any", AnyPassword()), FixedClock())
    first = Order(id=new_request_id(), state=OrderState.ACCEPTED, verdict=digest_of(b"one"))
    second = first.model_copy(update={"verdict": digest_of(b"two")})
    while not maker.asked:
        assert await generating.made(first, revision_with("CN=former")) is None
    maker.let_go.set()
    made = await _made(generating, second, revision_with("CN=latter"))
    assert made.csr == b"CN=latter"
    assert maker.asked == ["CN=former", "CN=latter"]
    await generating.aclose()


async def _made(generating: Generating, order: Order, revision: Any) -> Made:
    while True:
        made = await generating.made(order, revision)
        if made is not None:
            return made


@pytest.mark.parametrize("late", [False, True], ids=["before the issue", "after the issue"])
async def test_the_erasure_of_a_former_approvals_key_is_no_part_of_the_evidence(*, late: bool) -> None:
    way, asked = Way(), wanting()
    former = Erasure(request_id=asked.request_id, what=HeldKind.PKCS8, why=ErasedBecause.ENDED, csr=digest_of(b"other"))
    now = way.issuer.clock.now()
    told = publish_news(
        events.KeyErased(
            request_id=asked.request_id, erasure=signing_key("issuer").sign(former.canonical(), Typ.ERASURE, now)
        ),
        about=asked.request_id,
        origin="former",
        policy_serial=1,
        at=now,
    )
    await way.submit(asked)
    if not late:
        await way.intake.handle(delivery_of(told, "issuer"))
    await way.pass_on()
    await way.approve(asked.request_id, "alice", "ben")
    await way.pass_on()
    await way.work_off(asked.request_id)
    await way.download(asked.request_id)
    await way.pass_on()
    if late:
        await way.intake.handle(delivery_of(told, "issuer"))
    reply = await way.intake.ask(commands.ExportEvidence(request_id=asked.request_id), by="shop")
    assert isinstance(reply.result, EvidenceResult)
    file = read_evidence(reply.result.evidence.encode())
    story = verify_evidence(file, way.intake.in_force.anchor, now=way.issuer.clock.now())
    assert story.steps[-1].endswith("issuer erased the private key (pkcs12): downloaded, shop")
