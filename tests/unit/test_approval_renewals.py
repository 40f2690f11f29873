"""Approval renews a pending case's revision when the policy that applies to it has changed, and loses none."""

import pytest

from services.approval.rules import renewal
from shared.contracts import commands, events
from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.contracts.events import MOST_CHAIN_BYTES, MOST_REVISIONS, chain_fits
from shared.contracts.replies import CaseResult, PendingResult
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.errors import RefusedError
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Decision, DecisionKind, Revision
from shared.messaging.messages import Outgoing, publish_event
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest
from shared.vocabulary.states import State
from tests import world
from tests.fakes.cases import WEB, Opened, open_case
from tests.fakes.duties import Issuer, data_of, delivery_of, event, lifecycle
from tests.world import NOW, decision, signing_key

NOT_ASKED_FOR = world.newer_policy(('permissions.web = ["submit"]', 'permissions.web = ["view"]'))
QUORUM_OF_THREE = world.newer_policy(("quorum = 2", "quorum = 3"))
ELSEWHERE = world.newer_policy(('description = "Operator: sees', 'description = "An operator: sees'))
OUTSIDE = world.newer_policy(('dns_suffixes = ["example.com", "example.org"]', 'dns_suffixes = ["example.net"]'))
NO_SUCH_PROFILE = world.newer_policy(
    ("dn_profiles.server", "dn_profiles.other"), ('dn_profiles = ["server"]', 'dn_profiles = ["other"]')
)
BACK = world.newer_policy(serial=3)


async def look(case: Opened, *, by: str = "alice") -> tuple[CaseResult, Revision, Digest]:
    """What an approver is shown, and what they would sign for."""
    answer = await case.duty.ask(commands.ShowCase(request_id=case.id), by=by)
    shown = CaseResult.model_validate(answer.result)
    payload = payload_of(shown.revision.jws)
    return shown, Revision.read(payload, code="a.b"), digest_of(payload)


def said_on(case: Opened, revision: Digest, by: str, kind: DecisionKind = DecisionKind.APPROVE) -> JwsStatement:
    return decision(revision, case.id, by=by, kind=kind)


async def approve(case: Opened, by: str) -> list[Outgoing]:
    """As an approver does it: look, then sign for what was shown."""
    _, _, digest = await look(case, by=by)
    return await case.send(commands.ApproveRequest(request_id=case.id, decision=said_on(case, digest, by)), by=by)


async def pending_line(case: Opened, *, by: str) -> tuple[int, int, bool]:
    (line,) = PendingResult.model_validate((await case.duty.ask(commands.ListPending(), by=by)).result).cases
    return line.approvals, line.quorum, line.decided_by_me


async def test_a_case_is_shown_with_its_revision_renewed_and_the_approvals_of_the_former_one_void() -> None:
    case = await open_case()
    await case.approve("alice")
    case.duty.adopt(QUORUM_OF_THREE)
    shown, revision, digest = await look(case)
    former = case.begun.revision
    assert (revision.number, revision.predecessor, revision.policy.quorum) == (2, case.digest, 3)
    assert revision.policy_digest == case.duty.in_force.policy.digest != former.policy_digest
    changed = {name for name in Revision.model_fields if getattr(revision, name) != getattr(former, name)}
    assert changed == {"number", "predecessor", "policy", "policy_digest"}
    assert (shown.decisions, shown.state, shown.blocked_because) == ((), State.PENDING, ())
    assert (await look(case, by="ben"))[2] == digest
    assert len((await case.stored()).evidence.revisions) == 2


async def test_the_list_tells_approvers_at_once_that_their_approvals_are_void() -> None:
    case = await open_case()
    await case.approve("alice")
    assert await pending_line(case, by="alice") == (1, 2, True)
    case.duty.adopt(QUORUM_OF_THREE)
    assert await pending_line(case, by="alice") == (0, 3, False)
    await approve(case, "alice")
    assert await pending_line(case, by="alice") == (1, 3, True)


async def test_whoever_approves_the_former_revision_is_told_to_look_again() -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    assert await case.refused(case.approval_by("alice"), by="alice") == ["decision.outdated-revision"]
    await look(case)
    assert await case.refused(case.approval_by("alice"), by="alice") == ["decision.outdated-revision"]
    assert lifecycle(await approve(case, "alice")) == []


async def test_what_is_approved_under_the_newer_policy_is_told_with_its_serial_and_ordered_under_it() -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    for name in ("alice", "ben"):
        assert lifecycle(await approve(case, name)) == []
    (told,) = lifecycle(await approve(case, "carol"))
    assert '"policyserial":"2"' in told.body
    issuer = Issuer(QUORUM_OF_THREE)
    await issuer.handle(delivery_of(told, "approval"))
    await issuer.work_off()
    assert [message.type for message in lifecycle(issuer.publisher.published)] == ["ra.certificate.issued.v1"]


