"""What Netflix Lemur's `digicert-issuer` asks of DigiCert, asked of the sandbox in the same way.

The calls, their bodies and what is read from the answers are those of the plugin; Lemur itself is not used.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509

from tests.sandbox.csrs import new_csr
from tests.sandbox.process import SandboxProcess

NAME = "lemur.example.com"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@pytest.fixture(autouse=True)
def approving(sandbox: SandboxProcess) -> None:
    """An account that approves by itself, which Lemur relies on."""
    sandbox.set_knobs(approval="auto")


@pytest.fixture
def session(sandbox: SandboxProcess) -> Iterator[httpx.Client]:
    """As the plugin opens it; `DIGICERT_URL` is the server's root."""
    headers = {"X-DC-DEVKEY": sandbox.key("orders"), "Content-Type": "application/json"}
    url = sandbox.base_url.removesuffix("/services/v2")
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


def fields(sandbox: SandboxProcess, **more: object) -> dict[str, object]:
    """The body of an order, as the plugin maps Lemur's options."""
    return {
        "certificate": {
            "common_name": NAME,
            "csr": new_csr(NAME).pem,
            "signature_hash": "sha256",
            "dns_names": [NAME, "other.example.com"],
        },
        "organization": {"id": sandbox.info["organization_id"]},
        **more,
    }


def post(session: httpx.Client, product: str, body: dict[str, object]) -> httpx.Response:
    return session.post(f"/services/v2/order/certificate/{product}", content=json.dumps(body))


def ordered(session: httpx.Client, product: str, body: dict[str, object]) -> int:
    answer = post(session, product, body)
    assert answer.status_code <= 399
    return int(answer.json()["id"])


def certificate_id(session: httpx.Client, order: int) -> int:
    answer = session.get(f"/services/v2/order/certificate/{order}").json()
    assert answer["status"] == "issued"
    return int(answer["certificate"]["id"])


def chain_of(session: httpx.Client, order: int) -> list[x509.Certificate]:
    path = f"/services/v2/certificate/{certificate_id(session, order)}/download/format/pem_all"
    return [x509.load_pem_x509_certificate(pem.encode()) for pem in _PEM.findall(session.get(path).text)]


def in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


def test_a_certificate_is_created_polled_and_fetched_as_exactly_three_pem_blocks(
    sandbox: SandboxProcess, session: httpx.Client
) -> None:
    end_entity, intermediate, root = chain_of(session, ordered(session, "ssl_basic", fields(sandbox, validity_years=1)))
    names = end_entity.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME, "other.example.com"]
    end_entity.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)


def test_an_end_date_is_kept_and_one_beyond_the_longest_certificate_is_cut(
    sandbox: SandboxProcess, session: httpx.Client
) -> None:
    kept, *_ = chain_of(session, ordered(session, "ssl_basic", fields(sandbox, custom_expiration_date=in_days(60))))
    cut, *_ = chain_of(session, ordered(session, "ssl_basic", fields(sandbox, custom_expiration_date=in_days(397))))
    assert f"{kept.not_valid_after_utc:%Y-%m-%d}" == in_days(60)
    assert (cut.not_valid_after_utc - cut.not_valid_before_utc).days == 198


def test_the_determinator_takes_the_hint_at_a_private_product(sandbox: SandboxProcess, session: httpx.Client) -> None:
    body = fields(sandbox, validity_years=1, product={"type_hint": "private"})
    order = session.get(f"/services/v2/order/certificate/{ordered(session, 'ssl', body)}").json()
    assert order["product"]["name_id"] == "private_ssl_flex"


def test_an_error_is_read_from_its_first_message(sandbox: SandboxProcess, session: httpx.Client) -> None:
    answer = post(session, "ssl_basic", fields(sandbox, validity_years=9))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == "The value of order_validity is not valid."


def test_a_certificate_that_is_not_issued_yet_is_polled_again(sandbox: SandboxProcess, session: httpx.Client) -> None:
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=3600)
    order = ordered(session, "ssl_basic", fields(sandbox, validity_years=1))
    before = session.get(f"/services/v2/order/certificate/{order}").json()["status"]
    sandbox.issue(order)
    assert before == "pending"
    assert len(chain_of(session, order)) == 3


def test_a_revocation_is_answered_with_json_for_it_does_not_skip_approval(
    sandbox: SandboxProcess, session: httpx.Client
) -> None:
    number = certificate_id(session, ordered(session, "ssl_basic", fields(sandbox, validity_years=1)))
    answer = session.put(
        f"/services/v2/certificate/{number}/revoke", content=json.dumps({"comments": "gone(superseded)"})
    )
    assert answer.status_code == 201
    assert (answer.json()["type"], answer.json()["comments"]) == ("revoke", "gone(superseded)")


def test_a_pending_order_is_cancelled_and_one_that_does_not_exist_is_tolerated(
    sandbox: SandboxProcess, session: httpx.Client
) -> None:
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    pending = ordered(session, "ssl_basic", fields(sandbox, validity_years=1))
    body = json.dumps({"status": "CANCELED", "note": None})
    answers = [
        session.put(f"/services/v2/order/certificate/{order}/status", content=body).status_code
        for order in (pending, 1)
    ]
    assert answers == [204, 404]


def test_the_source_lists_issued_orders_page_by_page_and_downloads_a_bundle_of_each(
    sandbox: SandboxProcess, session: httpx.Client
) -> None:
    for _ in range(2):
        ordered(session, "ssl_basic", fields(sandbox, validity_years=1))
    listed: list[dict[str, object]] = []
    while True:
        query: dict[str, str | int] = {
            "filters[status]": "issued",
            "filters[organization_id]": sandbox.info["organization_id"],
            "limit": 40,
            "offset": len(listed),
        }
        page = session.get("/services/v2/order/certificate", params=query).json()
        listed += [order["certificate"] for order in page["orders"]]
        if len(listed) >= page["page"]["total"]:
            break
    for entry in listed[-2:]:
        bundle = session.get(f"/services/v2/certificate/{entry['id']}/download/platform/29").content
        leaf, *others = x509.load_pem_x509_certificates(bundle)
        assert leaf.serial_number == int(str(entry["serial_number"]), 16)
        assert others
