"""What DigiCert's answers mean for a revocation: what is done, what waits, and what is over."""

from collections.abc import Callable, Mapping

import httpx
import pytest
from pydantic import SecretStr

from services.revoker.adapters.digicert import DigiCertRevocation
from services.revoker.ports import RevocationRefusedError, Standing
from shared.digicert.client import DigiCertClient
from shared.vocabulary.names import CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason

ORDER, OURS, SERIAL, MARK = OrderId(7), CertificateId(70), "aa", "our-mark"
ORDER_PAGE = "/services/v2/order/certificate/7"
NO_RIGHT = {"errors": [{"code": "access_denied|missing_permission", "message": "no"}]}
GONE = {"errors": [{"code": "not_found|order", "message": "no"}]}

Answers = Mapping[str, tuple[int, object]]


def ca(answers: Answers) -> DigiCertRevocation:
    """A CA that has these answers, by path."""

    def answer(request: httpx.Request) -> httpx.Response:
        status, body = answers[request.url.path]
        return httpx.Response(status, json=body)

    transport = httpx.MockTransport(answer)
    client = DigiCertClient(
        base_url="https://ca.test/services/v2", api_key=SecretStr("key"), timeout=5, transport=transport
    )
    return DigiCertRevocation(client)


async def revoke(status: int, body: object) -> int | None:
    made = ca({"/services/v2/certificate/70/revoke": (status, body)})
    return await made.revoke(OURS, RevocationReason.SUPERSEDED, "")


async def standing(order: object, **copies: object) -> Standing:
    lists = {f"{ORDER_PAGE}/{kind}": (200, copies.get(kind, {})) for kind in ("reissue", "duplicate")}
    return await ca({ORDER_PAGE: (200, order), **lists}).standing(ORDER, OURS, SERIAL, MARK)


def order(*requests: tuple[str, str], certificate: int = 70) -> dict[str, object]:
    """An order with revocations of this status and these notes, and with this certificate as its latest."""
    made = [
        {"id": number, "type": "revoke", "status": status, "comments": notes}
        for number, (status, notes) in enumerate(requests, start=1)
    ]
    return {"id": 7, "status": "issued", "certificate": {"id": certificate, "status": "issued"}, "requests": made}


@pytest.mark.parametrize("status", ["", "pending", "submitted", "needs_approval", "rejected", "canceled", "odd"])
async def test_a_request_of_the_ca_that_is_not_approved_revokes_nothing(status: str) -> None:
    assert await revoke(201, {"id": 5, "status": status}) == 5
    assert await revoke(201, {"id": 5}) == 5


async def test_a_request_that_is_approved_at_once_is_done() -> None:
    assert await revoke(201, {"id": 5, "status": "approved"}) is None


@pytest.mark.parametrize("status", ["", "pending", "submitted", "needs_approval", "canceled", "odd"])
async def test_whatever_is_neither_approved_nor_rejected_waits(status: str) -> None:
    said = await standing(order((status, MARK)))
    assert (said.is_revoked, said.open_request, said.rejected) == (False, 1, frozenset())


async def test_a_rejection_ends_a_request_of_ours_and_none_of_another() -> None:
    said = await standing(order(("rejected", MARK), ("rejected", "another"), ("pending", "another")))
    assert (said.open_request, said.rejected) == (None, frozenset({1}))


async def test_a_right_that_is_missing_passes_and_another_refusal_does_not() -> None:
    for status, passes in ((403, True), (400, False), (404, False)):
        with pytest.raises(RevocationRefusedError) as refused:
            await revoke(status, NO_RIGHT)
        assert refused.value.passes is passes


@pytest.mark.parametrize("kind", ["reissue", "duplicate"])
@pytest.mark.parametrize("named", [{"id": 70}, {"id": 99, "serial_number": "AA"}])
@pytest.mark.parametrize(("status", "revoked"), [("revoked", True), ("issued", False)])
async def test_a_certificate_that_is_no_longer_the_orders_latest_is_looked_up_among_its_copies(
    kind: str, named: dict[str, object], status: str, *, revoked: bool
) -> None:
    copies = {kind: {"certificates": [{"id": 60, "status": "revoked"}, {**named, "status": status}]}}
    said = await standing(order(certificate=71), **copies)
    assert (said.is_revoked, said.unseen) == (revoked, ())


async def test_a_certificate_that_the_ca_does_not_list_is_not_known_to_be_anything() -> None:
    said = await standing(order(certificate=71))
    assert not said.is_revoked
    assert [found.code for found in said.unseen] == ["revocation.certificate-not-shown"]
    assert (await standing(order(("approved", MARK), certificate=71))).is_revoked


@pytest.mark.parametrize(
    "answers",
    [
        lambda: {ORDER_PAGE: (404, GONE)},
        lambda: {ORDER_PAGE: (403, NO_RIGHT)},
        lambda: {ORDER_PAGE: (200, order(certificate=71)), f"{ORDER_PAGE}/reissue": (403, NO_RIGHT)},
    ],
)
async def test_an_order_that_the_ca_does_not_show_says_so(answers: Callable[[], Answers]) -> None:
    said = await ca(answers()).standing(ORDER, OURS, SERIAL, MARK)
    assert not said.is_revoked
    assert [found.code for found in said.unseen] == ["revocation.order-not-shown", "ca.refused"]
