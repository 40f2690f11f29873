from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.vocabulary.findings import Severity, refuses
from shared.x509.calendar import (
    CLIENT_AUTH_ENDS,
    DIGICERT_DAYS,
    FORUM_DAYS,
    check_public_eku,
    check_public_validity,
    last_day_allowed,
    longest_public_validity,
)
from tests.vectors.x509.builders import patient

ONE_DAY = timedelta(days=1)
ONE_SECOND = timedelta(seconds=1)
days = st.dates(date(2020, 1, 1), date(2040, 1, 1))
boundaries = st.sampled_from([*FORUM_DAYS, *DIGICERT_DAYS, CLIENT_AUTH_ENDS]).filter(lambda day: day != date.min)
near = boundaries.flatmap(lambda day: st.integers(-3, 3).map(lambda offset: day + offset * ONE_DAY))


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def eku_codes(*ekus: str, on: date) -> list[str]:
    return [found.code for found in check_public_eku(ekus, on)]


@pytest.mark.parametrize(
    ("issued_on", "longest"),
    [
        (date(2026, 2, 23), 397),
        (date(2026, 2, 24), 199),
        (date(2026, 3, 14), 199),
        (date(2026, 3, 15), 199),
        (date(2026, 11, 20), 199),
        (date(2027, 3, 14), 199),
        (date(2027, 3, 15), 100),
        (date(2029, 3, 14), 100),
        (date(2029, 3, 15), 47),
        (date(2035, 1, 1), 47),
    ],
)
def test_the_longest_validity_follows_from_the_day_of_issue(issued_on: date, longest: int) -> None:
    assert longest_public_validity(issued_on) == longest


@pytest.mark.parametrize(
    ("issued_on", "longest"),
    [
        (date(2026, 3, 14), 398),
        (date(2026, 3, 15), 200),
        (date(2027, 3, 14), 200),
        (date(2027, 3, 15), 100),
        (date(2029, 3, 15), 47),
    ],
)
def test_the_forum_alone_would_allow_more_than_digicert(issued_on: date, longest: int) -> None:
    days_then = [number for since, number in sorted(FORUM_DAYS.items()) if since <= issued_on][-1]
    assert days_then == longest
    assert longest_public_validity(issued_on) <= longest


def test_the_first_day_counts() -> None:
    assert last_day_allowed(date(2026, 11, 20)) == date(2027, 6, 6)
    assert last_day_allowed(date(2029, 3, 15)) == date(2029, 4, 30)


@patient
@given(days | near)
def test_from_midnight_to_the_end_of_the_last_day_is_allowed_and_a_second_more_is_not(issued_on: date) -> None:
    begin, end = midnight(issued_on), midnight(last_day_allowed(issued_on) + ONE_DAY) - ONE_SECOND
    assert check_public_validity(begin, end, issued_on=issued_on) == []
    for too_long in ((begin, end + ONE_SECOND), (begin - ONE_SECOND, end)):
        found = check_public_validity(*too_long, issued_on=issued_on)
        assert [finding.code for finding in found] == ["validity.too-long"]


@patient
@given(days | near)
def test_the_seconds_are_counted_with_both_ends(issued_on: date) -> None:
    begin, end = midnight(issued_on), midnight(last_day_allowed(issued_on) + ONE_DAY) - ONE_SECOND
    assert (end - begin + ONE_SECOND).total_seconds() == longest_public_validity(issued_on) * 86_400


@patient
@given(days | near, days | near)
def test_a_later_issue_never_allows_more(one: date, other: date) -> None:
    earlier, later = sorted((one, other))
    assert longest_public_validity(earlier) >= longest_public_validity(later)


@patient
@given(near)
def test_a_step_is_taken_on_its_day_and_on_no_other(day: date) -> None:
    before = longest_public_validity(day - ONE_DAY)
    steps = {*FORUM_DAYS, *DIGICERT_DAYS}
    assert longest_public_validity(day) == before or day in steps


def test_a_backdated_beginning_does_not_choose_the_step() -> None:
    begin = midnight(date(2027, 3, 15)) - timedelta(hours=1)
    end = begin + timedelta(days=150)
    assert check_public_validity(begin, end, issued_on=date(2027, 3, 14)) == []
    assert [found.code for found in check_public_validity(begin, end, issued_on=date(2027, 3, 15))] == [
        "validity.too-long"
    ]


def test_an_end_before_the_beginning_is_refused() -> None:
    noon = midnight(date(2026, 11, 20))
    assert [found.code for found in check_public_validity(noon, noon - ONE_SECOND, issued_on=noon.date())] == [
        "validity.reversed"
    ]
    assert check_public_validity(noon, noon, issued_on=noon.date()) == []


def test_a_server_may_always_be_a_server() -> None:
    assert eku_codes("serverAuth", on=date(2026, 11, 20)) == []
    assert eku_codes("serverAuth", on=date(2030, 1, 1)) == []


def test_client_authentication_ends_on_its_day() -> None:
    last = check_public_eku(("serverAuth", "clientAuth"), CLIENT_AUTH_ENDS - ONE_DAY)
    assert [(found.code, found.severity) for found in last] == [("eku.client-auth-ends", Severity.WARNING)]
    assert not refuses(last)
    assert eku_codes("serverAuth", "clientAuth", on=CLIENT_AUTH_ENDS) == ["eku.client-auth-ended"]


@patient
@given(near)
def test_client_authentication_is_refused_from_its_day_on(day: date) -> None:
    assert refuses(check_public_eku(("clientAuth", "serverAuth"), day)) is (day >= CLIENT_AUTH_ENDS)


@pytest.mark.parametrize("purpose", ["anyExtendedKeyUsage", "codeSigning", "emailProtection", "1.2.3.4"])
def test_any_other_purpose_is_refused_in_public(purpose: str) -> None:
    assert eku_codes("serverAuth", purpose, on=date(2026, 11, 20)) == ["eku.not-allowed"]


def test_every_reason_against_the_purposes_is_told_at_once() -> None:
    assert eku_codes("clientAuth", "codeSigning", "codeSigning", on=CLIENT_AUTH_ENDS) == [
        "eku.server-auth-missing",
        "eku.not-allowed",
        "eku.client-auth-ended",
    ]
    assert eku_codes(on=CLIENT_AUTH_ENDS) == ["eku.server-auth-missing"]
