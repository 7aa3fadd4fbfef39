"""The date that a message settles on: the cut-off is at 23:00 in Shanghai."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.scheme.business_date import business_day, settlement_date


def shanghai(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone(timedelta(hours=8)))  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (shanghai(2026, 3, 2, 22, 59, 59), date(2026, 3, 2)),
        (shanghai(2026, 3, 2, 23, 0, 0), date(2026, 3, 3)),
        (shanghai(2026, 3, 3, 0, 0, 0), date(2026, 3, 3)),
        (shanghai(2026, 12, 31, 23, 0, 0), date(2027, 1, 1)),
        (datetime(2026, 3, 2, 14, 59, 59, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2026, 3, 2, 15, 0, 0, tzinfo=UTC), date(2026, 3, 3)),
    ],
)
def test_what_comes_from_23_on_takes_the_next_date(instant: datetime, expected: date) -> None:
    assert settlement_date(instant) == expected


def test_time_without_zone_is_a_fault() -> None:
    with pytest.raises(ValueError, match="zone"):
        settlement_date(datetime(2026, 3, 2))


@given(st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1)))
def test_every_moment_lies_in_its_business_day(moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC)
    start, end = business_day(settlement_date(instant))
    assert start <= instant < end
