"""Whether imported certificate, intermediate and product go together, and whether a request fits the product.

The issuer, which alone can ask the CA, takes the facts; approval and issuer judge by them with the same function.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from shared.policy.fitness import Proposal, last_day
from shared.policy.model import Trust
from shared.policy.policy import Policy
from shared.policy.products import Product, product_of
from shared.vocabulary.findings import Finding, Severity, finding, refuses
from shared.vocabulary.fit import Fit
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, SigningCertificateField, SigningCertificateName
from shared.x509.certificate import was_issued_by
from shared.x509.extensions import BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE, SUBJECT_ALT_NAME
from shared.x509.keys import key_type
from shared.x509.names import SubjectAltNames
from shared.x509.profiles import NameKind

DAYS_OF_A_YEAR = 366
CARRIED = frozenset({EXTENDED_KEY_USAGE, KEY_USAGE, BASIC_CONSTRAINTS, SUBJECT_ALT_NAME})
"""What an order says of extensions, or what every certificate of an end entity has as the policy wants it."""


class Combination(Model):
    """What has to go together: as the policy has it, certificates by digest."""

    signing_certificate: SigningCertificateField
    imported: DigestField
    intermediate: DigestField
    product: str
    ca_cert_id: str
    container_id: int | None

    @classmethod
    def of(cls, policy: Policy, name: SigningCertificateName) -> Self:
        """That of a signing certificate of this policy. Raises `KeyError` if there is none of this name."""
        signing = policy.file.signing_certificates[name]
        return cls(
            signing_certificate=name,
            imported=policy.imported[name].sha256,
            intermediate=policy.intermediates[name].sha256,
            product=signing.product,
            ca_cert_id=signing.ca_cert_id,
            container_id=signing.container_id,
        )


Attested = Callable[[Combination], date | None]
"""Gives the last day of an attestation of exactly this combination, if there is one."""


class ListedIntermediate(Model):
    """An intermediate of the CA's list that has our intermediate's thumbprint or our `ca_cert_id`."""

    ca_cert_id: str
    is_ours: bool
    """Whether it has our intermediate's thumbprint."""
    is_private: bool | None


class ImportedOrder(Model):
    """The CA's order of the imported certificate; none where it does not say."""

    product: str | None
    ca_cert_id: str | None


class ProductFacts(Model):
    """What the CA said of a combination. None, or nothing in a list, means that it said nothing: that is not a no."""

    combination: Combination
    taken_at: datetime
    product_known: bool
    signature_hashes: tuple[str, ...] = ()
    allowed_ca_certs: tuple[str, ...] | None = None
    """From which intermediates the product is issued, where the choice of one is enabled for the account."""
    container_ca_certs: tuple[str, ...] = ()
    """The same for the container, where that is limited."""
    container_hashes: tuple[str, ...] = ()
    container_has_it: bool | None = None
    """Whether a limited container lists the product; none where the container is not limited, or there is none."""
    several_names: bool | None = None
    exact_end: bool | None = None
    """Whether the end of the certificate's validity, and of its order's, may be asked for as a date."""
    longest_years: int | None = None
    """For how many years it may be ordered, by the product and by the container."""
    listed: tuple[ListedIntermediate, ...] = ()
    imported_order: ImportedOrder | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer, with its reasons: errors unless it is compatible."""

    fit: Fit
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Known:
    """What is known of a signing certificate of a policy at a time."""

    policy: Policy
    name: SigningCertificateName
    facts: ProductFacts | None
    attested_until: date | None
    """The last day of an operator's attestation of exactly this combination."""
    now: datetime
    good_for: timedelta
    """How old facts may be."""


def judge(known: Known, proposal: Proposal | None = None) -> Verdict:
    """Whether the combination goes together, and with a proposal, whether that fits the product as well."""
    unknown = list(_check_facts(known))
    if unknown or known.facts is None:
        return Verdict(Fit.UNKNOWN, tuple(unknown))
    facts = known.facts
    findings = [*_check_certificates(known), *_check_ca(known, facts)]
    if proposal is not None:
        findings += [found for rule in REQUEST_RULES for found in rule(proposal, facts)]
    if refuses(findings):
        return Verdict(Fit.INCOMPATIBLE, tuple(findings))
    if _is_settled(facts):
        return Verdict(Fit.COMPATIBLE, tuple(findings))
    return _by_attestation(known, findings)


