"""Business dates: the date, in Shanghai, that a message settles on."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BUSINESS_ZONE = ZoneInfo("Asia/Shanghai")
#: A message from this local time on belongs to the next date.
CUT_OFF = time(23, 0)


def settlement_date(instant: datetime) -> date:
    """The business date of an instant: its date in Shanghai, from 23:00 on the next one.

    ValueError for a time without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError("instant: expected a time with a zone")
    local = instant.astimezone(BUSINESS_ZONE)
    after_cut_off = local.time() >= CUT_OFF
    return local.date() + timedelta(days=1) if after_cut_off else local.date()


def business_day(on: date) -> tuple[datetime, datetime]:
    """First instant of a business date, and the first one after it."""
    end = datetime.combine(on, CUT_OFF, BUSINESS_ZONE)
    return datetime.combine(on - timedelta(days=1), CUT_OFF, BUSINESS_ZONE), end
