"""The life of an order at the sandbox, knob by knob, over plain HTTP in one event loop."""

from datetime import timedelta

import pytest
from cryptography import x509

from tests.fakes.account import Account, certificate, code_of
from tests.sandbox.roles import Role
from tests.world import NOW

DAY = timedelta(days=1).total_seconds()


async def test_an_order_waits_for_approval_then_for_validation_and_is_issued(account: Account) -> None:
    await account.knobs(immediate_issuance=False, validation_delay_seconds=DAY)
    order = await account.placed(skip_approval=False)
    assert set(order) == {"id", "requests"}
    seen = [await account.status(order)]
    await account.decide(order["requests"][0]["id"], "approved")
    seen.append(await account.status(order))
    account.sandbox.clock.advance(DAY)
    seen.append(await account.status(order))
    assert seen == ["needs_approval", "pending", "issued"]


@pytest.mark.parametrize("knobs", [{"organization_validated": False}, {"unvalidated_domains": ["example.com"]}])
async def test_an_order_is_pending_until_organisation_and_domains_are_validated(
    account: Account, knobs: dict[str, object]
) -> None:
    await account.knobs(**knobs)
    order = await account.placed()
    assert set(order) == {"id", "requests", "certificate_id"}
    account.sandbox.clock.advance(30 * DAY)
    seen = [await account.status(order)]
    await account.knobs(organization_validated=True, unvalidated_domains=["other.example.com", "ample.com"])
    seen.append(await account.status(order))
    assert seen == ["pending", "issued"]


async def test_a_reissue_replaces_the_certificate_and_keeps_the_order(account: Account) -> None:
    order = await account.placed()
    reissued = (await account.another("reissue", order)).json()
    info = await account.ask(f"/order/certificate/{order['id']}")
    listed = await account.ask(f"/order/certificate/{order['id']}/reissue")
    assert reissued["id"] == order["id"]
    assert reissued["certificate_id"] != order["certificate_id"]
    assert (info["status"], info["certificate"]["id"]) == ("issued", reissued["certificate_id"])
    assert [entry["id"] for entry in listed["certificates"]] == [reissued["certificate_id"]]
    old = await account.call("GET", f"/certificate/{order['certificate_id']}/download/format/pem")
    assert old.text == order["certificate_chain"][0]["pem"]


@pytest.mark.parametrize(("names", "revoked"), [((), True), (("example.com", "more.example.com"), False)])
async def test_a_reissue_without_a_name_revokes_the_certificate_that_had_it(
    account: Account, names: tuple[str, ...], *, revoked: bool
) -> None:
    order = await account.placed(certificate=certificate("example.com"))
    await account.another("reissue", order, certificate=certificate(*names))
    (kept,) = account.sandbox.ledger.placed()
    assert [each.status for each in kept.certificates] == ["revoked" if revoked else "issued", "issued"]


async def test_a_reissue_without_a_name_revokes_every_copy_that_had_it_and_no_other(account: Account) -> None:
    order = await account.placed(certificate=certificate("example.com"))
    await account.another("duplicate", order, certificate=certificate("example.com"))
    await account.another("duplicate", order)
    await account.another("reissue", order, certificate=certificate("example.com", "more.example.com"))
    await account.another("reissue", order)
    (kept,) = account.sandbox.ledger.placed()
    statuses = [each.status for each in kept.certificates]
    assert statuses == ["revoked", "revoked", "issued", "revoked", "issued"]


