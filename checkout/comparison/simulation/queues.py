"""Queues at counters: many independent shops at once, one loop over the customer's index.

Customers of a shop arrive at random, join one first-come first-served line before `counters`
counters, and leave where the wait would outlast their patience. Whether a customer is served
depends only on the wait that the line offers on arrival, so a shop is a recursion over its
customers: Lindley's for one counter, Kiefer and Wolfowitz's for several, with a customer who
gives up adding nothing. The arrays run across shops; each block of shops is worked through from
opening to closing.

Every customer takes one 64-bit draw at a fixed place of one PCG64 stream: 32 bits for the time to
the next arrival, 16 for the row of the customers' table, 16 for patience. So results depend on the
seed alone, not on block size or on how blocks are shared out. Sums are integers and exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from checkout.comparison.quantile import rank_of
from checkout.comparison.simulation.lanes import ROWS, WAIT_BIN_S, Arrivals, Customers, Lane, Tally

__all__ = [
    "BLOCK",
    "ROWS",
    "Arrivals",
    "Customers",
    "Queues",
    "simulate",
    "simulate_mix",
    "simulate_variants",
]

#: Shops in a block: so many that its arrays stay in the second-level cache.
BLOCK = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The result of a run. `served` and `lost` count customers by row of the table.

    `wait_us` and `line_us` are sums over all shops in microseconds: waits of the served, and time
    spent in line by everyone who joined it. Arrays with a shop axis serve confidence intervals.
    """

    shops: int
    open_s: float
    counters: int
    served: NDArray[np.int64]
    lost: NDArray[np.int64]
    wait_bins: NDArray[np.int64]
    line_us: int
    shop_served: NDArray[np.int64]
    shop_wait_us: NDArray[np.int64]

    @property
    def served_total(self) -> int:
        """Customers served."""
        return int(self.served.sum())

    @property
    def arrived_total(self) -> int:
        """Customers who came, served or lost."""
        return self.served_total + int(self.lost.sum())

    @property
    def mean_wait_s(self) -> float:
        """Mean wait of the served, in seconds."""
        return int(self.shop_wait_us.sum()) / max(self.served_total, 1) / 1e6

    @property
    def mean_line(self) -> float:
        """Customers in line on average while the shop is open (Little's law, exact here)."""
        return self.line_us / 1e6 / (self.shops * self.open_s)

    def wait_quantile_s(self, share: float) -> float:
        """The wait that `share` of the served did not exceed, to one bin of 0.05 s."""
        counted = np.cumsum(self.wait_bins)
        if counted[-1] == 0:
            return 0.0
        rank = rank_of(share, int(counted[-1]))
        return float(np.searchsorted(counted, rank)) * WAIT_BIN_S

    def mean_wait_interval_s(self, z: float = 1.96) -> tuple[float, float]:
        """Confidence interval of the mean wait from the shops, which are independent."""
        served = self.shop_served.astype(float)
        waits = self.shop_wait_us.astype(float) / 1e6
        mean = waits.sum() / max(served.sum(), 1.0)
        # Ratio estimator: the shops' residuals carry the variance.
        spread = float(np.sqrt(((waits - mean * served) ** 2).sum()))
        half = z * spread / max(served.sum(), 1.0)
        return mean - half, mean + half


def simulate(
    customers: Customers,
    arrivals: Arrivals,
    *,
    counters: int,
    shops: int,
    seed: int,
    warm_up: int = 0,
    block: int = BLOCK,
    progress: Callable[[int], None] | None = None,
) -> Queues:
    """Run `shops` shops from opening to closing.

    The first `warm_up` customers of each shop are served but not counted. `progress` gets the
    number of shops of each block that is done.
    """
    (queues,) = simulate_variants(
        [customers],
        arrivals,
        counters=counters,
        shops=shops,
        seed=seed,
        warm_up=warm_up,
        block=block,
        progress=progress,
    )
    return queues


def simulate_variants(
    variants: Sequence[Customers],
    arrivals: Arrivals,
    *,
    counters: int,
    shops: int,
    seed: int,
    warm_up: int = 0,
    block: int = BLOCK,
    progress: Callable[[int], None] | None = None,
) -> tuple[Queues, ...]:
    """Run the same shops and draws once for each table of customers, in one pass.

    Each variant's result is the one that `simulate` gives for it alone.
    """
    _check(variants, counters=counters, shops=shops, block=block)
    lane = Lane(variants, arrivals, counters, shops, seed, warm_up)
    everywhere = (np.arange(len(variants), dtype=np.int32) * ROWS)[:, np.newaxis]
    parts: list[Tally] = []
    for start in range(0, shops, block):
        parts.append(lane.run(start, min(start + block, shops), everywhere))
        if progress is not None:
            progress(min(block, shops - start))
    waits, lines, served = (
        np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("waits", "lines", "served")
    )
    return tuple(
        _queues(arrivals, counters, parts, index, (waits[index], lines[index], served[index]))
        for index in range(len(variants))
    )


def simulate_mix(
    variants: Sequence[Customers],
    shops_each: Sequence[int],
    arrivals: Arrivals,
    *,
    counters: int,
    seed: int,
    block: int = BLOCK,
) -> tuple[Queues, ...]:
    """Run so many shops with each table of customers, side by side in one pass.

    The shops of the first table come first; every shop has draws of its own.
    """
    total = sum(shops_each)
    _check(variants, counters=counters, shops=total, block=block)
    lane = Lane(variants, arrivals, counters, total, seed, 0)
    offsets = np.repeat(np.arange(len(variants), dtype=np.int32) * ROWS, shops_each)
    parts = [
        lane.run(start, min(start + block, total), offsets[np.newaxis, start : start + block])
        for start in range(0, total, block)
    ]
    waits, lines, served = (
        np.concatenate([getattr(part, name)[0] for part in parts])
        for name in ("waits", "lines", "served")
    )
    ends = np.cumsum(shops_each)
    return tuple(
        _queues(
            arrivals,
            counters,
            parts,
            index,
            (waits[end - count : end], lines[end - count : end], served[end - count : end]),
        )
        for index, (count, end) in enumerate(zip(shops_each, ends, strict=True))
    )


def _check(variants: Sequence[Customers], *, counters: int, shops: int, block: int) -> None:
    for name, value in (("counters", counters), ("shops", shops), ("block", block)):
        if value < 1:
            raise ValueError(f"{name}: expected one or more, got {value}")
    for customers in variants:
        tables = [customers.service_s, customers.able]
        if customers.patience_s is not None:
            tables.append(customers.patience_s)
        if any(table.shape != (ROWS,) for table in tables):
            raise ValueError(f"customers: expected tables of {ROWS} rows")


def _queues(
    arrivals: Arrivals,
    counters: int,
    parts: Sequence[Tally],
    table: int,
    by_shop: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> Queues:
    """The result of the shops with one table; `by_shop` has their waits, lines and served."""
    waits, lines, served = by_shop
    return Queues(
        shops=len(served),
        open_s=arrivals.open_s,
        counters=counters,
        served=np.sum([part.served_rows(table) for part in parts], axis=0),
        lost=np.sum([part.lost_rows(table) for part in parts], axis=0),
        wait_bins=np.sum([part.wait_bins[table] for part in parts], axis=0),
        line_us=int(lines.sum()),
        shop_served=served,
        shop_wait_us=waits,
    )
