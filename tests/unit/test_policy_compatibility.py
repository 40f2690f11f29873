"""Whether certificates, product and request go together, by what the CA said: one answer for approval and issuer."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.evidence.steps import proposal_of
from shared.policy.compatibility import ImportedOrder, Known, ListedIntermediate, ProductFacts, Verdict, judge
from shared.policy.fitness import Proposal
from shared.vocabulary.findings import Severity
from shared.vocabulary.fit import Fit
from shared.vocabulary.names import SigningCertificateName
from shared.x509.certificate import parse_certificate
from shared.x509.extensions import CertificateExtension
from shared.x509.keys import KeyAlgorithm, KeyFacts
from shared.x509.names import SubjectAltNames
from tests import world
from tests.world import NOW, TODAY

NAME = SigningCertificateName("public-tls")
CA_CERT_ID = world.combination().ca_cert_id
SILENT = {"allowed_ca_certs": None, "imported_order": None}
DAY = timedelta(days=1)


def known(**changes: object) -> Known:
    return Known(
        policy=world.policy(),
        name=NAME,
        facts=world.product_facts().model_copy(update=changes),
        attested_until=None,
        now=NOW,
        good_for=timedelta(hours=1),
    )


def codes(verdict: Verdict) -> tuple[Fit, list[str]]:
    return verdict.fit, [found.code for found in verdict.findings]


def listed(ca_cert_id: str = CA_CERT_ID, *, ours: bool = True, private: bool | None = None) -> ListedIntermediate:
    return ListedIntermediate(ca_cert_id=ca_cert_id, is_ours=ours, is_private=private)


def test_what_the_ca_says_goes_together_goes_together() -> None:
    assert codes(judge(known())) == (Fit.COMPATIBLE, [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"product_known": False}, "ca.product-unknown"),
        ({"allowed_ca_certs": ("another",)}, "ca.intermediate-not-allowed"),
        ({"allowed_ca_certs": ()}, "ca.intermediate-not-allowed"),
        ({"container_ca_certs": ("another",)}, "ca.intermediate-not-allowed"),
        ({"listed": (listed(ours=False),)}, "ca.intermediate-differs"),
        ({"listed": (listed("another"),)}, "ca.intermediate-differs"),
        ({"listed": (listed(private=True),)}, "ca.intermediate-trust"),
        ({"imported_order": ImportedOrder(product="ssl_plus", ca_cert_id=None)}, "ca.imported-product"),
        ({"imported_order": ImportedOrder(product=None, ca_cert_id="another")}, "ca.imported-intermediate"),
        ({"signature_hashes": ("sha512",)}, "ca.hash-not-offered"),
        ({"container_hashes": ("sha512",)}, "ca.hash-not-offered"),
        ({"container_has_it": False}, "ca.product-not-in-container"),
    ],
)
def test_each_contradiction_of_the_ca_is_found_and_no_attestation_helps(changes: dict[str, object], code: str) -> None:
    against = known(**changes)
    assert codes(judge(against)) == (Fit.INCOMPATIBLE, [code])
    assert codes(judge(replace(against, attested_until=TODAY))) == (Fit.INCOMPATIBLE, [code])


def test_an_imported_certificate_of_another_issuer_proves_nothing() -> None:
    policy = world.policy()
    other = replace(policy, imported={NAME: parse_certificate(world.shared_ca().root)})
    facts = world.product_facts(world.combination(other))
    assert codes(judge(replace(known(), policy=other, facts=facts))) == (
        Fit.INCOMPATIBLE,
        ["ca.imported-not-issued"],
    )


@pytest.mark.parametrize(
    "silence",
    [
        {"signature_hashes": ()},
        {"several_names": None, "exact_end": None, "longest_years": None},
        {"container_ca_certs": (CA_CERT_ID,)},
        {"container_has_it": True, "container_hashes": ("sha256", "sha512")},
        {"imported_order": None},
        {"allowed_ca_certs": None},
        {"allowed_ca_certs": None, "listed": ()},
        {"listed": (listed("another", ours=False), listed())},
        {"imported_order": ImportedOrder(product=None, ca_cert_id=None)},
    ],
)
def test_what_the_ca_does_not_say_is_no_contradiction(silence: dict[str, object]) -> None:
    assert codes(judge(known(**silence))) == (Fit.COMPATIBLE, [])


@pytest.mark.parametrize(
    "silence",
    [
        SILENT,
        {**SILENT, "listed": ()},
        {"listed": (), "imported_order": None},
        {"allowed_ca_certs": None, "imported_order": ImportedOrder(product="ssl_basic", ca_cert_id=None)},
        {"allowed_ca_certs": None, "imported_order": ImportedOrder(product=None, ca_cert_id=CA_CERT_ID)},
    ],
)
def test_where_the_ca_settles_it_in_no_way_an_attestation_does_until_its_last_day(silence: dict[str, object]) -> None:
    silent = known(**silence)
    assert codes(judge(silent)) == (Fit.UNKNOWN, ["ca.silent"])
    attested = judge(replace(silent, attested_until=TODAY))
    assert codes(attested) == (Fit.COMPATIBLE, ["ca.attested"])
    assert attested.findings[0].severity is Severity.NOTE
    assert codes(judge(replace(silent, attested_until=TODAY - DAY))) == (Fit.UNKNOWN, ["ca.silent"])


def test_without_facts_with_old_ones_and_with_those_of_another_combination_nobody_can_tell() -> None:
    good = known()
    assert codes(judge(replace(good, facts=None))) == (Fit.UNKNOWN, ["ca.facts-missing"])
    late = replace(good, now=NOW + timedelta(hours=1))
    assert judge(late).fit is Fit.COMPATIBLE
    assert codes(judge(replace(late, now=late.now + timedelta(seconds=1)))) == (Fit.UNKNOWN, ["ca.facts-stale"])
    for field in ("imported", "intermediate", "product", "ca_cert_id", "container_id"):
        other = world.combination().model_copy(update={field: "something else"})
        facts = world.product_facts(other)
        assert codes(judge(replace(good, facts=facts))) == (Fit.UNKNOWN, ["ca.facts-of-another"])


def proposal(**changes: object) -> Proposal:
    revision = world.accepted().revision
    return replace(proposal_of(revision, revision.policy, today=TODAY), **changes)  # type: ignore[arg-type]  # drawn by name


def resolved(**changes: object) -> Proposal:
    usual = proposal()
    return replace(usual, resolved=usual.resolved.model_copy(update=changes))


def with_key(**key: object) -> Proposal:
    usual = proposal()
    return replace(usual, csr=replace(usual.csr, key=KeyFacts.model_validate(key)))


def with_extension(kind: str, *values: str, product: str = "ssl_basic") -> Proposal:
    """The usual request with this extension beside its own, or in place of one of them."""
    usual = resolved(product=product)
    others = tuple(each for each in usual.extensions if each.type != kind)
    added = CertificateExtension.model_validate({"type": kind, "values": values})
    return replace(usual, extensions=(*others, added))


REQUESTS: dict[str, tuple[Proposal, dict[str, object], str]] = {
    "key": (with_key(algorithm=KeyAlgorithm.ED25519, bits=256), {}, "product.key-type"),
    "hash": (resolved(signature_hash="sha512"), {}, "product.signature-hash"),
    "hash of the container": (
        resolved(signature_hash="sha384"),
        {"container_hashes": ("sha256",)},
        "product.signature-hash",
    ),
    "address": (
        proposal(names=SubjectAltNames(dns=("www.example.com",), ip=("192.0.2.1",))),
        {},
        "order.name-not-deliverable",
    ),
    "no name": (proposal(names=SubjectAltNames()), {}, "order.name-missing"),
    "several names": (
        proposal(names=SubjectAltNames(dns=("www.example.com", "shop.example.com"))),
        {"several_names": False},
        "product.one-name",
    ),
    "wildcard": (
        replace(resolved(product="ssl_plus"), names=SubjectAltNames(dns=("*.example.com",))),
        {},
        "product.wildcard",
    ),
    "usage": (
        proposal(
            extensions=(
                world.accepted()
                .revision.extensions[0]
                .model_copy(update={"type": "extendedKeyUsage", "values": ("serverAuth", "codeSigning")}),
            )
        ),
        {},
        "product.usage",
    ),
    "extension": (with_extension("1.3.6.1.4.1.99999.1", "MAA="), {}, "product.extension"),
    "extension of a product that nobody knows": (
        with_extension("1.3.6.1.4.1.99999.1", "MAA=", product="ssl_new"),
        {},
        "product.extension",
    ),
    "policies": (with_extension("certificatePolicies", "2.23.140.1.2.2"), {}, "product.extension"),
    "key usage": (with_extension("keyUsage", "keyAgreement"), {}, "product.usage"),
    "no server": (proposal(extensions=()), {}, "product.usage"),
    "no date": (proposal(), {"exact_end": False}, "product.no-exact-end"),
    "too long": (proposal(expires_on=TODAY + timedelta(days=366)), {"longest_years": 1}, "product.validity"),
}


@pytest.mark.parametrize(("asked", "changes", "code"), REQUESTS.values(), ids=REQUESTS)
def test_each_thing_that_a_product_does_not_deliver_is_found_in_a_request(
    asked: Proposal, changes: dict[str, object], code: str
) -> None:
    combination = known(**changes)
    assert judge(combination).fit is Fit.COMPATIBLE
    verdict, found = codes(judge(combination, asked))
    assert (verdict, set(found)) == (Fit.INCOMPATIBLE, {code})


def test_what_an_order_carries_or_the_product_has_anyway_may_be_asked_for() -> None:
    for asked in (with_extension("keyUsage", "digitalSignature"), with_extension("basicConstraints", "CA:FALSE")):
        assert codes(judge(known(), asked)) == (Fit.COMPATIBLE, [])


def test_a_good_request_fits_and_is_unknown_with_the_combination() -> None:
    assert codes(judge(known(), proposal())) == (Fit.COMPATIBLE, [])
    assert codes(judge(known(**SILENT), proposal())) == (Fit.UNKNOWN, ["ca.silent"])


def test_a_request_that_does_not_fit_is_refused_although_the_ca_is_silent_on_the_rest() -> None:
    asked = proposal(expires_on=date(2031, 1, 1))
    assert codes(judge(known(**SILENT), asked)) == (Fit.INCOMPATIBLE, ["product.validity"])


def test_facts_are_the_same_after_a_way_through_their_signed_bytes() -> None:
    facts = world.product_facts()
    assert ProductFacts.read(facts.canonical(), code="x.y") == facts
