"""Every reason, by everybody, in every state, over the running processes, as `tests/golden/revocations.toml` says."""

import asyncio
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local.stack import Stack
from shared.client.client import RaClient
from shared.client.errors import CommandRefusedError
from shared.evidence.steps import DecisionKind
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Severity
from shared.vocabulary.names import RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from shared.x509.possession import Holder
from tests import world
from tests.fakes.holders import new_key
from tests.infrastructure import sandbox_of
from tests.system.way import People, approve, eventually, people_of, reach

EXPECTED: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
    (Path(__file__).parents[1] / "golden" / "revocations.toml").read_text()
)
KEY_COMPROMISE = RevocationReason.KEY_COMPROMISE


@dataclass(frozen=True)
class Held:
    """A request whose key we hold."""

    id: RequestId
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Cell:
    state: str
    who: str
    reason: RevocationReason
    expected: str

    @property
    def uses_up(self) -> bool:
        """Whether the certificate is another one afterwards."""
        again = self.state == "revoked" and self.reason is RevocationReason.SUPERSEDED
        return self.expected == "ok" and not again


CELLS = [
    Cell(state, who, RevocationReason(reason), expected)
    for state, rows in EXPECTED.items()
    for who, row in rows.items()
    for reason, expected in row.items()
]


def test_the_table_has_every_cell() -> None:
    assert {(cell.state, cell.who, cell.reason) for cell in CELLS} == {
        (state, who, reason)
        for state in ("issued", "revoked", "expired", "quarantined", "not issued")
        for who in ("requester", "group revoker", "key holder", "stranger")
        for reason in RevocationReason
    }


async def submitted(people: People, count: int) -> list[Held]:
    """So many requests, each with a key of its own."""
    keys = [new_key() for _ in range(count)]
    asked = [world.content(csr=world.make_csr(key=key)) for key in keys]
    await asyncio.gather(*(people.shop.submit(each) for each in asked))
    return [Held(each.request_id, key) for each, key in zip(asked, keys, strict=True)]


async def issued(people: People, count: int, end: State = State.ISSUED) -> list[Held]:
    held = await submitted(people, count)

    async def have_cases() -> bool:
        waiting = {case.request.request_id for case in (await people.alice.list_pending(limit=200)).cases}
        return waiting >= {each.id for each in held}

    await eventually(have_cases, "approval has no case of a request")
    for client in (people.alice, people.ben):
        cases = await asyncio.gather(*(client.show_case(each.id) for each in held))
        await client.decide(cases, DecisionKind.APPROVE)
    await asyncio.gather(*(reach(people, each.id, end) for each in held))
    return held


async def known_to_revoker(people: People, held: Sequence[Held]) -> None:
    """Until the revoker has heard of them, there is nothing to be refused: a reason nobody takes tells."""

    async def is_known(each: Held) -> bool:
        try:
            await people.olga.revoke(each.id, RevocationReason.CERTIFICATE_HOLD)
        except CommandRefusedError as refused:
            return [found.code for found in refused.findings] == ["revocation.reason-not-available"]
        return False

    for each in held:
        await eventually(lambda each=each: is_known(each), "the revoker does not know a certificate")


def expire(stack: Stack, held: Held) -> None:
    """Let its time be over, as far as the revoker knows."""
    with stack.database.admin() as client:
        certificates = client[stack.databases[Duty.REVOKER]]["certificates"]
        done = certificates.update_one({"_id": held.id}, {"$set": {"not_after": "2020-01-01T00:00:00Z"}})
        assert done.matched_count == 1


def needed(state: str) -> int:
    """A certificate for each cell that uses one up, and one for all the others."""
    return 1 + sum(cell.uses_up for cell in CELLS if cell.state == state)


