"""The certificates that the sandbox issues: chains, validity, and what a faulty CA gets wrong."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.fakes.account import CSR, Account, certificate, code_of
from tests.sandbox.knobs import Mutation
from tests.world import NOW

DAY = timedelta(days=1)
FIRST = datetime.combine(NOW, time.min, UTC)


def in_days(days: int) -> str:
    return f"{NOW.date() + timedelta(days=days)}"


def chain_of(order: dict[str, Any]) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(entry["pem"].encode()) for entry in order["certificate_chain"]]


@pytest.mark.parametrize("length", [2, 3, 4, 5])
async def test_a_chain_has_two_to_five_certificates_each_signed_by_the_next(account: Account, length: int) -> None:
    await account.knobs(chain_length=length)
    order = await account.placed()
    chain = chain_of(order)
    without_root = await account.call("GET", f"/certificate/{order['certificate_id']}/download/format/pem_noroot")
    assert len(chain) == length
    for lower, upper in pairwise(chain):
        lower.verify_directly_issued_by(upper)
    root = account.sandbox.authority.root.certificate
    assert (chain[-1].issuer == chain[-1].subject) is (length > 2)
    assert root.public_key() in [each.public_key() for each in chain] or length == 2
    assert without_root.text.count("BEGIN CERTIFICATE") == max(2, length - 1)


@pytest.mark.parametrize(
    ("validity", "end"),
    [
        ({"days": 30}, "2026-12-18"),  # instead of Saturday, 19 December
        ({"custom_expiration_date": "2026-12-19"}, "2026-12-19"),
    ],
)
async def test_an_end_may_shift_off_its_weekend_unless_a_date_was_asked_for(
    account: Account, validity: dict[str, object], end: str
) -> None:
    await account.knobs(off_weekends=True)
    order = await account.placed(order_validity=validity)
    info = await account.ask(f"/order/certificate/{order['id']}")
    assert info["certificate"]["valid_till"] == end


@pytest.mark.parametrize(
    ("legacy", "days"),
    [
        ({"validity_years": 1, "validity_days": 20, "custom_expiration_date": in_days(9)}, 10),
        ({"validity_years": 1, "custom_expiration_date": in_days(9)}, 10),
        ({"validity_years": 1, "validity_days": 20}, 20),
        ({"validity_years": 1}, 365),
        ({"validity_years": 1, "order_validity": {"days": 30}}, 30),
    ],
)
async def test_of_the_old_terms_a_date_goes_before_days_and_days_before_years(
    account: Account, legacy: dict[str, object], days: int
) -> None:
    await account.knobs(max_public_days=400)
    order = await account.placed(**{"order_validity": None, **legacy})
    info = await account.ask(f"/order/certificate/{order['id']}")
    assert info["certificate"]["valid_till"] == in_days(days - 1)


@pytest.mark.parametrize("days", [None, 47])
async def test_a_longer_public_certificate_is_cut_or_refused(account: Account, days: int | None) -> None:
    await account.knobs(**({} if days is None else {"max_public_days": days}))
    longest = days or 199
    order = await account.placed(order_validity={"days": longest + 1})
    info = await account.ask(f"/order/certificate/{order['id']}")
    await account.knobs(over_long="refuse")
    answers = [await account.place(order_validity={"days": longest + more}) for more in (0, 1)]
    assert info["certificate"]["valid_till"] == in_days(longest - 1)
    assert [answer.status_code for answer in answers] == [201, 400]
    assert code_of(answers[1]) == "invalid_value:certificate.cert_validity"


async def test_client_authentication_may_no_longer_be_ordered(account: Account) -> None:
    await account.knobs(client_auth=False)
    wanted = {**certificate(), "profile_option": "server_client_auth_eku"}
    assert code_of(await account.place(certificate=wanted)) == "invalid_value:certificate.profile_option"


async def test_the_organisation_of_certificates_may_differ(account: Account) -> None:
    await account.knobs(organization_name="Example Organisation International")
    order = await account.placed()
    leaf, *_ = chain_of(order)
    assert "O=Example Organisation International" in leaf.subject.rfc4514_string()


def is_signed_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("mutation", list(Mutation))
async def test_a_faulty_ca_issues_what_was_not_ordered(account: Account, mutation: Mutation) -> None:
    await account.knobs(mutate=[mutation])
    wanted = {**certificate("*.a.example.com", "mail.example.com"), "common_name": "example.com"}
    leaf, issuer, *_ = chain_of(await account.placed(certificate=wanted, order_validity={"days": 90}))
    own, other = account.sandbox.authority.issuers.values()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    first, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    last_second = FIRST + 90 * DAY - timedelta(seconds=1)
    wrong = {
        Mutation.WRONG_KEY: leaf.public_key() != x509.load_pem_x509_csr(CSR.encode()).public_key(),
        Mutation.ADDED_NAME: "intruder.example.net" in names,
        Mutation.MISSING_NAME: "mail.example.com" not in names,
        Mutation.ADD_WWW: "www.example.com" in names,
        Mutation.ADD_BASE: "a.example.com" in names,
        Mutation.LONGER_VALIDITY: end == last_second + 30 * DAY,
        Mutation.LONGER_BY_A_SECOND: end == last_second + timedelta(seconds=1),
        Mutation.SHORTER_VALIDITY: end == last_second - DAY,
        Mutation.BACKDATED: first == FIRST - 3650 * DAY,
        Mutation.LATER_START: first == FIRST + DAY,
        Mutation.ADDED_USAGE: ExtendedKeyUsageOID.CLIENT_AUTH
        in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value,
        Mutation.CA_CERTIFICATE: leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca,
        Mutation.FOREIGN_ISSUER: issuer not in {own.certificate, other.certificate},
        Mutation.OTHER_INTERMEDIATE: issuer == other.certificate,
        Mutation.BROKEN_SIGNATURE: not is_signed_by(leaf, issuer),
    }
    assert [name for name, is_wrong in wrong.items() if is_wrong] == [mutation]
