"""What one payment's money passes on its way from the payer to the merchant, and who keeps what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from checkout.clearing.queries import Posting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One party on the way: what it keeps, and what goes on from it; minor units."""

    party: str
    keeps_minor: int
    passes_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFlow:
    """A sale's money in the merchant's currency: `paid_minor` is the parts' and the net's sum.

    `billed` is what the payer's account shows where that is in another currency.
    """

    currency: str
    paid_minor: int
    stops: tuple[Stop, ...]
    merchant_minor: int
    billed: tuple[int, str] | None


def flow_of(postings: Sequence[Posting]) -> MoneyFlow | None:
    """The flow of a sale's postings; None where no merchant is paid by them."""
    sales = [one for one in postings if one.credit.startswith("merchant/")]
    payers = [one for one in postings if one.debit.startswith("payer/")]
    if not sales or not payers:
        return None
    currency = sales[0].currency
    kept: dict[str, int] = defaultdict(int)
    for one in postings:
        if one.credit.startswith("income/"):
            kept[_party(one.credit)] += one.amount_minor
        if one.debit.startswith("expense/"):
            kept[_party(one.debit)] -= one.amount_minor
    merchant_minor = sum(one.amount_minor for one in sales)
    paid_minor = merchant_minor + sum(kept.values())
    stops, left = [], paid_minor
    for party in _way(postings, list(kept)):
        left -= kept.get(party, 0)
        stops.append(Stop(party=party, keeps_minor=kept.get(party, 0), passes_minor=left))
    billed = payers[0]
    return MoneyFlow(
        currency=currency,
        paid_minor=paid_minor,
        stops=tuple(stops),
        merchant_minor=merchant_minor,
        billed=None if billed.currency == currency else (billed.amount_minor, billed.currency),
    )


def _way(postings: Sequence[Posting], keeping: list[str]) -> list[str]:
    """The payer's house first, whoever pays the merchant last, the others between them."""
    first = [_party(one.credit) for one in postings if one.debit.startswith("payer/")][:1]
    last = [_party(one.debit) for one in postings if one.credit.startswith("merchant/")][:1]
    middle = [party for party in keeping if party not in (*first, *last)]
    return list(dict.fromkeys([*first, *middle, *last]))


def _party(account: str) -> str:
    return account.split("/")[1]
