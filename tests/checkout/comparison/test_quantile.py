"""The rule of medians and tails: the inverse of the empirical distribution function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from checkout.comparison.live import spread
from checkout.comparison.quantile import quantile, rank_of
from checkout.comparison.results import Spread
from checkout.comparison.simulation.queues import WAIT_BIN_S, Queues

#: 0.07 is not among them: NumPy takes its rank from the unrounded product.
SHARES = [0.0, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([1.0, 2.0], 0.5, 1.0),  # half of the values do not exceed the lower one
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([*range(1, 101)], 0.07, 7),
        ([*range(1, 101)], 0.99, 99),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
    ],
)
def test_it_is_the_smallest_value_that_the_share_does_not_exceed(
    values: list[float], share: float, expected: float
) -> None:
    assert quantile(values, share) == expected


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.sampled_from(SHARES))
def test_it_agrees_with_an_independent_implementation(values: list[int], share: float) -> None:
    assert quantile(values, share) == np.quantile(values, share, method="inverted_cdf")


def test_of_nothing_there_is_none() -> None:
    with pytest.raises(ValueError, match="values: expected one or more"):
        quantile([], 0.5)


def test_ranks_count_from_one_to_the_last() -> None:
    assert [rank_of(share, 10) for share in (0.0, 0.1, 0.5, 0.51, 1.0)] == [1, 1, 5, 6, 10]


def test_every_figure_follows_the_rule() -> None:
    values = [float(n) for n in range(1, 41)]
    assert spread(values) == {"median": 20.0, "p90": 36.0, "max": 40.0}
    found = Spread.of(values)
    assert found == Spread(median=20.0, p95=38.0, p99=40.0)
    queues = Queues(
        shops=1,
        open_s=1.0,
        counters=1,
        served=np.array([40]),
        lost=np.array([0]),
        wait_bins=np.array([0, *[1] * 40]),
        line_us=0,
        shop_served=np.array([40]),
        shop_wait_us=np.array([0]),
    )
    assert queues.wait_quantile_s(0.95) == pytest.approx(38 * WAIT_BIN_S)
