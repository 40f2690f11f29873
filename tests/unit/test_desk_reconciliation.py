"""What was published against what the CA has: each way in which the two can differ, and what is then proposed."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from services.desk.published import Fact, PublishedCertificate
from services.desk.reconciliation import KINDS, Discrepancy, Patience, reconcile, to_look_at, unproven
from shared.digicert.models import OrderInfo
from shared.errors import RefusedError
from shared.identifiers import new_request_id
from shared.vocabulary.findings import finding
from shared.vocabulary.names import ApprovalGroupName, CertificateId, OrderId
from shared.vocabulary.states import State
from shared.x509.csr import parse_csr
from tests import world
from tests.world import DAY, NOW

OURS, OTHERS = OrderId(11), OrderId(99)
PATIENCE = Patience(NOW, timedelta(hours=1))
JUST_NOW, LONG_AGO = (NOW - timedelta(minutes=5)).isoformat(), (NOW - 3 * DAY).isoformat()


@cache
def csr(name: str = "www.example.com") -> str:
    return world.make_csr(name)


def fact(state: State = State.APPROVED, **changes: object) -> Fact:
    """An approved request for `csr()`."""
    made = Fact(
        request_id=new_request_id(),
        approval_group=ApprovalGroupName("web"),
        state=state,
        csr=parse_csr(csr()).der,
        names=frozenset({"www.example.com"}),
        product="ssl_basic",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # whatever the test needs


def certified(order_id: OrderId = OURS, *, is_revoked: bool = False, **changes: object) -> Fact:
    """A request with its certificate: number 12, serial number 0x0abc, under the id `ours`."""
    certificate = PublishedCertificate(CertificateId(12), "ours", 0xABC, NOW + 90 * DAY, is_revoked=is_revoked)
    state = State.REVOKED if is_revoked else State.ISSUED
    return fact(state, order_id=order_id, certificate=certificate, **changes)


def order(order_id: OrderId = OURS, status: str = "issued", *, shown: object = None, **changes: object) -> OrderInfo:
    """The CA's order for `certified()`, by its own page; `shown` changes the certificate."""
    certificate: dict[str, object] = {
        "id": 12,
        "serial_number": "0ABC",
        "common_name": "www.example.com",
        "dns_names": ["www.example.com"],
        "csr": csr(),
    }
    fields: dict[str, object] = {
        "id": order_id,
        "status": status,
        "certificate": certificate | (shown if isinstance(shown, dict) else {}),
        "product": {"name_id": "ssl_basic"},
        "alternative_order_id": "ours",
        "date_created": LONG_AGO,
        "requests": [{"id": 1, "type": "new_request", "status": "approved"}],
    }
    return OrderInfo.model_validate(fields | changes)


def strange(status: str = "issued", **changes: object) -> OrderInfo:
    """An order under an id that nobody published."""
    return order(OTHERS, status, **{"alternative_order_id": "strange", **changes})


def found(
    facts: Iterable[Fact], orders: Iterable[OrderInfo], *, known: Collection[OrderId] = (), complete: bool = True
) -> list[Discrepancy]:
    by_number = {each.order_id: each for each in orders}
    made = reconcile(list(facts), by_number, known=known, patience=PATIENCE, complete=complete)
    assert {each.finding.code.removeprefix("reconcile.") for each in made} <= set(KINDS)
    return made


def the_one(discrepancies: list[Discrepancy], kind: str) -> Discrepancy:
    (only,) = discrepancies
    assert only.finding.code == f"reconcile.{kind}"
    assert only.proposal
    return only


# --- all is well --------------------------------------------------------------------------------------------------


def test_what_was_published_and_what_the_ca_has_may_be_the_same() -> None:
    assert found([certified()], [order()]) == []
    assert found([certified(is_revoked=True)], [order(status="revoked")]) == []
    assert found([certified(is_revoked=True)], [order(shown={"status": "revoked"})]) == []
    assert found([fact(State.ORDERED, order_id=OURS)], [order(status="pending")]) == []
    assert found([fact(State.FAILED, order_id=OURS)], [order(status="rejected")]) == []
    assert found([fact(State.PENDING), fact(State.REFUSED, csr=None), fact(State.DENIED)], []) == []


def test_what_the_ca_leaves_out_is_no_difference() -> None:
    bare = OrderInfo.model_validate({"id": OURS, "status": "issued"})
    assert found([certified()], [bare]) == []


def test_a_certificate_that_has_expired_is_no_difference() -> None:
    ended = certified(is_revoked=True)
    assert ended.certificate is not None
    ended = replace(ended, certificate=replace(ended.certificate, not_after=NOW - DAY))
    assert found([ended], [order()]) == []
    assert found([certified()], [order(status="expired")]) == []


