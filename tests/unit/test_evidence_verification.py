"""What makes an approval hold, and everything that must make it fall."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from services.issuer.rules import standing_denial, verify_entry, verify_for_order
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement, RevisionStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, read_evidence, verify_evidence
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import DecisionKind, Issuance
from shared.evidence.verification import verify_approval
from shared.policy.policy import Policy
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from tests import world
from tests.world import DAY, NOW, Approved, decision, signing_key, verdict

Change = Callable[[Approved], Evidence]


def _codes(evidence: Evidence, *, policy_text: str | None = None, after: timedelta = timedelta(0)) -> set[str]:
    """The codes with which the issuer refuses this evidence; empty when it would order."""
    try:
        verify_for_order(evidence, PolicyInForce(world.policy(policy_text)), now=NOW + after)
    except RefusedError as refused:
        return {found.code for found in refused.findings}
    return set()


def _with(base: Approved, **update: object) -> Evidence:
    return base.evidence.model_copy(update=update)


def _resigned(base: Approved, *, signer: str = Duty.INTAKE, **changes: object) -> Evidence:
    """The same request with another revision, signed, approved and judged all the same."""
    revision = base.revision.model_copy(update=changes)
    token = signing_key(signer).sign(revision.canonical(), Typ.REVISION, NOW)
    digest = digest_of(revision.canonical())
    decisions = tuple(decision(digest, revision.request_id, by=name) for name in ("alice", "ben"))
    return _with(
        base,
        revisions=(RevisionStatement(jws=token),),
        decisions=decisions,
        verdict=verdict(digest, revision.request_id, decisions),
    )


def _rejudged(base: Approved, *decisions: JwsStatement) -> Evidence:
    """These decisions under a verdict that approval really signed."""
    return _with(base, decisions=decisions, verdict=verdict(base.digest, base.revision.request_id, decisions))


def _decision(base: Approved, by: str, **others: object) -> JwsStatement:
    return decision(base.digest, base.revision.request_id, by=by, **others)  # type: ignore[arg-type]  # the keywords of `decision`


def test_an_honest_approval_holds() -> None:
    assert _codes(world.approved().evidence) == set()


def test_three_approvals_hold_where_two_are_needed() -> None:
    assert _codes(world.approved(by=("alice", "ben", "carol")).evidence) == set()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda b: _with(b, verdict=None), "evidence.verdict-missing"),
        (lambda b: _with(b, decisions=b.evidence.decisions[:1]), "evidence.decisions-differ"),
        (lambda b: _with(b, decisions=()), "evidence.decisions-differ"),
        (lambda b: _rejudged(b, _decision(b, "alice")), "evidence.quorum-missing"),
        (lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "alice", note="x")), "evidence.person-twice"),
        (lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "olga")), "evidence.unknown-key"),
        (lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "shop")), "decision.not-an-approver"),
        (lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "shop")), "decision.by-requester"),
        (lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "ben", signer="alice")), "evidence.unknown-key"),
        (
            lambda b: _rejudged(b, _decision(b, "alice"), _decision(b, "ben", kind=DecisionKind.DENY)),
            "evidence.denied",
        ),
        (
            lambda b: _rejudged(b, _decision(b, "alice"), world.approved().evidence.decisions[1]),
            "decision.outdated-revision",
        ),
        (lambda b: _with(b, submission=world.approved().evidence.submission), "evidence.submission-differs"),
        (
            lambda b: _with(b, submission=UnsignedSubmission(content=world.content(b.revision.request_id))),
            "evidence.submission-differs",
        ),
        (lambda b: _with(b, revisions=b.evidence.revisions * 2), "evidence.revisions"),
        (lambda b: _resigned(b, name="another"), "evidence.content-differs"),
        (lambda b: _resigned(b, signer="alice"), "evidence.unknown-key"),
        (lambda b: _resigned(b, number=2), "evidence.unknown-key"),
        (lambda b: _resigned(b, number=2, signer=Duty.APPROVAL), "evidence.revisions"),
        (lambda b: _resigned(b, predecessor=b.digest), "evidence.revisions"),
        (lambda b: _resigned(b, requesters=("portal",)), "evidence.unknown-key"),
        (lambda b: _resigned(b, csr=world.approved().revision.csr), "evidence.content-differs"),
        (
            lambda b: _resigned(b, names=b.revision.names.model_copy(update={"dns": ("evil.example.com",)})),
            "evidence.content-differs",
        ),
        (
            lambda b: _resigned(b, policy=b.revision.policy.model_copy(update={"quorum": 1})),
            "evidence.policy-differs",
        ),
        (
            lambda b: _resigned(b, policy=b.revision.policy.model_copy(update={"max_validity_days": 3000})),
            "evidence.policy-differs",
        ),
    ],
)
def test_what_is_missing_swapped_or_forged_makes_the_approval_fall(change: Change, code: str) -> None:
    assert code in _codes(change(world.approved()))


def _approved_by_its_requester(policy: Policy) -> Evidence:
    asked = world.content()
    revision = world.revision_of(asked, policy, requesters=("ben",))
    token = signing_key(Duty.INTAKE).sign(revision.canonical(), Typ.REVISION, NOW)
    digest = digest_of(revision.canonical())
    decisions = tuple(decision(digest, asked.request_id, by=name) for name in ("alice", "ben"))
    return Evidence(
        submission=world.submission(asked, by="ben"),
        revisions=(RevisionStatement(jws=token),),
        decisions=decisions,
        verdict=verdict(digest, asked.request_id, decisions),
    )


def test_a_request_that_the_requester_also_approved_does_not_count_their_approval() -> None:
    assert "decision.by-requester" in _codes(_approved_by_its_requester(world.policy()))


def test_a_requester_counts_only_where_both_the_signed_policy_and_the_verifiers_own_say_so() -> None:
    lenient = world.policy_text().replace("quorum = 2", "quorum = 2\nrequester_counts = true")
    evidence = _approved_by_its_requester(world.policy(lenient))
    assert "decision.by-requester" not in _codes(evidence, policy_text=lenient)
    assert "decision.by-requester" in _codes(evidence)
    assert "decision.by-requester" in _codes(_approved_by_its_requester(world.policy()), policy_text=lenient)


def test_a_requester_who_may_no_longer_submit_gets_nothing_ordered() -> None:
    text = world.policy_text().replace('permissions.web = ["submit"]', 'permissions.web = ["view"]')
    assert "identity.not-permitted" in _codes(world.approved().evidence, policy_text=text)


def test_a_signing_certificate_that_is_kept_for_others_orders_nothing_for_this_requester() -> None:
    text = world.policy_text().replace("max_validity_days = 199", 'max_validity_days = 199\nsubmitters = ["portal"]')
    assert "identity.not-permitted" in _codes(world.approved().evidence, policy_text=text)


def test_an_approver_removed_from_the_policy_no_longer_counts() -> None:
    text = world.policy_text()
    text = text.replace('permissions.web = ["decide", "view", "submit"]', 'permissions.web = ["view"]')
    assert "decision.not-an-approver" in _codes(world.approved().evidence, policy_text=text)


def test_a_raised_quorum_counts_for_approvals_made_before() -> None:
    text = world.policy_text().replace("quorum = 2", "quorum = 3")
    assert "evidence.quorum-missing" in _codes(world.approved().evidence, policy_text=text)


def test_two_identities_of_one_person_count_once() -> None:
    text = world.policy_text().replace('person = "ben"', 'person = "alice"')
    assert "evidence.person-twice" in _codes(world.approved().evidence, policy_text=text)


def test_approvals_lapse() -> None:
    evidence = world.approved().evidence
    assert _codes(evidence, after=timedelta(hours=335)) == set()
    assert _codes(evidence, after=timedelta(hours=337)) == {"evidence.approval-lapsed"}


def test_the_expiration_date_is_judged_again_at_the_time_of_the_order() -> None:
    asked = world.content(expires_on=(NOW + timedelta(days=3)).date())
    evidence = world.approved(asked).evidence
    assert _codes(evidence) == set()
    assert _codes(evidence, after=timedelta(days=3)) == {"validity.past"}


@pytest.mark.parametrize("who", ["carol", "alice"], ids=["by somebody else", "by who approved it"])
@pytest.mark.parametrize("seconds", [-5, 5], ids=["before the verdict", "after it"])
def test_a_witnessed_denial_stands_against_an_approval_that_leaves_it_out(who: str, seconds: int) -> None:
    base = world.approved()
    anchor = Anchor.of(world.policy())
    approval = verify_approval(base.evidence, anchor, now=NOW)
    denial = _decision(base, who, kind=DecisionKind.DENY, at=NOW + timedelta(seconds=seconds))
    assert standing_denial([denial], approval, anchor, now=NOW) == denial


@pytest.mark.parametrize(
    "denial",
    [
        lambda b: _decision(b, "shop", kind=DecisionKind.DENY),
        lambda b: _decision(b, "carol", kind=DecisionKind.DENY, signer="mallory"),
        lambda b: _decision(b, "carol"),
        lambda _: _decision(world.approved(), "carol", kind=DecisionKind.DENY),
    ],
    ids=["no approver", "forged", "an approval", "another request"],
)
def test_what_is_no_denial_of_this_revision_does_not_stand(denial: Callable[[Approved], JwsStatement]) -> None:
    base = world.approved()
    anchor = Anchor.of(world.policy())
    approval = verify_approval(base.evidence, anchor, now=NOW)
    assert standing_denial([denial(base)], approval, anchor, now=NOW + timedelta(seconds=10)) is None


def test_an_evidence_file_tells_its_story_and_no_byte_of_it_can_be_changed() -> None:
    whole = world.issued()
    anchor = Anchor.of(world.policy())
    data = EvidenceFile(request_id=whole.revision.request_id, evidence=whole.evidence).canonical()
    assert verify_evidence(read_evidence(data), anchor, now=NOW).issued
    for position in range(0, len(data), 17):
        changed = bytearray(data)
        changed[position] = changed[position] ^ 1
        with pytest.raises(RefusedError):
            verify_evidence(read_evidence(bytes(changed)), anchor, now=NOW)


def test_evidence_of_another_ca_does_not_verify_against_this_anchor() -> None:
    whole = world.issued()
    anchor = Anchor.of(world.policy())
    stranger = world.pem(world.Ca().intermediate)
    file = EvidenceFile(request_id=whole.revision.request_id, evidence=whole.evidence)
    other = anchor.model_copy(update={"intermediates": {"public-tls": _base64(stranger)}})
    with pytest.raises(RefusedError):
        verify_evidence(file, other, now=NOW)


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"expires_on": (NOW + 300 * DAY).date()}, {"issued.term-differs", "issued.validity-shorter"}),
        ({"ordered_on": (NOW - 5 * DAY).date()}, {"evidence.order", "issued.term-differs"}),
        ({"ordered_on": (NOW + 5 * DAY).date()}, {"evidence.order", "issued.term-differs", "issued.backdated"}),
    ],
)
def test_the_issuer_cannot_say_that_it_ordered_another_term_than_was_approved(
    change: dict[str, date], codes: set[str]
) -> None:
    whole = world.issued()
    said = Issuance.read(payload_of(whole.evidence.issuance or ""), code="a.b").model_copy(update=change)
    token = world.signing_key("issuer").sign(said.canonical(), Typ.ISSUANCE, NOW)
    evidence = whole.evidence.model_copy(update={"issuance": token})
    file = EvidenceFile(request_id=whole.revision.request_id, evidence=evidence)
    with pytest.raises(RefusedError) as refused:
        verify_evidence(file, Anchor.of(world.policy()), now=NOW)
    assert {found.code for found in refused.value.findings} == codes


def _base64(pem: bytes) -> str:
    return "".join(pem.decode().splitlines()[1:-1])


def test_the_evidence_of_one_request_does_not_order_under_the_entry_of_another() -> None:
    mine, others = world.approved(), world.approved()
    verify_entry(mine.revision.request_id, mine.evidence, world.in_force(), now=NOW)
    with pytest.raises(RefusedError) as refused:
        verify_entry(mine.revision.request_id, others.evidence, world.in_force(), now=NOW)
    assert [found.code for found in refused.value.findings] == ["evidence.request-differs"]
