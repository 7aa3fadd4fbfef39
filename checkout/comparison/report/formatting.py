"""Figures as text: times, shares, money, counts."""

from __future__ import annotations

from checkout.money import Money


def span(ms: float | None) -> str:
    """Milliseconds with three figures, in ms or s; a dash for None."""
    if ms is None:
        return "–"
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms"


def duration(elapsed_ms: float) -> str:
    """Milliseconds as a person reads them: ``38.2 ms``, ``4.2 s``, ``2 min 5 s``."""
    if elapsed_ms < 0.005:
        return "0 ms"
    if elapsed_ms < 100:
        return f"{elapsed_ms:.{2 if elapsed_ms < 1 else 1}f} ms"
    if elapsed_ms < 1000:
        return f"{elapsed_ms:.0f} ms"
    if elapsed_ms < 60_000:
        return f"{elapsed_ms / 1000:.1f} s"
    minutes, seconds = divmod(round(elapsed_ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def seconds(value: float) -> str:
    """Seconds, with one decimal below 100."""
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def share(part: float, places: int = 0) -> str:
    """A share as percent."""
    return f"{100 * part:.{places}f} %"


def count(value: float) -> str:
    """A count with spaces between thousands."""
    if value == int(value):
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.1f}"


def money(amount_minor: int, currency: str) -> str:
    """An amount with its currency."""
    return str(Money(amount_minor=amount_minor, currency=currency))


def limit(amount_minor: int, currency: str) -> str:
    """A limit without its currency, and without decimals where they are zero."""
    text = Money(amount_minor=amount_minor, currency=currency).decimal()
    return text.removesuffix(".00")
