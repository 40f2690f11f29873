"""The chain of revisions: a renewal carries a request over to another policy and can change nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.issuer.rules import standing_denial, verify_for_order
from shared.contracts.events import MOST_REVISIONS
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, read_evidence, verify_evidence
from shared.evidence.in_force import PolicyInForce
from shared.evidence.steps import RENEWABLE, DecisionKind, Revision
from shared.evidence.verification import verify_approval, verify_decisions, verify_revision, verify_verdict
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Severity, finding
from shared.vocabulary.model import digest_of
from tests import world
from tests.world import NOW, Approved, decision

THREE = ("alice", "ben", "carol")
MINUTE = timedelta(minutes=1)
LATER = NOW + 10 * MINUTE
ODD = finding("lint.odd", "an odd thing", severity=Severity.WARNING)


def newer() -> Policy:
    """The policy that the issuer has: its quorum is three."""
    return world.policy(world.newer_policy(("quorum = 2", "quorum = 3")))


def anchor() -> Anchor:
    return Anchor.of(newer())


def renewed(begun: Approved | None = None, **changes: object) -> Approved:
    return world.renewed(begun or world.accepted(), newer(), **changes)  # type: ignore[arg-type]  # fields of a revision


def codes(chain: Approved, *, by: tuple[str, ...] = THREE) -> set[str]:
    """The codes with which the issuer refuses this chain, approved by these; empty when it would order."""
    evidence = world.judged(chain, by=by, at=LATER).evidence
    try:
        verify_for_order(evidence, PolicyInForce(newer()), now=LATER)
    except RefusedError as refused:
        return {found.code for found in refused.findings}
    return set()


def test_what_was_signed_under_another_policy_is_not_ordered_until_it_is_renewed_and_approved_anew() -> None:
    begun = world.accepted()
    assert codes(begun) == {"evidence.policy-differs"}
    assert codes(renewed(begun)) == set()
    assert codes(renewed(begun), by=("alice", "ben")) == {"evidence.quorum-missing"}


def test_approvals_of_the_former_revision_do_not_count_for_the_renewal() -> None:
    begun = world.accepted()
    chain = renewed(begun)
    old = tuple(decision(begun.digest, begun.revision.request_id, by=name) for name in THREE)
    token = world.verdict(chain.digest, begun.revision.request_id, old)
    evidence = chain.evidence.model_copy(update={"decisions": old, "verdict": token})
    with pytest.raises(RefusedError, match="another revision"):
        verify_approval(evidence, anchor(), now=NOW)


def _another(field: str) -> object:
    """Some other value of this field than that of `_whole`, well-formed and as plausible as its own."""
    asked = world.content(
        csr=world.make_csr("evil.example.com"),
        name="another",
        notes="x",
        emails=("eve@example.com",),
        expires_on=(NOW + timedelta(days=9)).date(),
    )
    another = world.revision_of(asked, newer(), requesters=("portal", "ben"))
    return getattr(
        another.model_copy(update={"edit": digest_of(b"another"), "editors": ("eve",), "editor_people": ("eve",)}),
        field,
    )


@pytest.mark.parametrize("field", sorted(set(Revision.model_fields) - RENEWABLE - {"method", "generated"}))
def test_approval_can_alter_no_field_of_the_content_by_a_renewal(field: str) -> None:
    begun = world.accepted()
    assert _another(field) != getattr(begun.revision, field)
    assert "evidence.renewal-differs" in codes(renewed(begun, **{field: _another(field)}))


def test_a_renewal_knows_no_other_method_than_the_former_revision() -> None:
    assert codes(renewed(method="generated")) == {"evidence.revision-invalid"}


@pytest.mark.parametrize("choice", world.CHOICES)
def test_a_renewal_cannot_choose_for_the_requester(choice: str) -> None:
    begun = renewed()
    policy = begun.revision.policy.model_copy(update={choice: "another"})
    assert "evidence.content-differs" in codes(renewed(policy=policy))


@pytest.mark.parametrize("kept", [(), (finding("lint.other", "y"),)])
def test_a_renewal_leaves_out_no_finding_that_approvers_were_shown(kept: tuple[object, ...]) -> None:
    begun = _with_finding()
    assert codes(renewed(begun)) == set()
    assert codes(renewed(begun, findings=(ODD, ODD))) == set()
    assert "evidence.renewal-differs" in codes(renewed(begun, findings=kept))


def _with_finding() -> Approved:
    asked = world.content()
    revision = world.revision_of(asked, world.policy()).model_copy(update={"findings": (ODD,)})
    return world.accepted(asked, revision=revision)


def _of_a_stranger(chain: Approved) -> Approved:
    other = renewed().evidence.revisions
    return _with(chain, (chain.evidence.revisions[0], other[1]))


def _with(chain: Approved, revisions: tuple[JwsStatement, ...]) -> Approved:
    return replace(chain, evidence=chain.evidence.model_copy(update={"revisions": revisions}))


BROKEN: dict[str, tuple[Callable[[Approved], Approved], str]] = {
    "the first left out": (lambda c: _with(c, c.evidence.revisions[1:]), "evidence.revisions"),
    "the wrong way round": (lambda c: _with(c, c.evidence.revisions[::-1]), "evidence.revisions"),
    "twice": (lambda c: _with(c, (*c.evidence.revisions, c.evidence.revisions[1])), "evidence.revisions"),
    "of another request": (_of_a_stranger, "evidence.revisions"),
    "a number left out": (lambda _: renewed(number=3), "evidence.revisions"),
    "without a predecessor": (lambda _: renewed(predecessor=None), "evidence.revisions"),
    "another predecessor": (lambda c: renewed(predecessor=c.digest), "evidence.revisions"),
    "a second first": (lambda _: renewed(number=1, signer=Duty.INTAKE), "evidence.revisions"),
    "by intake": (lambda _: renewed(signer=Duty.INTAKE), "evidence.unknown-key"),
    "by an approver": (lambda _: renewed(signer="alice"), "evidence.unknown-key"),
    "by the issuer": (lambda _: renewed(signer=Duty.ISSUER), "evidence.unknown-key"),
    "older than what it renews": (lambda _: renewed(at=NOW - timedelta(hours=1)), "evidence.order"),
    "a policy of its own": (
        lambda c: renewed(policy=c.revision.policy.model_copy(update={"max_validity_days": 3000})),
        "evidence.policy-differs",
    ),
}


@pytest.mark.parametrize(("breaking", "code"), BROKEN.values(), ids=BROKEN)
def test_a_chain_that_is_broken_or_forged_is_never_ordered(breaking: Callable[[Approved], Approved], code: str) -> None:
    assert code in codes(breaking(renewed()))


def test_a_request_may_be_renewed_again_and_again_and_each_link_counts() -> None:
    chain = world.accepted()
    for serial in range(2, 7):
        text = world.newer_policy(("max_validity_days = 199", f"max_validity_days = {199 - serial}"), serial=serial)
        chain = world.renewed(chain, world.policy(text))
    chain = renewed(chain)
    assert codes(chain) == set()
    _, verified = verify_revision(chain.evidence, anchor(), now=NOW)
    assert [each.revision.number for each in (*verified.former, verified)] == list(range(1, 8))
    assert "evidence.revisions" in codes(_with(chain, (*chain.evidence.revisions[:3], *chain.evidence.revisions[4:])))


def test_there_is_an_end_to_renewals() -> None:
    chain = world.accepted()
    for _ in range(1, MOST_REVISIONS):
        chain = renewed(chain)
    assert codes(chain) == set()
    with pytest.raises(ValueError, match="less than or equal to 50"):
        Revision.model_validate(renewed(chain).revision.model_dump())


def _denial(chain: Approved, by: str) -> JwsStatement:
    return decision(chain.digest, chain.revision.request_id, by=by, kind=DecisionKind.DENY)


@pytest.mark.parametrize(
    ("who", "at", "stands"),
    [("carol", NOW, True), ("ben", NOW, False), ("ben", LATER + MINUTE, True)],
    ids=["by somebody else", "by who approved the renewal since", "by who approved the renewal before"],
)
def test_a_denial_of_the_former_revision_stands_against_the_approval_of_its_renewal(
    who: str, at: datetime, *, stands: bool
) -> None:
    begun = world.accepted()
    shorter = world.policy(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))
    judged = world.judged(world.renewed(begun, shorter), by=("alice", "ben"), at=LATER)
    approval = verify_approval(judged.evidence, Anchor.of(shorter), now=LATER)
    denial = decision(begun.digest, begun.revision.request_id, by=who, kind=DecisionKind.DENY, at=at)
    assert (standing_denial([denial], approval, Anchor.of(shorter), now=LATER + MINUTE) == denial) is stands


def test_a_denial_of_the_former_revision_is_evidence_of_a_denied_request_and_an_approval_of_it_is_not() -> None:
    begun = world.accepted()
    chain = renewed(begun)
    _, verified = verify_revision(chain.evidence, anchor(), now=NOW)
    denied = chain.evidence.model_copy(update={"decisions": (_denial(begun, "carol"),)})
    (said,) = verify_decisions(denied, verified, anchor(), now=NOW)
    assert said.decision.approver == "carol"
    approved = (decision(begun.digest, begun.revision.request_id, by="carol"),)
    with pytest.raises(RefusedError, match="another revision"):
        verify_decisions(chain.evidence.model_copy(update={"decisions": approved}), verified, anchor(), now=NOW)


def test_the_evidence_file_of_a_renewed_request_tells_of_the_renewal_and_no_byte_of_it_can_be_changed() -> None:
    changed = ("max_validity_days = 199", "max_validity_days = 90")
    policy = world.policy(world.newer_policy(changed))
    whole = world.issued(policy_renewed=policy)
    data = EvidenceFile(request_id=whole.revision.request_id, evidence=whole.evidence).canonical()
    story = verify_evidence(read_evidence(data), Anchor.of(policy), now=NOW)
    assert story.issued
    assert ["revision 1" in step for step in story.steps].count(True) == 1
    assert any("approval renewed it under another policy as revision 2" in step for step in story.steps)
    for position in range(0, len(data), 23):
        spoilt = bytearray(data)
        spoilt[position] ^= 1
        with pytest.raises(RefusedError):
            verify_evidence(read_evidence(bytes(spoilt)), Anchor.of(policy), now=NOW)


def test_a_verdict_on_its_own_is_approvals_word_on_exactly_these_decisions() -> None:
    judged = world.judged(world.accepted())
    assert verify_verdict(judged.evidence, anchor(), now=NOW).request_id == judged.revision.request_id
    others = world.judged(world.accepted()).evidence
    for spoilt in ({"decisions": judged.evidence.decisions[:1]}, {"verdict": others.verdict}, {"verdict": None}):
        with pytest.raises(RefusedError):
            verify_verdict(judged.evidence.model_copy(update=spoilt), anchor(), now=NOW)
