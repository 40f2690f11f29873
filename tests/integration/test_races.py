"""What several copies of the duties make of two words at the same instant: over the real broker and database."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.approval import rules
from services.approval.model import Case
from services.intake import story
from services.intake.model import RequestRecord
from services.issuer import rules as issuer_rules
from services.issuer.model import Order
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.contracts import commands, events
from shared.contracts.replies import DecisionResult, WithdrawResult
from shared.errors import ConflictError
from shared.evidence.jws import payload_of
from shared.evidence.verification import VerifiedRevision
from shared.messaging.messages import Outgoing
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, RequestId
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import WEB
from tests.fakes.duties import Intake, Issuer, data_of, event
from tests.fakes.live import Copies, Ground, at_work, until
from tests.infrastructure import DutyDatabases, VirtualHost
from tests.world import NOW, decision

APPROVED, WITHDRAWN, GRANTED = "ra.request.approved.v1", "ra.request.withdrawn.v1", "ra.withdrawal.granted.v1"
ROUNDS = 300
AT_ONCE = 8
"""How many rounds go on side by side."""


@pytest.fixture
def ground(virtual_host: VirtualHost, database: DutyDatabases, tmp_path: Path) -> Ground:
    return Ground(virtual_host, database, tmp_path)


@dataclass(frozen=True)
class Round:
    """One request about which two words are said."""

    copies: Copies
    begun: world.Approved

    @property
    def id(self) -> RequestId:
        return self.begun.revision.request_id

    @property
    def digest(self) -> Digest:
        return self.begun.digest

    async def case(self) -> Case:
        found: Case = await self.copies.approvals[0].duty.cases.load(self.id)
        return found

    async def record(self) -> RequestRecord:
        found: RequestRecord = await self.copies.intake.duty.requests.load(self.id)
        return found

    async def order(self) -> Order | None:
        found: Order | None = await self.copies.issuers[0].duty.orders.load(self.id)
        return found

    async def approve(self, client: RaClient) -> str:
        said = decision(self.digest, self.id, by=client.identity)
        return await _said(client, commands.ApproveRequest(request_id=self.id, decision=said), DecisionResult)

    async def withdraw(self, client: RaClient) -> str:
        return await _said(client, commands.WithdrawRequest(request_id=self.id), WithdrawResult)

    async def is_told(self, *states: State) -> bool:
        return (await self.record()).state in states

    @property
    def is_ordered(self) -> bool:
        """Whether the CA has an order of it."""
        wanted = issuer_rules.alternative_order_id(self.id, self.digest, 1)
        return any(taken.request.alternative_order_id == wanted for taken in self.copies.ca.orders)


async def _said(client: RaClient, said: Any, result: Any) -> str:
    """The state that the answer tells, or the code of a refusal."""
    try:
        return str((await client._ask(said, result)).state)
    except CommandRefusedError as refused:
        return refused.findings[0].code


@dataclass(frozen=True)
class Site:
    """The duties' copies, with requests that one approver has approved, and people who speak."""

    copies: Copies
    rounds: list[Round]
    clients: dict[str, RaClient]

    async def play(self, one: Callable[[Round, random.Random], Awaitable[None]]) -> None:
        """All rounds, several side by side."""
        places = asyncio.Semaphore(AT_ONCE)

        async def placed(at: int, each: Round) -> None:
            async with places:
                await one(each, random.Random(at))  # noqa: S311 - a die for a test

        await asyncio.gather(*(placed(at, each) for at, each in enumerate(self.rounds)))

    def ends(self) -> dict[str, list[str]]:
        """By request: the events that say how it ended, each once."""
        ends: dict[str, list[str]] = {}
        for told in self.copies.events():
            if told.type in {APPROVED, WITHDRAWN, GRANTED}:
                ends.setdefault(data_of(told)["request_id"], []).append(told.type)
        return ends


@asynccontextmanager
async def site(ground: Ground) -> AsyncIterator[Site]:
    async with at_work(ground) as copies, contextlib.AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(ground.client(name)) for name in ("ben", "carol", "shop")}
        csr, intake = world.make_csr(), Intake()
        await intake.send(commands.SubmitRequest(submission=world.submission(world.content(csr=csr))), by="shop")
        (template,) = intake.requests.all()
        rounds = [Round(copies, world.accepted(world.content(csr=csr))) for _ in range(ROUNDS)]
        await asyncio.gather(*(_begin(each, template) for each in rounds))
        yield Site(copies, rounds, clients)


async def _begin(each: Round, template: RequestRecord) -> None:
    """As after the submission and a first approval."""
    begun = each.begun
    content = {"id": each.id, "content": begun.revision.submission, "evidence": begun.evidence, "outcomes": {}}
    assert await each.copies.intake.duty.requests.insert(template.model_copy(update=content))
    verified = VerifiedRevision(begun.revision, begun.digest, NOW)
    case = rules.new_case(begun.evidence, verified, sequence=1, policy_serial=1, now=NOW)
    first = begun.evidence.model_copy(update={"decisions": (decision(each.digest, each.id, by="alice"),)})
    approved_once = case.model_copy(update={"evidence": first, "deciders": ("alice",)})
    assert await each.copies.approvals[0].duty.cases.insert(approved_once)


