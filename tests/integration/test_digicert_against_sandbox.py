"""The real client against the sandbox as a process: orders, look-ups, revocations, broken connections."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from pydantic import SecretStr

from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.ports import NotNowError
from shared.digicert.client import DigiCertClient
from shared.digicert.diagnosis import Concern, diagnose, is_retried
from shared.digicert.errors import (
    CaCredentialError,
    CaFaultError,
    CaGarbledError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)
from shared.digicert.models import OrderBody, OrderStatus, serial_number_text
from shared.digicert.reader import DigiCertReader
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason
from tests.sandbox.csrs import KeyAndCsr, new_csr
from tests.sandbox.process import SandboxProcess, start_sandbox

NAME = "www.example.com"
_NUMBERS = count()

Connect = Callable[[str], DigiCertClient]


@pytest.fixture
async def connect(sandbox: SandboxProcess) -> AsyncIterator[Connect]:
    """Makes a client with the key of a role."""
    clients: list[DigiCertClient] = []

    def connected(role: str) -> DigiCertClient:
        client = DigiCertClient(base_url=sandbox.base_url, api_key=SecretStr(sandbox.key(role)), timeout=20)
        clients.append(client)
        return client

    yield connected
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(connect: Connect) -> DigiCertClient:
    """What the issuer has: a key that orders."""
    return connect("orders")


@pytest.fixture
def csr() -> KeyAndCsr:
    return new_csr("what.the.csr.says.example.com")


def alternative() -> str:
    return f"ours-{next(_NUMBERS)}-{datetime.now(UTC).timestamp()}"


def an_order(sandbox: SandboxProcess, csr: KeyAndCsr, **changes: object) -> OrderBody:
    fields: dict[str, object] = {
        "common_name": NAME,
        "csr": csr.pem,
        "alternative_order_id": alternative(),
        "organization_id": sandbox.info["organization_id"],
        "days": 90,
    }
    return OrderBody.model_validate(fields | changes)


def orders_under(sandbox: SandboxProcess, order: OrderBody) -> list[int]:
    """The numbers of the orders that the sandbox really holds under this order's alternative id."""
    return [entry["id"] for entry in sandbox.orders() if entry["alternative_order_id"] == order.alternative_order_id]


def leaf_of(chain: tuple[bytes, ...]) -> x509.Certificate:
    return x509.load_der_x509_certificate(chain[0])


