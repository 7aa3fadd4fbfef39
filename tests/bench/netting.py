"""Netting of many rows inside DuckDB, compared with a bare scan of the columns and plain Python.

Prints medians of interleaved rounds and their ratios; `--json` gives one object. DuckDB and
Python must compute the same positions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

ROWS_SQL = """
CREATE TABLE payments AS SELECT
  DATE '2016-08-01' + CAST(i % 60 AS INTEGER) AS settlement_date,
  CASE WHEN i % 5 = 0 THEN 'three-party' ELSE 'four-party' END AS house,
  'sale' AS movement,
  CAST(1 + (hash(i) % 2000000) AS BIGINT) AS amount_minor,
  'CNY' AS currency,
  CASE WHEN i % 5 = 0 THEN 'wallet' WHEN i % 2 = 0 THEN 'debit' ELSE 'credit' END AS card_kind,
  ['5812', '5999', '5411', '8062', '7013', '5111'][1 + i % 6] AS mcc,
  'M' || (i % 500) AS merchant,
  CASE WHEN i % 5 = 0 THEN 'wallet-operator' WHEN i % 3 = 0 THEN 'lane-bank'
       ELSE 'harbour-bank' END AS holder,
  'network' AS network,
  CASE WHEN i % 5 = 0 THEN '' WHEN i % 7 < 4 THEN 'market-acquirer'
       ELSE 'square-acquirer' END AS acquirer,
  CASE WHEN i % 10 = 0 THEN 'lane-bank' ELSE '' END AS bank
FROM range({rows}) AS t(i)
"""
SCAN_SQL = """
SELECT settlement_date, house, currency, card_kind, mcc, merchant, holder, acquirer, bank,
       sum(amount_minor), count(*) FROM payments GROUP BY ALL
"""


def main() -> int:
    """Run the rounds and print them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=5_000_000)
    options.add_argument("--python-rows", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = measure(chosen.rows, chosen.python_rows, chosen.rounds)
    if chosen.json:
        print(json.dumps(found))
    else:
        for name, figure in found.items():
            print(f"{name:28} {figure}")
    return 0


def measure(rows: int, python_rows: int, rounds: int) -> dict[str, Any]:
    """Seconds of each way, by median, and what they come to against each other."""
    import ibis

    from checkout.clearing.scheme.rules import rules_of_china
    from checkout.clearing.settlement import netting
    from checkout.clearing.settlement.netting_engine import close_day, rate

    engine = ibis.duckdb.connect()
    engine.raw_sql(ROWS_SQL.format(rows=rows))
    table = engine.table("payments")
    sample = [_payment(row) for row in table.limit(python_rows).to_pyarrow().to_pylist()]
    rules = rules_of_china()
    agreed = rate(table.limit(python_rows), rules)
    assert close_day(agreed).statements == netting.statements(sample), "engine and Python disagree"

    def engine_way() -> None:
        close_day(rate(table, rules))

    def python_way() -> None:
        netting.close_day(sample)

    ways: dict[str, Callable[[], object]] = {
        "scan_s": lambda: engine.raw_sql(SCAN_SQL).fetchall(),
        "engine_s": engine_way,
        "python_s": python_way,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times) for name, times in taken.items()}
    per_python_row = median["python_s"] / python_rows
    return {
        "rows": rows,
        "python_rows": python_rows,
        **{name: round(value, 4) for name, value in median.items()},
        "engine_rows_per_s": round(rows / median["engine_s"]),
        "engine_to_scan": round(median["engine_s"] / median["scan_s"], 2),
        "python_to_engine_per_row": round(per_python_row / (median["engine_s"] / rows), 1),
    }


def _payment(row: dict[str, Any]) -> Any:
    from checkout.clearing.scheme.fees import fees
    from checkout.clearing.scheme.participants import CardKind
    from checkout.clearing.scheme.rules import House
    from checkout.clearing.settlement.netting import Movement, SettledPayment

    return SettledPayment(
        id="",
        settlement_date=row["settlement_date"],
        movement=Movement(row["movement"]),
        split=fees(
            row["amount_minor"],
            card_kind=CardKind(row["card_kind"]),
            mcc=row["mcc"],
            on=row["settlement_date"],
            house=House(row["house"]),
            currency=row["currency"],
            linked=bool(row["bank"]),
        ),
        currency=row["currency"],
        merchant=row["merchant"],
        holder=row["holder"],
        network=row["network"],
        acquirer=row["acquirer"] or None,
        bank=row["bank"] or None,
    )


if __name__ == "__main__":
    sys.exit(main())
