"""The part of a payment's time that no machine here can measure: people, cards, air, networks.

`models.toml` states each parameter with its distribution and source. A time drawn from it is always
labelled "modelled".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from checkout.comparison.simulation.distributions import Distribution, TableError, read_distribution

Nature = Literal["human", "machine", "air", "card", "network", "software"]
Basis = Literal["published", "recorded", "assumed", "measured"]

MODELS_FILE = Path(__file__).with_name("models.toml")

#: What a way to pay may ask for.
NEEDS = ("wallet", "card", "nfc-phone", "cash", "phone-online", "shop-online", "terminal")
LIMITS = ("none", "tap", "code")
MODES = ("qr", "nfc", "cash", "other")
_NATURES = ("human", "machine", "air", "card", "network", "software")
_BASES = ("published", "recorded", "assumed", "measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """One modelled step; `time_ms` is its distribution in milliseconds."""

    name: str
    title: str
    nature: Nature
    time_ms: Distribution
    basis: Basis
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to pay as its steps in order, and what has to be there for it."""

    name: str
    title: str
    mode: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]
    pin: str | None
    limit: Literal["none", "tap", "code"]
    offline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTotal:
    """The published mean time of a whole payment, in seconds."""

    mean_s: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Every modelled step and way to pay, by name."""

    steps: Mapping[str, ModelStep]
    ways: Mapping[str, Way]
    published: Mapping[str, PublishedTotal]

    def time_ms(
        self,
        way: str,
        random: np.random.Generator,
        size: int,
        *,
        skip: frozenset[str] = frozenset(),
        with_pin: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Modelled milliseconds of `size` payments; the time of software is zero here.

        `skip` names steps done before the payer's turn; `with_pin` says who types a PIN as well.
        """
        chosen = self.ways[way]
        total = np.zeros(size)
        for name in chosen.steps:
            if name not in skip:
                total += self.steps[name].time_ms.sample(random, size)
        if chosen.pin is not None and with_pin is not None:
            # Drawn for everyone, so that the draws of one payer do not depend on another's limit.
            total += np.where(with_pin, self.steps[chosen.pin].time_ms.sample(random, size), 0.0)
        return total

    def mean_ms(self, way: str, *, with_pin: bool = False) -> float:
        """Mean modelled milliseconds of one way."""
        chosen = self.ways[way]
        total = sum(self.steps[name].time_ms.mean for name in chosen.steps)
        if with_pin and chosen.pin is not None:
            total += self.steps[chosen.pin].time_ms.mean
        return total


@cache
def load_models(path: Path = MODELS_FILE) -> Models:
    """Read the models; TableError names the field that is wrong."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    steps = {name: _step(name, table) for name, table in tables.get("step", {}).items()}
    ways = {name: _way(name, table, steps) for name, table in tables.get("way", {}).items()}
    published = {
        name: PublishedTotal(mean_s=float(table["mean_s"]), source=str(table["source"]))
        for name, table in tables.get("published", {}).items()
    }
    return Models(steps=steps, ways=ways, published=published)


def _step(name: str, table: Mapping[str, Any]) -> ModelStep:
    field = f"step.{name}"
    return ModelStep(
        name=name,
        title=_text(table, "title", field),
        nature=_one_of(table, "nature", _NATURES, field),
        time_ms=read_distribution(table, field=field, unit="ms"),
        basis=_one_of(table, "basis", _BASES, field),
        source=_text(table, "source", field),
    )


def _way(name: str, table: Mapping[str, Any], steps: Mapping[str, ModelStep]) -> Way:
    field = f"way.{name}"
    pin = table.get("pin", "none")
    named = [*table.get("steps", ()), *([] if pin == "none" else [pin])]
    for step in named:
        if step not in steps:
            raise TableError(f"{field}.steps", f"no step is called {step!r}")
    for need in table.get("needs", ()):
        if need not in NEEDS:
            raise TableError(f"{field}.needs", f"expected some of {', '.join(NEEDS)}, got {need!r}")
    return Way(
        name=name,
        title=_text(table, "title", field),
        mode=_one_of(table, "mode", MODES, field),
        needs=tuple(table.get("needs", ())),
        steps=tuple(table["steps"]),
        pin=None if pin == "none" else pin,
        limit=_one_of(table, "limit", LIMITS, field),
        offline=bool(table.get("offline", False)),
    )


def _text(table: Mapping[str, Any], key: str, field: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise TableError(f"{field}.{key}", "expected a text")
    return value


def _one_of(table: Mapping[str, Any], key: str, allowed: tuple[str, ...], field: str) -> Any:
    value = table.get(key)
    if value not in allowed:
        raise TableError(f"{field}.{key}", f"expected one of {', '.join(allowed)}, got {value!r}")
    return value
