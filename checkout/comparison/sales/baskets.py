"""The sales that every way to pay is put through: who buys for how much, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from checkout.comparison.simulation.scenarios import Scenario

Fault = Literal["request-lost", "answer-lost", "payer-gone", "wrong-pin"]

#: Share of sales that each fault befalls, the same for every way to pay.
FAULT_SHARES: dict[Fault, float] = {
    "request-lost": 0.01,
    "answer-lost": 0.01,
    "payer-gone": 0.02,
    "wrong-pin": 0.02,
}

#: Who buys, by the kind of card they hold, and how often. What the others pay with is in `HOLDS`.
PEOPLE: dict[str, float] = {
    "debit": 0.46,
    "credit": 0.25,
    "class2": 0.14,
    "class3": 0.10,
    "empty": 0.02,
    "blocked": 0.015,
    "expired": 0.015,
}

#: The demo payer that each of them is, by way to pay.
HOLDS: dict[str, dict[str, str]] = {
    "code-wallet": {
        "debit": "wallet-balance",
        "credit": "wallet-quick",
        "class2": "wallet-balance",
        "class3": "wallet-quick",
        "empty": "wallet-balance",
        "blocked": "wallet-quick",
        "expired": "wallet-balance",
    },
    "code-payer": {
        "debit": "wallet-balance",
        "credit": "wallet-quick",
        "class2": "wallet-balance",
        "class3": "wallet-quick",
        "empty": "wallet-balance",
        "blocked": "wallet-quick",
        "expired": "wallet-balance",
    },
    "code-bank": {
        "debit": "unionpay-debit",
        "credit": "unionpay-credit",
        "class2": "unionpay-class2",
        "class3": "unionpay-class3",
        "empty": "empty",
        "blocked": "blocked",
        "expired": "expired",
    },
    "tap-card": {
        "debit": "unionpay-debit",
        "credit": "unionpay-credit",
        "class2": "unionpay-class2",
        "class3": "unionpay-class3",
        "empty": "empty",
        "blocked": "blocked",
        "expired": "expired",
    },
    "tap-phone": {
        "debit": "hce-phone",
        "credit": "se-phone",
        "class2": "hce-phone",
        "class3": "se-phone",
        "empty": "hce-phone",
        "blocked": "se-phone",
        "expired": "hce-phone",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """One sale to be made, the same by every way to pay."""

    number: int
    person: str
    amount_minor: int
    fault: Fault | None


def draw_baskets(scenario: Scenario, count: int, seed: int) -> tuple[Basket, ...]:
    """`count` sales of a scenario; a larger count begins with the same sales."""
    return tuple(_basket(scenario, number, seed) for number in range(count))


def _basket(scenario: Scenario, number: int, seed: int) -> Basket:
    random = np.random.default_rng([seed, 3, number])
    step = scenario.price_step_minor
    steps = round(float(scenario.basket_minor.sample(random, 1)[0]) / step)
    person = str(random.choice(list(PEOPLE), p=list(PEOPLE.values())))
    faults = list(FAULT_SHARES)
    drawn = float(random.random())
    fault: Fault | None = None
    for name in faults:
        drawn -= FAULT_SHARES[name]
        if drawn < 0:
            fault = name
            break
    return Basket(number=number, person=person, amount_minor=max(steps, 1) * step, fault=fault)
