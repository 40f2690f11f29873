"""The sandbox's lists of orders and of requests: filters, sorting, pages."""

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.account import NAME, Account, certificate, code_of
from tests.sandbox.catalogue import CONTAINER_ID, IMPORTED_ORDER_ID, ORGANIZATION_ID
from tests.world import NOW

DAY = timedelta(days=1).total_seconds()
TODAY = NOW.date()


def in_days(days: int) -> str:
    return f"{TODAY + timedelta(days=days)}"


async def ids(account: Account, **query: str | int) -> list[int]:
    """The orders of the list, in its order; filters are named without their brackets."""
    return [entry["id"] for entry in (await listed(account, **query))["orders"]]


async def listed(account: Account, **query: str | int) -> dict[str, Any]:
    own = {"sort", "limit", "offset"}
    params = {name if name in own else f"filters[{name}]": value for name, value in query.items()}
    return await account.ask("/order/certificate", params)


async def two_orders(account: Account) -> tuple[int, int]:
    """One of today for ten days, and one of tomorrow, at the same time of day, for twenty with another name."""
    first = await account.placed(order_validity={"custom_expiration_date": in_days(10)})
    account.sandbox.clock.advance(DAY)
    other = {**certificate("www.example.net"), "common_name": "a.example.com"}
    second = await account.placed(order_validity={"custom_expiration_date": in_days(20)}, certificate=other)
    return first["id"], second["id"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (in_days(0), (True, False)),
        (f"={in_days(1)}", (False, True)),
        (f">{in_days(0)}", (True, True)),
        (f">{in_days(1)}", (False, True)),
        (f"<{in_days(1)}", (True, False)),
        (f"<={NOW:%Y-%m-%dT%H:%M:%S}", (True, False)),
        (f"<{NOW:%Y-%m-%dT%H:%M:%S}", (False, False)),
        (f">={in_days(1)}T{NOW:%H:%M:%S}", (False, True)),
        (f">{in_days(1)}T{NOW:%H:%M:%S}+00:00", (False, False)),
        (f"{in_days(0)}...{in_days(1)}", (True, False)),
        (f"={in_days(0)}...{in_days(2)}", (True, True)),
        (f"{in_days(1)}...{in_days(2)}", (False, True)),
        (f"{in_days(-2)}...{in_days(0)}", (False, False)),
    ],
)
async def test_orders_are_found_by_the_time_of_their_making(
    account: Account, wanted: str, found: tuple[bool, bool]
) -> None:
    orders = await two_orders(account)
    hits = await ids(account, date_created=wanted)
    assert tuple(order in hits for order in orders) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (in_days(10), (True, False)),
        (f">{in_days(10)}", (False, True)),
        (f">={in_days(10)}", (True, True)),
        (f"<{in_days(20)}", (True, False)),
        (f"{in_days(10)}...{in_days(20)}", (True, True)),
        (f"{in_days(11)}...{in_days(19)}", (False, False)),
    ],
)
async def test_orders_are_found_by_the_end_of_their_validity(
    account: Account, wanted: str, found: tuple[bool, bool]
) -> None:
    orders = await two_orders(account)
    hits = await ids(account, valid_till=wanted)
    assert tuple(order in hits for order in orders) == found


async def test_an_order_without_a_certificate_has_no_end_of_validity(account: Account) -> None:
    order = await account.placed(skip_approval=False)
    assert order["id"] in await ids(account)
    assert order["id"] not in await ids(account, valid_till=">2000-01-01")
    assert order["id"] not in await ids(account, valid_till="<2100-01-01")


@pytest.mark.parametrize("name", ["is_renewed", "disable_renewal_notifications"])
async def test_no_order_is_renewed_or_silenced(account: Account, name: str) -> None:
    order = await account.placed()
    assert await ids(account, **{name: 0}) == [IMPORTED_ORDER_ID, order["id"]]
    assert await ids(account, **{name: 1}) == []


@pytest.mark.parametrize(
    ("name", "own", "foreign"),
    [
        ("organization_id", str(ORGANIZATION_ID), "1"),
        ("container_id", str(CONTAINER_ID), "1"),
        ("product_name_id", "ssl_basic", "ssl_plus"),
        ("domain_name", NAME, "example.com"),
        ("common_name", NAME, "www.example"),
    ],
)
async def test_orders_are_found_by_what_they_are_of(account: Account, name: str, own: str, foreign: str) -> None:
    order = await account.placed()
    assert order["id"] in await ids(account, **{name: own})
    assert order["id"] not in await ids(account, **{name: foreign})


async def test_an_order_is_found_by_its_numbers_and_those_of_its_certificate(account: Account) -> None:
    order = await account.placed()
    await account.placed()
    info = await account.ask(f"/order/certificate/{order['id']}")
    numbers = {"id": info["id"], "certificate_id": info["certificate"]["id"]}
    serial = info["certificate"]["serial_number"].lower()
    assert [await ids(account, **{name: number}) for name, number in numbers.items()] == [[order["id"]]] * 2
    assert await ids(account, serial_number=serial) == [order["id"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("%example.com", (True, True)), ("%www", (True, False)), ("www", (False, False)), (NAME, (True, False))],
)
async def test_a_search_is_for_the_common_name_or_behind_a_percent_sign_for_a_part_of_it(
    account: Account, wanted: str, found: tuple[bool, bool]
) -> None:
    orders = await two_orders(account)
    hits = await ids(account, search=wanted)
    assert tuple(order in hits for order in orders) == found