async def _approve(each: Round, issuer: Issuer) -> None:
    """As after the verdict, when the issuer has accepted it and not ordered yet."""
    judged = world.judged(each.begun)
    approved = events.RequestApproved(request_id=each.id, approval_group=WEB, evidence=judged.evidence)
    case, record = await each.case(), await each.record()
    update = {
        "state": State.APPROVED,
        "open_for": None,
        "sequence": 2,
        "evidence": judged.evidence,
        "deciders": ("alice", "ben"),
        "verdict": digest_of(payload_of(judged.evidence.verdict or "")),
    }
    await each.copies.approvals[0].duty.cases.replace(case.model_copy(update=update))
    told = story.apply_event(record, approved, by="approval", sequence=2, now=NOW)
    await each.copies.intake.duty.requests.replace(told)
    await issuer.handle(event(approved, sequence=2))
    order = await issuer.orders.load(each.id)
    assert order is not None
    assert await each.copies.issuers[0].duty.orders.insert(order)


async def test_two_last_approvals_at_the_same_instant_lead_to_one_verdict(ground: Ground) -> None:
    async with site(ground) as here:

        async def race(each: Round, die: random.Random) -> None:
            last = [each.approve(here.clients["ben"]), each.approve(here.clients["carol"])]
            die.shuffle(last)
            assert sorted(await asyncio.gather(*last)) == ["approved", "decision.too-late"]
            await until(lambda: each.is_told(State.APPROVED))
            await until(lambda: _is_there(each))

        await here.play(race)
        ends = here.ends()
        for each in here.rounds:
            case, record, order = await each.case(), await each.record(), await each.order()
            assert (case.state, len(case.evidence.decisions), ends[each.id]) == (State.APPROVED, 2, [APPROVED])
            assert record.evidence is not None
            assert record.evidence.verdict == case.evidence.verdict
            assert order is not None
            assert (order.state, order.verdict) == (OrderState.ACCEPTED, case.verdict)


async def _is_there(each: Round) -> bool:
    return await each.order() is not None


async def test_a_withdrawal_against_the_verdict_leaves_nothing_to_be_ordered_whoever_decides_it(ground: Ground) -> None:
    async with site(ground) as here:
        approvals: dict[str, str] = {}

        async def race(each: Round, die: random.Random) -> None:
            words = {"approval": each.approve(here.clients["ben"]), "withdrawal": each.withdraw(here.clients["shop"])}
            order = list(words)
            die.shuffle(order)
            answers = dict(zip(order, await asyncio.gather(*(words[word] for word in order)), strict=True))
            assert answers["withdrawal"] == "withdrawn"
            await until(lambda: each.is_told(State.WITHDRAWN))
            approvals[each.id] = answers["approval"]

        await here.play(race)
        await here.copies.work_off()
        assert here.copies.ca.orders == []
        ends = here.ends()
        for each in here.rounds:
            case, order = await each.case(), await each.order()
            assert case.state is State.WITHDRAWN
            if approvals[each.id] == "approved":
                assert order is not None
                assert (order.state, sorted(ends[each.id])) == (OrderState.WITHDRAWN, [APPROVED, GRANTED])
            else:
                assert (approvals[each.id], order, ends[each.id]) == ("decision.too-late", None, [WITHDRAWN])
        assert len(set(approvals.values())) == 2, "now approval decided, and now the issuer"


async def test_a_withdrawal_against_the_order_is_granted_or_too_late_and_never_both(ground: Ground) -> None:
    async with site(ground) as here:
        in_memory, granted = Issuer(), list[RequestId]()
        wanted: dict[RequestId, asyncio.Event] = {}
        for each in here.rounds:
            await _approve(each, in_memory)

        async def order_it(each: Round) -> None:
            order = await each.order()
            assert order is not None
            with contextlib.suppress(ConflictError):
                await here.copies.issuers[1].duty.ordering.advance(order)

        async def when_asked(message: Outgoing) -> None:
            if message.type == "ra.withdrawal.asked.v1":
                start = wanted.pop(RequestId(data_of(message)["request_id"]), None)
                if start is not None:
                    start.set()

        for copy in here.copies.approvals:
            copy.before_publishing = when_asked

        async def race(each: Round, die: random.Random) -> None:
            asked = asyncio.Event()
            match die.randrange(6):
                case 0:
                    await order_it(each)
                    answer = await each.withdraw(here.clients["shop"])
                    assert answer == "withdrawal.too-late"
                case 1:
                    answer = await each.withdraw(here.clients["shop"])
                    assert answer == "withdrawn"
                    await order_it(each)
                case _:
                    wanted[each.id] = asked

                    async def at_once() -> None:
                        await asked.wait()
                        await order_it(each)

                    answer, _ = await asyncio.gather(each.withdraw(here.clients["shop"]), at_once())
            withdrawn = answer == "withdrawn"
            await until(lambda: each.is_told(State.WITHDRAWN if withdrawn else State.ISSUED))
            case, order = await each.case(), await each.order()
            assert order is not None
            assert (case.state, order.state, each.is_ordered, case.withdrawals) == (
                (State.WITHDRAWN, OrderState.WITHDRAWN, False, ())
                if withdrawn
                else (State.APPROVED, OrderState.ISSUED, True, ())
            )
            if withdrawn:
                granted.append(each.id)

        await here.play(race)
        await here.copies.work_off()
        assert len(here.copies.ca.orders) == len(here.rounds) - len(granted)
        assert here.ends() == {each: [GRANTED] for each in granted}