async def test_what_the_issuer_returns_because_of_the_policy_is_renewed_at_once() -> None:
    case = await open_case()
    (told,) = lifecycle(await case.decide("approved"))
    issuer = Issuer(QUORUM_OF_THREE)
    (returned,) = lifecycle(await issuer.handle(delivery_of(told, "approval")))
    assert '"policyserial":"2"' in returned.body
    case.duty.adopt(QUORUM_OF_THREE)
    await case.duty.handle(delivery_of(returned, "issuer"))
    stored = await case.stored()
    assert (stored.state, len(stored.evidence.revisions), stored.deciders) == (State.PENDING, 2, ())
    for name in ("alice", "ben", "carol"):
        published = await approve(case, name)
    await issuer.handle(delivery_of(lifecycle(published)[0], "approval"))
    await issuer.work_off()
    assert len(issuer.ca.orders) == 1


async def test_a_policy_that_changes_elsewhere_renews_nothing() -> None:
    case = await open_case()
    await case.approve("alice")
    before = await case.stored()
    case.duty.adopt(ELSEWHERE)
    _, revision, _ = await look(case)
    assert revision.number == 1
    assert await case.stored() == before
    assert lifecycle(await case.send(case.approval_by("ben"), by="ben")) != []


async def test_a_copy_of_approval_with_an_older_policy_takes_nothing_back() -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    _, _, digest = await look(case)
    case.duty.adopt(world.policy_text())
    assert (await look(case))[2] == digest
    assert len((await case.stored()).evidence.revisions) == 2


async def test_a_case_that_intake_has_made_under_a_newer_policy_is_not_renewed_under_that() -> None:
    begun = world.accepted()
    case = Opened((await open_case()).duty, begun)
    case.duty.adopt(QUORUM_OF_THREE)
    await case.duty.handle(event(case.accepted_event(), sequence=1, policy_serial=2))
    assert (await case.stored()).policy_serial == 2
    _, revision, _ = await look(case)
    assert revision.number == 1


async def test_a_change_back_is_one_more_renewal() -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    await look(case)
    case.duty.adopt(BACK)
    _, revision, _ = await look(case)
    assert (revision.number, revision.policy) == (3, case.begun.revision.policy)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (OUTSIDE, "name.dns-outside"),
        (NO_SUCH_PROFILE, "request.unknown-dn-profile"),
    ],
)
async def test_what_the_policy_no_longer_allows_stays_pending_with_its_reasons_and_cannot_be_approved(
    policy: str, code: str
) -> None:
    case = await open_case()
    await case.approve("alice")
    case.duty.adopt(policy)
    shown, revision, _ = await look(case)
    assert [found.code for found in shown.blocked_because] == [code]
    assert (shown.state, revision.number) == (State.PENDING, 1)
    assert await case.refused(case.approval_by("ben"), by="ben") == [code]
    assert await pending_line(case, by="alice") == (0, 2, False)
    case.duty.adopt(BACK)
    shown, revision, _ = await look(case)
    assert (shown.blocked_because, revision.number) == ((), 1)
    assert lifecycle(await case.send(case.approval_by("ben"), by="ben")) != []


async def test_a_request_of_somebody_who_may_no_longer_submit_cannot_be_approved() -> None:
    case = await open_case()
    case.duty.adopt(NOT_ASKED_FOR)
    shown, _, _ = await look(case)
    assert [found.code for found in shown.blocked_because] == ["identity.not-permitted"]
    assert await case.refused(case.approval_by("ben"), by="ben") == ["identity.not-permitted"]


@pytest.mark.parametrize("how", ["denied", "withdrawn"])
async def test_what_the_policy_no_longer_allows_can_still_be_denied_and_withdrawn(how: str) -> None:
    case = await open_case()
    case.duty.adopt(OUTSIDE)
    (told,) = lifecycle(await case.decide(how))
    assert told.type == f"ra.request.{how}.v1"
    assert (await case.stored()).state == how


async def test_to_whoever_may_not_decide_the_reasons_are_not_told() -> None:
    case = await open_case()
    case.duty.adopt(OUTSIDE)
    foreign = commands.ApproveRequest(request_id=case.id, decision=said_on(case, case.digest, "shop"))
    assert "name.dns-outside" not in await case.refused(foreign, by="shop")


@pytest.mark.parametrize("seen", [True, False])
async def test_a_denial_of_the_former_revision_ends_the_request_all_the_same(*, seen: bool) -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    if seen:
        await look(case, by="ben")
    (told,) = lifecycle(await case.send(case.denial_by("carol"), by="carol"))
    assert told.type == "ra.request.denied.v1"
    assert (await case.stored()).state is State.DENIED


