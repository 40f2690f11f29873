"""The CA's answers as they drift: numbers as strings, empty lists for absent objects, missing fields."""

from base64 import b64encode
from datetime import date

import pytest
from pydantic import BaseModel, ValidationError

from shared.digicert.models import (
    Intermediate,
    OrderInfo,
    PlacedOrder,
    Product,
    StatusChanges,
    certificates_of,
    serial_number_text,
)


def pem(content: bytes) -> str:
    text = b64encode(content).decode()
    return f"-----BEGIN CERTIFICATE-----\r\n{text}\r\n-----END CERTIFICATE-----\r\n"


def test_an_order_that_says_almost_nothing_is_an_order() -> None:
    order = OrderInfo.model_validate_json('{"id": "7", "status": "PENDING", "organization": [], "certificate": []}')
    assert (order.order_id, order.status, order.organization) == (7, "pending", None)
    assert order.certificate.serial_number is None


def test_an_order_with_numeric_strings_and_unknown_fields_is_read() -> None:
    order = OrderInfo.model_validate(
        {
            "id": 7,
            "status": "issued",
            "certificate": {
                "id": "8",
                "serial_number": "0AbC",
                "valid_till": "2026-12-24T23:59:59+00:00",
                "valid_from": "soon",
                "dns_names": None,
                "ca_cert": {"id": 1005},
            },
            "requests": [{"id": "9", "status": "approved", "anything": {}}],
            "is_multi_year_plan": "1",
            "alternative_order_id": 12,
        }
    )
    assert order.certificate.certificate_id == 8
    assert order.certificate.serial_number == "0abc"
    assert (order.certificate.valid_till, order.certificate.valid_from) == (date(2026, 12, 24), None)
    assert order.certificate.ca_cert is not None
    assert order.certificate.ca_cert.id == "1005"
    assert order.requests[0].request_id == 9
    assert order.alternative_order_id == "12"


def test_a_chain_of_an_order_comes_as_der_with_the_leaf_first() -> None:
    entries = [{"subject_common_name": "leaf", "pem": pem(b"leaf")}, {"pem": pem(b"intermediate")}]
    placed = PlacedOrder.model_validate({"id": 1, "certificate_chain": entries, "requests": {}})
    assert placed.chain == (b"leaf", b"intermediate")
    assert "leaf" not in repr(placed)


@pytest.mark.parametrize("chain", [[{}], ["x"], [{"pem": 7}], [{"pem": "x"}], [{"pem": pem(b"a")}, {"pem": None}], "x"])
def test_a_chain_that_is_none_is_an_error_and_not_an_empty_chain(chain: object) -> None:
    with pytest.raises(ValidationError):
        PlacedOrder.model_validate({"id": 1, "certificate_chain": chain})


@pytest.mark.parametrize("chain", [None, []])
def test_an_absent_chain_is_empty(chain: object) -> None:
    assert PlacedOrder.model_validate({"id": 1, "certificate_chain": chain}).chain == ()


@pytest.mark.parametrize(
    "text",
    ["", "no PEM", pem(b"a") * 11, pem(b"a") + "-----BEGIN PRIVATE KEY-----", pem(b"a").replace("=", "")],
)
def test_text_that_is_no_chain_of_certificates_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        certificates_of(text)


def test_a_product_that_keeps_silent_about_its_cas_does_not_say_that_it_has_none() -> None:
    silent = Product.model_validate({"name_id": "ssl_basic", "allowed_validity_years": ["1", 2]})
    assert silent.allowed_ca_certs is None
    assert silent.allowed_validity_years == (1, 2)
    assert silent.additional_dns_names_allowed is None
    assert silent.allowed_hashes == ()


def test_the_flag_of_a_private_intermediate_comes_as_text() -> None:
    assert Intermediate.model_validate({"id": "1", "is_private": "1"}).is_private is True
    assert Intermediate.model_validate({"id": "1", "is_private": "0"}).is_private is False
    assert Intermediate.model_validate({"id": "1"}).is_private is None


@pytest.mark.parametrize("text", ["{}", "[]", '{"orders": null}', '{"orders": []}'])
def test_an_empty_feed_comes_in_many_guises(text: str) -> None:
    assert StatusChanges.model_validate_json(text).orders == ()


@pytest.mark.parametrize("answer", [OrderInfo, PlacedOrder, Product, StatusChanges])
def test_what_the_ca_said_cannot_be_changed_afterwards(answer: type[BaseModel]) -> None:
    assert answer.model_config["frozen"]


@pytest.mark.parametrize(("number", "text"), [(10, "a".rjust(32, "0")), (2**127, "8".ljust(32, "0"))])
def test_a_serial_number_keeps_its_leading_zeros(number: int, text: str) -> None:
    assert serial_number_text(number) == text