@pytest.mark.parametrize("approved", [False, True])
async def test_a_reissue_that_waits_can_be_cancelled_and_then_its_request_is_rejected(
    account: Account, *, approved: bool
) -> None:
    order = await account.placed()
    await account.knobs(immediate_issuance=False, validation_delay_seconds=DAY)
    reissue = (await account.another("reissue", order, skip_approval=approved)).json()
    while_waiting = await account.ask(f"/order/certificate/{order['id']}")
    again = await account.another("reissue", order)
    revoked = await account.call("PUT", f"/certificate/{order['certificate_id']}/revoke", {"skip_approval": True})
    cancelled = await account.cancel(order)
    account.sandbox.clock.advance(2 * DAY)
    info = await account.ask(f"/order/certificate/{order['id']}")
    listed = await account.ask(f"/order/certificate/{order['id']}/reissue")
    request = await account.ask(f"/request/{reissue['requests'][0]['id']}")
    assert (while_waiting["status"], while_waiting["certificate"]["id"]) == ("reissue_pending", order["certificate_id"])
    assert (again.status_code, revoked.status_code, cancelled) == (400, 400, 204)
    assert (info["status"], info["certificate"]["id"]) == ("issued", order["certificate_id"])
    assert (request["status"], [entry["status"] for entry in listed["certificates"]]) == ("rejected", ["rejected"])


async def test_a_reissue_lasts_no_longer_than_its_order(account: Account) -> None:
    order = await account.placed(order_validity={"days": 90})
    account.sandbox.clock.advance(30 * DAY)
    reissued = (await account.another("reissue", order)).json()
    ends = {
        x509.load_pem_x509_certificate(answer["certificate_chain"][0]["pem"].encode()).not_valid_after_utc
        for answer in (order, reissued)
    }
    assert len(ends) == 1


async def test_a_reissue_may_need_a_server_platform(account: Account) -> None:
    order = await account.placed()
    await account.knobs(server_platform_required=True)
    without = await account.another("reissue", order)
    with_it = await account.another("reissue", order, certificate={**certificate(), "server_platform": {"id": -1}})
    assert (code_of(without), with_it.status_code) == ("required_param:certificate.server_platform", 201)


async def test_a_duplicate_stands_beside_the_certificate(account: Account) -> None:
    order = await account.placed()
    duplicate = (await account.another("duplicate", order, certificate=certificate("more.example.com"))).json()
    info = await account.ask(f"/order/certificate/{order['id']}")
    listed = await account.ask(f"/order/certificate/{order['id']}/duplicate")
    number = listed["certificates"][0]["serial_number"]
    by_duplicate = await account.call("GET", f"/order/certificate/{number}")
    assert info["certificate"]["id"] == order["certificate_id"]
    assert [entry["id"] for entry in listed["certificates"]] == [duplicate["certificate_id"]]
    assert by_duplicate.status_code == 404  # an order is found by its primary certificate only


async def test_only_what_is_issued_can_be_reissued(account: Account) -> None:
    await account.knobs(approval="pending")
    order = await account.placed()
    assert [(await account.another(kind, order)).status_code for kind in ("reissue", "duplicate")] == [400, 400]


@pytest.mark.parametrize(
    ("status", "cancelled"),
    [("pending", 204), ("waiting_pickup", 204), ("needs_approval", 400), ("processing", 400), ("issued", 400)],
)
async def test_an_order_can_be_cancelled_where_that_is_documented(
    account: Account, status: str, cancelled: int
) -> None:
    await account.knobs(immediate_issuance=False, validation_delay_seconds=None)
    order = await account.placed()
    account.sandbox.ledger.set_status(account.sandbox.ledger.order(order["id"]), status)
    assert await account.cancel(order) == cancelled


async def test_a_limited_users_order_waits_for_somebody_else(account: Account) -> None:
    order = await account.placed(Role.REQUESTS)
    request = order["requests"][0]["id"]
    own = await account.decide(request, "approved", role=Role.REQUESTS)
    others = await account.decide(request, "approved", role=Role.ORDERS)
    assert (own.status_code, code_of(own)) == (403, "access_denied|missing_permission")
    assert (others.status_code, await account.status(order)) == (204, "issued")