def _check_facts(known: Known) -> Iterator[Finding]:
    facts, name = known.facts, known.name
    if name not in known.policy.file.signing_certificates:
        yield finding("ca.facts-missing", "the policy has no such signing certificate", value=name)
    elif facts is None:
        text = "nothing is known yet of what the CA says of this signing certificate; the issuer asks it by itself"
        yield finding("ca.facts-missing", text, value=name)
    elif facts.combination != Combination.of(known.policy, name):
        text = "what is known of the CA was asked for other certificates, or for another product or intermediate"
        yield finding("ca.facts-of-another", text, value=name)
    elif facts.taken_at + known.good_for < known.now:
        text = f"what is known of the CA is older than {known.good_for}; the issuer asks it anew by itself"
        yield finding("ca.facts-stale", text, value=facts.taken_at.isoformat())


def _check_certificates(known: Known) -> Iterator[Finding]:
    """What needs no CA: the signature of the imported certificate."""
    if not was_issued_by(known.policy.imported[known.name], known.policy.intermediates[known.name]):
        text = "the intermediate did not issue the imported certificate"
        yield finding("ca.imported-not-issued", text, value=known.name)


def _check_ca(known: Known, facts: ProductFacts) -> Iterator[Finding]:
    combination, signing = facts.combination, known.policy.file.signing_certificates[known.name]
    if not facts.product_known:
        yield finding("ca.product-unknown", "the CA does not offer this product", value=combination.product)
    if facts.container_has_it is False:
        text = "the container is limited to other products"
        yield finding("ca.product-not-in-container", text, value=combination.product)
    for allowed, whose in ((facts.allowed_ca_certs, "product"), (facts.container_ca_certs or None, "container")):
        if allowed is not None and combination.ca_cert_id not in allowed:
            text = f"this {whose} is not issued from this intermediate, but from: {', '.join(allowed) or 'none'}"
            yield finding("ca.intermediate-not-allowed", text, value=combination.ca_cert_id)
    yield from _check_listed(facts, private=signing.trust is Trust.PRIVATE)
    yield from _check_imported(facts)
    hashes = [str(each) for each in signing.signature_hashes]
    if not any(_is_offered(each, facts) for each in hashes):
        text = f"the CA signs this product with: {_offered(facts)}"
        yield finding("ca.hash-not-offered", text, value=", ".join(hashes))


def _is_offered(signature_hash: str, facts: ProductFacts) -> bool:
    return all(not offered or signature_hash in offered for offered in (facts.signature_hashes, facts.container_hashes))


def _offered(facts: ProductFacts) -> str:
    said = facts.signature_hashes or facts.container_hashes
    return ", ".join(each for each in said if _is_offered(each, facts)) or "none"


def _check_listed(facts: ProductFacts, *, private: bool) -> Iterator[Finding]:
    combination = facts.combination
    ours = [each for each in facts.listed if each.is_ours]
    ids = [each.ca_cert_id for each in ours]
    if facts.listed and combination.ca_cert_id not in ids:
        text = f"the CA's intermediate of this id is not the policy's, which has there: {', '.join(ids) or 'no id'}"
        yield finding("ca.intermediate-differs", text, value=combination.ca_cert_id)
    if any(each.is_private is not None and each.is_private != private for each in ours):
        text = f"this intermediate is {'public' if private else 'private'}, and the product is not"
        yield finding("ca.intermediate-trust", text, value=combination.ca_cert_id)


def _check_imported(facts: ProductFacts) -> Iterator[Finding]:
    combination, order = facts.combination, facts.imported_order
    if order is not None and order.product not in (None, combination.product):
        text = "the imported certificate was ordered as another product"
        yield finding("ca.imported-product", text, value=order.product)
    if order is not None and order.ca_cert_id not in (None, combination.ca_cert_id):
        text = "the imported certificate was ordered from another intermediate"
        yield finding("ca.imported-intermediate", text, value=order.ca_cert_id)


def _is_settled(facts: ProductFacts) -> bool:
    """Whether the CA itself said that they go together.

    Either the product lists the intermediate, which the CA knows under its thumbprint; or the imported certificate,
    whose signature was verified under the intermediate, was ordered as this product from this `ca_cert_id`.
    """
    order = facts.imported_order
    is_listed = facts.allowed_ca_certs is not None and any(each.is_ours for each in facts.listed)
    return is_listed or (order is not None and order.product is not None and order.ca_cert_id is not None)


