"""A country's day: every scenario at once, each with its share of the payments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from checkout.comparison.simulation.costs import fees_by_rules
from checkout.comparison.simulation.places import WorldResult, summarise
from checkout.comparison.simulation.queues import simulate_mix
from checkout.comparison.simulation.scenarios import Scenario, load_scenarios
from checkout.comparison.simulation.traffic import (
    Drawn,
    Fees,
    Measured,
    World,
    draw_people,
    draw_traffic,
)

#: China's mobile payments a day in the third quarter of 2015: 4.5 billion in 92 days.
PAYMENTS_A_DAY = 49_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One scenario's part of the day: which world its shops are in, and what came of it."""

    scenario: Scenario
    result: WorldResult


def worlds_as_they_stand(scenario: Scenario) -> dict[World, float]:
    """How many of a scenario's shops take codes, taps, both or neither, independently."""
    code, terminal = scenario.code_penetration, scenario.terminal_penetration
    return {
        "both": code * terminal,
        "qr": code * (1 - terminal),
        "nfc": (1 - code) * terminal,
        "neither": (1 - code) * (1 - terminal),
    }


def run_country(
    *,
    seed: int,
    customers: int = PAYMENTS_A_DAY,
    fees: Fees = fees_by_rules,
    measured: Measured | None = None,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> tuple[Share, ...]:
    """Run about `customers` customers over all scenarios, as equipped as their files say.

    `workers` processes share the scenarios, with the same result. `progress` hears the share of
    the customers done.
    """
    # Those with many customers a shop first: they are the longest, since arrays go across shops.
    scenarios = sorted(load_scenarios(), key=lambda one: -one.arrivals.expected)
    tasks = [(scenario, seed, customers, fees, measured) for scenario in scenarios]
    shares: list[Share] = []
    with _map(workers) as run_all:
        for scenario, found in zip(scenarios, run_all(_run_scenario, tasks), strict=True):
            shares.extend(found)
            if progress is not None:
                progress(scenario.weight)
    return tuple(shares)


@contextmanager
def _map(workers: int) -> Iterator[Callable[..., Iterable[list[Share]]]]:
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _run_scenario(
    task: tuple[Scenario, int, int, Fees, Measured | None],
) -> list[Share]:
    scenario, seed, customers, fees, measured = task
    people = draw_people(scenario, seed)
    shops: dict[World, int] = {}
    for world, part in worlds_as_they_stand(scenario).items():
        count = round(customers * scenario.weight * part / scenario.arrivals.expected)
        if count:
            shops[world] = count
    if not shops:
        return []
    drawn: Drawn = {}
    traffic = [
        draw_traffic(scenario, world, people, seed=seed, fees=fees, measured=measured, drawn=drawn)
        for world in shops
    ]
    found = simulate_mix(
        [one.customers for one in traffic],
        list(shops.values()),
        scenario.arrivals,
        counters=scenario.counters,
        seed=seed,
    )
    return [
        Share(scenario=scenario, result=summarise(scenario, world, one, queues))
        for world, one, queues in zip(shops, traffic, found, strict=True)
    ]