async def test_skipping_approval_without_the_right_may_be_refused(account: Account) -> None:
    await account.knobs(skip_without_right="refuse")
    refused = await account.place(Role.REQUESTS)
    assert (refused.status_code, code_of(refused)) == (400, "invalid_value:skip_approval")
    assert (await account.place(Role.ORDERS)).status_code == 201


async def test_an_account_may_want_another_approver_than_who_asked(account: Account) -> None:
    await account.knobs(approver="other")
    order = await account.placed(Role.ORDERS, skip_approval=False)
    request = order["requests"][0]["id"]
    own = await account.decide(request, "approved", role=Role.ORDERS)
    others = await account.decide(request, "approved", role=Role.ADMIN)
    assert (own.status_code, code_of(own), others.status_code) == (403, "access_denied|invalid_approver", 204)


async def test_alternative_ids_may_get_lost_or_have_to_be_unique(account: Account) -> None:
    await account.knobs(alternative_ids="unique")
    answers = [(await account.place(alternative_order_id="one")).status_code for _ in range(2)]
    await account.knobs(alternative_ids="dropped")
    lost = await account.placed(alternative_order_id="two")
    looked_up = await account.call("GET", "/order/alternate/two")
    await account.knobs(unknown_alternate="empty")
    empty = await account.ask("/order/alternate/two")
    assert answers == [201, 400]
    assert "alternative_order_id" not in await account.ask(f"/order/certificate/{lost['id']}")
    assert (looked_up.status_code, empty["orders"]) == (404, [])


async def test_what_the_api_shows_may_lag_and_does_not_show_what_is_younger(account: Account) -> None:
    await account.knobs(info_lag_seconds=60, immediate_issuance=False, validation_delay_seconds=30)
    order = await account.placed()
    seen = []
    for seconds in (0, 59, 1, 29, 1):
        account.sandbox.clock.advance(seconds)
        info = await account.call("GET", f"/order/certificate/{order['id']}")
        listed = await account.ask("/order/certificate?filters[common_name]=www.example.com")
        feed = await account.ask("/order/certificate/status-changes?minutes=5")
        seen.append(
            (info.json().get("status"), len(listed["orders"]), [each["status"] for each in feed.get("orders", ())])
        )
    assert seen == [(None, 0, [])] * 2 + [("pending", 1, ["pending"])] * 2 + [("issued", 1, ["issued"])]


async def test_the_order_inside_a_request_may_be_stale(account: Account) -> None:
    order = await account.placed()
    path = f"/request/{order['requests'][0]['id']}"
    fresh = await account.ask(path)
    await account.knobs(stale_requests=True, immediate_issuance=False)
    pending = await account.placed(skip_approval=False)
    account.sandbox.clock.advance(10)
    await account.decide(pending["requests"][0]["id"], "approved")
    stale = await account.ask(f"/request/{pending['requests'][0]['id']}")
    assert fresh["order"]["status"] == "issued"
    assert (stale["status"], stale["order"]["status"]) == ("approved", "needs_approval")


async def test_the_list_may_take_no_notice_of_the_status(account: Account) -> None:
    await account.knobs(approval="pending")
    waiting = await account.placed()
    path = "/order/certificate?filters[status]=issued&filters[container_id]=73906"
    heeded = [entry["id"] for entry in (await account.ask(path))["orders"]]
    await account.knobs(ignore_status_filter=True)
    ignored = [entry["id"] for entry in (await account.ask(path))["orders"]]
    assert waiting["id"] not in heeded
    assert waiting["id"] in ignored


async def test_the_filter_for_issued_orders_includes_those_that_expired(account: Account) -> None:
    order = await account.placed()
    account.sandbox.ledger.set_status(account.sandbox.ledger.order(order["id"]), "expired")
    listed = {
        status: order["id"] in [entry["id"] for entry in (await account.ask(path))["orders"]]
        for status in ("issued", "expired", "pending")
        for path in [f"/order/certificate?filters[status]={status}"]
    }
    assert listed == {"issued": True, "expired": True, "pending": False}


