"""Who comes to a place and how long each keeps a counter busy, by what the shop takes.

65,536 people are drawn once per scenario and seed: what they carry, what they buy, how patient
they are. In every world - codes only, taps only, both, neither - the same people come, and each
takes the first way to pay that works; cash is the last, for those who carry it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from checkout.comparison.simulation.queues import ROWS, Customers
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.timing_models import Models, Way, load_models

World = Literal["qr", "nfc", "both", "neither"]
WORLDS: tuple[World, ...] = ("qr", "nfc", "both", "neither")

#: Who a sale's money goes to, in the order of the rows of shares.
PARTIES = ("merchant", "issuer", "network", "acquirer", "operator", "bank")

#: Measured software milliseconds by way, or else by mode; empty where nothing was measured.
Measured = Mapping[str, Sequence[float]]


#: Times of a way to pay for each row, in seconds, once drawn.
Drawn = dict[str, NDArray[np.float64]]


class Fees(Protocol):
    """Who gets what of a sale, row by row."""

    def __call__(
        self,
        scenario: Scenario,
        way: Way,
        amounts_minor: NDArray[np.int64],
        credit: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Shares in minor units, one row for each of `PARTIES`; a column sums to its amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The people of one scenario; every array has 65,536 rows."""

    amount_minor: NDArray[np.int64]
    patience_s: NDArray[np.float64]
    has: Mapping[str, NDArray[np.bool_]]
    credit: NDArray[np.bool_]
    ready_s: NDArray[np.float64]  # goods rung up and packed, whatever the way to pay


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """People with the way each pays in one world.

    `way` indexes `ways`, -1 where none works; `paying_s` is the payment alone; `shares_minor` has
    a row for each of PARTIES; `abandoned` marks who could have paid but found it longer than their
    patience (only where patience covers paying).
    """

    ways: tuple[Way, ...]
    way: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    paying_s: NDArray[np.float64]
    shares_minor: NDArray[np.int64]
    abandoned: NDArray[np.bool_]
    customers: Customers


def draw_people(scenario: Scenario, seed: int) -> People:
    """The people who come, from the scenario's shares and distributions."""
    random = np.random.default_rng([seed, 1])
    carry = scenario.carry
    shares = {
        "wallet": carry.wallet,
        "card": carry.card,
        "nfc-phone": carry.nfc_phone,
        "cash": carry.cash,
        "phone-online": scenario.phone_online,
        "shop-online": scenario.shop_online,
    }
    # One draw for the phone, so that everyone with NFC in the phone has a wallet to scan with too.
    phone = random.random(ROWS)
    draws = {need: random.random(ROWS) for need in shares}
    draws |= {"wallet": phone, "nfc-phone": phone}
    has = {need: draws[need] < share for need, share in shares.items()}
    has["terminal"] = np.ones(ROWS, dtype=bool)
    step = scenario.price_step_minor
    steps = np.rint(scenario.basket_minor.sample(random, ROWS) / step).astype(np.int64)
    return People(
        amount_minor=np.maximum(steps, 1) * step,
        patience_s=scenario.patience_s.sample(random, ROWS),
        has=has,
        credit=random.random(ROWS) < carry.credit,
        ready_s=scenario.service_s["common"].sample(random, ROWS),
    )


def ways_of(scenario: Scenario, world: World, models: Models) -> tuple[Way, ...]:
    """The ways to pay in one world, the preferred first: in both, the quicker on average."""
    names = {
        "qr": [scenario.qr_way],
        "nfc": list(scenario.nfc_ways),
        "both": [scenario.qr_way, *scenario.nfc_ways],
        "neither": [],
    }[world]
    if world == "both":
        names.sort(key=lambda name: _mean_ms(models, scenario, name))
    return tuple(models.ways[name] for name in [*names, "cash"])


