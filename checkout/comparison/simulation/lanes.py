"""The recursion of the queue simulation over one block of shops, and its counts."""

from __future__ import annotations

from collections.abc import Sequence
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
#: Steps of the table that turns customers into clock time where the rate changes over the day.
_CLOCK_STEPS = 4_096
_TICK_US = 10

#: Customers in a block that are counted at once.
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
    """65,536 customers to draw from, all equally likely.

    `service_s` is how long a customer keeps a counter busy; `able` whether the customer can pay at
    all (one who cannot does not queue); `patience_s` how long a customer waits (drawn apart; inf
    for ever).
    """

    service_s: NDArray[np.float64]
    able: NDArray[np.bool_]
    patience_s: NDArray[np.float64] | None = None


class Lane:
    """The tables that all blocks share, and the recursion over one block.

    Arrays have a column for each shop of the block, and a row for each variant where all variants
    run on the same draws. Offsets say where in the joined tables a shop's customers stand.
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
        self._tables = len(variants)
        self._service = np.concatenate([variant.service_s for variant in variants])
        able = np.concatenate([variant.able for variant in variants])
        self._able = None if able.all() else able
        patience = [variant.patience_s for variant in variants]
        self._patience = None
        if any(table is not None for table in patience):
            endless = np.full(ROWS, np.inf)
            self._patience = np.concatenate(
                [endless if table is None else table for table in patience]
            )
        self._counters = counters
        self._shops = shops
        self._seed = seed
        self._warm_up = warm_up
        self._expected = arrivals.expected
        self._rate = self._expected / arrivals.open_s
        self._clock = None if len(set(arrivals.rates)) == 1 else arrivals.clock()

    def run(self, start: int, stop: int, offsets: NDArray[np.int32]) -> Tally:
        """Shops `start` to `stop` from opening to closing."""
        size = stop - start
        stream = np.random.PCG64(self._seed)
        stream.advance(start)
        numbers = np.random.Generator(stream)
        free = [np.zeros((len(offsets), size)) for _ in range(self._counters)]
        come = np.zeros(size)
        tally = Tally(self._tables, size, offsets)
        index = 0
        # The draws of all other shops lie between this block's draws for two customers in a row.
        gap = self._shops - size
        while True:
            draws = numbers.integers(0, 1 << 64, size, dtype=np.uint64)
            if gap:
                stream.advance(gap)
            come += _gaps(draws)
            here = come < self._expected
            if not here.any():
                break
            self._serve(draws, come, here, free, offsets, tally if index >= self._warm_up else None)
            index += 1
        tally.flush()
        return tally

    def _serve(
        self,
        draws: NDArray[np.uint64],
        come: NDArray[np.float64],
        here: NDArray[np.bool_],
        free: list[NDArray[np.float64]],
        offsets: NDArray[np.int32],
        tally: Tally | None,
    ) -> None:
        rows = (draws & np.uint64(0xFFFF)).astype(np.int32) + offsets
        now = self._time(come)
        wait = free[0] - now
        np.maximum(wait, 0.0, out=wait)
        joined = np.broadcast_to(here, wait.shape)
        if self._able is not None:
            joined = here & self._able.take(rows)
        in_line, stays = wait, joined
        if self._patience is not None:
            pick = ((draws >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int32)
            patience = self._patience.take(pick + offsets)
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
        if tally is not None:
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


class Tally:
    """Counts of one block by table and by shop; many customers are counted at once."""

    def __init__(self, tables: int, size: int, offsets: NDArray[np.int32]) -> None:
        self._tables = tables
        variants = len(offsets)
        self._rows = np.zeros(2 * tables * ROWS, dtype=np.int64)
        self.wait_bins = np.zeros((tables, WAIT_BINS), dtype=np.int64)
        self.served = np.zeros((variants, size), dtype=np.int64)
        self.waits = np.zeros((variants, size), dtype=np.int64)
        self.lines = np.zeros((variants, size), dtype=np.int64)
        depth = max(1, _BATCH // (variants * size))
        self._keys = np.empty((depth, variants, size), dtype=np.int32)
        self._ticks = np.empty((depth, variants, size), dtype=np.int32)
        self._lanes = offsets // np.int32(ROWS) * np.int32(WAIT_BINS)
        self._held = 0

    def count(
        self,
        rows: NDArray[np.int32],
        in_line: NDArray[np.float64],
        here: NDArray[np.bool_],
        joined: NDArray[np.bool_],
        stays: NDArray[np.bool_],
    ) -> None:
        """Buffer one customer of every shop; one that does not count goes past the last row."""
        keys, ticks = self._keys[self._held], self._ticks[self._held]
        np.add(rows, np.int32(self._tables * ROWS), out=keys)
        np.copyto(keys, rows, where=stays)
        np.copyto(keys, np.int32(2 * self._tables * ROWS), where=~here)
        np.multiply(in_line, 1 / TICK_S, out=ticks, casting="unsafe")
        np.multiply(ticks, joined, out=ticks)
        self._held += 1
        if self._held == len(self._keys):
            self.flush()

    def flush(self) -> None:
        """Add the buffered customers to the counts."""
        served_below, rows = self._tables * ROWS, 2 * self._tables * ROWS
        keys, ticks = self._keys[: self._held], self._ticks[: self._held]
        self._rows += np.bincount(keys.ravel(), minlength=rows + 1)[:rows]
        stayed = keys < served_below
        self.served += stayed.sum(axis=0)
        self.lines += ticks.sum(axis=0, dtype=np.int64) * _TICK_US
        np.multiply(ticks, stayed, out=ticks)
        self.waits += ticks.sum(axis=0, dtype=np.int64) * _TICK_US
        self._bin_waits(ticks, stayed)
        self._held = 0

    def _bin_waits(self, ticks: NDArray[np.int32], stayed: NDArray[np.bool_]) -> None:
        last = self._tables * WAIT_BINS
        bins = ticks // np.int32(WAIT_BIN_TICKS)
        np.minimum(bins, np.int32(WAIT_BINS - 1), out=bins)
        bins += self._lanes
        np.copyto(bins, np.int32(last), where=~stayed)
        waits = np.bincount(bins.ravel(), minlength=last + 1)[:last]
        self.wait_bins += waits.reshape(self._tables, WAIT_BINS)

    def served_rows(self, table: int) -> NDArray[np.int64]:
        """Customers served, by row of one table."""
        return self._rows[table * ROWS : (table + 1) * ROWS]

    def lost_rows(self, table: int) -> NDArray[np.int64]:
        """Customers lost, by row of one table."""
        return self.served_rows(table + self._tables)