async def test_the_feed_takes_dates_and_leaves_out_what_changed_again_later(account: Account) -> None:
    await account.knobs(immediate_issuance=False, validation_delay_seconds=10 * DAY)
    order = await account.placed()
    today = f"{NOW:%Y-%m-%d}"
    path = f"/order/certificate/status-changes?filters[status_last_updated]={today}...{today}"
    at_first = await account.ask(path)
    account.sandbox.clock.advance(11 * DAY)
    assert at_first["orders"][0] == {
        "order_id": order["id"],
        "certificate_id": order["certificate_id"],
        "status": "pending",
    }
    assert await account.ask(path) == {}


@pytest.mark.parametrize(("includes", "found"), [(True, 1), (False, 0)])
async def test_a_range_of_days_in_the_feed_may_end_before_its_last_day(
    account: Account, *, includes: bool, found: int
) -> None:
    await account.knobs(feed_includes_last_day=includes)
    await account.placed()
    path = f"/order/certificate/status-changes?filters[status_last_updated]={NOW - timedelta(days=1):%Y-%m-%d}..."
    assert len((await account.ask(f"{path}{NOW:%Y-%m-%d}")).get("orders", [])) == found
    assert len((await account.ask(f"{path}{NOW + timedelta(days=1):%Y-%m-%d}"))["orders"]) == 1


async def test_the_feed_may_have_pages(account: Account) -> None:
    await account.knobs(feed_limit=2)
    orders = [(await account.placed())["id"] for _ in range(3)]
    pages = [await account.ask(f"/order/certificate/status-changes?minutes=5&offset={offset}") for offset in (0, 2)]
    assert [[entry["order_id"] for entry in page["orders"]] for page in pages] == [orders[:2], orders[2:]]
    assert pages[0]["page"] == {"total": 3, "limit": 2, "offset": 0}


@pytest.mark.parametrize(
    ("dates", "code"),
    [
        ("2026-11-01...2026-11-08", "time_frame_too_long"),
        ("2026-11-01", "invalid_value:filters[status_last_updated]"),
        ("yesterday...today", "invalid_value:filters[status_last_updated]"),
    ],
)
async def test_the_feed_refuses_ranges_that_are_too_long_or_none(account: Account, dates: str, code: str) -> None:
    answer = await account.call("GET", f"/order/certificate/status-changes?filters[status_last_updated]={dates}")
    assert (answer.status_code, code_of(answer)) == (400, code)


async def test_products_may_keep_silent_about_their_cas_and_containers_may_limit_nothing(account: Account) -> None:
    listed = await account.ask("/product/ssl_basic")
    await account.knobs(ca_choice=False, product_limits=False)
    silent = await account.ask("/product/ssl_basic")
    limits = await account.ask("/container/73906/product-limits")
    assert ("allowed_ca_certs" in listed, "allowed_ca_certs" in silent) == (True, False)
    assert limits == {"is_limited": False}


@pytest.mark.parametrize(("mode", "status"), [("refuse", 400), ("accept", 204)])
async def test_revoking_what_is_revoked_may_be_refused_or_not(account: Account, mode: str, status: int) -> None:
    await account.knobs(revoked_again=mode)
    order = await account.placed()
    path, body = f"/certificate/{order['certificate_id']}/revoke", {"skip_approval": True}
    answers = [(await account.call("PUT", path, body)).status_code for _ in range(2)]
    assert answers == [204, status]


async def test_an_order_may_go_with_its_last_certificate(account: Account) -> None:
    await account.knobs(revoke_order_with_last=True)
    order = await account.placed()
    duplicate = (await account.another("duplicate", order)).json()
    seen = []
    for number in (order["certificate_id"], duplicate["certificate_id"]):
        await account.call("PUT", f"/certificate/{number}/revoke", {"skip_approval": True})
        seen.append(await account.status(order))
    assert seen == ["issued", "revoked"]