def _by_attestation(known: Known, findings: list[Finding]) -> Verdict:
    """The CA is silent: an operator's word counts, for as long as it was given."""
    until = known.attested_until
    if until is not None and known.now.date() <= until:
        text = f"the CA is silent on whether they go together; a policy officer attested it until {until}"
        note = finding("ca.attested", text, value=known.name, severity=Severity.NOTE)
        return Verdict(Fit.COMPATIBLE, (*findings, note))
    text = "the CA does not say whether product and intermediate go together: a policy officer can attest it, with "
    silent = finding("ca.silent", f"{text}ra signing-certificates attest {known.name}", value=known.name)
    return Verdict(Fit.UNKNOWN, (*findings, silent))


def check_orderable(names: SubjectAltNames) -> Iterator[Finding]:
    """Why the CA's orders, which know DNS names only, have no place for these."""
    if not names.dns:
        yield finding("order.name-missing", "an order needs at least one DNS name")
    for kind, name in sorted(names.as_set()):
        if kind != NameKind.DNS:
            yield finding("order.name-not-deliverable", f"{kind} names can't be ordered", value=name)


def _product(proposal: Proposal) -> Product:
    return product_of(proposal.resolved.product, proposal.resolved.trust)


def _check_key(proposal: Proposal, _facts: ProductFacts) -> Iterator[Finding]:
    kind = key_type(proposal.csr.key)
    if kind in _product(proposal).key_types_refused:
        yield finding("product.key-type", "the CA does not certify this key type with this product", value=kind)


def _check_hash(proposal: Proposal, facts: ProductFacts) -> Iterator[Finding]:
    wanted = proposal.resolved.signature_hash
    if not _is_offered(wanted, facts):
        text = f"the CA signs this product with: {_offered(facts)}"
        yield finding("product.signature-hash", text, value=wanted)


def _check_names(proposal: Proposal, facts: ProductFacts) -> Iterator[Finding]:
    product, names = _product(proposal), proposal.names
    yield from check_orderable(names)
    common_name = proposal.subject.common_name
    wanted = {*names.dns, *([common_name.lower()] if common_name else [])}
    if facts.several_names is False and len(wanted) > 1:
        yield finding("product.one-name", "this product has one name in each certificate", value=len(wanted))
    for name in names.dns:
        if name.startswith("*.") and not product.wildcards:
            yield finding("product.wildcard", "this product has no wildcards", value=name)


def _check_purposes(proposal: Proposal, _facts: ProductFacts) -> Iterator[Finding]:
    """An order has an option for the extended key usage, which knows two combinations."""
    offered = _product(proposal).purposes
    for purpose in proposal.purposes:
        if purpose not in offered:
            text = f"this product delivers only {', '.join(sorted(offered))}"
            yield finding("product.usage", text, value=purpose)
    if "serverAuth" not in proposal.purposes:
        text = "the CA puts serverAuth into every certificate of this product, and it was not asked for"
        yield finding("product.usage", text, value=", ".join(proposal.purposes) or "(none)")


def _check_extensions(proposal: Proposal, _facts: ProductFacts) -> Iterator[Finding]:
    """An order has room for names, a key, a hash and the extended key usage; all else comes from the product."""
    for each in proposal.extensions:
        if each.type not in CARRIED:
            text = f"an order has no place for {each.type}: the certificate would come without it, or with the CA's own"
            yield finding("product.extension", text, value=each)
        elif each.type == KEY_USAGE and (beyond := sorted(set(each.values) - _product(proposal).usages)):
            text = f"this product delivers only {', '.join(sorted(_product(proposal).usages))}"
            yield finding("product.usage", text, value=", ".join(beyond))


def _check_validity(proposal: Proposal, facts: ProductFacts) -> Iterator[Finding]:
    if facts.exact_end is False:
        yield finding("product.no-exact-end", "the CA lets nobody choose the last day of this product's certificates")
    last = proposal.expires_on or last_day(proposal.resolved, today=proposal.today)
    years = facts.longest_years
    if years is not None and (last - proposal.today).days >= years * DAYS_OF_A_YEAR:
        text = f"this product can be ordered for {years} years at most"
        yield finding("product.validity", text, value=last.isoformat())


REQUEST_RULES: tuple[Callable[[Proposal, ProductFacts], Iterable[Finding]], ...] = (
    _check_key,
    _check_hash,
    _check_names,
    _check_purposes,
    _check_extensions,
    _check_validity,
)
"""What a product asks of a request; each looks at one thing."""