# --- orphans ------------------------------------------------------------------------------------------------------


def test_an_order_for_nobodys_request_is_an_orphan_whatever_became_of_it() -> None:
    shown = {"csr": csr("bank.example.com"), "common_name": "bank.example.com", "dns_names": [], "id": 77}
    for status, proposed in (
        ("issued", "Revoke certificate 77"),
        ("pending", "Cancel order 99"),
        ("needs_approval", "Cancel order 99"),
        ("rejected", "Nothing is left"),
        ("revoked", "Nothing is left"),
    ):
        orphan = the_one(found([certified()], [order(), strange(status, shown=shown)]), "orphan")
        assert (orphan.order_id, orphan.certificate_id, orphan.request_id) == (OTHERS, 77, None)
        assert proposed in orphan.proposal
        assert "give the issuer a new one" in orphan.proposal


def test_an_order_that_is_known_is_no_orphan() -> None:
    assert found([], [strange()], known={OTHERS}) == []


def test_an_order_for_a_request_that_may_not_be_ordered_is_an_orphan_that_names_it() -> None:
    for state in (State.DENIED, State.WITHDRAWN, State.EXPIRED, State.REFUSED):
        asked = fact(state)
        orphan = the_one(found([asked], [strange(date_created=JUST_NOW)]), "orphan")
        assert orphan.request_id == asked.request_id
        assert str(state) in orphan.finding.message


def test_the_csr_of_a_request_with_names_that_were_not_asked_for_is_an_orphan() -> None:
    names = {"dns_names": ["www.example.com", "bank.example.com"]}
    assert the_one(found([fact()], [strange(shown=names, date_created=JUST_NOW)]), "orphan").request_id is None
    common_name = {"common_name": "bank.example.com"}
    the_one(found([fact()], [strange(shown=common_name, date_created=JUST_NOW)]), "orphan")


def test_names_that_the_ca_may_add_make_no_orphan() -> None:
    asked = fact(csr=parse_csr(csr("example.com")).der, names=frozenset({"example.com"}))
    shown = {"csr": csr("example.com"), "common_name": "Example.com", "dns_names": ["EXAMPLE.com", "www.example.com"]}
    the_one(found([asked], [strange(shown=shown, date_created=JUST_NOW)]), "in-flight")


def test_while_not_every_request_may_be_seen_nothing_is_called_an_orphan() -> None:
    other = {"csr": csr("bank.example.com")}
    partial = the_one(found([certified()], [order(), strange(shown=other)], complete=False), "partial")
    assert "1 orders" in partial.finding.message
    assert the_one(found([], [], complete=False), "partial").order_id is None


def test_while_not_every_request_may_be_seen_an_order_for_one_that_may_be_is_still_judged() -> None:
    codes = [each.finding.code for each in found([fact(State.DENIED)], [strange()], complete=False)]
    assert codes == ["reconcile.orphan", "reconcile.partial"]


# --- duplicates ---------------------------------------------------------------------------------------------------


def test_a_second_order_under_the_same_id_is_a_duplicate_and_ours_is_named() -> None:
    second = order(OTHERS, shown={"id": 13, "csr": csr("bank.example.com")})
    ours = certified()
    duplicate = the_one(found([ours], [order(), second]), "duplicate")
    assert (duplicate.request_id, duplicate.order_id, duplicate.certificate_id) == (ours.request_id, OTHERS, 13)
    assert "order 11 is the one" in duplicate.finding.message
    assert "Revoke certificate 13" in duplicate.proposal


def test_a_second_order_for_the_same_csr_is_a_duplicate() -> None:
    duplicate = the_one(found([certified()], [order(), strange("pending")]), "duplicate")
    assert "Cancel order 99" in duplicate.proposal


def test_a_second_order_under_the_id_of_one_that_is_not_issued_yet_is_a_duplicate() -> None:
    ours = fact(State.ORDERED, order_id=OURS)
    second = order(OTHERS, "pending", shown={"csr": csr("bank.example.com")})
    assert the_one(found([ours], [order(status="pending"), second]), "duplicate").order_id == OTHERS


def test_a_duplicate_that_was_cancelled_or_revoked_is_dealt_with() -> None:
    for status in ("canceled", "rejected", "revoked", "expired"):
        assert found([certified()], [order(), order(OTHERS, status)]) == []
    assert found([certified()], [order(), order(OTHERS, shown={"status": "revoked"})]) == []


