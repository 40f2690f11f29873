"""An approval against an edit, over the real broker and database: one of them counts, and nothing voided is ordered."""

import json
from collections import Counter
from pathlib import Path

from services.issuer.rules import verify_for_order
from shared.contracts import commands, events
from shared.evidence.jws import payload_of
from shared.evidence.steps import Revision
from shared.vocabulary.states import State
from shared.x509.names import SubjectAltNames
from tests import world
from tests.fakes.duties import Issuer, lifecycle
from tests.infrastructure import DutyDatabases, VirtualHost
from tests.integration.races import Round, arena
from tests.world import NOW, decision

ROUNDS = 300
NAMES = SubjectAltNames(dns=("www.example.com", "shop.example.com"))


def _meeting(each: Round, number: int) -> list[tuple[str, commands.ApproveRequest | commands.EditRequest]]:
    """Ben's approval, the second one, and Carol's edit at the same instant, now the one and now the other first."""
    begun, request_id = each.begun, each.begun.revision.request_id
    approval = commands.ApproveRequest(request_id=request_id, decision=decision(begun.digest, request_id, by="ben"))
    edit = commands.EditRequest(request_id=request_id, edit=world.edit(begun, entered={"names": NAMES}))
    both: list[tuple[str, commands.ApproveRequest | commands.EditRequest]] = [("ben", approval), ("carol", edit)]
    return both if number % 2 else both[::-1]


async def test_of_an_approval_and_an_edit_at_one_instant_one_counts_and_nothing_voided_is_ordered(
    virtual_host: VirtualHost, database: DutyDatabases, tmp_path: Path
) -> None:
    csr = world.make_csr()
    async with arena(virtual_host, database, tmp_path) as ground:
        rounds = []
        for _ in range(ROUNDS):
            begun = world.accepted(world.content(csr=csr))
            alices = decision(begun.digest, begun.revision.request_id, by="alice")
            rounds.append(await ground.opened(begun, alices))
        await ground.run(rounds, [_meeting(each, number) for number, each in enumerate(rounds)])
    seen = Counter(_outcome(each) for each in rounds)
    assert sum(seen.values()) == ROUNDS
    assert set(seen) == {"approved", "edited"}, "each order of events was tried"
    await _ordered_as_approved(rounds)


def _outcome(each: Round) -> str:
    """What became of one request: the one thing or the other, whole."""
    assert each.case is not None
    revisions, told = each.case.evidence.revisions, [message.key for message in each.events]
    refused = {who: [found["code"] for found in reply["findings"]] for who, reply in each.replies.items()}
    if each.case.state is State.APPROVED:
        assert told == ["approval.request.approved.web"]
        assert (len(revisions), each.case.revision) == (1, each.begun.digest)
        assert refused == {"ben": [], "carol": ["edit.too-late"]}
        return "approved"
    assert each.case.state is State.PENDING
    assert told == ["approval.request.edited.web"]
    assert (len(revisions), each.case.evidence.decisions, each.case.deciders) == (2, (), ())
    assert refused == {"ben": ["decision.outdated-revision"], "carol": []}
    return "edited"


async def _ordered_as_approved(rounds: list[Round]) -> None:
    """The issuer orders what was approved, and of the others nothing."""
    issuer = Issuer()
    approved = [told for each in rounds for told in each.events if told.key == "approval.request.approved.web"]
    for told in approved:
        event = events.RequestApproved.model_validate(json.loads(told.body)["data"])
        verified = verify_for_order(event.evidence, issuer.in_force, now=NOW)
        in_force = Revision.read(payload_of(event.evidence.revisions[-1].jws), code="a.b")
        assert verified.revision.revision == in_force
        assert in_force.names.dns == ("www.example.com",)
        assert lifecycle(await issuer.handle(told)) == []
    await issuer.work_off()
    ordered = {taken.request.dns_names for taken in issuer.ca.orders}
    assert (len(issuer.ca.orders), ordered) == (len(approved), {("www.example.com",)})
