"""What the issuer's adapter makes of DigiCert's answers about a signing certificate, on the sandbox's side of HTTP."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr

from services.issuer.adapters.digicert import DigiCertAuthority
from services.issuer.ports import NotNowError
from shared.digicert.client import DigiCertClient
from shared.policy.compatibility import Combination, ImportedOrder, ListedIntermediate, ProductFacts
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import SigningCertificateName
from tests.sandbox.catalogue import CONTAINER_ID, PRIVATE_CA_CERT_ID, PUBLIC_CA_CERT_ID
from tests.sandbox.process import SandboxProcess
from tests.world import NOW, shared_ca

UNKNOWN_ORDER = {"kind": "answer", "endpoint": "order.info", "status": 404, "code": "not_found|order"}


@dataclass
class Asking:
    """The adapter, and the certificates that the sandbox's account has imported."""

    ca: DigiCertAuthority
    imported: bytes
    intermediate: bytes

    async def __call__(
        self,
        *,
        product: str = "ssl_basic",
        ca_cert_id: str = PUBLIC_CA_CERT_ID,
        container_id: int | None = None,
        imported: bytes | None = None,
    ) -> ProductFacts:
        combination = Combination(
            signing_certificate=SigningCertificateName("public-tls"),
            imported=digest_of(self.imported),
            intermediate=digest_of(self.intermediate),
            product=product,
            ca_cert_id=ca_cert_id,
            container_id=container_id,
        )
        return await self.ca.product_facts(combination, imported or self.imported, self.intermediate, at=NOW)


@pytest.fixture
async def ask(sandbox: SandboxProcess) -> AsyncIterator[Asking]:
    client = DigiCertClient(base_url=sandbox.base_url, api_key=SecretStr(sandbox.key("orders")), timeout=20)
    ders = [
        x509.load_pem_x509_certificate((sandbox.state_dir / name).read_bytes()).public_bytes(Encoding.DER)
        for name in ("imported.pem", "intermediate.pem")
    ]
    yield Asking(DigiCertAuthority(client), *ders)
    await client.aclose()


async def test_what_digicert_says_of_a_product_its_intermediate_and_the_imported_certificate(ask: Asking) -> None:
    facts = await ask()
    assert facts == ProductFacts(
        combination=facts.combination,
        taken_at=NOW,
        product_known=True,
        signature_hashes=("sha256", "sha384", "sha512"),
        allowed_ca_certs=(PUBLIC_CA_CERT_ID,),
        container_ca_certs=(),
        container_hashes=(),
        container_has_it=None,
        several_names=True,
        exact_end=True,
        longest_years=3,
        listed=(ListedIntermediate(ca_cert_id=PUBLIC_CA_CERT_ID, is_ours=True, is_private=False),),
        imported_order=ImportedOrder(product="ssl_basic", ca_cert_id=PUBLIC_CA_CERT_ID),
    )


async def test_a_product_that_digicert_does_not_have_is_not_known(ask: Asking) -> None:
    assert not (await ask(product="ssl_of_yesterday")).product_known


async def test_an_id_that_is_another_intermediates_is_told_with_the_right_one(ask: Asking) -> None:
    listed = {each.ca_cert_id: each.is_ours for each in (await ask(ca_cert_id=PRIVATE_CA_CERT_ID)).listed}
    assert listed == {PUBLIC_CA_CERT_ID: True, PRIVATE_CA_CERT_ID: False}


async def test_the_limits_of_the_container_are_asked_for_where_there_is_one(ask: Asking) -> None:
    assert (await ask(container_id=CONTAINER_ID)).container_ca_certs == (PUBLIC_CA_CERT_ID,)


def a_limit(**changes: object) -> dict[str, object]:
    usual = {"container_id": CONTAINER_ID, "role_id": 0, "product_name_id": "ssl_basic", "allowed_hashes": ["sha256"]}
    return {**usual, "allowed_lifetimes": ["1"], "allowed_order_lifetimes": [1, 2], **changes}


@pytest.mark.parametrize(
    ("is_limited", "limits", "has_it", "offered", "years"),
    [
        (True, [a_limit()], True, ("sha256",), 1),
        (True, [a_limit(allowed_lifetimes=[])], True, ("sha256",), 2),
        (True, [a_limit(allowed_hashes=[], allowed_lifetimes=[], allowed_order_lifetimes=[])], True, (), 3),
        (True, [a_limit(role_id=101)], True, (), 3),
        (True, [a_limit(role_id=101), a_limit(allowed_hashes=["sha512"])], True, ("sha512",), 1),
        (True, [a_limit(product_name_id="ssl_plus")], False, (), 3),
        (True, [], False, (), 3),
        (False, [a_limit(product_name_id="ssl_plus")], None, (), 3),
    ],
)
async def test_the_limits_of_the_container_are_those_of_the_product_and_of_every_role(
    sandbox: SandboxProcess,
    ask: Asking,
    *,
    is_limited: bool,
    limits: list[object],
    has_it: bool | None,
    offered: tuple[str, ...],
    years: int,
) -> None:
    body = json.dumps({"is_limited": is_limited, "product_limits": limits})
    sandbox.set_knobs(faults=[{"kind": "answer", "endpoint": "product.limits", "status": 200, "body": body}])
    facts = await ask(container_id=CONTAINER_ID)
    assert (facts.container_has_it, facts.container_hashes, facts.longest_years) == (has_it, offered, years)


@pytest.mark.parametrize(
    ("said", "exact"),
    [
        ({}, None),
        ({"custom_expiration_date_allowed": True}, True),
        ({"custom_expiration_date_allowed": True, "custom_order_expiration_date_allowed": False}, False),
        ({"custom_expiration_date_allowed": False, "custom_order_expiration_date_allowed": True}, False),
    ],
)
async def test_the_last_day_can_be_chosen_where_certificate_and_order_allow_it(
    sandbox: SandboxProcess, ask: Asking, said: dict[str, bool], *, exact: bool | None
) -> None:
    body = json.dumps({"name_id": "ssl_basic", **said})
    sandbox.set_knobs(faults=[{"kind": "answer", "endpoint": "product.info", "status": 200, "body": body}])
    assert (await ask()).exact_end is exact


async def test_where_digicert_is_silent_nothing_is_made_up(sandbox: SandboxProcess, ask: Asking) -> None:
    sandbox.set_knobs(ca_choice=False, faults=[UNKNOWN_ORDER])
    facts = await ask()
    assert (facts.allowed_ca_certs, facts.imported_order) == (None, None)


async def test_a_certificate_that_the_account_never_ordered_has_no_order(ask: Asking) -> None:
    assert (await ask(imported=shared_ca().intermediate)).imported_order is None


@pytest.mark.parametrize("endpoint", ["product.info", "intermediate.list", "order.info"])
async def test_an_answer_that_is_none_gives_no_facts_at_all(
    sandbox: SandboxProcess, ask: Asking, endpoint: str
) -> None:
    sandbox.set_knobs(faults=[{"kind": "answer", "endpoint": endpoint, "status": 500}])
    with pytest.raises(NotNowError):
        await ask()