def test_of_several_orders_of_which_none_is_published_each_is_a_duplicate() -> None:
    asked = fact()
    orders = [strange("pending"), order(OURS, "issued", alternative_order_id="another")]
    duplicates = found([asked], orders)
    assert {(each.finding.code, each.order_id) for each in duplicates} == {
        ("reconcile.duplicate", OURS),
        ("reconcile.duplicate", OTHERS),
    }
    assert all("none of them is published" in each.finding.message for each in duplicates)


def test_two_requests_for_one_csr_have_an_order_each() -> None:
    earlier, later = certified(), fact()
    assert the_one(found([earlier, later], [order(), strange("pending")]), "overdue").request_id == later.request_id
    placed = replace(later, state=State.ORDERED, order_id=OTHERS)
    assert found([earlier, placed], [order(), strange("pending")]) == []


# --- ours that the CA does not know -------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [certified(), fact(State.ORDERED, order_id=OURS), fact(State.FAILED, order_id=OURS)])
def test_an_order_of_ours_that_the_ca_does_not_have_is_unknown_to_it(ours: Fact) -> None:
    unknown = the_one(found([ours], []), "unknown-to-ca")
    assert (unknown.request_id, unknown.order_id) == (ours.request_id, OURS)
    assert "whole account" in unknown.proposal


# --- orders that differ -------------------------------------------------------------------------------------------