def names_in(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


async def test_an_order_that_is_issued_at_once_brings_its_chain(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    order = an_order(sandbox, csr, dns_names=(NAME, "example.com"))
    placed = await client.place_order("ssl_basic", order)
    assert placed.certificate_id is not None
    assert placed.chain == await client.chain(placed.certificate_id)
    info = await client.order(placed.order_id)
    assert info.status == OrderStatus.ISSUED
    assert info.alternative_order_id == order.alternative_order_id
    assert info.certificate.certificate_id == placed.certificate_id
    assert info.certificate.dns_names == (NAME, "example.com")
    assert info.product is not None
    assert info.product.name_id == "ssl_basic"


async def test_the_chain_verifies_up_to_the_root_of_the_sandbox(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    chain = (await client.place_order("ssl_basic", an_order(sandbox, csr))).chain
    leaf, *others = [x509.load_der_x509_certificate(der) for der in chain]
    root = x509.load_pem_x509_certificate((sandbox.state_dir / "root.pem").read_bytes())
    policy = PolicyBuilder().store(Store([root])).time(datetime.now(UTC))
    verified = policy.build_server_verifier(x509.DNSName(NAME)).verify(leaf, others[:1])
    assert verified == [leaf, others[0], root]
    assert others[1] == root


async def test_the_certificate_takes_its_names_from_the_body_and_only_its_key_from_the_csr(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr, dns_names=("example.com",)))
    leaf = leaf_of(placed.chain)
    subject = {attribute.oid: attribute.value for attribute in leaf.subject}
    assert names_in(leaf) == [NAME, "example.com"]
    assert subject[NameOID.COMMON_NAME] == NAME
    assert subject[NameOID.ORGANIZATION_NAME] == "Example Organisation"
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == public_bytes(csr.key)


@pytest.mark.parametrize(
    ("option", "usages"),
    [
        (None, [ExtendedKeyUsageOID.SERVER_AUTH]),
        ("server_auth_only_eku", [ExtendedKeyUsageOID.SERVER_AUTH]),
        ("server_client_auth_eku", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
async def test_the_profile_option_decides_on_the_extended_key_usage(
    sandbox: SandboxProcess,
    client: DigiCertClient,
    csr: KeyAndCsr,
    option: str | None,
    usages: list[x509.ObjectIdentifier],
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr, profile_option=option))
    found = leaf_of(placed.chain).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(found) == usages


async def test_a_certificate_ends_with_the_day_that_was_asked_for(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    last = datetime.now(UTC).date() + timedelta(days=30)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr, expires_on=last, days=None))
    leaf = leaf_of(placed.chain)
    assert f"{leaf.not_valid_before_utc:%H:%M:%S}" == "00:00:00"
    assert f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S}" == f"{last} 23:59:59"


async def test_a_public_certificate_is_cut_to_199_days_and_a_private_one_is_not(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    lengths = []
    for product in ("ssl_basic", "private_ssl_flex"):
        leaf = leaf_of((await client.place_order(product, an_order(sandbox, csr, days=365))).chain)
        lengths.append((leaf.not_valid_after_utc - leaf.not_valid_before_utc + timedelta(seconds=1)).days)
    assert lengths == [199, 365]


async def test_too_long_a_term_is_refused_where_the_knob_says_so(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    sandbox.set_knobs(over_long="refuse")
    with pytest.raises(CaRefusedError) as caught:
        await client.place_order("ssl_basic", an_order(sandbox, csr, days=200))
    assert caught.value.codes == {"invalid_value:certificate.cert_validity"}


async def test_a_private_product_takes_addresses_and_comes_from_the_private_ca(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    order = an_order(sandbox, csr, dns_names=("10.0.0.1",))
    with pytest.raises(CaRefusedError) as caught:
        await client.place_order("ssl_basic", order)
    assert caught.value.codes == {"invalid_value:certificate.dns_names"}
    placed = await client.place_order("private_ssl_flex", order)
    names = leaf_of(placed.chain).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.1")]
    info = await client.order(placed.order_id)
    assert info.certificate.ca_cert is not None
    assert info.certificate.ca_cert.id == sandbox.info["private_ca_cert_id"]


async def test_a_pending_order_is_issued_once_its_validation_is_over(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    found = []
    for seconds in (3600, 0):
        sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=seconds)
        placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
        assert placed.certificate_id is not None
        assert placed.chain == ()
        found.append(await client.order(placed.order_id))
    assert [info.status for info in found] == [OrderStatus.PENDING, OrderStatus.ISSUED]
    number = found[1].certificate.certificate_id
    assert number is not None
    assert names_in(leaf_of(await client.chain(number))) == [NAME]


async def test_a_pending_order_has_no_certificate_until_someone_issues_it(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    assert placed.certificate_id is not None
    info = await client.order(placed.order_id)
    assert (info.status, info.certificate.serial_number) == (OrderStatus.PENDING, None)
    with pytest.raises(CaRefusedError) as caught:
        await client.chain(placed.certificate_id)
    assert caught.value.status == 404
    sandbox.issue(placed.order_id)
    assert (await client.order(placed.order_id)).status == OrderStatus.ISSUED
    assert len(await client.chain(placed.certificate_id)) == 3


async def test_an_order_can_be_rejected_by_validation(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    sandbox.reject(placed.order_id)
    assert (await client.order(placed.order_id)).status == OrderStatus.REJECTED


async def test_an_order_that_needs_approval_is_issued_by_approving_its_request(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr, skip_approval=False))
    assert (placed.certificate_id, placed.chain) == (None, ())
    assert (await client.order(placed.order_id)).status == OrderStatus.NEEDS_APPROVAL
    await client.approve_request(placed.requests[0].request_id, "fine")
    assert (await client.order(placed.order_id)).status == OrderStatus.ISSUED


@pytest.mark.parametrize(("mode", "status"), [("auto", "issued"), ("pending", "needs_approval")])
async def test_the_account_may_approve_every_order_or_none(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr, mode: str, status: str
) -> None:
    sandbox.set_knobs(approval=mode)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr, skip_approval=mode == "pending"))
    assert (await client.order(placed.order_id)).status == status


async def test_an_order_is_found_by_its_serial_number_and_its_thumbprint(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    certificate = (await client.order(placed.order_id)).certificate
    assert certificate.serial_number is not None
    assert int(certificate.serial_number, 16) == leaf_of(placed.chain).serial_number
    for name in (certificate.serial_number, certificate.thumbprint):
        assert (await client.order(str(name))).order_id == placed.order_id


async def test_an_alternative_id_finds_every_order_that_was_placed_under_it(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    order = an_order(sandbox, csr)
    assert await client.orders_by_alternative_id(order.alternative_order_id) == ()
    placed = [(await client.place_order("ssl_basic", order)).order_id for _ in range(2)]
    found = await client.orders_by_alternative_id(order.alternative_order_id)
    assert [entry.order_id for entry in found] == placed


async def test_the_lookup_by_alternative_id_may_lag(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    sandbox.set_knobs(alternate_lag_seconds=3600)
    order = an_order(sandbox, csr)
    await client.place_order("ssl_basic", order)
    assert await client.orders_by_alternative_id(order.alternative_order_id) == ()
    sandbox.set_knobs(alternate_lag_seconds=0)
    assert len(await client.orders_by_alternative_id(order.alternative_order_id)) == 1


async def test_the_feed_tells_of_an_order_and_may_be_empty(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    changes = {change.order_id: change for change in await client.status_changes(5)}
    assert changes[placed.order_id].status == OrderStatus.ISSUED
    assert changes[placed.order_id].certificate_id == placed.certificate_id
    sandbox.set_knobs(empty_feed=True)
    assert await client.status_changes(5) == ()


async def test_a_download_may_lag_behind_the_status(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    sandbox.set_knobs(download_lag_seconds=3600)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    assert placed.certificate_id is not None
    with pytest.raises(CaRefusedError):
        await client.chain(placed.certificate_id)


async def test_the_imported_certificate_leads_to_its_order_its_product_and_its_ca(
    sandbox: SandboxProcess, client: DigiCertClient
) -> None:
    imported = x509.load_pem_x509_certificate((sandbox.state_dir / "imported.pem").read_bytes())
    intermediate = x509.load_pem_x509_certificate((sandbox.state_dir / "intermediate.pem").read_bytes())
    imported.verify_directly_issued_by(intermediate)
    info = await client.order(serial_number_text(imported.serial_number))
    product = await client.product("ssl_basic")
    assert info.order_id == sandbox.info["imported_order_id"]
    assert info.certificate.ca_cert is not None
    assert product.allowed_ca_certs is not None
    assert [ca.id for ca in product.allowed_ca_certs] == [info.certificate.ca_cert.id]
    assert info.order_id not in [entry["id"] for entry in sandbox.orders()]


async def test_the_intermediates_are_those_that_sign(sandbox: SandboxProcess, client: DigiCertClient) -> None:
    known = {entry.id: entry for entry in await client.intermediates()}
    public = known[sandbox.info["ca_cert_id"]]
    certificate = x509.load_pem_x509_certificate((sandbox.state_dir / "intermediate.pem").read_bytes())
    assert public.is_private is False
    assert public.serial_number == f"{certificate.serial_number:032x}"
    assert known[sandbox.info["private_ca_cert_id"]].is_private is True


async def test_the_list_of_orders_can_be_filtered_and_read_by_pages(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    host = f"{next(_NUMBERS)}.listed.example.com"
    order = an_order(sandbox, csr, common_name=host)
    placed = [(await connect("orders").place_order("ssl_basic", order)).order_id for _ in range(3)]
    viewer = connect("view-only")
    filters = {"common_name": host, "date_created": f">{datetime.now(UTC).date() - timedelta(days=1)}"}
    first = await viewer.orders(limit=2, filters=filters)
    second = await viewer.orders(limit=2, offset=2, filters=filters)
    assert [entry.order_id for entry in (*first.orders, *second.orders)] == placed
    assert first.page.total == 3


async def test_revoking_with_a_key_that_may_skip_approval_is_done_at_once(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    placed = await connect("orders").place_order("ssl_basic", an_order(sandbox, csr))
    revoker = connect("revoke-only")
    assert placed.certificate_id is not None
    outcome = await revoker.revoke_certificate(placed.certificate_id, RevocationReason.KEY_COMPROMISE, "lost")
    assert outcome.done
    info = await revoker.order(placed.order_id)
    assert (info.status, info.certificate.status) == (OrderStatus.ISSUED, "revoked")


async def test_revoking_with_another_key_makes_a_request_that_is_approved_later(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    orders, admin = connect("orders"), connect("admin")
    placed = await orders.place_order("ssl_basic", an_order(sandbox, csr))
    assert placed.certificate_id is not None
    outcome = await orders.revoke_certificate(placed.certificate_id, RevocationReason.SUPERSEDED, "new one")
    assert outcome.request is not None
    assert (outcome.done, outcome.request.status, outcome.request.comments) == (False, "pending", "new one")
    assert (await orders.order(placed.order_id)).certificate.status == "issued"
    await admin.approve_request(outcome.request.request_id, "granted")
    assert (await orders.order(placed.order_id)).certificate.status == "revoked"


@pytest.mark.parametrize(("mode", "role", "done"), [("201", "admin", False), ("204", "orders", True)])
async def test_the_knob_forces_how_a_revocation_is_answered(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr, *, mode: str, role: str, done: bool
) -> None:
    placed = await connect("orders").place_order("ssl_basic", an_order(sandbox, csr))
    sandbox.set_knobs(revoke=mode)
    serial = serial_number_text(leaf_of(placed.chain).serial_number)
    outcome = await connect(role).revoke_certificate(serial, RevocationReason.UNSPECIFIED, "")
    assert outcome.done is done


async def test_a_certificate_that_does_not_exist_cannot_be_revoked(connect: Connect) -> None:
    with pytest.raises(CaRefusedError) as caught:
        await connect("admin").revoke_certificate(CertificateId(1), RevocationReason.UNSPECIFIED, "")
    assert caught.value.codes == {"not_found"}


async def test_an_unknown_key_is_told_apart_from_a_missing_right(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    async with DigiCertClient(base_url=sandbox.base_url, api_key=SecretStr("unknown")) as stranger:
        with pytest.raises(CaCredentialError) as unknown:
            await stranger.order(OrderId(1))
    assert unknown.value.codes == {"access_denied|access_denied_invalid_key"}
    with pytest.raises(CaRefusedError) as missing:
        await connect("view-only").place_order("ssl_basic", an_order(sandbox, csr))
    assert (type(missing.value), missing.value.status) == (CaRefusedError, 403)
    assert missing.value.codes == {"access_denied|missing_permission"}


@pytest.mark.parametrize(("role", "may_revoke"), [("view-only", False), ("revoke-only", True)])
async def test_a_key_of_another_duty_orders_nothing(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr, role: str, *, may_revoke: bool
) -> None:
    placed = await connect("orders").place_order("ssl_basic", an_order(sandbox, csr))
    order, client = an_order(sandbox, csr), connect(role)
    assert placed.certificate_id is not None
    with pytest.raises(CaRefusedError):
        await client.place_order("ssl_basic", order)
    assert orders_under(sandbox, order) == []
    refused = False
    try:
        await client.revoke_certificate(placed.certificate_id, RevocationReason.UNSPECIFIED, "")
    except CaRefusedError:
        refused = True
    assert refused is not may_revoke


def forged(csr: KeyAndCsr) -> str:
    """The CSR with a signature that does not fit."""
    request = x509.load_pem_x509_csr(csr.pem.encode())
    der = bytearray(request.public_bytes(Encoding.DER))
    position = der.rindex(request.signature) + len(request.signature) - 1
    der[position] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


async def test_a_csr_that_cannot_be_read_or_is_not_proven_is_refused(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    for bad in ("no CSR", csr.pem.replace("REQUEST", "NONSENSE"), forged(csr)):
        order = an_order(sandbox, KeyAndCsr(csr.key, bad))
        with pytest.raises(CaRefusedError) as caught:
            await client.place_order("ssl_basic", order)
        assert caught.value.status == 400
        assert caught.value.codes == {"csr_invalid_cannot_parse"}
        assert orders_under(sandbox, order) == []


@pytest.mark.parametrize(
    ("product", "changes", "code"),
    [
        ("no_such_product", {}, "not_found|product"),
        ("ssl", {}, "ambiguous_product"),
        ("ssl_basic", {"organization_id": 1}, "invalid_value:organization.id"),
        ("ssl_basic", {"organization_id": None}, "required_param:organization"),
        ("ssl_basic", {"container_id": 1}, "invalid_value:container.id"),
        ("ssl_basic", {"ca_cert_id": "unknown"}, "invalid_value:certificate.ca_cert_id"),
        ("ssl_basic", {"profile_option": "any"}, "invalid_value:certificate.profile_option"),
        ("ssl_basic", {"common_name": "not a name"}, "invalid_value:certificate.common_name"),
        ("ssl_basic", {"days": 2000}, "invalid_value:order_validity"),
        ("ssl_plus", {"dns_names": ("other.example.com",)}, "invalid_value:certificate.dns_names"),
    ],
)
async def test_an_order_that_cannot_be_fulfilled_is_refused_with_the_field(
    sandbox: SandboxProcess,
    client: DigiCertClient,
    csr: KeyAndCsr,
    *,
    product: str,
    changes: dict[str, object],
    code: str,
) -> None:
    with pytest.raises(CaRefusedError) as caught:
        await client.place_order(product, an_order(sandbox, csr, **changes))
    assert caught.value.codes == {code}


def fault(kind: str, path: str = "^/order/certificate/", **settings: object) -> dict[str, object]:
    return {"kind": kind, "method": "POST", "path": path, **settings}


@pytest.mark.parametrize("kind", ["commit_then_drop", "malformed"])
async def test_an_order_whose_answer_was_lost_is_found_once_under_its_alternative_id(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr, kind: str
) -> None:
    order = an_order(sandbox, csr)
    sandbox.set_knobs(faults=[fault(kind)])
    with pytest.raises((CaUnreachableError, CaGarbledError)) as caught:
        await client.place_order("ssl_basic", order)
    assert caught.value.maybe_done
    found = await client.orders_by_alternative_id(order.alternative_order_id)
    assert [entry.order_id for entry in found] == orders_under(sandbox, order)
    assert len(found) == 1


async def test_an_order_whose_answer_comes_too_late_is_found_once(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    order = an_order(sandbox, csr)
    sandbox.set_knobs(faults=[fault("slow", seconds=30)])
    async with DigiCertClient(base_url=sandbox.base_url, api_key=SecretStr(sandbox.key("orders")), timeout=1) as client:
        with pytest.raises(CaTimeoutError) as caught:
            await client.place_order("ssl_basic", order)
    assert caught.value.maybe_done
    assert len(await connect("orders").orders_by_alternative_id(order.alternative_order_id)) == 1


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"kind": "drop"}, CaUnreachableError),
        ({"kind": "answer", "status": 503, "body": "<html>"}, CaFaultError),
    ],
)
async def test_an_order_that_never_arrived_may_have_been_done_as_far_as_we_know(
    sandbox: SandboxProcess,
    client: DigiCertClient,
    csr: KeyAndCsr,
    settings: dict[str, object],
    error: type[CaUnavailableError],
) -> None:
    order = an_order(sandbox, csr)
    sandbox.set_knobs(faults=[{**fault("drop"), **settings}])
    with pytest.raises(error) as caught:
        await client.place_order("ssl_basic", order)
    assert caught.value.maybe_done
    assert orders_under(sandbox, order) == []
    await client.place_order("ssl_basic", order)
    assert len(orders_under(sandbox, order)) == 1


async def test_a_server_that_is_not_there_has_done_nothing(csr: KeyAndCsr, tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as gone:
        order = an_order(gone, csr)
    async with DigiCertClient(base_url=gone.base_url, api_key=SecretStr("any")) as client:
        with pytest.raises(CaUnreachableError) as caught:
            await client.place_order("ssl_basic", order)
    assert not caught.value.maybe_done


async def test_a_rate_limit_throttles_and_does_not_order(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    order = an_order(sandbox, csr)
    sandbox.set_knobs(rate_limits=True, rate_windows=[{"calls": 1, "seconds": 3600}])
    await client.place_order("ssl_basic", order)
    with pytest.raises(CaThrottledError) as caught:
        await client.place_order("ssl_basic", order)
    assert not caught.value.maybe_done
    assert len(orders_under(sandbox, order)) == 1


@pytest.mark.parametrize("length", [2, 3, 4, 5])
async def test_chains_of_two_to_five_certificates_are_read_and_verify_up_to_the_root(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr, length: int
) -> None:
    sandbox.set_knobs(chain_length=length)
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    assert placed.certificate_id is not None
    assert await client.chain(placed.certificate_id) == placed.chain
    leaf, *others = [x509.load_der_x509_certificate(der) for der in placed.chain]
    root = x509.load_pem_x509_certificate((sandbox.state_dir / "root.pem").read_bytes())
    policy = PolicyBuilder().store(Store([root])).time(datetime.now(UTC))
    assert policy.build_server_verifier(x509.DNSName(NAME)).verify(leaf, others)[-1] == root
    assert len(placed.chain) == length


async def test_an_order_whose_alternative_id_got_lost_is_found_by_its_name_and_its_csr(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    host = f"{next(_NUMBERS)}.lost.example.com"
    today = datetime.now(UTC).date()
    sandbox.set_knobs(alternative_ids="dropped")
    order = an_order(sandbox, csr, common_name=host)
    lost = await client.place_order("ssl_basic", order)
    sandbox.set_knobs(alternative_ids="kept")
    other = await client.place_order("ssl_basic", an_order(sandbox, new_csr(host), common_name=host))
    kept = await client.place_order("ssl_basic", an_order(sandbox, new_csr(host), common_name=host))
    kept_id = (await client.order(kept.order_id)).alternative_order_id
    assert kept_id is not None
    by_csr = await client.orders_with(order.alternative_order_id, common_name=host, csr=order.csr, created_from=today)
    by_id = await client.orders_with(kept_id, common_name=host, csr="another", created_from=today)
    assert await client.orders_by_alternative_id(order.alternative_order_id) == ()
    assert [[info.order_id for info in found] for found in (by_csr, by_id)] == [[lost.order_id], [kept.order_id]]
    assert other.order_id not in {lost.order_id, kept.order_id}


async def test_a_lookup_that_knows_none_may_answer_with_an_empty_list(
    sandbox: SandboxProcess, client: DigiCertClient
) -> None:
    sandbox.set_knobs(unknown_alternate="empty")
    assert await client.orders_by_alternative_id(alternative()) == ()


async def test_an_order_that_the_key_may_not_approve_waits_for_somebody_at_the_ca(
    sandbox: SandboxProcess, connect: Connect, csr: KeyAndCsr
) -> None:
    client = connect("requests")
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    with pytest.raises(CaRefusedError) as caught:
        await client.approve_request(placed.requests[0].request_id, "mine")
    assert [diagnosis.concern for diagnosis in diagnose(caught.value)] == [Concern.OPERATOR]
    assert is_retried(caught.value)
    assert (await client.order(placed.order_id)).status == OrderStatus.NEEDS_APPROVAL
    await connect("admin").approve_request(placed.requests[0].request_id, "granted")
    assert (await client.order(placed.order_id)).status == OrderStatus.ISSUED


async def test_a_pending_order_can_be_cancelled_and_an_issued_one_not(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    issued = await client.place_order("ssl_basic", an_order(sandbox, csr))
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    pending = await client.place_order("ssl_basic", an_order(sandbox, csr))
    await client.cancel_order(pending.order_id, "not ours")
    with pytest.raises(CaRefusedError):
        await client.cancel_order(issued.order_id, "ours")
    assert (await client.order(pending.order_id)).status == OrderStatus.CANCELED


async def test_an_order_is_live_until_the_ca_has_ended_it_and_not_if_the_ca_has_none_of_its_number(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    ca = DigiCertAuthority(client)
    issued = await client.place_order("ssl_basic", an_order(sandbox, csr))
    sandbox.set_knobs(immediate_issuance=False, validation_delay_seconds=None)
    pending = await client.place_order("ssl_basic", an_order(sandbox, csr))
    orders = (issued.order_id, pending.order_id, OrderId(4711))
    assert [await ca.is_live(order) for order in orders] == [True, True, False]
    await client.cancel_order(pending.order_id, "not ours")
    assert not await ca.is_live(pending.order_id)
    refusal = {"endpoint": "order.info", "kind": "answer", "status": 403, "code": "access_denied|missing_permission"}
    sandbox.set_knobs(faults=[refusal])
    with pytest.raises(NotNowError):
        await ca.is_live(issued.order_id)


async def test_a_reader_sees_with_a_view_only_key_what_reconciling_needs(
    sandbox: SandboxProcess, client: DigiCertClient, csr: KeyAndCsr
) -> None:
    placed = await client.place_order("ssl_basic", an_order(sandbox, csr))
    key = SecretStr(sandbox.key("view-only"))
    async with DigiCertReader(base_url=sandbox.base_url, api_key=key) as reader:
        listed = [order.order_id async for order in reader.all_orders(page_size=3)]
        limits = await reader.product_limits(sandbox.info["container_id"])
    assert listed == [sandbox.info["imported_order_id"], *(entry["id"] for entry in sandbox.orders())]
    assert listed[-1] == placed.order_id
    allowed = {limit.product_name_id: limit.allowed_intermediates for limit in limits.product_limits}
    assert limits.is_limited
    assert allowed["ssl_basic"] == (sandbox.info["ca_cert_id"],)


async def test_the_product_and_its_limits_may_be_silent(sandbox: SandboxProcess, client: DigiCertClient) -> None:
    sandbox.set_knobs(ca_choice=False, product_limits=False)
    product = await client.product("ssl_basic", container_id=sandbox.info["container_id"])
    limits = await client.product_limits(sandbox.info["container_id"])
    assert product.allowed_ca_certs is None
    assert (limits.is_limited, limits.product_limits) == (False, ())
