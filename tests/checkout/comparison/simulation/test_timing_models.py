"""Modelled times: stated, sourced and near to what others measured."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.comparison.simulation.distributions import Distribution, TableError, read_distribution
from checkout.comparison.simulation.timing_models import load_models


def test_every_figure_names_its_source_and_how_good_it_is() -> None:
    for step in load_models().steps.values():
        assert step.source, step.name
        assert step.basis in ("published", "recorded", "assumed", "measured")


@pytest.mark.parametrize(
    ("way", "pin", "total"),
    [
        ("nfc-card", False, "nfc-card"),
        ("nfc-card", True, "nfc-card-pin"),
        ("nfc-phone", False, "nfc-phone"),
        ("cash", False, "cash"),
    ],
)
def test_whole_payments_lie_near_published_ones(way: str, pin: bool, total: str) -> None:
    models = load_models()
    published = models.published[total].mean_s
    assert models.mean_ms(way, with_pin=pin) / 1000 == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(
    "distribution",
    [
        Distribution(kind="lognormal", first=300.0, second=740.0),
        Distribution(kind="uniform", first=10.0, second=190.0),
        Distribution(kind="exponential", first=50.0),
        Distribution(kind="constant", first=42.0),
    ],
)
def test_draws_have_the_stated_median_tail_and_mean(distribution: Distribution) -> None:
    draws = distribution.sample(np.random.default_rng(1), 200_000)
    assert np.median(draws) == pytest.approx(distribution.median, rel=0.02)
    assert np.quantile(draws, 0.95) == pytest.approx(distribution.p95, rel=0.02)
    assert draws.mean() == pytest.approx(distribution.mean, rel=0.02)


def test_only_who_is_over_the_limit_takes_time_for_a_pin() -> None:
    models = load_models()
    pins = np.array([True, False] * 500)
    with_pins = models.time_ms("nfc-card", np.random.default_rng(4), 1000, with_pin=pins)
    without = models.time_ms("nfc-card", np.random.default_rng(4), 1000)
    assert np.array_equal(with_pins[~pins], without[~pins])
    assert (with_pins[pins] > without[pins]).all()


def test_a_skipped_step_takes_no_time() -> None:
    models = load_models()
    steps = frozenset(models.ways["cash"].steps)
    assert not models.time_ms("cash", np.random.default_rng(4), 10, skip=steps).any()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "step.x.distribution: expected one of"),
        ({"distribution": "normal"}, "step.x.distribution: expected one of"),
        ({"distribution": "lognormal", "median_ms": 3}, "step.x.p95_ms: expected a number"),
        (
            {"distribution": "lognormal", "median_ms": 3, "p95_ms": 2},
            "step.x.p95_ms: expected more than the median 3",
        ),
        ({"distribution": "constant", "median_ms": True}, "step.x.median_ms: expected a number"),
        ({"distribution": "constant", "median_ms": -1}, "step.x.median_ms: expected zero or more"),
        (
            {"distribution": "uniform", "low_ms": 3, "high_ms": 2},
            "step.x.high_ms: expected at least the low 3",
        ),
    ],
)
def test_a_wrong_figure_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_distribution(table, field="step.x", unit="ms")
