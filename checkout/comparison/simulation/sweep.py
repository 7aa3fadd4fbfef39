"""Where taps overtake codes: terminal penetration against tap limit, and what moves the answer.

A shop without a terminal takes no tap, a shop without a code no code; shops are independent. So
what a country of such shops takes by taps is its penetration times what one shop takes, and the
penetration at which taps overtake codes is a quotient of two runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from checkout.comparison.simulation.costs import fees_by_rules, no_fees
from checkout.comparison.simulation.places import Case, WorldResult, run_cases
from checkout.comparison.simulation.queues import Arrivals
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.sweep_figures import Figure, figures_of
from checkout.comparison.simulation.timing_models import Models, load_models
from checkout.comparison.simulation.traffic import Fees, Measured, World, draw_people, draw_traffic

#: Tap limits tried, in minor units; CNY 300 held until 2018-06-01, CNY 1,000 since.
TAP_LIMITS_MINOR = (0, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000)

#: What is compared: sales paid electronically, or what the merchant keeps from them.
Measure = Literal["sales", "take"]
MEASURES: tuple[Measure, ...] = ("sales", "take")

_SWEEP_CUSTOMERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaking:
    """For one scenario and measure, how codes and taps do at full acceptance by tap limit.

    `code` and `taps` are per customer who came: a share (sales) or minor units (take).
    """

    scenario: str
    measure: Measure
    code_penetration: float
    code: float
    limits_minor: tuple[int, ...]
    taps: tuple[float, ...]

    def penetration_at(self, index: int) -> float | None:
        """Terminal penetration from which taps lead at that tap limit; None where they never do."""
        taps = self.taps[index]
        if taps <= 0:
            return None
        needed = self.code * self.code_penetration / taps
        return needed if needed <= 1 else None

    def nearest(self, limit_minor: int) -> int:
        """Index of the tried limit that is nearest to a limit."""
        tried = self.limits_minor
        return min(range(len(tried)), key=lambda index: abs(tried[index] - limit_minor))

    def as_json(self) -> dict[str, object]:
        """The result as the JSON report has it."""
        return {
            "measure": self.measure,
            "code_penetration": self.code_penetration,
            "code": round(self.code, 4),
            "points": [
                {
                    "tap_limit_minor": limit,
                    "taps": round(self.taps[index], 4),
                    "overtakes_at_penetration": _rounded(self.penetration_at(index)),
                }
                for index, limit in enumerate(self.limits_minor)
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How far one figure, alone lowered or raised, moves taps' lead over codes.

    The lead is taps less codes in electronic sales per customer who came, each at the acceptance
    that the scenario states.
    """

    name: str
    title: str
    low: float
    high: float
    lead_low: float
    lead_high: float

    @property
    def swing(self) -> float:
        """By how much the figure moves the lead."""
        return abs(self.lead_high - self.lead_low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Everything swept for one scenario."""

    scenario: str
    overtaking: Mapping[Measure, Overtaking]
    lead: float
    sensitivity: tuple[Sensitivity, ...]

    def as_json(self) -> dict[str, object]:
        """The result as the JSON report has it."""
        return {
            "overtaking": {name: found.as_json() for name, found in self.overtaking.items()},
            "lead": round(self.lead, 4),
            "sensitivity": [
                {
                    "figure": figure.name,
                    "from": round(figure.low, 4),
                    "to": round(figure.high, 4),
                    "lead": [round(figure.lead_low, 4), round(figure.lead_high, 4)],
                }
                for figure in self.sensitivity
            ],
        }


def sweep(
    scenario: Scenario,
    *,
    seed: int,
    measured: Measured | None = None,
    fees: Fees = fees_by_rules,
    limits_minor: Sequence[int] = TAP_LIMITS_MINOR,
    customers: int = _SWEEP_CUSTOMERS,
) -> Sweep:
    """Sweep the tap limit, and every figure of `_figures` by itself; same people throughout."""
    runs = _Runs(seed, measured, customers)
    figures = list(figures_of(scenario))
    models = load_models()
    ends = [figure.change(scenario, models, end) for figure in figures for end in figure.ends]
    limited = [replace(scenario, tap_limit_minor=limit) for limit in limits_minor]
    results = runs.run(
        [
            _Run(scenario, models, "qr", fees),
            *(_Run(changed, models, "nfc", fees) for changed in limited),
            _Run(scenario, models, "nfc", no_fees),
            *(_Run(*end, world, no_fees) for end in ends for world in ("nfc", "qr")),
        ]
    )
    code, taps, rest = results[0], results[1 : len(limited) + 1], results[len(limited) + 1 :]
    leads = [
        _lead(end[0], rest[1 + 2 * index], rest[2 + 2 * index]) for index, end in enumerate(ends)
    ]
    return Sweep(
        scenario=scenario.name,
        overtaking={
            measure: Overtaking(
                scenario=scenario.name,
                measure=measure,
                code_penetration=scenario.code_penetration,
                code=_value(code, measure),
                limits_minor=tuple(limits_minor),
                taps=tuple(_value(tap, measure) for tap in taps),
            )
            for measure in MEASURES
        },
        lead=_lead(scenario, rest[0], code),
        sensitivity=_sensitivities(figures, leads),
    )


def _sensitivities(figures: Sequence[Figure], leads: Sequence[float]) -> tuple[Sensitivity, ...]:
    """The figure that moves the lead most comes first; `leads` has two for each figure."""
    found = [
        Sensitivity(
            name=figure.name,
            title=figure.title,
            low=figure.low,
            high=figure.high,
            lead_low=leads[2 * index],
            lead_high=leads[2 * index + 1],
        )
        for index, figure in enumerate(figures)
    ]
    return tuple(sorted(found, key=lambda sensitivity: -sensitivity.swing))


def _value(result: WorldResult, measure: Measure) -> float:
    if measure == "sales":
        return result.electronic_total / max(result.arrived, 1)
    # Cash is the same fallback for both modes, so its sales count for neither.
    cash = result.modes.get("cash", 0) / max(result.served_total, 1)
    return result.take_per_customer * (1 - cash)


def _lead(scenario: Scenario, taps: WorldResult, codes: WorldResult) -> float:
    tapped = _value(taps, "sales") * scenario.terminal_penetration
    return tapped - _value(codes, "sales") * scenario.code_penetration


@dataclass(frozen=True, slots=True)
class _Run:
    scenario: Scenario
    models: Models
    world: World
    fees: Fees


class _Runs:
    """The runs of one sweep; those with the same arrivals and counters are made in one pass."""

    def __init__(self, seed: int, measured: Measured | None, customers: int) -> None:
        self._seed = seed
        self._measured = measured
        self._customers = customers

    def run(self, runs: Sequence[_Run]) -> list[WorldResult]:
        # Many changes do not touch one of the two worlds; equal runs are made once.
        distinct: list[_Run] = []
        places = []
        for run in map(_essence, runs):
            if run not in distinct:
                distinct.append(run)
            places.append(distinct.index(run))
        results: dict[int, WorldResult] = {}
        alike: dict[Arrivals, list[int]] = {}
        for index, run in enumerate(distinct):
            alike.setdefault(run.scenario.arrivals, []).append(index)
        for indices in alike.values():
            cases = [self._case(distinct[index]) for index in indices]
            found = run_cases(cases, seed=self._seed, customers=self._customers)
            results |= dict(zip(indices, found, strict=True))
        return [results[index] for index in places]

    def _case(self, run: _Run) -> Case:
        traffic = draw_traffic(
            run.scenario,
            run.world,
            draw_people(run.scenario, self._seed),
            seed=self._seed,
            fees=run.fees,
            measured=self._measured,
            models=run.models,
        )
        return Case(scenario=run.scenario, world=run.world, traffic=traffic)


def _essence(run: _Run) -> _Run:
    """The run with every figure that its world does not use set to zero."""
    scenario = replace(run.scenario, terminal_penetration=0.0, code_penetration=0.0)
    carry = scenario.carry
    if run.world == "qr":
        carry = replace(carry, card=0.0, nfc_phone=0.0)
        scenario = replace(scenario, carry=carry, tap_limit_minor=0, offline_floor_minor=0)
    elif run.world == "nfc":
        scenario = replace(scenario, carry=replace(carry, wallet=0.0))
    return replace(run, scenario=scenario)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
