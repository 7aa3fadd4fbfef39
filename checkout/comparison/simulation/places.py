"""A scenario run in its worlds: who is served, who is lost and why, the waits and the cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from checkout.comparison.simulation.costs import fees_by_rules
from checkout.comparison.simulation.queues import BLOCK, Queues, simulate_variants
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.traffic import (
    PARTIES,
    WORLDS,
    Drawn,
    Fees,
    Measured,
    Traffic,
    World,
    draw_people,
    draw_traffic,
)

#: Customers that one run of a scenario has, about; enough for the third digit.
CUSTOMERS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldResult:
    """One scenario in one world; counts are customers, amounts minor units, times seconds.

    `served` is by way to pay and `modes` by mode. The lost are counted by reason: `unable` had
    nothing that the shop takes, `abandoned` gave up while paying, `impatient` left the line.
    """

    world: World
    shops: int
    arrived: int
    served: Mapping[str, int]
    modes: Mapping[str, int]
    unable: int
    abandoned: int
    impatient: int
    mean_wait_s: float
    wait_interval_s: tuple[float, float]
    p95_wait_s: float
    mean_line: float
    paying_s: Mapping[str, float]  # mean time of the payment itself, by way
    busy: float  # share of the counters' time
    sold_minor: int
    lost_minor: int
    income_minor: Mapping[str, int]  # by party
    equipment_minor: int

    @property
    def served_total(self) -> int:
        """Customers served."""
        return sum(self.served.values())

    @property
    def electronic_total(self) -> int:
        """Customers served other than by cash."""
        return self.served_total - self.modes.get("cash", 0)

    @property
    def fees_minor(self) -> int:
        """What the merchant paid away in fees."""
        return self.sold_minor - self.income_minor["merchant"]

    @property
    def take_minor(self) -> int:
        """What the merchant keeps of sales after fees and equipment."""
        return self.income_minor["merchant"] - self.equipment_minor

    @property
    def take_per_customer(self) -> float:
        """The same for each customer who came, in minor units."""
        return self.take_minor / max(self.arrived, 1)

    def as_json(self) -> dict[str, object]:
        """The result as the JSON report has it."""
        return {
            "shops": self.shops,
            "arrived": self.arrived,
            "served": dict(self.served),
            "served_by_mode": dict(self.modes),
            "lost": {
                "unable": self.unable,
                "abandoned": self.abandoned,
                "impatient": self.impatient,
                "value_minor": self.lost_minor,
            },
            "wait_s": {
                "mean": round(self.mean_wait_s, 4),
                "interval": [round(edge, 4) for edge in self.wait_interval_s],
                "p95": round(self.p95_wait_s, 2),
            },
            "mean_line": round(self.mean_line, 4),
            "paying_s": {way: round(mean, 3) for way, mean in self.paying_s.items()},
            "counters_busy": round(self.busy, 4),
            "sold_minor": self.sold_minor,
            "income_minor": dict(self.income_minor),
            "fees_minor": self.fees_minor,
            "equipment_minor": self.equipment_minor,
            "take_per_customer_minor": round(self.take_per_customer, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """Customers by what became of them: paid one way or the other, or lost."""

    arrived: int
    by_code: int
    by_tap: int
    by_cash: int
    unable: int  # had nothing that the shop takes
    gave_up: int  # left the line, or gave up while paying

    @classmethod
    def of(cls, results: Iterable[WorldResult]) -> Fates:
        """The customers of some runs together."""
        runs = list(results)
        return cls(
            arrived=sum(run.arrived for run in runs),
            by_code=sum(run.modes.get("qr", 0) for run in runs),
            by_tap=sum(run.modes.get("nfc", 0) for run in runs),
            by_cash=sum(run.modes.get("cash", 0) for run in runs),
            unable=sum(run.unable for run in runs),
            gave_up=sum(run.impatient + run.abandoned for run in runs),
        )

    def as_json(self) -> dict[str, int]:
        """The counts as the JSON report has them."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceResult:
    """One scenario in its worlds, by name of the world."""

    scenario: Scenario
    worlds: Mapping[World, WorldResult]


