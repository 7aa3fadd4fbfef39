"""The one rule by which every median and tail of the comparison is taken.

The quantile of a share is the inverse of the empirical distribution function (type 1 of Hyndman and
Fan, "Sample Quantiles in Statistical Packages", 1996): the smallest value that at least that share
of the values do not exceed. It is always a value that occurred, so that a tail of few sales is a
sale that one can look up, counts stay whole, and a histogram gives the same answer as its values.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil


def rank_of(share: float, count: int) -> int:
    """The place of the quantile among `count` ordered values, from 1; `share` is in 0 to 1."""
    # 0.07 * 100 is a little more than 7: what lies below the ninth decimal is no part of it.
    return max(ceil(round(share * count, 9)), 1)


def quantile(values: Iterable[float], share: float) -> float:
    """The quantile of some values, of which there must be one at least (else ValueError)."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("values: expected one or more, got none")
    return ordered[rank_of(share, len(ordered)) - 1]
