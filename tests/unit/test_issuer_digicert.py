"""What the issuer's adapter makes of odd answers of DigiCert."""

import ssl
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.ports import PlacedOrder
from shared.digicert.client import DigiCertClient
from shared.vocabulary.names import OrderId

REQUEST = {"id": 5, "status": "pending", "type": "new_request"}


async def followed(**answer: Any) -> PlacedOrder:
    """The order as the adapter understands this page of it."""

    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": 7, "status": "needs_approval", **answer})

    async with DigiCertClient(
        base_url="https://ca.example.com/services/v2",
        api_key=SecretStr("a-key"),
        tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        transport=httpx.MockTransport(page),
    ) as client:
        return await DigiCertAuthority(client).follow(OrderId(7))


@pytest.mark.parametrize("requests", [None, [], [{**REQUEST, "type": "revoke"}], [{**REQUEST, "status": "approved"}]])
async def test_an_order_waits_for_approval_although_no_open_request_is_listed(requests: object) -> None:
    order = await followed(**({} if requests is None else {"requests": requests}))
    assert (order.needs_approval, order.approvals) == (True, ())


@pytest.mark.parametrize("odd", [{}, {"type": "New_Request"}, {"type": None}, {"status": "Submitted"}])
async def test_a_request_that_waits_for_approval_is_known_in_whatever_case_it_is_written(odd: dict[str, Any]) -> None:
    order = await followed(status="NEEDS_APPROVAL", requests=[{**REQUEST, **odd}])
    assert (order.needs_approval, order.approvals) == (True, (5,))


async def test_an_order_that_is_being_validated_waits_for_nobodys_approval() -> None:
    order = await followed(status="pending")
    assert (order.needs_approval, order.approvals) == (False, ())