async def test_a_percent_sign_travels_as_25(account: Account) -> None:
    order = await account.placed()
    found = await account.ask("/order/certificate?filters[search]=%25ww.example")
    assert [entry["id"] for entry in found["orders"]] == [order["id"]]


@pytest.mark.parametrize(
    ("sort", "positions"),
    [
        ("date_created", [0, 1, 2, 3]),
        ("-date_created", [3, 2, 1, 0]),
        ("order_id", [0, 1, 2, 3]),
        ("-order_id", [3, 2, 1, 0]),
        ("valid_till", [3, 1, 2, 0]),  # none, ten days, twenty, and a year for the imported one
        ("common_name", [2, 0, 1, 3]),
        ("status,-common_name", [1, 0, 2, 3]),
        ("-status,date_created", [3, 0, 1, 2]),
    ],
)
async def test_orders_are_sorted_by_one_property_or_more(account: Account, sort: str, positions: list[int]) -> None:
    orders = [IMPORTED_ORDER_ID, *await two_orders(account)]
    orders.append((await account.placed(skip_approval=False))["id"])
    assert await ids(account, sort=sort) == [orders[position] for position in positions]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/order/certificate?filters[user_id]=1", "invalid_value:filters[user_id]"),
        ("/order/certificate?filters[metadata_id]=1", "invalid_value:filters[metadata_id]"),
        ("/order/certificate?filters[email]=a@example.com", "invalid_value:filters[email]"),
        ("/order/certificate?filters[origin]=certcentral", "invalid_value:filters[origin]"),
        ("/order/certificate?filters[no_such]=1", "invalid_value:filters[no_such]"),
        ("/order/certificate?filters[status][0]=issued", "invalid_value:filters[status][0]"),
        ("/order/certificate?filters[is_renewed]=true", "invalid_value:filters[is_renewed]"),
        ("/order/certificate?filters[valid_till]=>NOW", "invalid_value:filters[valid_till]"),
        ("/order/certificate?filters[date_created]=yesterday", "invalid_value:filters[date_created]"),
        ("/order/certificate?filters[status]=none&filters[date_created]=a...b", "invalid_value:filters[date_created]"),
        ("/order/certificate?sort=no_such", "invalid_value:sort"),
        ("/order/certificate?sort=-no_such", "invalid_value:sort"),
        ("/order/certificate?sort=date_created,--status", "invalid_value:sort"),
        ("/request?filters[metadata_value]=1", "invalid_value:filters[metadata_value]"),
        ("/request?sort=-date", "invalid_value:sort"),
    ],
)
async def test_what_a_list_cannot_be_asked_is_refused_by_name(account: Account, path: str, code: str) -> None:
    answer = await account.call("GET", path)
    assert (answer.status_code, code_of(answer)) == (400, code)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("filters[type]=new_request", [True, True, False]),
        ("filters[type]=revoke", [False, False, True]),
        ("filters[status]=pending", [False, True, True]),
        ("filters[status]=approved&filters[type]=new_request", [True, False, False]),
        (f"filters[container_id]={CONTAINER_ID}", [True, True, True]),
        ("filters[container_id]=1", [False, False, False]),
        ("filters[search]=%25ww.example", [True, True, True]),
        ("filters[search]=ww.example", [False, False, False]),
    ],
)
async def test_requests_are_found_by_what_they_are(account: Account, wanted: str, found: list[bool]) -> None:
    order = await account.placed()
    waiting = await account.placed(skip_approval=False)
    revocation = await account.call("PUT", f"/order/certificate/{order['id']}/revoke", {})
    made = [order["requests"][0]["id"], waiting["requests"][0]["id"], revocation.json()["id"]]
    hits = [entry["id"] for entry in (await account.ask(f"/request?{wanted}"))["requests"]]
    assert [request in hits for request in made] == found


async def test_lemur_pages_through_more_orders_than_it_asks_for_at_once(account: Account) -> None:
    for _ in range(42):
        await account.placed(skip_approval=False)
    found: list[int] = []
    pages: list[dict[str, int]] = []
    while not pages or len(found) < pages[-1]["total"]:
        page = await listed(account, organization_id=ORGANIZATION_ID, limit=40, offset=len(found))
        found += [entry["id"] for entry in page["orders"]]
        pages.append(page["page"])
    assert pages == [{"total": 43, "limit": 40, "offset": 0}, {"total": 43, "limit": 40, "offset": 40}]
    assert found == await ids(account)
    assert len(set(found)) == 43


async def test_no_page_is_longer_than_a_thousand(account: Account) -> None:
    assert [(await listed(account, limit=limit))["page"]["limit"] for limit in (1000, 1001)] == [1000, 1000]


async def test_a_product_is_shown_for_the_containers_of_the_account_only(account: Account) -> None:
    own = await account.ask(f"/product/ssl_basic?container_id={CONTAINER_ID}")
    foreign = await account.call("GET", "/product/ssl_basic?container_id=1")
    assert own == await account.ask("/product/ssl_basic")
    assert (foreign.status_code, code_of(foreign)) == (400, "invalid_value:container_id")
