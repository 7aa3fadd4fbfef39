"""Distributions as a TOML table states them: a kind, a middle and a spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["constant", "lognormal", "exponential", "uniform"]

#: 95th percentile of the standard normal distribution.
_Z95 = 1.6448536269514722

_KEYS: dict[str, tuple[str, ...]] = {
    "constant": ("median",),
    "lognormal": ("median", "p95"),
    "exponential": ("mean",),
    "uniform": ("low", "high"),
}


class TableError(ValueError):
    """A table with a wrong value; the message names the field and what was expected."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One random amount, in whatever unit its table names (ms, s, minor units).

    `first` and `second` are the two figures of the kind: median and 95th percentile (lognormal),
    low and high (uniform), mean (exponential), the value itself (constant).
    """

    kind: Kind
    first: float
    second: float = 0.0

    def sample(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """`size` independent draws."""
        if self.kind == "lognormal":
            sigma = math.log(self.second / self.first) / _Z95
            return random.lognormal(math.log(self.first), sigma, size)
        if self.kind == "exponential":
            return random.exponential(self.first, size)
        if self.kind == "uniform":
            return random.uniform(self.first, self.second, size)
        return np.full(size, self.first)

    @property
    def median(self) -> float:
        """Half of the draws lie below."""
        if self.kind == "exponential":
            return self.first * math.log(2)
        if self.kind == "uniform":
            return (self.first + self.second) / 2
        return self.first

    @property
    def p95(self) -> float:
        """95 of 100 draws lie below."""
        if self.kind == "exponential":
            return self.first * math.log(20)
        if self.kind == "uniform":
            return self.first + 0.95 * (self.second - self.first)
        return self.second if self.kind == "lognormal" else self.first

    @property
    def mean(self) -> float:
        """The long-run average of the draws."""
        if self.kind == "lognormal":
            sigma = math.log(self.second / self.first) / _Z95
            return self.first * math.exp(sigma * sigma / 2)
        return self.median if self.kind == "uniform" else self.first

    def scaled(self, factor: float) -> Distribution:
        """The same shape, `factor` times as large."""
        return Distribution(kind=self.kind, first=self.first * factor, second=self.second * factor)


def read_distribution(table: Mapping[str, Any], *, field: str, unit: str) -> Distribution:
    """Read a table such as ``{distribution = "lognormal", median_ms = 300, p95_ms = 700}``.

    `unit` is the ending that each figure's key must carry; other keys of the table are left
    alone. TableError names the key that is missing or out of range.
    """
    kind = table.get("distribution")
    if kind not in _KEYS:
        raise TableError(
            f"{field}.distribution", f"expected one of {', '.join(_KEYS)}, got {kind!r}"
        )
    figures = [_figure(table, f"{name}_{unit}", field) for name in _KEYS[kind]]
    first, second = figures[0], figures[1] if len(figures) > 1 else 0.0
    if kind == "lognormal" and not 0 < first < second:
        raise TableError(f"{field}.p95_{unit}", f"expected more than the median {first:g}")
    if kind == "uniform" and not first <= second:
        raise TableError(f"{field}.high_{unit}", f"expected at least the low {first:g}")
    if kind == "exponential" and first <= 0:
        raise TableError(f"{field}.mean_{unit}", "expected more than zero")
    return Distribution(kind=kind, first=first, second=second)


def _figure(table: Mapping[str, Any], key: str, field: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TableError(f"{field}.{key}", f"expected a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise TableError(f"{field}.{key}", f"expected zero or more, got {value!r}")
    return float(value)