async def pools(stack: Stack, people: People) -> dict[str, Iterator[Held]]:
    """Certificates in each of the states; the first of each is for what changes nothing."""
    sandbox_of(stack).set_knobs(mutate=["added_name"])
    quarantined = await issued(people, needed("quarantined"), State.QUARANTINED)
    sandbox_of(stack).reset_knobs()
    count = needed("issued")
    good = await issued(people, count + needed("revoked") + 1)
    await known_to_revoker(people, [*quarantined, *good])
    live, (expired, *revoked) = good[:count], good[count:]
    for each in revoked:
        await people.shop.revoke(each.id, RevocationReason.SUPERSEDED)
    await asyncio.gather(*(reach(people, each.id, State.REVOKED) for each in revoked))
    expire(stack, expired)
    return {
        "issued": iter(live),
        "revoked": iter(revoked),
        "expired": iter([expired]),
        "quarantined": iter(quarantined),
        "not issued": iter(await submitted(people, 1)),
    }


async def answer(people: People, cell: Cell, held: Held) -> str:
    """What becomes of it."""
    clients: dict[str, RaClient] = {"requester": people.shop, "group revoker": people.olga}
    client = clients.get(cell.who, people.portal)
    holder = Holder(held.key) if cell.who == "key holder" else None
    try:
        await client.revoke(held.id, cell.reason, "of the matrix", holder=holder)
    except CommandRefusedError as refused:
        (found,) = refused.findings
        return found.code
    return "ok"


@pytest.fixture
async def people(stack: Stack) -> object:
    async with people_of(stack) as everybody:
        yield everybody


async def test_each_cell_is_as_the_table_says_and_what_was_accepted_is_done(stack: Stack, people: People) -> None:
    found = await pools(stack, people)
    shared = {state: next(pool) for state, pool in found.items()}
    used: list[Held] = []
    different = {}
    for cell in CELLS:
        held = next(found[cell.state]) if cell.uses_up else shared[cell.state]
        used += [held] if cell.uses_up else []
        said = await answer(people, cell, held)
        if said != cell.expected:
            different[cell.state, cell.who, cell.reason] = said, cell.expected
    assert different == {}
    await asyncio.gather(*(reach(people, each.id, State.REVOKED) for each in used))
    for state, end in (("issued", State.ISSUED), ("quarantined", State.QUARANTINED), ("expired", State.ISSUED)):
        assert (await people.shop.status(shared[state].id)).request.state is end, "a refusal changes nothing"


async def test_a_compromised_key_stops_at_the_issuer_what_was_accepted_before_and_at_intake_what_comes_after(
    stack: Stack, people: People
) -> None:
    (held,) = await issued(people, 1)
    await known_to_revoker(people, [held])
    sandbox = sandbox_of(stack)
    sandbox.set_knobs(
        faults=[{"endpoint": "order.place", "kind": "answer", "status": 429, "code": "busy", "times": 1000}]
    )
    before = len(sandbox.orders())
    asked = world.content(csr=world.make_csr(key=held.key))
    await people.shop.submit(asked)
    await eventually(lambda: _has_case(people, asked.request_id), "approval has no case of the request")
    await approve(people, asked.request_id)
    await eventually(lambda: _is_accepted(people, asked.request_id), "the issuer has not accepted it")
    proven = await people.portal.revoke(held.id, KEY_COMPROMISE, holder=Holder(held.key))
    assert proven.state is State.ISSUED
    await reach(people, held.id, State.REVOKED)
    await eventually(lambda: _is_refused(people, held.key), "intake accepts the key still")
    sandbox.reset_knobs()
    status = await reach(people, asked.request_id, State.FAILED)
    assert [found.code for found in status.findings if found.severity is Severity.ERROR] == ["key.compromised"]
    assert len(sandbox.orders()) == before


async def _has_case(people: People, request_id: RequestId) -> bool:
    return any(case.request.request_id == request_id for case in (await people.alice.list_pending(limit=200)).cases)


async def _is_accepted(people: People, request_id: RequestId) -> bool:
    try:
        return (await people.olga.show_order(request_id)).tries > 0
    except CommandRefusedError:
        return False


async def _is_refused(people: People, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        await people.shop.submit(world.content(csr=world.make_csr(key=key)))
    except CommandRefusedError as refused:
        return [found.code for found in refused.findings] == ["key.compromised"]
    return False
