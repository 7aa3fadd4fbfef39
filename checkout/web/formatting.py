"""How the templates write amounts, times, sizes and the addresses of static files."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Flask

from checkout.comparison.report.formatting import duration
from checkout.money import Money
from checkout.web import assets
from checkout.web.context import current_shop

_ZONE = ZoneInfo("Asia/Shanghai")


def install(app: Flask) -> None:
    """Give the templates of `app` their filters, and the merchant."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        decimal=decimal,
        duration=duration,
        clock=clock_time,
        day=day,
        asset=assets.address,
        size=size,
        tail=tail,
        capitalize_first=capitalize_first,
    )
    app.context_processor(lambda: {"merchant": current_shop().config.merchant})


def decimal(amount_minor: int, currency: str) -> str:
    """Minor units as digits with the currency's decimals and grouped thousands."""
    plain = Money(amount_minor=amount_minor, currency=currency).decimal()
    whole, dot, fraction = plain.partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{fraction}"


def size(count: int) -> str:
    """A count of bytes: ``312 B``, ``4.1 kB``."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"


def clock_time(instant: datetime) -> str:
    """The time of day in the shop (Asia/Shanghai)."""
    return instant.astimezone(_ZONE).strftime("%H:%M:%S")


def day(instant: datetime) -> str:
    """Date and time in the shop (Asia/Shanghai)."""
    return instant.astimezone(_ZONE).strftime("%Y-%m-%d %H:%M")


def tail(masked: str) -> str:
    """The last four digits of a masked number: ``•• 0019``."""
    return "•• " + masked[-4:]


def capitalize_first(text: str) -> str:
    """`text` with a capital first letter and the rest as it is."""
    return text[:1].upper() + text[1:]
