"""The sandbox as a process, and what it offers beyond our own client."""

import io
import json
import stat
import zipfile
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.sandbox.csrs import new_csr
from tests.sandbox.process import SandboxProcess, start_sandbox

NAME = "www.example.com"


def http(sandbox: SandboxProcess, role: str = "admin") -> httpx.Client:
    return httpx.Client(
        base_url=sandbox.base_url, headers={"X-DC-DEVKEY": sandbox.key(role)}, trust_env=False, timeout=20
    )


def an_order(sandbox: SandboxProcess, **fields: object) -> dict[str, object]:
    return {
        "certificate": {"common_name": NAME, "csr": new_csr(NAME).pem, "signature_hash": "sha256"},
        "organization": {"id": sandbox.info["organization_id"]},
        "validity_years": 1,
        **fields,
    }


def place(sandbox: SandboxProcess, path: str = "ssl_basic", /, **fields: object) -> dict[str, object]:
    with http(sandbox) as client:
        body = an_order(sandbox, **{"skip_approval": True, **fields})
        response = client.post(f"/order/certificate/{path}", json=body)
    assert response.status_code == 201
    placed: dict[str, object] = response.json()
    return placed


def test_the_ca_and_the_orders_survive_a_power_cut(tmp_path: Path) -> None:
    first = start_sandbox(tmp_path)
    placed = place(first, alternative_order_id="kept")
    root = (tmp_path / "root.pem").read_bytes()
    imported = (tmp_path / "imported.pem").read_bytes()
    before = first.orders()
    first.kill()
    with start_sandbox(tmp_path, port=first.info["port"]) as second:
        assert (second.base_url, second.info["api_keys"]) == (first.base_url, first.info["api_keys"])
        assert second.orders() == before
        assert (tmp_path / "root.pem").read_bytes() == root
        assert (tmp_path / "imported.pem").read_bytes() == imported
        later = place(second, alternative_order_id="kept")
        with http(second) as client:
            found = client.get("/order/alternate/kept").json()["orders"]
    assert [order["order_id"] for order in found] == [placed["id"], later["id"]]


def test_a_torn_last_line_is_an_order_that_was_never_answered(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as first:
        place(first)
    with (tmp_path / "orders.jsonl").open("a") as file:
        file.write('{"id": 100')
    with start_sandbox(tmp_path) as second:
        place(second)
    with start_sandbox(tmp_path) as third:
        assert len(third.orders()) == 2


def test_a_reissue_survives_a_restart(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as first:
        placed = place(first)
        body = {"certificate": an_order(first)["certificate"], "skip_approval": True}
        with http(first) as client:
            reissued = client.post(f"/order/certificate/{placed['id']}/reissue", json=body).json()
    with start_sandbox(tmp_path) as second:
        with http(second) as client:
            info = client.get(f"/order/certificate/{placed['id']}").json()
        later = place(second)
    assert info["certificate"]["id"] == reissued["certificate_id"]
    assert later["certificate_id"] not in {placed["certificate_id"], reissued["certificate_id"]}


def test_orders_of_another_version_are_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").write_text('{"id": 100000001, "status": "issued"}\n')
    with pytest.raises(RuntimeError, match=r"orders\.jsonl is of another version of the sandbox; delete its folder"):
        start_sandbox(tmp_path)


def test_time_can_be_set_ahead_and_not_back(sandbox: SandboxProcess) -> None:
    admin = sandbox.info["admin_url"]
    before = httpx.get(f"{admin}/clock", trust_env=False).json()
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=86_400)
    placed = place(sandbox)
    sandbox.advance(86_400)
    back = httpx.post(f"{admin}/clock", json={"seconds": -1}, trust_env=False)
    after = httpx.get(f"{admin}/clock", trust_env=False).json()
    with http(sandbox) as client:
        info = client.get(f"/order/certificate/{placed['id']}").json()
    assert (info["status"], back.status_code) == ("issued", 400)
    assert after["ahead"] - before["ahead"] == 86_400


def test_an_order_can_be_given_any_status(sandbox: SandboxProcess) -> None:
    placed = place(sandbox)
    number = placed["id"]
    assert isinstance(number, int)
    sandbox.set_status(number, "waiting_pickup")
    wordless = httpx.post(f"{sandbox.info['admin_url']}/orders/{number}/status", json={"status": 1}, trust_env=False)
    with http(sandbox) as client:
        info = client.get(f"/order/certificate/{number}").json()
    assert (info["status"], wordless.status_code) == ("waiting_pickup", 400)


def test_the_ready_file_is_for_its_owner_and_goes_with_the_process(tmp_path: Path) -> None:
    ready_file = tmp_path / "sandbox.json"
    with start_sandbox(tmp_path) as running:
        assert json.loads(ready_file.read_text())["pid"] == running.pid
        assert stat.S_IMODE(ready_file.stat().st_mode) == 0o600
    assert not ready_file.exists()


def test_a_sandbox_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        start_sandbox(tmp_path / "one") as running,
        pytest.raises(RuntimeError, match="in use"),
    ):
        start_sandbox(tmp_path / "two", port=running.info["port"])


