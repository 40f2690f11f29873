"""The chain of revisions with edits: what an editor signed for, and nothing else, takes the place of what was asked."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.issuer.rules import standing_denial, verify_for_order
from shared.contracts.events import RequestApproved
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, read_evidence, verify_evidence
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import EDITED, DecisionKind, Edit, Revision
from shared.evidence.verification import follow_revisions, verify_approval, verify_revision
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.names import ApprovalGroupName
from shared.x509.entered import EditedValues
from shared.x509.names import SubjectAltNames
from tests import world
from tests.fakes.duties import Issuer, event
from tests.world import NOW, Approved, decision, signing_key

LATER = NOW + timedelta(minutes=10)
NAMES = EditedValues(names=SubjectAltNames(dns=("www.example.com", "shop.example.com")))
CAROL = 'permissions.web = ["decide", "view", "edit"]'
BEN = 'permissions.web = ["decide", "view", "submit"]'
BEN_EDITS = 'permissions.web = ["decide", "view", "submit", "edit"]'
NOBODY_EDITS = world.newer_policy((CAROL, 'permissions.web = ["decide", "view"]'))
CAROL_IS_GONE = world.newer_policy(("[identities.carol]", "[identities.dora]"), ('person = "carol"', 'person = "dora"'))
TWO_EDITORS = world.newer_policy((BEN, BEN_EDITS))
EDITORS_APPROVE = world.newer_policy(("quorum = 2", "quorum = 2\neditor_may_approve = true"))
SHORTER = world.newer_policy(("max_validity_days = 199", "max_validity_days = 90"), serial=3)


def codes(chain: Approved, policy: str | None = None, *, by: tuple[str, ...] = ("alice", "ben")) -> set[str]:
    """The codes with which the issuer refuses this chain, approved by these; empty when it would order."""
    evidence = world.judged(chain, by=by, at=LATER).evidence
    try:
        verify_for_order(evidence, PolicyInForce(world.policy(policy)), now=LATER)
    except RefusedError as refused:
        return {found.code for found in refused.findings}
    return set()


def edited(begun: Approved | None = None, policy: str | None = None, **how: object) -> Approved:
    begun = begun or world.accepted()
    return world.edited(begun, world.policy(policy), **({"entered": NAMES} | how))  # type: ignore[arg-type]  # fields


def test_what_two_others_approve_as_it_was_edited_is_ordered_as_it_was_edited() -> None:
    chain = edited(name="another", notes="n", emails=("a@example.com",), expires_on=(NOW + 9 * world.DAY).date())
    assert codes(chain) == set()
    assert codes(chain, by=("alice", "ben", "carol")) == {"decision.by-editor"}
    assert chain.revision.names.dns == ("www.example.com", "shop.example.com")
    assert (chain.revision.name, chain.revision.notes, chain.revision.editors) == ("another", "n", ("carol",))


def test_approvals_of_what_was_edited_do_not_count_for_what_came_of_it() -> None:
    begun = world.accepted()
    chain = edited(begun)
    old = tuple(decision(begun.digest, begun.revision.request_id, by=name) for name in ("alice", "ben"))
    token = world.verdict(chain.digest, begun.revision.request_id, old)
    evidence = chain.evidence.model_copy(update={"decisions": old, "verdict": token})
    with pytest.raises(RefusedError, match="another revision"):
        verify_approval(evidence, world.in_force().anchor, now=NOW)


@pytest.mark.parametrize(
    ("signed", "own", "counts"),
    [(EDITORS_APPROVE, EDITORS_APPROVE, True), (EDITORS_APPROVE, None, False), (None, EDITORS_APPROVE, False)],
)
def test_an_editor_counts_only_where_both_the_signed_policy_and_the_verifiers_own_say_so(
    signed: str | None, own: str | None, *, counts: bool
) -> None:
    begun = world.accepted()
    chain = edited(world.renewed(begun, world.policy(signed)) if signed else begun, signed)
    assert ("decision.by-editor" in codes(chain, own, by=("alice", "carol"))) is not counts


def test_whoever_owns_the_editor_does_not_count_either_and_nor_does_who_edited_it_before() -> None:
    also_carol = world.newer_policy((BEN, BEN_EDITS), ('person = "ben"', 'person = "carol"'))
    assert "decision.by-editor" in codes(edited(policy=also_carol), also_carol)
    again = edited(edited(policy=TWO_EDITORS), TWO_EDITORS, by="ben", name="once more")
    assert again.revision.editors == ("carol", "ben")
    assert codes(again, TWO_EDITORS, by=("alice", "carol")) == {"decision.by-editor"}


CAROL_AS_DORA = world.newer_policy(
    (BEN, BEN_EDITS),
    ("[identities.carol]", "[identities.dora]"),
    (signing_key("carol").public.x, signing_key("dora").public.x),
    serial=3,
)


def test_an_editor_whose_identity_has_left_the_policy_does_not_count_under_another_one() -> None:
    """The policy says no more whose identity it was; the revision does."""
    chain = edited(edited(policy=TWO_EDITORS), TWO_EDITORS, by="ben", name="once more")
    assert (chain.revision.editors, chain.revision.editor_people) == (("carol", "ben"), ("carol", "ben"))
    assert codes(chain, CAROL_AS_DORA, by=("alice", "dora")) == {"decision.by-editor"}
    another = CAROL_AS_DORA.replace('person = "carol"', 'person = "dora"')
    assert codes(chain, another, by=("alice", "dora")) == set()


def test_what_was_edited_before_revisions_named_the_people_is_judged_by_their_identities_alone() -> None:
    chain = edited(changes={"editor_people": ()})
    assert "editor_people" not in chain.revision.model_dump(mode="json")
    assert codes(chain) == set()
    assert codes(chain, by=("alice", "carol")) == {"decision.by-editor"}
    again = edited(edited(policy=TWO_EDITORS, changes={"editor_people": ()}), TWO_EDITORS, by="ben", name="once more")
    assert again.revision.editor_people == ("ben",)
    assert codes(again, TWO_EDITORS, by=("alice", "carol")) == {"decision.by-editor"}


def test_a_renewal_keeps_what_was_edited_and_who_edited_it() -> None:
    chain = world.renewed(edited(), world.policy(SHORTER))
    assert codes(chain, SHORTER) == set()
    assert (chain.revision.names.dns, chain.revision.editors) == (NAMES.names.dns, ("carol",))
    assert codes(chain, SHORTER, by=("alice", "carol")) == {"decision.by-editor"}
    _, verified = verify_revision(chain.evidence, Anchor.of(world.policy(SHORTER)), now=NOW)
    assert verified.edit is None
    assert verified.edit_in_force is not None
    assert verified.edit_in_force.editor == "carol"


def _edit_with(begun: Approved, **how: object) -> Approved:
    """An edit that was signed like this, and that approval took all the same."""
    return edited(begun, statement=world.edit(begun, **({"entered": NAMES} | how)))  # type: ignore[arg-type]  # fields


def _of_another_typ(begun: Approved) -> Approved:
    payload = payload_of(world.edit(begun, entered=NAMES).jws)
    return edited(begun, statement=JwsStatement(jws=signing_key("carol").sign(payload, Typ.DECISION, NOW)))


FORGED: dict[str, tuple[Callable[[Approved], Approved], str]] = {
    "signed by another": (lambda b: _edit_with(b, signer="alice"), "evidence.unknown-key"),
    "signed by approval": (lambda b: _edit_with(b, signer=Duty.APPROVAL), "evidence.unknown-key"),
    "by somebody who may not edit": (lambda b: _edit_with(b, by="ben"), "edit.not-an-editor"),
    "by a system": (lambda b: _edit_with(b, by="shop"), "edit.not-an-editor"),
    "by nobody that is known": (lambda b: _edit_with(b, by="mallory"), "evidence.unknown-key"),
    "of another typ": (_of_another_typ, "evidence.wrong-typ"),
    "of another revision": (lambda b: _edit_with(b, predecessor=world.accepted().digest), "evidence.edit-differs"),
    "of another request": (
        lambda b: _edit_with(b, request_id=world.accepted().revision.request_id),
        "evidence.edit-differs",
    ),
    "older than what it edits": (lambda b: _edit_with(b, at=NOW - timedelta(hours=1)), "evidence.order"),
    "younger than what came of it": (
        lambda b: _edit_with(b, at=NOW + timedelta(minutes=5)),
        "evidence.order",
    ),
    "people made up": (lambda b: edited(b, changes={"editor_people": ("alice", "carol")}), "evidence.edit-differs"),
    "people left out later": (
        lambda b: edited(edited(b, TWO_EDITORS), TWO_EDITORS, by="ben", name="x", changes={"editor_people": ("ben",)}),
        "evidence.edit-differs",
    ),
    "its editor left out": (lambda b: edited(b, changes={"editors": ()}), "evidence.edit-differs"),
    "an editor made up": (lambda b: edited(b, changes={"editors": ("alice", "carol")}), "evidence.edit-differs"),
    "another edit named": (lambda b: edited(b, changes={"edit": world.accepted().digest}), "evidence.edit-differs"),
    "signed by intake": (lambda b: edited(b, signer=Duty.INTAKE), "evidence.unknown-key"),
    "the edit held back": (lambda b: _without_edit(edited(b)), "evidence.renewal-differs"),
    "its content given for a renewal": (
        lambda b: world.renewed(b, world.policy(), names=NAMES.names),
        "evidence.content-differs",
    ),
}


def _without_edit(chain: Approved) -> Approved:
    first, second = chain.evidence.revisions
    bare = second.model_copy(update={"edit": None})
    return replace(chain, evidence=chain.evidence.model_copy(update={"revisions": (first, bare)}))


@pytest.mark.parametrize(("forge", "code"), FORGED.values(), ids=FORGED)
def test_an_edit_that_is_forged_or_serves_twice_is_never_ordered(
    forge: Callable[[Approved], Approved], code: str
) -> None:
    assert code in codes(forge(world.accepted()))


@pytest.mark.parametrize(("forge", "_code"), FORGED.values(), ids=FORGED)
async def test_nothing_is_sent_to_the_ca_for_an_edit_that_is_forged(
    forge: Callable[[Approved], Approved], _code: str
) -> None:
    chain = world.judged(forge(world.accepted()), at=LATER)
    told = RequestApproved(
        request_id=chain.revision.request_id, approval_group=ApprovalGroupName("web"), evidence=chain.evidence
    )
    issuer = Issuer()
    issuer.clock.advance(LATER - NOW)
    await issuer.handle(event(told, sequence=2))
    await issuer.work_off()
    assert issuer.ca.orders == []


def _other(field: str) -> object:
    asked = world.content(csr=world.make_csr("evil.example.com"), name="x", notes="x", emails=("eve@example.com",))
    asked = asked.model_copy(update={"expires_on": (NOW + timedelta(days=9)).date()})
    return getattr(world.revision_of(asked, world.policy(), requesters=("portal", "ben")), field)


@pytest.mark.parametrize("field", sorted(set(Revision.model_fields) - EDITED - {"method", "generated"}))
def test_approval_can_alter_no_other_field_under_the_pretext_of_an_edit(field: str) -> None:
    assert "evidence.edit-differs" in codes(edited(changes={field: _other(field)}))


@pytest.mark.parametrize("field", ["name", "expires_on", "notes", "emails", "subject", "names"])
def test_approval_can_make_nothing_else_of_an_edit_than_it_says(field: str) -> None:
    assert "evidence.content-differs" in codes(edited(changes={field: _other(field)}))


def test_an_edit_reaches_no_value_that_the_profiles_keep_from_approvers() -> None:
    kept = world.newer_policy(('editable_by = ["requester", "approver"]\nkinds', 'editable_by = ["requester"]\nkinds'))
    begun = world.renewed(world.accepted(), world.policy(kept))
    chain = edited(begun, kept)
    assert chain.revision.names.dns == ("www.example.com",)
    assert codes(edited(begun, kept, changes={"names": NAMES.names}), kept) == {"evidence.content-differs"}


@pytest.mark.parametrize(
    ("policy", "code"), [(NOBODY_EDITS, "edit.not-an-editor"), (CAROL_IS_GONE, "evidence.unknown-key")]
)
def test_an_edit_whose_editor_was_removed_is_not_ordered(policy: str, code: str) -> None:
    assert codes(edited()) == set()
    assert codes(edited(), policy) == {code}


@pytest.mark.parametrize("policy", [NOBODY_EDITS, CAROL_IS_GONE])
def test_who_edits_it_again_puts_the_edit_of_somebody_who_left_out_of_force(policy: str) -> None:
    text = policy.replace(BEN, BEN_EDITS)
    again = edited(edited(), text, by="ben", name="once more")
    assert codes(again, text, by=("alice", "ben")) == {"decision.by-editor"}
    assert "edit.not-an-editor" not in codes(again, text)
    file = EvidenceFile(request_id=again.revision.request_id, evidence=again.evidence)
    story = verify_evidence(file, Anchor.of(world.policy(text)), now=NOW)
    assert any("carol" in step and "edited it" in step for step in story.steps)


def test_a_former_edit_of_somebody_who_is_known_is_verified_all_the_same() -> None:
    begun = world.accepted()
    forged = edited(begun, TWO_EDITORS, statement=world.edit(begun, entered=NAMES, signer="mallory"))
    assert "evidence.unknown-key" in codes(edited(forged, TWO_EDITORS, by="ben", name="x"), TWO_EDITORS)


def test_what_ends_a_request_needs_no_word_of_an_editor_who_left() -> None:
    chain = edited()
    gone = Anchor.of(world.policy(CAROL_IS_GONE))
    with pytest.raises(RefusedError):
        verify_revision(chain.evidence, gone, now=NOW)
    _, followed = follow_revisions(chain.evidence, gone, now=NOW)
    assert followed.digest == chain.digest


KEY: Finding = finding("key.odd", "an odd key", severity=Severity.WARNING)
LINT: Finding = finding("lint.odd", "an odd thing", severity=Severity.WARNING)


def test_an_edit_keeps_the_findings_that_it_does_not_bear_on() -> None:
    asked = world.content()
    revision = world.revision_of(asked, world.policy()).model_copy(update={"findings": (LINT, KEY)})
    begun = world.accepted(asked, revision=revision)
    assert codes(edited(begun, changes={"findings": (KEY,)})) == set()
    assert codes(edited(begun, changes={"findings": (KEY, LINT)})) == set()
    assert "evidence.edit-differs" in codes(edited(begun, changes={"findings": (LINT,)}))


@pytest.mark.parametrize("who", ["alice", "carol"])
def test_a_denial_of_what_was_edited_stands_and_so_does_one_by_the_editor(who: str) -> None:
    begun = world.accepted()
    judged = world.judged(edited(begun, TWO_EDITORS), by=("ben",), at=LATER)
    _, revision = verify_revision(judged.evidence, Anchor.of(world.policy(TWO_EDITORS)), now=LATER)
    approval = verify_approval(world.judged(edited(begun), at=LATER).evidence, world.in_force().anchor, now=LATER)
    approval = replace(approval, revision=revision, decisions=())
    denial = decision(begun.digest, begun.revision.request_id, by=who, kind=DecisionKind.DENY)
    assert standing_denial([denial], approval, Anchor.of(world.policy(TWO_EDITORS)), now=LATER) == denial


def test_what_was_never_edited_has_the_bytes_that_it_had_before_there_was_editing() -> None:
    begun = world.accepted()
    assert {"edit", "editors"}.isdisjoint(begun.revision.model_dump(mode="json"))
    file = EvidenceFile(request_id=begun.revision.request_id, evidence=begun.evidence)
    assert "edit" not in file.model_dump(mode="json")["evidence"]["revisions"][0]


def test_the_evidence_file_tells_who_edited_it_and_no_byte_of_it_can_be_changed() -> None:
    whole = world.issued(edited_by="carol")
    data = EvidenceFile(request_id=whole.revision.request_id, evidence=whole.evidence).canonical()
    story = verify_evidence(read_evidence(data), world.in_force().anchor, now=NOW)
    assert story.issued
    assert any("carol edited it, and approval accepted that as revision 2" in step for step in story.steps)
    for position in range(0, len(data), 23):
        spoilt = bytearray(data)
        spoilt[position] ^= 1
        with pytest.raises(RefusedError):
            verify_evidence(read_evidence(bytes(spoilt)), world.in_force().anchor, now=NOW)


def test_an_edit_says_of_each_thing_either_what_it_is_or_that_it_is_left_out() -> None:
    for fields in (
        {"subject": [{"type": "CN", "value": "a"}], "without_attributes": ["cn"]},
        {"extensions": [{"type": "keyUsage", "values": ["digitalSignature"]}], "without_extensions": ["2.5.29.15"]},
        {"names": {"dns": ["a"]}, "without_extensions": ["subjectAltName"]},
    ):
        with pytest.raises(ValueError, match="either entered or left out"):
            EditedValues.model_validate(fields)
    assert "csr" not in Edit.model_fields
