"""What the CA sends is delivered when nothing is wrong with it, with what is worth noting, and is lost in no case."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from services.issuer import inspection
from services.issuer.ports import OrderRequest, PlacedOrder
from services.revoker.rules import certificate_of
from shared.contracts.content import RequestContent
from shared.contracts.events import CertificateQuarantined
from shared.evidence.steps import Revision
from shared.lint.kinds import LintKind
from shared.policy.fitness import last_day
from shared.policy.model import Trust
from shared.policy.products import PRODUCTS, product_of
from shared.vocabulary.findings import Severity, finding
from shared.vocabulary.orders import OrderState
from tests.fakes.duties import Issuer, data_of, lifecycle
from tests.fakes.ledger import Accepted, accept
from tests.world import (
    DAY,
    NOW,
    Ca,
    accepted,
    approved,
    content,
    end_of,
    judged,
    policy,
    policy_text,
    revision_of,
    shared_ca,
)

ERROR = finding("lint.pkix.bad", "the linter objects to it")
WARNING = finding("lint.pkix.odd", "the linter objects to it", severity=Severity.WARNING)
NOTE = finding("lint.pkix.habit", "the linter objects to it", severity=Severity.NOTE)


async def issued(case: Accepted) -> tuple[str, list[str]]:
    """What the only event of this request is, and the codes that it carries."""
    await case.issuer.work_off()
    (told,) = lifecycle(case.issuer.publisher.published)
    return told.type, [found["code"] for found in data_of(told)["findings"]]


async def test_a_certificate_is_linted_as_what_its_product_is() -> None:
    case = await accept()
    assert await issued(case) == ("ra.certificate.issued.v1", [])
    ((der, kind),) = case.issuer.linter.asked
    assert (der, kind) == (case.issuer.ca.orders[0].chain[0], LintKind.PUBLIC_TLS)


async def test_an_error_of_the_linter_quarantines() -> None:
    case = await accept()
    case.issuer.linter.says = [ERROR, WARNING]
    kind, codes = await issued(case)
    assert kind == "ra.certificate.quarantined.v1"
    assert codes == [ERROR.code, WARNING.code, "issued.revocation-proposed"]


async def test_a_warning_of_the_linter_is_delivered_with_the_certificate_and_its_notes_are_not() -> None:
    case = await accept()
    case.issuer.linter.says = [WARNING, NOTE]
    assert await issued(case) == ("ra.certificate.issued.v1", [WARNING.code])
    assert [found.code for found in (await case.stored()).findings] == [WARNING.code]


async def test_an_error_that_the_product_is_known_for_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(PRODUCTS["ssl_basic"], lint_known=frozenset({ERROR.code}))
    monkeypatch.setattr(inspection, "product_of", lambda *_: known)
    case = await accept()
    case.issuer.linter.says = [ERROR]
    assert await issued(case) == ("ra.certificate.issued.v1", [ERROR.code])


async def test_while_the_linter_is_away_the_certificate_waits_and_nothing_is_ordered_again() -> None:
    case = await accept()
    case.issuer.linter.away = True
    for _ in range(3):
        await case.issuer.ordering.advance(await case.stored())
        case.issuer.clock.advance(timedelta(minutes=10))
    order = await case.stored()
    assert (order.state, order.order_id) == (OrderState.PENDING, 1)
    assert lifecycle(case.issuer.publisher.published) == []
    case.issuer.linter.away = False
    assert await issued(case) == ("ra.certificate.issued.v1", [])
    assert len(case.issuer.ca.orders) == 1


async def answered_with(chain: Callable[[Revision], tuple[bytes, ...]]) -> Accepted:
    """An order for which the CA sends this instead of what it ought to."""
    case = await accept()
    ca = case.issuer.ca

    def instead(what: str) -> None:
        if what == "after ordering":
            ca.orders[0].chain = chain(case.begun.revision)

    ca.steps.when = instead
    return case


@pytest.mark.parametrize("garbled", [0, 1])
@pytest.mark.parametrize("away", [False, True])
async def test_a_chain_that_came_garbled_with_the_answer_is_fetched_before_anything_is_said_of_it(
    garbled: int, *, away: bool
) -> None:
    case = await accept()
    ca = case.issuer.ca
    place = ca.place

    async def garbling(order: OrderRequest) -> PlacedOrder:
        placed = await place(order)
        ca.away = away
        chain = [*placed.chain]
        chain[garbled] = b"no certificate at all"
        return replace(placed, chain=tuple(chain))

    ca.place = garbling  # type: ignore[method-assign]  # an answer that came garbled
    await case.issuer.ordering.advance(await case.stored())
    assert (await case.stored()).state is (OrderState.PENDING if away else OrderState.ISSUED)
    ca.away = False
    await case.issuer.work_off()
    order = await case.stored()
    assert (order.state, order.order_id, ca.looks) == (OrderState.ISSUED, 1, 1)
    assert case.happened()[-1] == "ra.certificate.issued.v1"
    assert case.issuer.counted("ra_certificates_quarantined") == 0


async def test_what_is_no_certificate_ends_the_order_instead_of_being_tried_for_ever() -> None:
    case = await answered_with(lambda _: (b"no certificate at all",))
    kind, codes = await issued(case)
    assert (kind, codes) == ("ra.request.failed.v1", ["certificate.unreadable", "issued.revocation-proposed"])
    assert case.issuer.counted("ra_certificates_quarantined") == 1


async def test_a_certificate_with_contents_that_cannot_be_read_is_quarantined_and_can_be_revoked() -> None:
    """A CN and an O in one set: a subject of another form than any that can be approved."""
    attributes = [
        x509.NameAttribute(NameOID.COMMON_NAME, "www.example.com"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Evil"),
    ]
    ca = shared_ca()

    def odd(revision: Revision) -> tuple[bytes, ...]:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.RelativeDistinguishedName(attributes)]))
            .issuer_name(x509.load_der_x509_certificate(ca.intermediate).subject)
            .public_key(x509.load_der_x509_csr(revision.csr or b"").public_key())
            .serial_number(0xABC)
            .not_valid_before(NOW)
            .not_valid_after(NOW + 10 * DAY)
            .sign(ca.key, hashes.SHA256())
        )
        return (certificate.public_bytes(Encoding.DER), ca.intermediate)

    case = await answered_with(odd)
    kind, codes = await issued(case)
    assert (kind, codes) == (
        "ra.certificate.quarantined.v1",
        ["certificate.unreadable", "issued.revocation-proposed"],
    )
    (told,) = lifecycle(case.issuer.publisher.published)
    event = CertificateQuarantined.model_validate_json(json.dumps(data_of(told)))
    known = certificate_of(event, case.issuer.in_force.anchor, sequence=3, now=NOW)
    assert (known.serial_number, known.quarantined) == ("abc", True)


async def differing(asked: RequestContent | None = None, **certificate: datetime) -> list[str]:
    """What is found of a certificate of these times, but that it may be shorter."""
    case = await accept(asked)
    case.issuer.ca.steps.when = lambda what: _reissued(case, certificate) if what == "after ordering" else None
    return [code for code in (await issued(case))[1] if code != "issued.validity-shorter"]


def _reissued(case: Accepted, certificate: Mapping[str, datetime]) -> None:
    ca = shared_ca()
    case.issuer.ca.orders[0].chain = (ca.issue(case.begun.revision, **certificate), ca.intermediate, ca.root)


async def test_not_a_second_more_than_the_expiration_date_that_was_approved_is_delivered() -> None:
    last = (NOW + 30 * DAY).date()
    codes = await differing(content(expires_on=last), not_after=end_of(last))
    assert codes == []
    codes = await differing(content(expires_on=last), not_after=end_of(last) + timedelta(seconds=1))
    assert codes == ["issued.validity-too-long", "issued.revocation-proposed"]


async def test_a_certificate_begins_at_most_two_days_before_it_was_ordered() -> None:
    codes = await differing(not_before=NOW - timedelta(days=2, hours=11))
    assert codes == []
    codes = await differing(not_before=NOW - timedelta(days=4), not_after=NOW + DAY)
    assert codes == ["issued.backdated", "issued.revocation-proposed"]


async def test_a_certificate_that_begins_when_the_clock_of_the_ca_is_a_moment_ahead_is_delivered() -> None:
    ahead = timedelta(hours=1, seconds=2)  # the fake CA begins an hour early
    codes = await differing(not_before=NOW + ahead, not_after=NOW + 10 * DAY)
    assert codes == []
    codes = await differing(not_before=NOW + timedelta(hours=2), not_after=NOW + 10 * DAY)
    assert codes == ["chain.not-yet-valid", "issued.revocation-proposed"]


@pytest.mark.parametrize(("extra", "codes"), [(timedelta(), []), (DAY, ["issued.validity-too-long"])])
async def test_however_late_it_comes_a_certificate_is_judged_by_the_day_on_which_it_was_ordered(
    extra: timedelta, codes: list[str]
) -> None:
    """Ordered on the last day of the longer certificates (BR 6.3.2), and judged days later, when they are shorter."""
    ordered = datetime(2027, 3, 14, 12, tzinfo=UTC)
    issuer = Issuer()
    issuer.clock.instant = ordered
    issuer.ordering = issuer.new_copy()
    case = Accepted(issuer, approved(at=ordered))
    await issuer.handle(case.delivery())
    issuer.linter.away = True
    end = end_of(last_day(case.begun.revision.policy, today=ordered.date())) + extra
    times = {"not_before": ordered, "not_after": end}
    issuer.ca.steps.when = lambda what: _reissued(case, times) if what == "after ordering" else None
    while not issuer.ca.orders:
        await issuer.ordering.advance(await case.stored())
        issuer.clock.advance(timedelta(minutes=10))
    issuer.clock.advance(3 * DAY)
    issuer.linter.away = False
    kind, found = await issued(case)
    assert kind == ("ra.certificate.quarantined.v1" if codes else "ra.certificate.issued.v1")
    assert found == [*codes, *(["issued.revocation-proposed"] if codes else [])]


async def test_a_chain_to_another_root_than_the_configured_ones_is_quarantined() -> None:
    case = await accept()
    inspected = replace(case.issuer.ordering.inspection, roots=[Ca().root])
    case.issuer.ordering = replace(case.issuer.ordering, inspection=inspected)
    assert (await issued(case))[1] == ["chain.untrusted", "issued.revocation-proposed"]


async def accept_under(text: str) -> Accepted:
    """An approval that holds under this policy, accepted into the ledger."""
    asked = content()
    begun = judged(accepted(asked, revision=revision_of(asked, policy(text))))
    case = Accepted(Issuer(text), begun)
    await case.issuer.handle(case.delivery())
    return case


def private() -> str:
    """A policy whose certificates strangers do not trust."""
    text = policy_text().replace('trust = "public"', 'trust = "private"')
    return text.replace('product = "ssl_basic"', 'product = "private_ssl_flex"')


async def test_a_private_product_is_compared_and_linted_as_one() -> None:
    case = await accept_under(private())
    assert await issued(case) == ("ra.certificate.issued.v1", [])
    assert [kind for _, kind in case.issuer.linter.asked] == [LintKind.PRIVATE]
    more = ("www.example.com", "www.www.example.com")
    case = await accept_under(private())

    def with_www() -> None:
        last = end_of(last_day(case.begun.revision.policy, today=NOW.date()))
        times = {"not_before": NOW, "not_after": last}
        leaf = shared_ca().certify(case.begun.revision.csr, more, common_name="www.example.com", **times)
        case.issuer.ca.orders[0].chain = (leaf, shared_ca().intermediate)

    case.issuer.ca.steps.when = lambda what: with_www() if what == "after ordering" else None
    assert (await issued(case))[1] == ["issued.names-differ", "issued.revocation-proposed"]


async def test_the_hash_that_was_approved_is_the_one_that_is_compared() -> None:
    text = policy_text().replace('signature_hashes = ["sha256"]', 'signature_hashes = ["sha384"]')
    case = await accept_under(text)
    assert (await issued(case))[1] == ["issued.hash-differs", "issued.revocation-proposed"]


@pytest.mark.parametrize("length", [1, 6, 10])
async def test_a_chain_of_another_length_than_two_to_five_is_quarantined(length: int) -> None:
    above = [shared_ca().intermediate] * (length - 1)
    case = await answered_with(lambda revision: (shared_ca().issue(revision), *above))
    kind, codes = await issued(case)
    assert kind == "ra.certificate.quarantined.v1"
    assert codes == ["chain.length", "issued.revocation-proposed"]


def test_every_product_has_a_kind_that_can_be_linted_and_an_unknown_one_counts_as_a_plain_one() -> None:
    assert {product.kind for product in PRODUCTS.values()} == set(inspection.LINT_KINDS)
    assert [inspection.LINT_KINDS[product_of("new", trust).kind] for trust in (Trust.PUBLIC, Trust.PRIVATE)] == [
        LintKind.PUBLIC_TLS,
        LintKind.PRIVATE,
    ]
