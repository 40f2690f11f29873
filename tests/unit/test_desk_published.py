"""What is believed of an auditor's answer: what the duties signed for, and nothing that intake could make up."""

from collections.abc import Callable
from functools import cache

import pytest

from services.desk.published import Fact, fact_of
from shared.contracts.replies import Publication
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Issuance, Revision
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.states import State
from shared.x509.certificate import parse_certificate
from tests import world
from tests.fakes.publications import issuance_of, issued, published, revoked
from tests.world import DAY, NOW, Approved, end_of, shared_ca, signing_key


@cache
def approved() -> Approved:
    return world.approved()


@cache
def another() -> Approved:
    return world.approved()


def believed(publication: Publication) -> Fact:
    return fact_of(publication, Anchor.of(world.policy()), now=NOW)


def refused(publication: Publication) -> set[str]:
    with pytest.raises(RefusedError) as error:
        believed(publication)
    return {found.code for found in error.value.findings}


def test_of_a_certificate_everything_is_taken_from_what_the_issuer_signed() -> None:
    said = issuance_of(approved(), order_id=11, certificate_id=12, alternative_order_id="ours")
    fact = believed(issued(approved(), said).model_copy(update={"order_id": 99}))
    leaf = parse_certificate(said.chain[0])
    assert fact.order_id == 11
    assert fact.certificate is not None
    assert (fact.certificate.certificate_id, fact.certificate.alternative_order_id) == (12, "ours")
    assert (fact.certificate.serial, fact.certificate.not_after) == (leaf.serial, leaf.not_after)
    assert not fact.certificate.is_revoked
    assert (fact.csr, fact.product) == (approved().revision.csr, approved().revision.policy.product)
    assert fact.names == {"www.example.com"}


def test_of_an_order_that_is_not_issued_its_announced_number_is_believed() -> None:
    assert believed(published(approved(), State.ORDERED, order_id=7)).order_id == 7
    assert believed(published(approved(), State.APPROVED)).order_id is None


def test_a_refused_request_has_nothing_that_could_be_ordered() -> None:
    fact = believed(published(approved(), State.REFUSED, revisions=(), verdict=None))
    assert (fact.csr, fact.order_id, fact.certificate) == (None, None, None)


def test_a_certificate_is_revoked_when_the_revoker_signed_for_it_and_not_when_intake_says_so() -> None:
    good = issued(approved(), issuance_of(approved()))
    certificate = believed(revoked(good)).certificate
    assert certificate is not None
    assert certificate.is_revoked
    said_so = believed(good.model_copy(update={"state": State.REVOKED})).certificate
    assert said_so is not None
    assert not said_so.is_revoked


def test_a_quarantined_certificate_may_be_another_than_was_approved() -> None:
    chain = (shared_ca().issue(another().revision), shared_ca().intermediate, shared_ca().root)
    said = issuance_of(approved(), chain, outcome="quarantined")
    certificate = believed(issued(approved(), said)).certificate
    assert certificate is not None
    assert certificate.is_quarantined


def test_a_renewed_request_is_issued_under_its_newest_revision() -> None:
    shorter = world.policy(world.newer_policy(("max_validity_days = 199", "max_validity_days = 90")))
    renewed = world.judged(world.renewed(approved(), shorter))
    assert believed(issued(renewed, issuance_of(renewed))).order_id == 1
    of_the_first = issuance_of(renewed, revision=approved().digest)
    assert refused(issued(renewed, of_the_first)) == {"evidence.issuance-differs"}


def _other_key() -> Issuance:
    csr = another().revision.csr
    leaf = shared_ca().certify(
        csr, ("www.example.com",), common_name="www.example.com", not_before=NOW, not_after=end_of(NOW.date())
    )
    return issuance_of(approved(), (leaf, shared_ca().intermediate))


def _other_name() -> Issuance:
    leaf = shared_ca().certify(
        approved().revision.csr,
        ("www.example.com", "bank.example.com"),
        common_name="www.example.com",
        not_before=NOW,
        not_after=end_of(NOW.date()),
    )
    return issuance_of(approved(), (leaf, shared_ca().intermediate))


def _unapproved() -> Publication:
    return issued(approved(), issuance_of(approved())).model_copy(update={"verdict": None})


def _of_anothers_revision() -> Publication:
    token = another().evidence.revisions
    return published(approved(), State.APPROVED, revisions=token)


def _with_anothers_verdict() -> Publication:
    said = issuance_of(approved(), verdict=digest_of(payload_of(another().evidence.verdict or "")))
    return issued(approved(), said).model_copy(update={"verdict": another().evidence.verdict})


def _verdict_by_the_issuer() -> Publication:
    payload = payload_of(approved().evidence.verdict or "")
    token = signing_key(Duty.ISSUER).sign(payload, Typ.VERDICT, NOW)
    return issued(approved(), issuance_of(approved())).model_copy(update={"verdict": token})


def _changed_revision() -> Publication:
    forged = approved().revision.model_copy(update={"name": "another"})
    token = signing_key(Duty.ISSUER).sign(forged.canonical(), Typ.REVISION, NOW)
    return published(approved(), State.APPROVED, revisions=({"jws": token},))


def _second_revision_alone() -> Publication:
    revision: Revision = approved().revision.model_copy(update={"number": 2})
    token = signing_key(Duty.APPROVAL).sign(revision.canonical(), Typ.REVISION, NOW)
    return published(approved(), State.APPROVED, revisions=({"jws": token},))


FORGERIES: dict[str, tuple[Callable[[], Publication], str]] = {
    "a certificate for another key": (lambda: issued(approved(), _other_key()), "issued.key-differs"),
    "a certificate with a name more": (lambda: issued(approved(), _other_name()), "issued.names-differ"),
    "signed by another duty": (
        lambda: issued(approved(), issuance_of(approved()), by=Duty.APPROVAL),
        "evidence.unknown-key",
    ),
    "without approval's verdict": (_unapproved, "evidence.verdict-missing"),
    "with a verdict that the issuer made": (_verdict_by_the_issuer, "evidence.unknown-key"),
    "with the verdict on another request": (_with_anothers_verdict, "evidence.request-differs"),
    "for another request": (
        lambda: issued(approved(), issuance_of(another())),
        "evidence.request-differs",
    ),
    "ordered for longer than was approved": (
        lambda: issued(approved(), issuance_of(approved(), expires_on=(NOW + 400 * DAY).date())),
        "issued.term-differs",
    ),
    "ordered before it was approved": (
        lambda: issued(approved(), issuance_of(approved(), ordered_on=(NOW - DAY).date())),
        "evidence.order",
    ),
    "for another verdict": (
        lambda: issued(approved(), issuance_of(approved(), verdict=digest_of(b"none"))),
        "evidence.issuance-differs",
    ),
    "without the revision": (
        lambda: issued(approved(), issuance_of(approved())).model_copy(update={"revisions": ()}),
        "evidence.issuance-differs",
    ),
    "the revision of another request": (_of_anothers_revision, "evidence.request-differs"),
    "a revision that intake did not sign": (_changed_revision, "evidence.unknown-key"),
    "a renewal of nothing": (_second_revision_alone, "evidence.revisions"),
    "the revocation of another certificate": (
        lambda: revoked(issued(approved(), issuance_of(approved())), certificate=digest_of(b"another")),
        "evidence.revocation-differs",
    ),
}


@pytest.mark.parametrize(("forge", "code"), FORGERIES.values(), ids=FORGERIES)
def test_what_the_duties_did_not_sign_for_is_not_believed(forge: Callable[[], Publication], code: str) -> None:
    assert code in refused(forge())