def test_keys_can_be_given(tmp_path: Path) -> None:
    keys = ["issuer:orders:secret:with:colons", "revoker:revoke-only:other"]
    with start_sandbox(tmp_path, keys=keys) as running:
        assert running.info["api_keys"] == {"orders": "secret:with:colons", "revoke-only": "other"}
        assert running.info["api_keys_by_name"]["issuer"] == "secret:with:colons"


def test_every_call_is_recorded_in_order_with_its_key_and_its_status(sandbox: SandboxProcess) -> None:
    start = sandbox.calls()["total"]
    with http(sandbox, "view-only") as client:
        client.get("/product/ssl_basic")
        client.post("/order/certificate/ssl_basic", json={})
        client.get("/product", headers={"X-DC-DEVKEY": "unknown"})
    calls = sandbox.calls(start)["calls"]
    assert [(call["method"], call["path"], call["role"], call["status"]) for call in calls] == [
        ("GET", "/product/ssl_basic", "view-only", 200),
        ("POST", "/order/certificate/ssl_basic", "view-only", 403),
        ("GET", "/product", None, 403),
    ]


def test_a_fault_strikes_as_often_as_it_was_told_and_only_where(sandbox: SandboxProcess) -> None:
    start = sandbox.calls()["total"]
    sandbox.set_knobs(faults=[{"kind": "answer", "path": "^/product", "times": 2, "status": 502, "body": "x"}])
    paths = ["/certificate/intermediates", "/product", "/product/ssl_basic", "/product"]
    with http(sandbox) as client:
        statuses = [client.get(path).status_code for path in paths]
    assert statuses == [200, 502, 502, 200]
    assert [call["fault"] for call in sandbox.calls(start)["calls"]] == [None, "answer", "answer", None]


def test_turning_one_knob_leaves_the_others(sandbox: SandboxProcess) -> None:
    sandbox.set_knobs(approval="auto")
    knobs = sandbox.set_knobs(empty_feed=True)
    assert (knobs["approval"], knobs["empty_feed"]) == ("auto", True)


@pytest.mark.parametrize("settings", [{"no_such": 1}, {"approval": "maybe"}, {"faults": [{"kind": "any"}]}])
def test_a_knob_that_does_not_exist_cannot_be_turned(sandbox: SandboxProcess, settings: dict[str, object]) -> None:
    response = httpx.post(f"{sandbox.info['admin_url']}/knobs", json=settings, trust_env=False)
    assert response.status_code == 400
    assert response.json()["errors"][0]["code"].startswith("invalid_value:")


@pytest.mark.parametrize(
    ("name", "certificates"),
    [("pem_all", 3), ("pem_noroot", 2), ("pem_nointermediate", 1), ("crt", 1), ("pem", 1)],
)
def test_a_certificate_can_be_downloaded_as_pem(sandbox: SandboxProcess, name: str, certificates: int) -> None:
    placed = place(sandbox)
    with http(sandbox) as client:
        by_certificate = client.get(f"/certificate/{placed['certificate_id']}/download/format/{name}")
        by_order = client.get(f"/certificate/download/order/{placed['id']}/format/{name}")
    assert by_certificate.headers["Content-Type"] == "application/x-pem-file"
    assert by_certificate.content == by_order.content
    assert len(x509.load_pem_x509_certificates(by_order.content)) == certificates


def test_a_certificate_can_be_downloaded_as_pkcs7_and_as_zip(sandbox: SandboxProcess) -> None:
    number = place(sandbox)["certificate_id"]
    with http(sandbox) as client:
        p7b = client.get(f"/certificate/{number}/download/format/p7b").content
        archive = client.get(f"/certificate/{number}/download/platform").content
        unknown = client.get(f"/certificate/{number}/download/format/pfx")
        chain = client.get(f"/certificate/{number}/chain").json()["intermediates"]
    assert len(pkcs7.load_pem_pkcs7_certificates(p7b)) == 3
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == 3
    assert unknown.status_code == 400
    assert chain[0]["subject_common_name"] == NAME


