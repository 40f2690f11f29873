"""What the CA's refusals and failures mean: whom they concern, whether they pass, and in whose words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.digicert.diagnosis import Concern, diagnose, is_retried
from shared.digicert.errors import (
    CaFaultError,
    CaGarbledError,
    CaKeyUnusableError,
    CaQuotaError,
    CaRefusedError,
    CaThrottledError,
    CaTimeoutError,
    CaUnavailableError,
    CaUnreachableError,
)

REQUESTER, OPERATOR, CA = Concern.REQUESTER, Concern.OPERATOR, Concern.CA
DOCUMENTED = [
    ("access_denied|access_denied_invalid_key", "ca.key-unknown", OPERATOR),
    ("access_denied|invalid_approver", "ca.approver-refused", OPERATOR),
    ("access_denied|missing_permission", "ca.permission-missing", OPERATOR),
    ("access_denied|of_a_kind_that_is_new", "ca.access-denied", OPERATOR),
    ("ambiguous_product", "ca.product-ambiguous", OPERATOR),
    ("bad_request_format", "ca.request-unreadable", OPERATOR),
    ("caa_check_failed|www.example.com", "ca.caa-forbids", REQUESTER),
    ("caa_not_found|www.example.com", "ca.caa-forbids", REQUESTER),
    ("cert_validity_exceeds_order_validity", "ca.outlives-order", OPERATOR),
    ("csr_invalid_cannot_parse", "ca.csr-unreadable", REQUESTER),
    ("invalid_value:validity_years", "ca.value-refused", OPERATOR),
    ("invalid_value:alternative_order_id", "ca.id-refused", OPERATOR),
    ("invalid_value:certificate.ca_cert_id", "ca.value-refused", OPERATOR),
    ("invalid_value:certificate.common_name", "ca.name-refused", REQUESTER),
    ("invalid_value:certificate.dns_names[3]", "ca.name-refused", REQUESTER),
    ("invalid_value:dns_names", "ca.name-refused", REQUESTER),
    ("invalid_value:certificate.csr", "ca.csr-refused", REQUESTER),
    ("not_found", "ca.not-found", OPERATOR),
    ("not_found|order", "ca.order-not-found", OPERATOR),
    ("not_found|product", "ca.product-unknown", OPERATOR),
    ("not_found|route", "ca.route-unknown", OPERATOR),
    ("request_limit_exceeded", "ca.throttled", CA),
    ("required_param:certificate.signature_hash", "ca.field-missing", OPERATOR),
    ("time_frame_too_long", "ca.time-frame", OPERATOR),
    ("a_code_that_nobody_knows", "ca.refused", OPERATOR),
    ("", "ca.refused", OPERATOR),
]


@pytest.mark.parametrize(("code", "found", "concern"), DOCUMENTED)
def test_every_documented_code_says_whom_it_concerns_and_whether_it_is_retried(
    code: str, found: str, concern: Concern
) -> None:
    (diagnosis,) = diagnose(CaRefusedError("order.place", 400, ((code, "In the CA's words."),)))
    assert diagnosis.finding.code == found
    retried = concern is not REQUESTER and found != "ca.id-refused"
    assert (diagnosis.concern, diagnosis.retried) == (concern, retried)
    again = "it is tried again by itself" if retried else "it is not tried again by itself"
    assert f" must act; {again}; the CA said: " in diagnosis.finding.message
    assert diagnosis.finding.value == code
    assert diagnosis.finding.message.endswith("the CA said: In the CA's words.")


@pytest.mark.parametrize(
    ("error", "found", "concern"),
    [
        (CaUnreachableError("order.place", "no connection", maybe_done=False), "ca.unreachable", CA),
        (CaTimeoutError("order.place", "late", maybe_done=True), "ca.timeout", CA),
        (CaThrottledError("order.place", "429", maybe_done=False, retry_after=3.0), "ca.throttled", CA),
        (CaQuotaError("order.place", 3.0), "ca.quota", CA),
        (CaFaultError("order.place", "500", maybe_done=True, said="broken: I am broken"), "ca.fault", CA),
        (CaGarbledError("order.place", "?", maybe_done=True), "ca.garbled", CA),
        (CaKeyUnusableError("order.place", "?", maybe_done=False), "ca.unusable-key", OPERATOR),
    ],
)
def test_every_absence_of_an_answer_is_the_cas_and_passes_but_for_our_own_key(
    error: CaUnavailableError, found: str, concern: Concern
) -> None:
    (diagnosis,) = diagnose(error)
    assert (diagnosis.finding.code, diagnosis.concern, diagnosis.retried) == (found, concern, True)
    assert error.said in diagnosis.finding.message
    assert error.said in str(error)


def test_a_refusal_with_several_reasons_passes_only_if_each_of_them_does() -> None:
    lasting, passing = ("csr_invalid_cannot_parse", "no"), ("access_denied|missing_permission", "not you")
    both = CaRefusedError("order.place", 400, (lasting, passing))
    assert [diagnosis.concern for diagnosis in diagnose(both)] == [REQUESTER, OPERATOR]
    assert not is_retried(both)
    assert is_retried(CaRefusedError("order.place", 403, (passing,)))


@given(code=st.text(max_size=80), text=st.text(max_size=80))
def test_any_code_and_text_have_a_meaning(code: str, text: str) -> None:
    (diagnosis,) = diagnose(CaRefusedError("order.place", 400, ((code, text),)))
    assert diagnosis.finding.code.startswith("ca.")
    assert text in diagnosis.finding.message
