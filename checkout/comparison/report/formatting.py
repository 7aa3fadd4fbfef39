"""How figures read: times, shares, money, counts."""

from __future__ import annotations

from checkout.money import Money


def span(ms: float | None) -> str:
    """Milliseconds in the unit that suits them."""
    if ms is None:
        return "–"
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms"


def seconds(value: float) -> str:
    """Seconds, with a decimal where they are few."""
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def share(part: float, places: int = 0) -> str:
    """A share as percent."""
    return f"{100 * part:.{places}f} %"


def count(value: float) -> str:
    """A count, thousands set apart."""
    if value == int(value):
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.1f}"


def money(amount_minor: int, currency: str) -> str:
    """An amount with its currency."""
    return str(Money(amount_minor=amount_minor, currency=currency))


def limit(amount_minor: int, currency: str) -> str:
    """A limit in whole units, as short as it goes."""
    text = Money(amount_minor=amount_minor, currency=currency).decimal()
    return text.removesuffix(".00")
