"""Several requests decided on by one signature: each is judged on its own, and nothing more follows than was signed."""

from dataclasses import dataclass, field

import pytest
from pydantic import ValidationError

from shared.contracts import commands, events
from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.contracts.events import MOST_CHAIN_BYTES
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.file import EvidenceFile, verify_evidence
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import MOST_AT_ONCE, DecidedRevision, DecisionKind, Decisions
from shared.evidence.verification import verify_decision
from shared.identifiers import new_request_id
from shared.messaging.messages import Outgoing
from shared.policy.model import ApprovalGroup
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import IdentityName
from shared.vocabulary.orders import OrderState
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import Opened, open_case
from tests.fakes.duties import Approval, Intake, Issuer, command, data_of, delivery_of, lifecycle
from tests.world import NOW, decisions, signing_key

DENY = DecisionKind.DENY


@dataclass
class Together:
    """Three requests before one approval."""

    duty: Approval = field(default_factory=Approval)
    cases: list[Opened] = field(default_factory=list)

    @classmethod
    async def opened(cls) -> "Together":
        scene = cls()
        scene.cases = [await open_case(duty=scene.duty) for _ in range(3)]
        return scene

    def said(self, by: str, kind: DecisionKind = DecisionKind.APPROVE, **others: str) -> JwsStatement:
        """One signature on all of them."""
        return decisions({case.id: case.digest for case in self.cases}, by=by, kind=kind, **others)  # type: ignore[arg-type]  # a note or a signer

    async def approve(self, by: str) -> list[Outgoing]:
        said = self.said(by)
        asked = [commands.ApproveRequest(request_id=case.id, decision=said) for case in self.cases]
        return [message for each in asked for message in await self.duty.send(each, by=by)]


async def test_one_signature_approves_several_requests_and_each_is_ordered_by_evidence_of_its_own() -> None:
    scene, issuer, intake = await Together.opened(), Issuer(), Intake()
    for case in scene.cases:
        await intake.send(commands.SubmitRequest(submission=case.begun.evidence.submission), by="shop")
    await scene.approve("alice")
    told = lifecycle(await scene.approve("ben"))
    assert [message.type for message in told] == ["ra.request.approved.v1"] * 3
    for message in told:
        await issuer.handle(delivery_of(message, "approval"))
        await intake.handle(delivery_of(message, "approval"))
    await issuer.work_off()
    for case in scene.cases:
        order, record = await issuer.orders.load(case.id), await intake.requests.load(case.id)
        assert order is not None
        assert order.state is OrderState.ISSUED
        assert record is not None
        assert record.state is State.APPROVED
        assert record.evidence is not None
        file = EvidenceFile(request_id=case.id, evidence=record.evidence)
        story = verify_evidence(file, scene.duty.in_force.anchor, now=NOW)
        assert sum("approved" in step for step in story.steps) >= 2


async def test_each_is_judged_on_its_own() -> None:
    scene = await Together.opened()
    first, stale, denied = scene.cases
    await denied.send(denied.denial_by("carol"), by="carol")
    revisions = {first.id: first.digest, stale.id: digest_of(b"another"), denied.id: denied.digest}
    said = decisions(revisions, by="alice")
    answers = [
        await scene.duty.ask(commands.ApproveRequest(request_id=case.id, decision=said), by="alice")
        for case in scene.cases
    ]
    assert [[found.code for found in answer.findings] for answer in answers] == [
        [],
        ["decision.outdated-revision"],
        ["decision.too-late"],
    ]
    assert (await first.stored()).deciders == ("alice",)