def test_the_determinator_takes_a_private_hint(sandbox: SandboxProcess) -> None:
    placed = place(sandbox, "ssl", product={"type_hint": "private"})
    with http(sandbox) as client:
        info = client.get(f"/order/certificate/{placed['id']}").json()
    assert info["product"]["name_id"] == "private_ssl_flex"


def test_an_order_is_revoked_with_its_certificate(sandbox: SandboxProcess) -> None:
    placed = place(sandbox)
    with http(sandbox) as client:
        path = f"/order/certificate/{placed['id']}"
        answer = client.put(f"{path}/revoke", json={"skip_approval": True})
        again = client.put(f"{path}/revoke", json={"skip_approval": True})
        info = client.get(path).json()
    assert (answer.status_code, answer.content, again.status_code) == (204, b"", 400)
    assert (info["status"], info["certificate"]["status"]) == ("revoked", "revoked")


def test_only_a_pending_order_can_be_cancelled(sandbox: SandboxProcess) -> None:
    issued = place(sandbox)
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    pending = place(sandbox)
    with http(sandbox) as client:
        answers = [
            client.put(f"/order/certificate/{order['id']}/status", json={"status": "CANCELED", "note": "x"})
            for order in (issued, pending)
        ]
        info = client.get(f"/order/certificate/{pending['id']}").json()
    assert [answer.status_code for answer in answers] == [400, 204]
    assert info["status"] == "canceled"


def test_a_request_can_be_listed_looked_at_and_rejected_once(sandbox: SandboxProcess) -> None:
    placed = place(sandbox, skip_approval=False)
    with http(sandbox) as client:
        pending = client.get("/request", params={"filters[status]": "pending"}).json()["requests"]
        number = next(entry["id"] for entry in pending if entry["order"]["id"] == placed["id"])
        body = {"status": "rejected", "processor_comment": "no"}
        answers = [client.put(f"/request/{number}/status", json=body) for _ in range(2)]
        request = client.get(f"/request/{number}").json()
        order = client.get(f"/order/certificate/{placed['id']}").json()
    assert [answer.status_code for answer in answers] == [204, 400]
    assert (request["status"], request["processor_comment"]) == ("rejected", "no")
    assert order["status"] == "rejected"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/no/such/route", b"", 404, "not_found|route"),
        ("DELETE", "/product", b"", 404, "not_found|route"),
        ("GET", "/product/none", b"", 404, "not_found|product"),
        ("GET", "/order/certificate/1", b"", 404, "not_found|order"),
        ("GET", "/order/alternate/none", b"", 404, "not_found|order"),
        ("GET", "/container/1/product-limits", b"", 404, "not_found"),
        ("GET", "/order/certificate/status-changes", b"", 400, "required_param:minutes"),
        ("GET", "/order/certificate/status-changes?minutes=10081", b"", 400, "time_frame_too_long"),
        ("POST", "/order/certificate/ssl_basic", b"{", 400, "bad_request_format"),
        ("POST", "/order/certificate/ssl_basic", b"[]", 400, "bad_request_format"),
        ("POST", "/order/certificate/ssl_basic", b"{}", 400, "required_param:certificate"),
    ],
)
def test_errors_have_the_documented_shape(
    sandbox: SandboxProcess, method: str, path: str, content: bytes, *, status: int, code: str
) -> None:
    with http(sandbox) as client:
        response = client.request(method, path, content=content)
    assert response.status_code == status
    assert [error["code"] for error in response.json()["errors"]] == [code]


def test_an_order_whose_certificate_would_outlive_it_is_refused(sandbox: SandboxProcess) -> None:
    certificate = an_order(sandbox)["certificate"]
    assert isinstance(certificate, dict)
    body = an_order(
        sandbox,
        certificate={**certificate, "cert_validity": {"days": 31}},
        order_validity={"days": 30},
    )
    with http(sandbox) as client:
        response = client.post("/order/certificate/ssl_basic", json=body)
    assert response.json()["errors"][0]["code"] == "cert_validity_exceeds_order_validity"


def test_the_limits_of_the_container_name_the_intermediates_of_each_product(sandbox: SandboxProcess) -> None:
    with http(sandbox) as client:
        limits = client.get(f"/container/{sandbox.info['container_id']}/product-limits").json()
        products = client.get("/product").json()["products"]
    named = {entry["product_name_id"]: entry["allowed_intermediates"] for entry in limits["product_limits"]}
    assert named == {product["name_id"]: [ca["id"] for ca in product["allowed_ca_certs"]] for product in products}