def run_place(
    scenario: Scenario,
    *,
    seed: int,
    measured: Measured | None = None,
    fees: Fees = fees_by_rules,
    customers: int = CUSTOMERS,
) -> PlaceResult:
    """Run one scenario with the same people in every world."""
    people = draw_people(scenario, seed)
    drawn: Drawn = {}
    cases = [
        Case(
            scenario=scenario,
            world=world,
            traffic=draw_traffic(
                scenario, world, people, seed=seed, fees=fees, measured=measured, drawn=drawn
            ),
        )
        for world in WORLDS
    ]
    results = run_cases(cases, seed=seed, customers=customers)
    return PlaceResult(scenario=scenario, worlds=dict(zip(WORLDS, results, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario in one world, drawn and ready to run."""

    scenario: Scenario
    world: World
    traffic: Traffic


def run_cases(
    cases: Sequence[Case], *, seed: int, customers: int = CUSTOMERS
) -> tuple[WorldResult, ...]:
    """Run cases that share arrivals and counters, about `customers` customers each, in one pass."""
    first = cases[0].scenario
    shops = max(1, round(customers / first.arrivals.expected))
    found = simulate_variants(
        [case.traffic.customers for case in cases],
        first.arrivals,
        counters=first.counters,
        shops=shops,
        seed=seed,
        block=max(1, BLOCK // len(cases)),
    )
    return tuple(
        summarise(case.scenario, case.world, case.traffic, queues)
        for case, queues in zip(cases, found, strict=True)
    )


def summarise(scenario: Scenario, world: World, traffic: Traffic, queues: Queues) -> WorldResult:
    """Add up one run: every customer is a row of the table, so sums are counts times rows."""
    served, lost = queues.served, queues.lost
    by_way = {
        way.name: int(served[traffic.way == index].sum()) for index, way in enumerate(traffic.ways)
    }
    by_mode: dict[str, int] = {}
    for way in traffic.ways:
        by_mode[way.mode] = by_mode.get(way.mode, 0) + by_way[way.name]
    paying = {}
    for index, way in enumerate(traffic.ways):
        chosen = traffic.way == index
        if by_way[way.name]:
            paying[way.name] = float(served[chosen] @ traffic.paying_s[chosen]) / by_way[way.name]
    unable = int(lost[traffic.way < 0].sum())
    abandoned = int(lost[traffic.abandoned].sum())
    opened_s = queues.shops * scenario.arrivals.open_s * scenario.counters
    return WorldResult(
        world=world,
        shops=queues.shops,
        arrived=queues.arrived_total,
        served=by_way,
        modes=by_mode,
        unable=unable,
        abandoned=abandoned,
        impatient=int(lost.sum()) - unable - abandoned,
        mean_wait_s=queues.mean_wait_s,
        wait_interval_s=queues.mean_wait_interval_s(),
        p95_wait_s=queues.wait_quantile_s(0.95),
        mean_line=queues.mean_line,
        paying_s=paying,
        busy=float(served @ traffic.customers.service_s) / opened_s,
        sold_minor=int(served @ traffic.amount_minor),
        lost_minor=int(lost @ traffic.amount_minor),
        income_minor={
            party: int(served @ traffic.shares_minor[row]) for row, party in enumerate(PARTIES)
        },
        equipment_minor=queues.shops * _equipment_minor(scenario, world),
    )


def _equipment_minor(scenario: Scenario, world: World) -> int:
    # Scenarios state a day's cost; a shorter run carries its share of a day of 12 hours.
    day = scenario.arrivals.open_s / (12 * 3600)
    cost = {
        "qr": scenario.qr_day_minor,
        "nfc": scenario.nfc_day_minor,
        "both": scenario.qr_day_minor + scenario.nfc_day_minor,
        "neither": 0,
    }[world]
    return round(cost * min(1.0, day))
