"""Live numbers: how long this shop's real sales take from the code on the screen to the money.

From shown to noticed (a phone opened the code, the counter scanned a phone's code, a card came into
the reader's field), and from there to paid, by the shop's clock. Neither includes the modelled time
of an emulated sale. A printed code has no moment at which it is shown, so sales by printed codes
count apart, from the page on the phone to the money. Failed attempts before the one that paid count
into the second stretch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from checkout.acceptance.contract import Mode
from checkout.comparison.quantile import quantile
from checkout.shop.orders.milestones import (
    CARD_SEEN,
    CODE_OPENED,
    CODE_SCANNED,
    CREATED,
    PAID,
    SHOWN,
    Milestone,
)
from checkout.shop.payments.payments import Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """Milliseconds of one sale: until it was noticed, and from there until it was paid."""

    to_notice_ms: float
    to_pay_ms: float

    @property
    def whole_ms(self) -> float:
        """From shown to paid."""
        return self.to_notice_ms + self.to_pay_ms


def stretches(payment: Payment, moments: Sequence[Milestone]) -> Stretches | None:
    """Where the time of a paid sale went; None where one of its moments was not recorded.

    Nobody shows a printed code: a sale by one has `sticker_ms` instead.
    """
    if any(_is_sticker(moment) for moment in moments):
        return None
    paid_at = _first(m for m in moments if m.kind == PAID and _is_of(m, payment))
    noticed_at = _noticed_at(payment, moments)
    if paid_at is None or noticed_at is None or noticed_at > paid_at:
        return None
    shown_at = _first(m for m in moments if m.kind == SHOWN)
    if shown_at is None or shown_at > noticed_at:
        # No picture was requested before: the payer had the code, or the amount, from elsewhere.
        shown_at = _first(m for m in moments if m.kind == CREATED)
    if shown_at is None:
        return None
    return Stretches(
        to_notice_ms=max(_ms(shown_at, noticed_at), 0.0), to_pay_ms=_ms(noticed_at, paid_at)
    )


def sticker_ms(payment: Payment, moments: Sequence[Milestone]) -> float | None:
    """From the page of a printed code on a phone to the money; None for any other sale."""
    paid_at = _first(m for m in moments if m.kind == PAID and _is_of(m, payment))
    opened_at = _first(m for m in moments if _is_sticker(m) and _same_world(m, payment))
    if paid_at is None or opened_at is None or opened_at > paid_at:
        return None
    return _ms(opened_at, paid_at)


def spread(values: Iterable[float]) -> dict[str, float] | None:
    """Median, 90th percentile and maximum; None where there are no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return {
        "median": round(quantile(ordered, 0.5), 3),
        "p90": round(quantile(ordered, 0.9), 3),
        "max": round(ordered[-1], 3),
    }


def live_numbers(timed: Sequence[Stretches]) -> dict[str, object]:
    """The figures of one group of sales, as page and API show them; milliseconds."""
    return {
        "sales": len(timed),
        "shown_to_noticed_ms": spread(each.to_notice_ms for each in timed),
        "noticed_to_paid_ms": spread(each.to_pay_ms for each in timed),
        "shown_to_paid_ms": spread(each.whole_ms for each in timed),
    }


def _noticed_at(payment: Payment, moments: Sequence[Milestone]) -> datetime | None:
    if payment.mode is Mode.NFC:
        return _first(m for m in moments if m.kind == CARD_SEEN and _same_world(m, payment))
    scanned = _first(m for m in moments if m.kind == CODE_SCANNED and _is_of(m, payment))
    if scanned is not None:
        return scanned
    return _first(m for m in moments if m.kind == CODE_OPENED and _same_world(m, payment))


def _is_of(moment: Milestone, payment: Payment) -> bool:
    return moment.payload.get("payment") == payment.id


def _is_sticker(moment: Milestone) -> bool:
    return moment.kind == CODE_OPENED and bool(moment.payload.get("sticker"))


def _same_world(moment: Milestone, payment: Payment) -> bool:
    """Whether moment and payment are both of emulated devices, or both of real ones."""
    return moment.payload.get("emulated") is payment.emulated


def _first(moments: Iterable[Milestone]) -> datetime | None:
    return min((moment.at for moment in moments), default=None)


def _ms(before: datetime, after: datetime) -> float:
    return (after - before).total_seconds() * 1000
