"""The figures that a sweep varies one at a time, and how each changes a scenario or the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.timing_models import Models


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, the two ends it is moved to, and how that changes scenario and models."""

    name: str
    title: str
    low: float
    high: float
    change: Callable[[Scenario, Models, float], tuple[Scenario, Models]]

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high."""
        return self.low, self.high


def figures_of(scenario: Scenario) -> Iterator[Figure]:
    """Everything that is varied for one scenario: shares by a fifth, times and rates by factors."""
    shares = (
        ("carry.wallet", "carry a wallet that scans", scenario.carry.wallet),
        ("carry.card", "carry a contactless card", scenario.carry.card),
        ("carry.nfc-phone", "carry a phone that taps", scenario.carry.nfc_phone),
        ("online.phone", "phones online", scenario.phone_online),
        ("online.shop", "shop online", scenario.shop_online),
        ("terminal_penetration", "shops with a terminal", scenario.terminal_penetration),
        ("code_penetration", "shops with a code", scenario.code_penetration),
    )
    for name, title, share in shares:
        low, high = max(0.0, share - 0.2), min(1.0, share + 0.2)
        yield Figure(name, title, low, high, _set_share(name))
    rates = scenario.arrivals.rates
    yield Figure("arrivals", "customers an hour (times)", 0.5, 1.5, _scale_arrivals(rates))
    yield Figure("patience", "patience (times)", 0.5, 2.0, _scale_patience)
    yield Figure("scanning", "time to aim and scan (times)", 0.5, 2.0, _scale_scanning)
    yield Figure("tapping", "time of the card in the field (times)", 0.5, 2.0, _scale_tapping)
    yield Figure("offline_floor", "offline taps allowed (minor units)", 0, 10_000, _set_floor)


def _set_share(name: str) -> Callable[[Scenario, Models, float], tuple[Scenario, Models]]:
    def change(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
        group, _, field = name.partition(".")
        field = field.replace("-", "_")
        if group == "carry":
            changed = replace(scenario, carry=replace(scenario.carry, **{field: value}))
        elif name == "online.phone":
            changed = replace(scenario, phone_online=value)
        elif name == "online.shop":
            changed = replace(scenario, shop_online=value)
        elif name == "terminal_penetration":
            changed = replace(scenario, terminal_penetration=value)
        else:
            changed = replace(scenario, code_penetration=value)
        return changed, models

    return change


def _scale_arrivals(
    rates: Sequence[float],
) -> Callable[[Scenario, Models, float], tuple[Scenario, Models]]:
    def change(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
        scaled = tuple(rate * value for rate in rates)
        return replace(scenario, arrivals=replace(scenario.arrivals, rates=scaled)), models

    return change


def _scale_patience(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
    return replace(scenario, patience_s=scenario.patience_s.scaled(value)), models


def _scale_scanning(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
    return scenario, _scaled(
        models, ("aim-camera", "scanner-reads-phone", "gate-reads-phone"), value
    )


def _scale_tapping(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
    return scenario, _scaled(models, ("hold-card", "plastic-answers", "phone-answers"), value)


def _set_floor(scenario: Scenario, models: Models, value: float) -> tuple[Scenario, Models]:
    return replace(scenario, offline_floor_minor=int(value)), models


def _scaled(models: Models, names: Sequence[str], factor: float) -> Models:
    steps = dict(models.steps)
    for name in names:
        steps[name] = replace(steps[name], time_ms=steps[name].time_ms.scaled(factor))
    return replace(models, steps=steps)
