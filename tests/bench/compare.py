"""What comparing costs: traces on against off, and a country's day of queues against bare draws.

Both are ratios measured in this run, in interleaved rounds, medians taken.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from checkout.commands.pay_qr import payer_pages
from checkout.comparison.sales.baskets import draw_baskets
from checkout.comparison.sales.runs import WAYS, run_way
from checkout.comparison.simulation.country import PAYMENTS_A_DAY, run_country
from checkout.comparison.simulation.scenarios import load_scenario
from checkout.trace import Trace

TRACE_LIMIT, COUNTRY_LIMIT, MEMORY_LIMIT_GB = 1.3, 10.0, 4.0


def bare_pass(customers: int) -> float:
    """Seconds that NumPy takes to draw as many arrivals and service times, in blocks."""
    numbers = np.random.default_rng(1)
    began = time.perf_counter()
    left = customers
    while left:
        size = min(left, 1_000_000)
        numbers.exponential(1.0, size)
        numbers.lognormal(3.0, 0.5, size)
        left -= size
    return time.perf_counter() - began


def country(customers: int, rounds: int) -> dict[str, Any]:
    """The whole day against the bare pass."""
    simulated, bare, served = [], [], 0
    for _ in range(rounds):
        bare.append(bare_pass(customers))
        began = time.perf_counter()
        day = run_country(seed=1, customers=customers)
        simulated.append(time.perf_counter() - began)
        served = day.fates.arrived
    ratio = statistics.median(s / b for s, b in zip(simulated, bare, strict=True))
    return {
        "customers": served,
        "simulated_s": round(statistics.median(simulated), 3),
        "bare_s": round(statistics.median(bare), 3),
        "ratio": round(ratio, 2),
        "limit": COUNTRY_LIMIT,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
        "memory_limit_gb": MEMORY_LIMIT_GB,
    }


@contextmanager
def untraced() -> Iterator[None]:
    """No step is recorded anywhere, and the phone's steps are not merged with the shop's."""
    with (
        patch.object(Trace, "record", lambda *_, **__: None),
        patch("checkout.comparison.sales.shop_code_and_tap.scan_steps", lambda *_: ()),
    ):
        yield


def sell(payments: int, *, traced: bool) -> float:
    """Seconds for `payments` sales by a code and by a tap."""
    scenario = load_scenario("supermarket-rush")
    baskets = draw_baskets(scenario, payments, 1)
    took = 0.0
    for way in WAYS:
        if way.name not in ("code-bank", "tap-card"):
            continue
        with tempfile.TemporaryDirectory() as home:
            began = time.perf_counter()
            if traced:
                run_way(
                    way,
                    baskets,
                    scenario,
                    home=Path(home),
                    serve_pages=payer_pages,
                    seed=1,
                )
            else:
                with untraced():
                    run_way(
                        way, baskets, scenario, home=Path(home), serve_pages=payer_pages, seed=1
                    )
            took += time.perf_counter() - began
    return took


def traces(payments: int, rounds: int) -> dict[str, Any]:
    """The same sales with and without their traces."""
    pairs = []
    for number in range(rounds):
        order = (True, False) if number % 2 else (False, True)
        times = {traced: sell(payments, traced=traced) for traced in order}
        pairs.append((times[True], times[False]))
    return {
        "sales_a_mode": payments,
        "traced_s": round(statistics.median(on for on, _ in pairs), 3),
        "untraced_s": round(statistics.median(off for _, off in pairs), 3),
        "ratio": round(statistics.median(on / off for on, off in pairs), 3),
        "limit": TRACE_LIMIT,
    }


def main() -> int:
    """Run both and print; 1 where a limit is broken."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--customers", type=int, default=PAYMENTS_A_DAY)
    options.add_argument("--payments", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    found = {
        "country": country(given.customers, given.rounds),
        "traces": traces(given.payments, given.rounds),
    }
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        day, kept = found["country"], found["traces"]
        print(f"{day['customers']:,} customers: {day['ratio']} times a bare pass (limit 10)")
        print(f"peak memory {day['peak_gb']} GB (limit 4)")
        print(f"traces on: {kept['ratio']} times traces off (limit 1.3)")
    good = (
        found["country"]["ratio"] <= COUNTRY_LIMIT
        and found["country"]["peak_gb"] <= MEMORY_LIMIT_GB
        and found["traces"]["ratio"] <= TRACE_LIMIT
    )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
