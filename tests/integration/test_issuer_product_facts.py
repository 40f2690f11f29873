"""What the issuer's adapter makes of DigiCert's answers about a signing certificate, on the sandbox's side of HTTP."""

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
