"""Revoking a certificate whose order was reissued at the CA meanwhile."""

from typing import Any, Literal

import pytest

from shared.contracts import commands
from shared.vocabulary.names import OrderId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests.fakes.duties import command
from tests.fakes.offices import KEY, Ground, Life, Office
from tests.fakes.revoking_offices import RevokerProcess, RevokingOffice
from tests.fakes.virtual_time import run_virtually
from tests.sandbox.csrs import new_csr
from tests.sandbox.submission import Replacement


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def reissue(made: RevokingOffice, order_id: OrderId, names: tuple[str, ...] | None) -> None:
    """Have this order's certificate replaced, with all of its names or with these."""
    ledger = made.office.sandbox.ledger
    order = ledger.order(order_id)
    assert order is not None
    part = order.current.wanted
    if names is not None:
        part = part.model_copy(update={"common_name": names[0], "dns_names": list(names), "csr": new_csr(names[0]).pem})
    ledger.replace(order, "reissue", Replacement(certificate=part, skip_approval=True), KEY)
    assert order.current.kind == "reissue"


@pytest.mark.parametrize("mode", ["204", "201"])
def test_a_certificate_that_was_replaced_with_all_of_its_names_is_revoked(
    ground: Ground, mode: Literal["204", "201"]
) -> None:
    async def story() -> None:
        made = await RevokingOffice.with_certificates(Office.opened(ground), 1)
        certificate = made.certificates.all()[0]
        reissue(made, certificate.order_id, None)
        made.office.knobs(revoke=mode)
        asked = commands.RevokeCertificate(request_id=certificate.id, reason=RevocationReason.SUPERSEDED)
        await made.survive(command(asked, by="shop"), 10**6)
        stored = made.certificates.all()[0]
        order: Any = made.office.sandbox.ledger.order(certificate.order_id)
        assert stored.state is CertificateState.REVOKED
        assert order.certificate(certificate.certificate_id).status == "revoked"
        assert order.current.status == "issued"

    run_virtually(story())


@pytest.mark.parametrize("mode", ["204", "201"])
def test_what_a_reissue_has_revoked_and_hidden_waits_with_a_finding_and_never_ends(
    ground: Ground, mode: Literal["204", "201"]
) -> None:
    async def story() -> None:
        made = await RevokingOffice.with_certificates(Office.opened(ground), 1)
        certificate = made.certificates.all()[0]
        reissue(made, certificate.order_id, ("other.example.com",))
        made.office.knobs(revoke=mode)
        asked = commands.RevokeCertificate(request_id=certificate.id, reason=RevocationReason.SUPERSEDED)
        process = RevokerProcess(made, Life())
        await process.runtime.handle(command(asked, by="shop"))
        for tries in (1, 2, 3):
            await process.revoking.advance(made.certificates.all()[0])
            stored = made.certificates.all()[0]
            assert (stored.state, stored.asked.waits) == (CertificateState.REVOKING, tries)
            assert stored.asked.findings[0].code == "revocation.certificate-not-shown"

    run_virtually(story())
