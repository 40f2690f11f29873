"""The sandbox's lists of orders and of requests: filters, sorting, pages."""

from collections.abc import Iterable
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


async def found(account: Account, name: str, wanted: Iterable[str]) -> dict[str, tuple[bool, ...]]:
    """By what the filter is told: which of the two orders pass it."""
    orders = await two_orders(account)
    hits = {value: await ids(account, **{name: value}) for value in wanted}
    return {value: tuple(order in listed for order in orders) for value, listed in hits.items()}


async def test_orders_are_found_by_the_time_of_their_making(account: Account) -> None:
    expected = {
        in_days(0): (True, False),
        f"={in_days(1)}": (False, True),
        f">{in_days(0)}": (True, True),
        f">{in_days(1)}": (False, True),
        f"<{in_days(1)}": (True, False),
        f"<={NOW:%Y-%m-%dT%H:%M:%S}": (True, False),
        f"<{NOW:%Y-%m-%dT%H:%M:%S}": (False, False),
        f">={in_days(1)}T{NOW:%H:%M:%S}": (False, True),
        f">{in_days(1)}T{NOW:%H:%M:%S}+00:00": (False, False),
        f"{in_days(0)}...{in_days(1)}": (True, False),
        f"={in_days(0)}...{in_days(2)}": (True, True),
        f"{in_days(1)}...{in_days(2)}": (False, True),
        f"{in_days(-2)}...{in_days(0)}": (False, False),
    }
    assert await found(account, "date_created", expected) == expected


async def test_orders_are_found_by_the_end_of_their_validity(account: Account) -> None:
    expected = {
        in_days(10): (True, False),
        f">{in_days(10)}": (False, True),
        f">={in_days(10)}": (True, True),
        f"<{in_days(20)}": (True, False),
        f"{in_days(10)}...{in_days(20)}": (True, True),
        f"{in_days(11)}...{in_days(19)}": (False, False),
    }
    assert await found(account, "valid_till", expected) == expected


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


async def test_orders_are_found_by_what_they_are_of(account: Account) -> None:
    order = await account.placed()
    own: dict[str, str | int] = {
        "organization_id": ORGANIZATION_ID,
        "container_id": CONTAINER_ID,
        "product_name_id": "ssl_basic",
        "domain_name": NAME,
        "common_name": NAME,
    }
    foreign = dict.fromkeys(own, "example.com")
    assert [name for name, value in own.items() if order["id"] not in await ids(account, **{name: value})] == []
    assert [name for name, value in foreign.items() if await ids(account, **{name: value})] == []


async def test_an_order_is_found_by_its_numbers_and_those_of_its_certificate(account: Account) -> None:
    order = await account.placed()
    await account.placed()
    info = await account.ask(f"/order/certificate/{order['id']}")
    numbers = {"id": info["id"], "certificate_id": info["certificate"]["id"]}
    serial = info["certificate"]["serial_number"].lower()
    assert [await ids(account, **{name: number}) for name, number in numbers.items()] == [[order["id"]]] * 2
    assert await ids(account, serial_number=serial) == [order["id"]]


async def test_a_search_is_for_the_common_name_or_behind_a_percent_sign_for_a_part_of_it(account: Account) -> None:
    expected = {
        "%example.com": (True, True),
        "%www": (True, False),
        "www": (False, False),
        NAME: (True, False),
    }
    assert await found(account, "search", expected) == expected


async def test_a_percent_sign_travels_as_25(account: Account) -> None:
    order = await account.placed()
    found = await account.ask("/order/certificate?filters[search]=%25ww.example")
    assert [entry["id"] for entry in found["orders"]] == [order["id"]]


async def test_orders_are_sorted_by_one_property_or_more(account: Account) -> None:
    orders = [IMPORTED_ORDER_ID, *await two_orders(account)]
    orders.append((await account.placed(skip_approval=False))["id"])
    expected = {
        "date_created": [0, 1, 2, 3],
        "-date_created": [3, 2, 1, 0],
        "order_id": [0, 1, 2, 3],
        "-order_id": [3, 2, 1, 0],
        "valid_till": [3, 1, 2, 0],  # none, ten days, twenty, and a year for the imported one
        "common_name": [2, 0, 1, 3],
        "status,-common_name": [1, 0, 2, 3],
        "-status,date_created": [3, 0, 1, 2],
    }
    assert {sort: [orders.index(each) for each in await ids(account, sort=sort)] for sort in expected} == expected


async def test_what_a_list_cannot_be_asked_is_refused_by_name(account: Account) -> None:
    expected = {
        "/order/certificate?filters[user_id]=1": "invalid_value:filters[user_id]",
        "/order/certificate?filters[metadata_id]=1": "invalid_value:filters[metadata_id]",
        "/order/certificate?filters[email]=a@example.com": "invalid_value:filters[email]",
        "/order/certificate?filters[origin]=certcentral": "invalid_value:filters[origin]",
        "/order/certificate?filters[no_such]=1": "invalid_value:filters[no_such]",
        "/order/certificate?filters[status][0]=issued": "invalid_value:filters[status][0]",
        "/order/certificate?filters[is_renewed]=true": "invalid_value:filters[is_renewed]",
        "/order/certificate?filters[valid_till]=>NOW": "invalid_value:filters[valid_till]",
        "/order/certificate?filters[date_created]=yesterday": "invalid_value:filters[date_created]",
        "/order/certificate?filters[id]=0&filters[date_created]=a...b": "invalid_value:filters[date_created]",
        "/order/certificate?sort=no_such": "invalid_value:sort",
        "/order/certificate?sort=-no_such": "invalid_value:sort",
        "/order/certificate?sort=date_created,--status": "invalid_value:sort",
        "/request?filters[metadata_value]=1": "invalid_value:filters[metadata_value]",
        "/request?sort=-date": "invalid_value:sort",
    }
    answers = {path: await account.call("GET", path) for path in expected}
    assert {answer.status_code for answer in answers.values()} == {400}
    assert {path: code_of(answer) for path, answer in answers.items()} == expected


async def test_requests_are_found_by_what_they_are(account: Account) -> None:
    order = await account.placed()
    waiting = await account.placed(skip_approval=False)
    revocation = await account.call("PUT", f"/order/certificate/{order['id']}/revoke", {})
    made = [order["requests"][0]["id"], waiting["requests"][0]["id"], revocation.json()["id"]]
    expected = {
        "filters[type]=new_request": [0, 1],
        "filters[type]=revoke": [2],
        "filters[status]=pending": [1, 2],
        "filters[status]=approved&filters[type]=new_request": [0],
        f"filters[container_id]={CONTAINER_ID}": [0, 1, 2],
        "filters[container_id]=1": [],
        "filters[search]=%25ww.example": [0, 1, 2],
        "filters[search]=ww.example": [],
    }
    hits = {query: (await account.ask(f"/request?{query}"))["requests"] for query in expected}
    assert {query: sorted(made.index(each["id"]) for each in entries) for query, entries in hits.items()} == expected


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
