"""Business dates: the day in Shanghai that a message settles on."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BUSINESS_ZONE = ZoneInfo("Asia/Shanghai")


CUT_OFF = time(23, 0)


def settlement_date(instant: datetime) -> date:
    """The business date of a moment: Asia/Shanghai, from 23:00 on the next day's.

    ValueError for a time without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError("instant: expected a time with a zone")
    local = instant.astimezone(BUSINESS_ZONE)
    after = local.time() >= CUT_OFF
    return local.date() + timedelta(days=1) if after else local.date()


def business_day(on: date) -> tuple[datetime, datetime]:
    """First moment of a business date, and the first one that no longer belongs to it."""
    end = datetime.combine(on, CUT_OFF, BUSINESS_ZONE)
    return datetime.combine(on - timedelta(days=1), CUT_OFF, BUSINESS_ZONE), end
