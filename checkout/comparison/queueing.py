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

#: Rows of a customers' table and of a patience table: what 16 bits address.
ROWS = 65_536
#: Waits are summed in whole ticks of this many seconds, so that sums are exact.
TICK_S = 1e-5
#: Waits are counted in bins of so many ticks, 0.05 s; the last bin takes all that is longer.
WAIT_BIN_TICKS = 5_000
WAIT_BIN_S = WAIT_BIN_TICKS * TICK_S
WAIT_BINS = 1 << 15
#: Shops a block, so that its arrays stay in the second-level cache.
BLOCK = 8_192

#: Steps of the table that turns customers into clock time where the rate changes over the day.
_CLOCK_STEPS = 4_096
_TICK_US = 10

#: Customers a block that are counted at once.
_BATCH = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """When customers come: `rates` are customers an hour in equal parts of `open_s` seconds."""

    open_s: float
    rates: tuple[float, ...]

    @property
    def expected(self) -> float:
        """Customers a shop sees from opening to closing, on average."""
        return sum(self.rates) / len(self.rates) * self.open_s / 3600

    def clock(self) -> NDArray[np.float64]:
        """Seconds after opening at which each 1/4096 of the expected customers has come."""
        edges_s = np.linspace(0.0, self.open_s, len(self.rates) + 1)
        come = np.concatenate([[0.0], np.cumsum(self.rates)])
        wanted = np.linspace(0.0, float(come[-1]), _CLOCK_STEPS + 1)
        return np.interp(wanted, come, edges_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customers:
    """65,536 customers to draw from, each as likely as the other.

    `service_s` is how long one keeps a counter busy; `able` whether the customer can pay at all
    (who cannot does not queue); `patience_s` how long one waits (another draw; inf: for ever).
    """

    service_s: NDArray[np.float64]
    able: NDArray[np.bool_]
    patience_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """What came of it. `served` and `lost` count customers by row of the table.

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
        return float(np.searchsorted(counted, share * counted[-1])) * WAIT_BIN_S

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

    The first `warm_up` customers of each shop are served but not counted. `progress` hears how
    many more shops are done, block by block.
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
    lane = _Lane(variants, arrivals, counters, shops, seed, warm_up)
    parts: list[_Tally] = []
    for start in range(0, shops, block):
        parts.append(lane.run(start, min(start + block, shops)))
        if progress is not None:
            progress(min(block, shops - start))
    return tuple(
        Queues(
            shops=shops,
            open_s=arrivals.open_s,
            counters=counters,
            served=np.sum([part.served_rows(index) for part in parts], axis=0),
            lost=np.sum([part.lost_rows(index) for part in parts], axis=0),
            wait_bins=np.sum([part.wait_bins[index] for part in parts], axis=0),
            line_us=sum(int(part.line_us[index]) for part in parts),
            shop_served=np.concatenate([part.served[index] for part in parts]),
            shop_wait_us=np.concatenate([part.waits[index] for part in parts]),
        )
        for index in range(len(variants))
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


class _Lane:
    """The tables that all blocks share, and the recursion over one block.

    Arrays have a row for each variant and a column for each shop of the block.
    """

    def __init__(
        self,
        variants: Sequence[Customers],
        arrivals: Arrivals,
        counters: int,
        shops: int,
        seed: int,
        warm_up: int,
    ) -> None:
        self._variants = len(variants)
        self._service = np.concatenate([one.service_s for one in variants])
        able = np.concatenate([one.able for one in variants])
        self._able = None if able.all() else able
        patience = [one.patience_s for one in variants]
        self._patience = None
        if any(table is not None for table in patience):
            endless = np.full(ROWS, np.inf)
            self._patience = np.concatenate(
                [endless if table is None else table for table in patience]
            )
        self._offsets = (np.arange(self._variants, dtype=np.int32) * ROWS)[:, np.newaxis]
        self._counters = counters
        self._shops = shops
        self._seed = seed
        self._warm_up = warm_up
        self._expected = arrivals.expected
        self._rate = self._expected / arrivals.open_s
        self._clock = None if len(set(arrivals.rates)) == 1 else arrivals.clock()

    def run(self, start: int, stop: int) -> _Tally:
        """Shops `start` to `stop` from opening to closing."""
        size = stop - start
        stream = np.random.PCG64(self._seed)
        stream.advance(start)
        numbers = np.random.Generator(stream)
        free = [np.zeros((self._variants, size)) for _ in range(self._counters)]
        come = np.zeros(size)
        tally = _Tally(self._variants, size)
        index = 0
        # Between this block's draws for one customer and for the next lie the other shops'.
        gap = self._shops - size
        while True:
            draws = numbers.integers(0, 1 << 64, size, dtype=np.uint64)
            if gap:
                stream.advance(gap)
            come += _gaps(draws)
            here = come < self._expected
            if not here.any():
                break
            self._serve(draws, come, here, free, tally, counted=index >= self._warm_up)
            index += 1
        tally.flush()
        return tally

    def _serve(
        self,
        draws: NDArray[np.uint64],
        come: NDArray[np.float64],
        here: NDArray[np.bool_],
        free: list[NDArray[np.float64]],
        tally: _Tally,
        *,
        counted: bool,
    ) -> None:
        rows = (draws & np.uint64(0xFFFF)).astype(np.int32) + self._offsets
        now = self._time(come)
        wait = free[0] - now
        np.maximum(wait, 0.0, out=wait)
        joined = np.broadcast_to(here, wait.shape)
        if self._able is not None:
            joined = here & self._able.take(rows)
        in_line, stays = wait, joined
        if self._patience is not None:
            pick = ((draws >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int32)
            patience = self._patience.take(pick + self._offsets)
            stays = joined & (wait <= patience)
            in_line = np.minimum(wait, patience)
        done = now + wait
        done += self._service.take(rows)
        # Counters stay sorted by when they fall free: the new time is carried up to its place.
        np.copyto(done, free[0], where=~stays)
        for place in range(1, self._counters):
            later = free[place]
            np.minimum(done, later, out=free[place - 1])
            np.maximum(done, later, out=done)
        free[-1] = done
        if counted:
            tally.count(rows, in_line, here, joined, stays)

    def _time(self, come: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._clock is None:
            return come / self._rate
        place = come * (_CLOCK_STEPS / self._expected)
        np.minimum(place, _CLOCK_STEPS - 1e-9, out=place)
        step = place.astype(np.int32)
        place -= step
        before = self._clock.take(step)
        return before + place * (self._clock.take(step + 1) - before)


def _gaps(draws: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Exponential gaps of mean 1 from the upper 32 bits."""
    share = (draws >> np.uint64(32)).astype(np.float32)
    share += np.float32(0.5)
    share *= np.float32(2.0**-32)
    np.log(share, out=share)
    np.negative(share, out=share)
    return share


class _Tally:
    """Counts of one block, a row for each variant; many customers are counted at once."""

    def __init__(self, variants: int, size: int) -> None:
        self._variants = variants
        self._rows = np.zeros(2 * variants * ROWS, dtype=np.int64)
        self.wait_bins = np.zeros((variants, WAIT_BINS), dtype=np.int64)
        self.line_us = np.zeros(variants, dtype=np.int64)
        self.served = np.zeros((variants, size), dtype=np.int64)
        self.waits = np.zeros((variants, size), dtype=np.int64)
        depth = max(1, _BATCH // (variants * size))
        self._keys = np.empty((depth, variants, size), dtype=np.int32)
        self._ticks = np.empty((depth, variants, size), dtype=np.int32)
        self._lanes = (np.arange(variants, dtype=np.int32) * WAIT_BINS)[:, np.newaxis]
        self._held = 0

    def count(
        self,
        rows: NDArray[np.int32],
        in_line: NDArray[np.float64],
        here: NDArray[np.bool_],
        joined: NDArray[np.bool_],
        stays: NDArray[np.bool_],
    ) -> None:
        """Note one customer of every shop; what is not to be counted goes past the last row."""
        keys, ticks = self._keys[self._held], self._ticks[self._held]
        np.add(rows, np.int32(self._variants * ROWS), out=keys)
        np.copyto(keys, rows, where=stays)
        np.copyto(keys, np.int32(2 * self._variants * ROWS), where=~here)
        np.multiply(in_line, 1 / TICK_S, out=ticks, casting="unsafe")
        np.multiply(ticks, joined, out=ticks)
        self._held += 1
        if self._held == len(self._keys):
            self.flush()

    def flush(self) -> None:
        """Take what was noted into the counts."""
        served_below, rows = self._variants * ROWS, 2 * self._variants * ROWS
        keys, ticks = self._keys[: self._held], self._ticks[: self._held]
        self._rows += np.bincount(keys.ravel(), minlength=rows + 1)[:rows]
        stayed = keys < served_below
        self.served += stayed.sum(axis=0)
        self.line_us += ticks.sum(axis=(0, 2), dtype=np.int64) * _TICK_US
        np.multiply(ticks, stayed, out=ticks)
        self.waits += ticks.sum(axis=0, dtype=np.int64) * _TICK_US
        self._bin_waits(ticks, stayed)
        self._held = 0

    def _bin_waits(self, ticks: NDArray[np.int32], stayed: NDArray[np.bool_]) -> None:
        last = self._variants * WAIT_BINS
        bins = ticks // np.int32(WAIT_BIN_TICKS)
        np.minimum(bins, np.int32(WAIT_BINS - 1), out=bins)
        bins += self._lanes
        np.copyto(bins, np.int32(last), where=~stayed)
        waits = np.bincount(bins.ravel(), minlength=last + 1)[:last]
        self.wait_bins += waits.reshape(self._variants, WAIT_BINS)

    def served_rows(self, variant: int) -> NDArray[np.int64]:
        """Customers served, by row of the variant's table."""
        return self._rows[variant * ROWS : (variant + 1) * ROWS]

    def lost_rows(self, variant: int) -> NDArray[np.int64]:
        """Customers lost, by row of the variant's table."""
        return self.served_rows(variant + self._variants)