DIFFERENT: dict[str, tuple[Fact, OrderInfo, str]] = {
    "another serial number": (certified(), order(shown={"serial_number": "0abd"}), "serial number 0abd"),
    "a serial number that is none": (certified(), order(shown={"serial_number": "?"}), "serial number ?"),
    "another certificate": (certified(), order(shown={"id": 13, "serial_number": "1"}), "certificate 13 in place"),
    "another id": (certified(), order(alternative_order_id="theirs"), "theirs"),
    "another product": (certified(), order(product={"name_id": "ssl_plus"}), "ssl_plus, not ssl_basic"),
    "revoked at the CA alone": (certified(), order(status="revoked"), "revoked at the CA and counts as good here"),
    "its certificate revoked at the CA alone": (certified(), order(shown={"status": "revoked"}), "counts as good"),
    "revoked here alone": (certified(is_revoked=True), order(), "revoked here and good at the CA"),
    "rejected after it was issued": (certified(), order(status="rejected"), "rejected at the CA"),
    "to be reissued": (certified(), order(status="reissue_pending"), "reissue_pending at the CA"),
    "a duplicate within the order": (
        certified(),
        order(requests=[{"id": 5, "type": "duplicate", "status": "approved"}]),
        "a duplicate was asked for, by the CA's request 5",
    ),
    "a failed order that lives": (fact(State.FAILED, order_id=OURS), order(status="pending"), "failed here"),
    "announced for another CSR": (
        fact(State.ORDERED, order_id=OURS),
        order(status="pending", shown={"csr": csr("bank.example.com")}),
        "another CSR",
    ),
    "announced for a CSR that can't be read": (
        fact(State.ORDERED, order_id=OURS),
        order(status="pending", shown={"csr": "?"}),
        "another CSR",
    ),
    "announced for another name": (
        fact(State.ORDERED, order_id=OURS),
        order(status="pending", shown={"dns_names": ["bank.example.com"]}),
        "other names",
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_an_order_that_is_not_as_it_was_published_differs(ours: Fact, theirs: OrderInfo, said: str) -> None:
    differs = the_one(found([ours], [theirs]), "differs")
    assert said in differs.finding.message
    assert (differs.request_id, differs.order_id) == (ours.request_id, OURS)


def test_a_quarantined_certificate_is_told_until_it_is_revoked_or_has_expired() -> None:
    held = certified()
    assert held.certificate is not None
    held = replace(held, state=State.QUARANTINED, certificate=replace(held.certificate, is_quarantined=True))
    warning = the_one(found([held], [order()]), "quarantined")
    assert (warning.finding.severity, warning.certificate_id) == ("warning", 12)
    assert held.certificate is not None
    ended = (replace(held.certificate, is_revoked=True), replace(held.certificate, not_after=NOW - DAY))
    assert found([replace(held, certificate=ended[0])], [order(status="revoked")]) == []
    assert found([replace(held, certificate=ended[1])], [order()]) == []


def test_a_rejected_reissue_is_no_difference() -> None:
    assert found([certified()], [order(requests=[{"id": 5, "type": "reissue", "status": "rejected"}])]) == []


def test_a_failed_request_whose_order_was_never_announced_may_have_an_order_that_ended() -> None:
    assert found([fact(State.FAILED)], [strange("rejected")]) == []
    differs = the_one(found([fact(State.FAILED)], [strange("issued")]), "differs")
    assert "failed here" in differs.finding.message
    assert (differs.order_id, differs.certificate_id) == (OTHERS, 12)


def test_one_order_that_was_published_for_two_requests_differs() -> None:
    first, second = certified(), certified()
    differs = the_one(found([first, second], [order()]), "differs")
    assert differs.request_id == second.request_id
    assert first.request_id in differs.finding.message


# --- under way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.APPROVED, State.PENDING])
def test_a_young_order_for_a_request_that_waits_is_a_note(state: State) -> None:
    note = the_one(found([fact(state)], [strange("pending", date_created=JUST_NOW)]), "in-flight")
    assert note.finding.severity == "note"


def test_an_old_order_for_an_approved_request_is_overdue() -> None:
    for created in (LONG_AGO, None, "yesterday"):
        overdue = the_one(found([fact()], [strange("pending", date_created=created)]), "overdue")
        assert overdue.finding.severity == "warning"


def test_an_approved_request_that_the_ca_has_no_order_for_is_overdue_after_the_grace() -> None:
    waiting = fact(changed_at=NOW - timedelta(hours=2))
    overdue = the_one(found([waiting], []), "overdue")
    assert f"ra orders resend {waiting.request_id}" in overdue.proposal
    assert found([fact(changed_at=NOW - timedelta(minutes=59))], []) == []
    assert found([replace(waiting, state=State.PENDING)], []) == []


def test_a_moment_without_a_zone_is_utc() -> None:
    created = (NOW - timedelta(minutes=5)).replace(tzinfo=None).isoformat()
    the_one(found([fact()], [strange("pending", date_created=created)]), "in-flight")


def test_an_old_order_for_a_request_that_nobody_approved_is_an_orphan() -> None:
    asked = fact(State.PENDING)
    orphan = the_one(found([asked], [strange("pending")]), "orphan")
    assert orphan.request_id == asked.request_id


def test_an_announced_order_that_the_ca_issued_is_under_way_for_a_while() -> None:
    ours = fact(State.ORDERED, order_id=OURS)
    the_one(found([ours], [order(shown={"date_issued": JUST_NOW})]), "in-flight")
    the_one(found([ours], [order(shown={"date_issued": LONG_AGO})]), "overdue")
    the_one(found([ours], [order(status="canceled")]), "overdue")


def test_of_an_order_that_ended_and_its_successor_only_the_successor_is_under_way() -> None:
    successor = order(OURS, "pending", alternative_order_id="second", date_created=JUST_NOW)
    assert the_one(found([fact()], [strange("rejected"), successor]), "in-flight").order_id == OURS


# --- what is looked at closely ------------------------------------------------------------------------------------


def looked_at(facts: Iterable[Fact], listed: Iterable[OrderInfo], *, quick: bool = False) -> list[OrderId]:
    by_number = {each.order_id: each for each in listed}
    return to_look_at(list(facts), by_number, known={OrderId(5)}, now=NOW, quick=quick)


def test_orders_that_nobody_published_and_orders_that_the_list_lacks_are_looked_at() -> None:
    for quick in (True, False):
        assert looked_at([], [strange(), order(OrderId(5))], quick=quick) == [OTHERS]
        assert looked_at([certified()], [], quick=quick) == [OURS]
        assert looked_at([fact(State.ORDERED, order_id=OURS)], [order(status="pending")], quick=quick) == [OURS]


def test_valid_certificates_are_looked_at_unless_it_shall_be_quick() -> None:
    assert looked_at([certified()], [order()]) == [OURS]
    assert looked_at([certified()], [order()], quick=True) == []


def test_a_revoked_certificate_is_looked_at_until_the_list_shows_it() -> None:
    for quick in (True, False):
        assert looked_at([certified(is_revoked=True)], [order()], quick=quick) == [OURS]
        assert looked_at([certified(is_revoked=True)], [order(status="revoked")], quick=quick) == []


def test_an_expired_certificate_is_not_looked_at() -> None:
    ours = certified()
    assert ours.certificate is not None
    expired = replace(ours, certificate=replace(ours.certificate, not_after=NOW - DAY))
    assert looked_at([expired], [order()]) == []


def test_what_does_not_hold_is_told_with_its_reasons() -> None:
    refused = RefusedError(finding("evidence.unknown-key", "signed with an unknown key"))
    made = unproven(new_request_id(), ApprovalGroupName("web"), refused)
    assert made.finding.code == "reconcile.unproven"
    assert "signed with an unknown key" in made.finding.message
