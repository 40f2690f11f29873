"""What the issuer's adapter sends to order something unusual, as the sandbox receives it, and what comes of it."""

import json
import ssl
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import SecretStr

from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.ports import OrderRequest, PlacedOrder
from shared.digicert.client import DigiCertClient
from tests.fakes.virtual_time import VirtualClock, run_virtually
from tests.sandbox.account import Sandbox
from tests.sandbox.app import build_app
from tests.sandbox.catalogue import CONTAINER_ID, ORGANIZATION_ID, PRIVATE_CA_CERT_ID, PUBLIC_CA_CERT_ID
from tests.sandbox.clock import SandboxClock
from tests.sandbox.csrs import new_csr
from tests.sandbox.gate import PREFIX
from tests.sandbox.inprocess import InProcess
from tests.sandbox.roles import ApiKey, Role

CSR = new_csr("another.example.com").pem
NAMES = ["shop.example.com", "api.example.com", "*.example.com"]
ORDER = OrderRequest(
    product="private_ssl_flex",
    alternative_order_id="0192d3c4-0000-7000-8000-000000000001",
    csr=x509.load_pem_x509_csr(CSR.encode()).public_bytes(Encoding.DER),
    common_name="shop.example.com",
    dns_names=tuple(NAMES),
    signature_hash="sha384",
    organization_id=ORGANIZATION_ID,
    ca_cert_id=PRIVATE_CA_CERT_ID,
    extended_key_usage=("serverAuth", "clientAuth"),
    expires_on=date(2027, 2, 16),
    container_id=CONTAINER_ID,
)
TERM = {"custom_expiration_date": "2027-02-16"}
RECEIVED = {
    "certificate": {
        "common_name": "shop.example.com",
        "csr": CSR,
        "signature_hash": "sha384",
        "dns_names": NAMES,
        "ca_cert_id": PRIVATE_CA_CERT_ID,
        "profile_option": "server_client_auth_eku",
        "cert_validity": TERM,
    },
    "order_validity": TERM,
    "organization": {"id": ORGANIZATION_ID},
    "container": {"id": CONTAINER_ID},
    "alternative_order_id": ORDER.alternative_order_id,
    "skip_approval": True,
}


class Listening(httpx.AsyncBaseTransport):
    """Notes the path and the body of each order on its way to the sandbox."""

    def __init__(self, inner: InProcess) -> None:
        self._inner = inner
        self.received: list[tuple[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.received.append((request.url.path.removeprefix(PREFIX), json.loads(await request.aread())))
        return await self._inner.handle_async_request(request)


def placed(folder: Path, order: OrderRequest, role: Role = Role.ORDERS) -> tuple[PlacedOrder, list[tuple[str, Any]]]:
    """The order as the adapter placed it, and what the sandbox received."""

    async def story() -> tuple[PlacedOrder, list[tuple[str, Any]]]:
        key = ApiKey("ours", role, "a-key")
        sandbox = Sandbox.opened(folder, (key,), SandboxClock(VirtualClock().seconds))
        sandbox.panel.knobs = sandbox.panel.knobs.changed({"skip_without_right": "refuse"})
        transport = Listening(InProcess(build_app(sandbox), lambda: 0.0))
        async with DigiCertClient(
            base_url=f"http://127.0.0.1{PREFIX}",
            api_key=SecretStr(key.value),
            tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            transport=transport,
        ) as client:
            return await DigiCertAuthority(client).place(order), transport.received

    return run_virtually(story())


def test_every_field_of_an_order_arrives_as_it_was_approved_and_shows_in_the_certificate(account_folder: Path) -> None:
    order, received = placed(account_folder, ORDER)
    assert received == [("/order/certificate/private_ssl_flex", RECEIVED)]
    leaf, intermediate = (x509.load_der_x509_certificate(der) for der in order.chain[:2])
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert leaf.not_valid_after_utc.date() == ORDER.expires_on
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert isinstance(leaf.signature_hash_algorithm, SHA384)
    assert set(names.get_values_for_type(x509.DNSName)) == set(NAMES)
    assert "Private" in intermediate.subject.rfc4514_string()


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"container_id": None}, ("container",), None),
        ({"extended_key_usage": ("serverAuth",)}, ("certificate", "profile_option"), "server_auth_only_eku"),
        ({"extended_key_usage": ()}, ("certificate", "profile_option"), "server_auth_only_eku"),
        ({"signature_hash": "sha512"}, ("certificate", "signature_hash"), "sha512"),
        ({"expires_on": date(2027, 3, 3)}, ("order_validity", "custom_expiration_date"), "2027-03-03"),
        ({"dns_names": ("shop.example.com",)}, ("certificate", "dns_names"), ["shop.example.com"]),
    ],
)
def test_a_field_that_differs_arrives_as_it_differs(
    account_folder: Path, change: dict[str, Any], path: tuple[str, ...], expected: object
) -> None:
    _, [(_, body)] = placed(account_folder, replace(ORDER, **change))
    for name in path:
        body = body.get(name)
    assert body == expected


def test_the_product_is_the_one_that_was_approved(account_folder: Path) -> None:
    changed = replace(ORDER, product="ssl_multi_domain", ca_cert_id=PUBLIC_CA_CERT_ID)
    _, [(path, body)] = placed(account_folder, changed)
    assert (path, body["certificate"]["ca_cert_id"]) == ("/order/certificate/ssl_multi_domain", PUBLIC_CA_CERT_ID)


def test_a_key_that_may_not_skip_approval_asks_for_the_same_and_names_what_waits(account_folder: Path) -> None:
    order, received = placed(account_folder, ORDER, Role.REQUESTS)
    path = "/order/certificate/private_ssl_flex"
    assert received == [(path, RECEIVED), (path, {**RECEIVED, "skip_approval": False})]
    assert len(order.approvals) == 1
    assert order.chain == ()