async def test_a_denial_of_the_former_revision_that_was_left_out_closes_the_case() -> None:
    case = await open_case()
    case.duty.adopt(QUORUM_OF_THREE)
    for name in ("alice", "ben", "carol"):
        await approve(case, name)
    stored = await case.stored()
    text = QUORUM_OF_THREE.replace('permissions.web = ["view", "download"', 'permissions.web = ["decide", "download"')
    case.duty.adopt(_with_key_for_olga(text))
    returned = events.RequestReturned(
        request_id=case.id,
        approval_group=WEB,
        verdict=stored.verdict,
        findings=(finding("evidence.denial-omitted", "x"),),
        denial=said_on(case, case.digest, "olga", DecisionKind.DENY),
    )
    (told,) = lifecycle(await case.duty.handle(event(returned, sequence=3, policy_serial=2)))
    assert told.type == "ra.request.denied.v1"


def _with_key_for_olga(text: str) -> str:
    key = f'keys = [{{ kty = "OKP", crv = "Ed25519", x = "{signing_key("olga").public.x}" }}]'
    return text.replace('person = "olga"', f'person = "olga"\n{key}')


async def test_approval_countersigns_no_content_that_was_changed_in_its_database() -> None:
    case = await open_case()
    forged = case.begun.revision.model_copy(update={"name": "another"})
    token = signing_key("mallory").sign(forged.canonical(), Typ.REVISION, NOW)
    evidence = case.begun.evidence.model_copy(update={"revisions": (RevisionStatement(jws=token),)})
    stored = await case.stored()
    await case.duty.cases.replace(stored.model_copy(update={"evidence": evidence}))
    case.duty.adopt(QUORUM_OF_THREE)
    shown, revision, _ = await look(case)
    assert revision.number == 1
    assert [found.code for found in shown.blocked_because] == ["evidence.unknown-key"]


async def test_a_request_whose_policy_changes_without_end_is_left_to_its_requester() -> None:
    case = await open_case()
    chain = case.begun
    for _ in range(1, MOST_REVISIONS):
        chain = world.renewed(chain, world.policy())
    stored = await case.stored()
    stored = stored.model_copy(update={"evidence": chain.evidence, "revision": chain.digest})
    case.duty.adopt(QUORUM_OF_THREE)
    with pytest.raises(RefusedError, match="withdraw it"):
        renewal(stored, case.duty.in_force, now=NOW)


async def test_a_chain_that_would_fit_into_no_message_any_more_is_left_to_its_requester_too() -> None:
    case = await open_case()
    listed = ", ".join(f'"h{number:04}.example.org"' for number in range(700))
    large = world.policy(world.newer_policy(('"example.org"]', f'"example.org", {listed}]')))
    chain = case.begun
    while chain_fits(chain.evidence.submission, chain.evidence.revisions, chain.revision):
        chain = world.renewed(chain, large)
    assert 20 < len(chain.evidence.revisions) < MOST_REVISIONS
    stored = await case.stored()
    case.duty.adopt(BACK)
    with pytest.raises(RefusedError, match="withdraw it"):
        renewal(
            stored.model_copy(update={"evidence": chain.evidence, "revision": chain.digest, "policy_serial": 2}),
            case.duty.in_force,
            now=NOW,
        )


async def test_the_longest_chain_with_the_largest_quorum_fits_into_one_message() -> None:
    case = await open_case()
    note = "\x01" * 1000
    said = said_on(case, case.digest, "alice").jws
    payload = Decision.read(payload_of(said), code="a.b").model_copy(update={"note": note})
    token = JwsStatement(jws=signing_key("alice").sign(payload.canonical(), Typ.DECISION, NOW))
    chain = case.begun.evidence
    room = MOST_CHAIN_BYTES - len(chain.submission.canonical())
    longest = RevisionStatement(jws=f"a.{'b' * (room // 5)}.c")
    whole = chain.model_copy(update={"revisions": (longest,) * 5, "decisions": (token,) * 21, "verdict": token.jws})
    told = events.RequestApproved(request_id=case.id, approval_group=WEB, evidence=whole)
    body = publish_event(told, origin=case.id, sequence=2, policy_serial=10**18 - 1, at=NOW).body
    assert len(body.encode()) < MAX_MESSAGE_BYTES


async def test_what_followed_before_the_policy_changed_is_repeated_as_it_was() -> None:
    case = await open_case()
    await case.approve("alice")
    message_id = "01a1f8d3-eb00-7c99-8d3e-4f5a6b7c8d9e"
    first = await case.send(case.approval_by("ben"), by="ben", message_id=message_id)  # type: ignore[arg-type]  # an id
    case.duty.adopt(QUORUM_OF_THREE)
    again = await case.send(case.approval_by("ben"), by="ben", message_id=message_id)  # type: ignore[arg-type]  # an id
    assert again == first
    assert [data_of(message)["evidence"]["verdict"] is not None for message in lifecycle(again)] == [True]