async def test_a_revocation_that_waits_may_be_called_submitted(account: Account) -> None:
    await account.knobs(revocation_status="submitted")
    order = await account.placed()
    made = await account.call("PUT", f"/order/certificate/{order['id']}/revoke", {"comments": "why"}, role=Role.ORDERS)
    assert (made.status_code, made.json()["status"], made.json()["comments"]) == (201, "submitted", "why")
    assert (await account.decide(made.json()["id"], "approved")).status_code == 204
    assert await account.status(order) == "revoked"


@pytest.mark.parametrize(
    ("form", "field"),
    [("none", None), ("seconds", "5"), ("date", "Fri, 20 Nov 2026 12:00:05 GMT")],
)
async def test_a_refusal_for_the_rate_may_say_when_to_come_back(account: Account, form: str, field: str | None) -> None:
    await account.knobs(rate_limits=True, rate_windows=[{"calls": 1, "seconds": 5}], retry_after=form)
    answers = [await account.call("GET", "/product") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers.get("Retry-After") == field


@pytest.mark.parametrize(("counted", "statuses"), [(False, [200, 429, 200]), (True, [200, 429, 429])])
async def test_refused_calls_may_count_or_not(account: Account, statuses: list[int], *, counted: bool) -> None:
    await account.knobs(rate_limits=True, rate_windows=[{"calls": 1, "seconds": 5}], count_refused=counted)
    seen = []
    for _ in range(3):
        seen.append((await account.call("GET", "/product")).status_code)
        account.sandbox.clock.advance(3)
    assert seen == statuses


@pytest.mark.parametrize(("calls", "seconds"), [(100, 5), (1000, 180)])
async def test_the_windows_are_the_documented_ones(account: Account, calls: int, seconds: int) -> None:
    await account.knobs(rate_limits=True)
    answered = set()
    for _ in range(calls):
        answered.add((await account.call("GET", "/no/such/route")).status_code)
        account.sandbox.clock.advance(seconds / (calls + 1))
    refused = await account.call("GET", "/no/such/route")
    account.sandbox.clock.advance(1)
    later = await account.call("GET", "/no/such/route")
    assert answered == {404}
    assert (refused.status_code, code_of(refused), later.status_code) == (429, "request_limit_exceeded", 404)


async def test_each_key_has_windows_of_its_own_and_all_of_them_count(account: Account) -> None:
    await account.knobs(rate_limits=True, rate_windows=[{"calls": 2, "seconds": 5}, {"calls": 3, "seconds": 60}])
    seen = []
    for seconds, role in ((0, Role.ADMIN), (0, Role.ADMIN), (0, Role.ADMIN), (0, Role.ORDERS), (5, Role.ADMIN)):
        account.sandbox.clock.advance(seconds)
        seen.append((await account.call("GET", "/product", role=role)).status_code)
    account.sandbox.clock.advance(6)
    seen.append((await account.call("GET", "/product")).status_code)
    assert seen == [200, 200, 429, 200, 200, 429]


async def test_a_fault_strikes_the_endpoint_that_it_names_after_so_many_calls(account: Account) -> None:
    fault = {"kind": "answer", "endpoint": "order.info", "status": 404, "code": "not_found|order", "after": 1}
    await account.knobs(faults=[{**fault, "times": 2, "headers": {"Retry-After": "9"}}])
    order = await account.placed()
    answers = [await account.call("GET", f"/order/certificate/{order['id']}") for _ in range(4)]
    others = await account.call("GET", "/order/certificate/status-changes?minutes=1")
    assert [answer.status_code for answer in answers] == [200, 404, 404, 200]
    assert (code_of(answers[1]), answers[1].headers["Retry-After"]) == ("not_found|order", "9")
    assert others.status_code == 200


async def test_a_page_of_a_proxy_is_html(account: Account) -> None:
    await account.knobs(faults=[{"kind": "html", "status": 503}])
    answer = await account.call("GET", "/product")
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")
