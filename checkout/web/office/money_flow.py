"""The way of one payment's money from the payer to the merchant, and what each party keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from checkout.clearing.queries import Posting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One party on the way: what it keeps and what it passes on, in minor units."""

    party: str
    keeps_minor: int
    passes_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFlow:
    """A sale's money in the merchant's currency.

    `paid_minor` is `merchant_minor` and all that the parties keep. `billed` is amount and currency
    on the payer's account where that has another currency.
    """

    currency: str
    paid_minor: int
    stops: tuple[Stop, ...]
    merchant_minor: int
    billed: tuple[int, str] | None


def flow_of(postings: Sequence[Posting]) -> MoneyFlow | None:
    """The flow of a sale's postings; None where no merchant is paid by them."""
    sales = [each for each in postings if each.credit.startswith("merchant/")]
    payers = [each for each in postings if each.debit.startswith("payer/")]
    if not sales or not payers:
        return None
    currency = sales[0].currency
    keeps: dict[str, int] = defaultdict(int)
    for each in postings:
        if each.credit.startswith("income/"):
            keeps[_party(each.credit)] += each.amount_minor
        if each.debit.startswith("expense/"):
            keeps[_party(each.debit)] -= each.amount_minor
    merchant_minor = sum(each.amount_minor for each in sales)
    paid_minor = merchant_minor + sum(keeps.values())
    stops, left = [], paid_minor
    for party in _way(postings, list(keeps)):
        left -= keeps.get(party, 0)
        stops.append(Stop(party=party, keeps_minor=keeps.get(party, 0), passes_minor=left))
    billed = payers[0]
    return MoneyFlow(
        currency=currency,
        paid_minor=paid_minor,
        stops=tuple(stops),
        merchant_minor=merchant_minor,
        billed=None if billed.currency == currency else (billed.amount_minor, billed.currency),
    )


def _way(postings: Sequence[Posting], parties: list[str]) -> list[str]:
    """The parties in order: first the payer's issuer, last the one that pays the merchant."""
    first = [_party(each.credit) for each in postings if each.debit.startswith("payer/")][:1]
    last = [_party(each.debit) for each in postings if each.credit.startswith("merchant/")][:1]
    middle = [party for party in parties if party not in (*first, *last)]
    return list(dict.fromkeys([*first, *middle, *last]))


def _party(account: str) -> str:
    return account.split("/")[1]