async def test_nobody_decides_twice_be_it_alone_or_together() -> None:
    scene = await Together.opened()
    first, *_ = scene.cases
    await first.approve("alice")
    said = commands.ApproveRequest(request_id=first.id, decision=scene.said("alice"))
    assert await first.refused(said, by="alice") == ["decision.already-made"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("other requests", "decision.not-named"),
        ("another sender", "decision.foreign"),
        ("another word", "decision.contradicts"),
        ("another's signature", "evidence.unknown-key"),
        ("the typ of a single decision", "decision.invalid"),
        ("a single decision under the typ of several", "decision.invalid"),
        ("a changed request", "evidence.signature-invalid"),
    ],
)
async def test_what_was_not_signed_for_this_request_does_not_count(change: str, code: str) -> None:
    scene = await Together.opened()
    case, other, _ = scene.cases
    said, by = scene.said("alice"), "alice"
    match change:
        case "other requests":
            said = decisions({other.id: case.digest}, by="alice")
        case "another sender":
            by = "ben"
        case "another word":
            said = scene.said("alice", DENY)
        case "another's signature":
            said = scene.said("alice", signer="mallory")
        case "the typ of a single decision":
            said = decisions({case.id: case.digest}, by="alice", typ=Typ.DECISION)
        case "a single decision under the typ of several":
            single = payload_of(case.approval_by("alice").decision.jws)
            said = JwsStatement(jws=signing_key("alice").sign(single, Typ.DECISIONS, NOW))
        case _:
            only = decisions({other.id: case.digest}, by="alice").jws.split(".")
            wanted = decisions({case.id: case.digest}, by="alice").jws.split(".")
            said = JwsStatement(jws=".".join([only[0], wanted[1], only[2]]))
    before = await case.stored()
    refused = await case.refused(commands.ApproveRequest(request_id=case.id, decision=said), by=by)
    assert code in refused
    assert await case.stored() == before


async def test_a_denial_among_several_that_approval_leaves_out_is_brought_up_by_the_issuer() -> None:
    scene, issuer = await Together.opened(), Issuer()
    case, *others = scene.cases
    denial = scene.said("carol", DENY)
    for each in scene.cases:
        await issuer.handle(command(commands.DenyRequest(request_id=each.id, decision=denial), by="carol"))
    await case.approve("alice")
    (approved,) = lifecycle(await case.send(case.approval_by("ben"), by="ben"))
    (returned,) = lifecycle(await issuer.handle(delivery_of(approved, "approval")))
    assert [found["code"] for found in data_of(returned)["findings"]] == ["evidence.denial-omitted"]
    (denied,) = lifecycle(await scene.duty.handle(delivery_of(returned, "issuer")))
    assert denied.type == "ra.request.denied.v1"
    evidence = events.Evidence.model_validate(data_of(denied)["evidence"])
    file = EvidenceFile(request_id=case.id, evidence=evidence)
    assert any("carol denied" in step for step in verify_evidence(file, scene.duty.in_force.anchor, now=NOW).steps)
    for each in others:
        assert (await each.stored()).state is State.PENDING, "what was signed for one request does nothing to others"


async def test_a_later_denial_of_several_takes_the_place_of_an_earlier_one_at_the_issuer() -> None:
    scene, issuer = await Together.opened(), Issuer()
    case = scene.cases[0]
    alone = case.denial_by("carol")
    for said in (alone, commands.DenyRequest(request_id=case.id, decision=scene.said("carol", DENY))):
        await issuer.handle(command(said, by="carol"))
    order = await issuer.orders.load(case.id)
    assert order is not None
    assert order.denials == (scene.said("carol", DENY),)


def test_one_signature_names_each_request_once_and_not_too_many() -> None:
    def named(count: int) -> tuple[DecidedRevision, ...]:
        return tuple(
            DecidedRevision(request_id=new_request_id(), revision=digest_of(bytes([each]))) for each in range(count)
        )

    said = {"decision": DecisionKind.APPROVE, "approver": IdentityName("alice")}
    for requests in ((), named(1) * 2, named(MOST_AT_ONCE + 1)):
        with pytest.raises(ValidationError):
            Decisions.model_validate({"requests": requests, **said})
    assert len(Decisions.model_validate({"requests": named(MOST_AT_ONCE), **said}).requests) == MOST_AT_ONCE


def test_the_largest_quorum_of_the_largest_decisions_fits_into_one_message_beside_the_largest_chain() -> None:
    revisions = {new_request_id(): digest_of(bytes([each])) for each in range(MOST_AT_ONCE)}
    largest = decisions(revisions, by="alice", note="\U0001f600" * 1000)
    quorum = max(bound.le for bound in ApprovalGroup.model_fields["quorum"].metadata if hasattr(bound, "le"))
    assert quorum * len(largest.canonical()) + MOST_CHAIN_BYTES < MAX_MESSAGE_BYTES - 64 * 1024


def test_a_signature_on_several_says_nothing_of_a_request_that_it_does_not_name() -> None:
    said = decisions({new_request_id(): digest_of(b"x")}, by="alice")
    with pytest.raises(RefusedError, match="other requests"):
        verify_decision(said, world.in_force().anchor, about=new_request_id(), now=NOW)
