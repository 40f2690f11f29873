"""What the status feed is asked after an outage."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.issuer.config import OrderingCaSettings
from shared.digicert.feed import OVERLAP, latest, queries_since
from shared.digicert.models import StatusChange

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
OUTAGES = st.timedeltas(timedelta(0), timedelta(days=800))
MOUNTAIN_HOURS = st.integers(-7, -6)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        (timedelta(seconds=-300), 120),
        (timedelta(0), 121),
        (timedelta(minutes=5), 421),
        (WEEK - timedelta(minutes=3), 604_741),
    ],
)
def test_up_to_a_week_is_one_question_that_reaches_a_little_further_back(outage: timedelta, seconds: int) -> None:
    assert queries_since(NOW - outage, NOW) == ({"seconds": seconds},)


def test_a_longer_outage_asks_for_ranges_of_days_first_and_for_the_last_week_in_the_end() -> None:
    assert queries_since(NOW - timedelta(days=16), NOW) == (
        {"filters[status_last_updated]": "2026-11-03...2026-11-09"},
        {"filters[status_last_updated]": "2026-11-09...2026-11-14"},
        {"seconds": 604_800},
    )


def covered(text: str, hours: int, *, includes_last_day: bool) -> tuple[datetime, datetime]:
    """What a range of days is about, if the CA's days begin so many hours from ours."""
    first, last = (datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) for day in text.split("..."))
    shift = timedelta(hours=hours)
    return first - shift, last - shift + timedelta(days=int(includes_last_day))


@given(outage=OUTAGES, hours=MOUNTAIN_HOURS, includes_last_day=st.booleans(), now=MOMENTS)
def test_whatever_the_ca_means_by_a_range_no_instant_is_left_out_and_none_is_longer_than_a_week(
    outage: timedelta, hours: int, now: datetime, *, includes_last_day: bool
) -> None:
    *ranges, final = queries_since(now - outage, now)
    reached = now - outage
    for query in ranges:
        first, last = covered(str(query["filters[status_last_updated]"]), hours, includes_last_day=includes_last_day)
        assert first <= reached
        assert last - first <= WEEK
        reached = last
    assert now - timedelta(seconds=int(final["seconds"])) <= reached
    assert timedelta(seconds=int(final["seconds"])) <= WEEK


def test_an_order_that_is_named_twice_has_the_status_that_was_told_last() -> None:
    told = [
        StatusChange.model_validate({"order_id": number, "status": status})
        for number, status in ((1, "pending"), (2, "issued"), (1, "issued"))
    ]
    assert [(change.order_id, change.status) for change in latest(told)] == [(1, "issued"), (2, "issued")]


def test_the_feed_is_read_so_often_that_each_change_falls_into_two_readings() -> None:
    settings = {"url": "https://ca.example", "api_key_file": Path("key"), "roots_file": Path("roots.pem")}
    longest = OVERLAP.total_seconds()
    assert OrderingCaSettings.model_validate({**settings, "poll_seconds": longest}).poll_seconds == longest
    with pytest.raises(ValidationError, match="poll_seconds"):
        OrderingCaSettings.model_validate({**settings, "poll_seconds": longest + 1})
