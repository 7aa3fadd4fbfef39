"""The queue simulation against textbook results, and its own promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from checkout.comparison.simulation.queues import (
    ROWS,
    Arrivals,
    Customers,
    Queues,
    simulate,
    simulate_mix,
    simulate_variants,
)
from tests.checkout.comparison.simulation.textbook import textbook_mean_wait_s

ALL = np.ones(ROWS, dtype=bool)
SHARES = (np.arange(ROWS) + 0.5) / ROWS


def exponential(mean_s: float) -> np.ndarray:
    """A table whose rows are the quantiles of an exponential distribution."""
    return -mean_s * np.log1p(-SHARES)


def long_run(
    service_s: np.ndarray, *, per_hour: float, counters: int = 1, **more: object
) -> Queues:
    """400 shops, each long enough to settle, the first 1,500 customers not counted."""
    return simulate(
        Customers(service_s=service_s, able=ALL, patience_s=more.get("patience_s")),  # type: ignore[arg-type]
        Arrivals(open_s=5000 / per_hour * 3600, rates=(per_hour,)),
        counters=counters,
        shops=400,
        seed=20,
        warm_up=1_500,
    )


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize(("name", "variation"), [("M/M/1", 1.0), ("M/D/1", 0.0)])
def test_one_counter_agrees_with_pollaczek_and_khinchine(
    load: float, name: str, variation: float
) -> None:
    service = exponential(30.0) if variation else np.full(ROWS, 30.0)
    queues = long_run(service, per_hour=load / 30 * 3600)
    expected = textbook_mean_wait_s(
        arrival_rate=load / 30, mean_service_s=30.0, squared_variation=variation
    )
    low, high = queues.mean_wait_interval_s(z=2.6)
    assert low <= expected <= high, name
    assert high - low < 0.08 * expected, "the interval must be narrow enough to tell"


def test_the_interval_tells_a_wrong_service_time() -> None:
    queues = long_run(exponential(30.0), per_hour=0.8 / 30 * 3600)
    wrong = textbook_mean_wait_s(arrival_rate=0.8 / 30, mean_service_s=31.0)
    low, high = queues.mean_wait_interval_s(z=2.6)
    assert not low <= wrong <= high


def test_several_counters_agree_with_erlang() -> None:
    queues = long_run(exponential(60.0), per_hour=4 * 0.85 / 60 * 3600, counters=4)
    expected = textbook_mean_wait_s(arrival_rate=4 * 0.85 / 60, mean_service_s=60.0, servers=4)
    low, high = queues.mean_wait_interval_s(z=2.6)
    assert low <= expected <= high


def test_who_waits_in_vain_agrees_with_the_balance_equations() -> None:
    # M/M/1+M: with patience exponential too, the number in the shop is a birth-death chain.
    arrive, serve, leave = 0.9 / 30, 1 / 30, 1 / 45
    weights, weight = [1.0], 1.0
    for held in range(1, 200):
        weight *= arrive / (serve + (held - 1) * leave)
        weights.append(weight)
    total = sum(weights)
    waiting = sum((held - 1) * weights[held] for held in range(1, 200)) / total
    lost = leave * waiting / arrive
    queues = long_run(exponential(30.0), per_hour=arrive * 3600, patience_s=exponential(45.0))
    share = int(queues.lost.sum()) / queues.arrived_total
    assert share == pytest.approx(lost, rel=0.01)


def test_littles_law_ties_the_line_to_the_waits() -> None:
    queues = simulate(
        Customers(service_s=exponential(30.0), able=ALL),
        Arrivals(open_s=36_000, rates=(90.0,)),
        counters=1,
        shops=200,
        seed=5,
    )
    per_second = queues.arrived_total / (queues.shops * queues.open_s)
    assert queues.mean_line == pytest.approx(per_second * queues.mean_wait_s, rel=1e-9)


SOME = Customers(
    service_s=np.random.default_rng(1).lognormal(3.0, 0.5, ROWS),
    able=np.random.default_rng(2).random(ROWS) < 0.9,
    patience_s=np.random.default_rng(3).exponential(90.0, ROWS),
)
SHOPS = 80
DAY = Arrivals(open_s=14_400, rates=(40.0, 160.0, 240.0, 80.0))


def run(*, block: int, seed: int = 7, counters: int = 2) -> Queues:
    return simulate(SOME, DAY, counters=counters, shops=SHOPS, seed=seed, block=block)


@pytest.mark.parametrize("block", [3, 16, 79, 80, 5_000])
def test_results_do_not_depend_on_the_block_size(block: int) -> None:
    whole, cut = run(block=SHOPS), run(block=block)
    assert np.array_equal(whole.served, cut.served)
    assert np.array_equal(whole.lost, cut.lost)
    assert np.array_equal(whole.wait_bins, cut.wait_bins)
    assert np.array_equal(whole.shop_wait_us, cut.shop_wait_us)
    assert whole.line_us == cut.line_us


@pytest.mark.parametrize("block", [5, 32, 5_000])
def test_shops_with_different_customers_run_side_by_side(block: int) -> None:
    slow = replace(SOME, service_s=SOME.service_s * 3)
    first, second, none = simulate_mix(
        [SOME, slow, SOME], [50, 30, 0], DAY, counters=2, seed=7, block=block
    )
    assert (first.shops, second.shops, none.shops) == (50, 30, 0)
    assert none.arrived_total == 0
    alone = simulate_mix([SOME, slow], [50, 30], DAY, counters=2, seed=7, block=80)
    assert np.array_equal(alone[0].served, first.served)
    assert np.array_equal(alone[1].wait_bins, second.wait_bins)
    # The first fifty shops have the draws that they have among eighty of their own kind.
    own = run(block=80)
    assert np.array_equal(own.shop_wait_us[:50], first.shop_wait_us)
    assert second.lost.sum() / second.arrived_total > first.lost.sum() / first.arrived_total


def test_variants_on_the_same_draws_are_as_runs_of_their_own() -> None:
    slow = replace(SOME, service_s=SOME.service_s * 3, patience_s=None)
    pair = simulate_variants([SOME, slow], DAY, counters=2, shops=SHOPS, seed=7, block=33)
    for found, table in zip(pair, (SOME, slow), strict=True):
        alone = simulate(table, DAY, counters=2, shops=SHOPS, seed=7)
        assert np.array_equal(found.served, alone.served)
        assert np.array_equal(found.shop_wait_us, alone.shop_wait_us)
        assert found.line_us == alone.line_us


def test_a_seed_gives_the_same_day_and_another_seed_another() -> None:
    assert run(block=100).line_us == run(block=100).line_us
    assert run(block=100).line_us != run(block=100, seed=8).line_us


def test_everyone_who_comes_is_served_or_lost() -> None:
    queues = run(block=128)
    assert queues.served_total == queues.shop_served.sum() == queues.wait_bins.sum()
    assert queues.arrived_total == pytest.approx(SHOPS * DAY.expected, rel=0.02)
    assert queues.served[~SOME.able].sum() == 0
    assert queues.lost[~SOME.able].sum() > 0


def test_arrivals_follow_the_rates_of_the_day() -> None:
    # With no waiting at all, everybody is served; a rush shows as waits once there is one counter.
    quiet = simulate(SOME, DAY, counters=60, shops=50, seed=3)
    assert quiet.mean_wait_s == 0.0
    clock = DAY.clock()
    come = np.interp(14_400 / 4, clock, np.linspace(0, 1, len(clock)))
    assert come == pytest.approx(40 / 520, abs=1e-3)
    assert clock[-1] == 14_400


def test_more_counters_lose_fewer_customers() -> None:
    lost = [int(run(block=300, counters=counters).lost.sum()) for counters in (1, 2, 3)]
    assert lost[0] > lost[1] > lost[2]


@pytest.mark.parametrize(("field", "value"), [("counters", 0), ("shops", 0), ("block", 0)])
def test_nothing_to_run_is_said_by_name(field: str, value: int) -> None:
    given = {"counters": 1, "shops": 1, "block": 1} | {field: value}
    with pytest.raises(ValueError, match=f"{field}: expected one or more"):
        simulate(SOME, DAY, seed=1, **given)


def test_a_queue_that_cannot_keep_up_has_no_mean_wait() -> None:
    assert textbook_mean_wait_s(arrival_rate=1.0, mean_service_s=2.0) == math.inf