def draw_traffic(
    scenario: Scenario,
    world: World,
    people: People,
    *,
    seed: int,
    fees: Fees,
    measured: Measured | None = None,
    models: Models | None = None,
    drawn: Drawn | None = None,
) -> Traffic:
    """How the people of a scenario pay in one world.

    `measured` gives software milliseconds by way ("qr-payer-code") or else by mode ("qr", "nfc");
    each payment draws one of them.
    `drawn` stores the times of each way for the other worlds of the same scenario.
    """
    times = {} if drawn is None else drawn
    known = models or load_models()
    ways = ways_of(scenario, world, known)
    way = np.full(ROWS, -1, dtype=np.int64)
    paying_s = np.zeros(ROWS)
    shares = np.zeros((len(PARTIES), ROWS), dtype=np.int64)
    for index, candidate in enumerate(ways):
        able, offline = _able(scenario, candidate, people)
        takes = (way < 0) & able
        way[takes] = index
        if candidate.name not in times:
            times[candidate.name] = _paying_s(
                scenario, candidate, people, offline, seed, measured or {}, known
            )
        paying_s[takes] = times[candidate.name][takes]
        shares[:, takes] = fees(
            scenario, candidate, people.amount_minor[takes], people.credit[takes]
        )
    abandoned = np.zeros(ROWS, dtype=bool)
    if scenario.patience_while_paying:
        abandoned = (way >= 0) & (paying_s > people.patience_s)
    return Traffic(
        ways=ways,
        way=way,
        amount_minor=people.amount_minor,
        paying_s=paying_s,
        shares_minor=shares,
        abandoned=abandoned,
        customers=Customers(
            service_s=people.ready_s + paying_s,
            able=(way >= 0) & ~abandoned,
            patience_s=people.patience_s,
        ),
    )


def _able(
    scenario: Scenario, way: Way, people: People
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who can pay this way, and which of them only because the card decides offline."""
    able = np.ones(ROWS, dtype=bool)
    for need in way.needs:
        if need != "shop-online":
            able &= people.has[need]
    if way.limit == "tap" and not scenario.pin_pad:
        able &= people.amount_minor <= scenario.tap_limit_minor
    offline = np.zeros(ROWS, dtype=bool)
    if "shop-online" in way.needs:
        small = people.amount_minor <= scenario.offline_floor_minor
        offline = ~people.has["shop-online"] & small & way.offline
        able &= people.has["shop-online"] | offline
    return able, offline


def _paying_s(
    scenario: Scenario,
    way: Way,
    people: People,
    offline: NDArray[np.bool_],
    seed: int,
    measured: Measured,
    models: Models,
) -> NDArray[np.float64]:
    random = np.random.default_rng([seed, 2, *way.name.encode()])
    limit = {"tap": scenario.tap_limit_minor, "code": scenario.code_limit_minor}.get(way.limit, 0)
    total = models.time_ms(
        way.name,
        random,
        ROWS,
        skip=scenario.skip.get(way.name, frozenset()) | {"issuer-network"},
        with_pin=people.amount_minor > limit,
    )
    host = np.zeros(ROWS)
    if "issuer-network" in way.steps and "issuer-network" not in scenario.skip.get(way.name, ()):
        host += models.steps["issuer-network"].time_ms.sample(random, ROWS)
        if scenario.abroad:
            host += models.steps["abroad-network"].time_ms.sample(random, ROWS)
    total += np.where(offline, 0.0, host)
    samples = measured.get(way.name) or measured.get(way.mode)
    if samples:
        total += np.asarray(samples, dtype=float)[random.integers(0, len(samples), ROWS)]
    extra = scenario.service_s.get(way.mode)
    seconds: NDArray[np.float64] = total / 1000
    if extra is not None:
        seconds += extra.sample(random, ROWS)
    return seconds


def _mean_ms(models: Models, scenario: Scenario, name: str) -> float:
    way = models.ways[name]
    skip = scenario.skip.get(name, frozenset())
    own = sum(models.steps[step].time_ms.mean for step in way.steps if step not in skip)
    extra = scenario.service_s.get(way.mode)
    return own + (extra.mean * 1000 if extra is not None else 0.0)
