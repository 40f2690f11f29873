"""What the CA sends is delivered when nothing is wrong with it, with what is worth noting, and is lost in no case."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.issuer import inspection
from shared.evidence.steps import Revision
from shared.lint.kinds import LintKind
from shared.policy.model import Trust
from shared.policy.products import PRODUCTS, product_of
from shared.vocabulary.findings import Severity, finding
from shared.vocabulary.orders import OrderState
from tests.fakes.duties import data_of, lifecycle
from tests.fakes.ledger import Accepted, accept
from tests.world import shared_ca

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


async def test_what_is_no_certificate_ends_the_order_instead_of_being_tried_for_ever() -> None:
    case = await answered_with(lambda _: (b"no certificate at all",))
    assert await issued(case) == ("ra.request.failed.v1", ["certificate.unreadable"])


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
