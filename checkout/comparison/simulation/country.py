"""A country's day: every scenario at once, each with its share of the payments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from checkout.comparison.simulation.costs import fees_by_rules
from checkout.comparison.simulation.places import Fates, PlaceResult, summarise
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
class CountryDay:
    """The day of a country: each scenario with the worlds that its shops are in."""

    places: tuple[PlaceResult, ...]

    @property
    def fates(self) -> Fates:
        """All customers of the country, by what became of them."""
        return Fates.of(result for place in self.places for result in place.worlds.values())

    def as_json(self) -> dict[str, object]:
        """The day as the JSON report has it."""
        return {
            "all": self.fates.as_json(),
            "places": {
                place.scenario.name: Fates.of(place.worlds.values()).as_json()
                for place in self.places
            },
        }


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
    progress: Callable[[int, int], None] | None = None,
) -> CountryDay:
    """Run about `customers` customers over all scenarios, as equipped as their files say.

    `workers` processes share the scenarios, with the same result. `progress` is called with
    the number of scenarios that are done, and of all.
    """
    # The scenarios with many customers a shop take longest, since arrays go across shops: they
    # start first.
    scenarios = sorted(load_scenarios(), key=lambda scenario: -scenario.arrivals.expected)
    tasks = [
        _Task(scenario=scenario, seed=seed, customers=customers, fees=fees, measured=measured)
        for scenario in scenarios
    ]
    places: list[PlaceResult] = []
    with _map(workers) as run_all:
        for done, place in enumerate(run_all(_run_scenario, tasks), 1):
            places.append(place)
            if progress is not None:
                progress(done, len(tasks))
    return CountryDay(places=tuple(sorted(places, key=lambda place: -place.scenario.weight)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One scenario to run; goes to another process where there are several."""

    scenario: Scenario
    seed: int
    customers: int
    fees: Fees
    measured: Measured | None


@contextmanager
def _map(workers: int) -> Iterator[Callable[..., Iterable[PlaceResult]]]:
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _run_scenario(task: _Task) -> PlaceResult:
    scenario = task.scenario
    people = draw_people(scenario, task.seed)
    shops: dict[World, int] = {}
    for world, part in worlds_as_they_stand(scenario).items():
        count = round(task.customers * scenario.weight * part / scenario.arrivals.expected)
        if count:
            shops[world] = count
    if not shops:
        return PlaceResult(scenario=scenario, worlds={})
    drawn: Drawn = {}
    traffic = {
        world: draw_traffic(
            scenario,
            world,
            people,
            seed=task.seed,
            fees=task.fees,
            measured=task.measured,
            drawn=drawn,
        )
        for world in shops
    }
    found = simulate_mix(
        [drawn_traffic.customers for drawn_traffic in traffic.values()],
        list(shops.values()),
        scenario.arrivals,
        counters=scenario.counters,
        seed=task.seed,
    )
    return PlaceResult(
        scenario=scenario,
        worlds={
            world: summarise(scenario, world, traffic[world], queues)
            for world, queues in zip(shops, found, strict=True)
        },
    )
