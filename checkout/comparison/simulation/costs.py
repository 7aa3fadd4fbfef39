"""The fees of a scenario's sales, by the clearing backend's own rules."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from checkout.clearing.scheme.fees import fees
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.timing_models import Way
from checkout.comparison.simulation.traffic import PARTIES


def fees_by_rules(
    scenario: Scenario,
    way: Way,
    amounts_minor: NDArray[np.int64],
    credit: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Shares of each sale by party, in minor units.

    Codes go through the three-party house, taps and card forms through the four-party one; cash
    costs no fee. `checkout.clearing.scheme.fees` computes each distinct amount once.
    """
    shares = np.zeros((len(PARTIES), len(amounts_minor)), dtype=np.int64)
    if way.mode == "cash":
        shares[0] = amounts_minor
        return shares
    house = House.THREE_PARTY if way.mode == "qr" else House.FOUR_PARTY
    for on_credit in (False, True):
        chosen = credit == on_credit
        distinct, place = np.unique(amounts_minor[chosen], return_inverse=True)
        kind = CardKind.CREDIT if on_credit else CardKind.DEBIT
        found = [_split(int(amount), kind, house, scenario) for amount in distinct]
        if found:
            shares[:, chosen] = np.array(found, dtype=np.int64).T[:, place]
    return shares


def no_fees(
    scenario: Scenario,
    way: Way,
    amounts_minor: NDArray[np.int64],
    credit: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """No fees, all to the merchant: for runs that count customers and not money."""
    shares = np.zeros((len(PARTIES), len(amounts_minor)), dtype=np.int64)
    shares[0] = amounts_minor
    return shares


def _split(amount_minor: int, kind: CardKind, house: House, scenario: Scenario) -> tuple[int, ...]:
    return _cached(amount_minor, kind, house, scenario.mcc, scenario.date, scenario.currency)


@lru_cache(maxsize=1 << 18)
def _cached(
    amount_minor: int, kind: CardKind, house: House, mcc: str, day: date, currency: str
) -> tuple[int, ...]:
    split = fees(
        amount_minor,
        card_kind=kind,
        mcc=mcc,
        on=day,
        house=house,
        currency=currency,
    )
    shares = split.shares()
    return tuple(shares[party] for party in PARTIES)
