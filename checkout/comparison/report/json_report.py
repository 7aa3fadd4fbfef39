"""The comparison as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checkout.comparison.report.standards import reference_tables
from checkout.comparison.results import Column, Comparison, Row, Spread


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All results.

    Everything that depends on measured times is under the key ``measured``, so that two runs with
    one seed are equal but for that key.
    """
    return {
        "run": {
            "payments": comparison.payments,
            "seed": comparison.seed,
            "scenario": comparison.scenario,
            "currency": comparison.currency,
            "version": comparison.version,
        },
        "ways": {column.name: _counted(column) for column in comparison.columns},
        "faults": [_matrix_row(row) for row in comparison.faults],
        "attacks": [_matrix_row(row) for row in comparison.attacks],
        "reference": [table.as_json() for table in reference_tables()],
        "notes": list(comparison.notes),
        "measured": {
            "ways": {column.name: _timed(column) for column in comparison.columns},
            "scenarios": {
                place.scenario.name: {
                    world: result.as_json() for world, result in place.worlds.items()
                }
                for place in comparison.places
            },
            "country": None if comparison.country is None else comparison.country.as_json(),
            "sweeps": {sweep.scenario: sweep.as_json() for sweep in comparison.sweeps},
            "stories": [
                {
                    "title": sample.title,
                    "mode": sample.mode,
                    "shop_knows_ms": sample.certain.shop_ms,
                    "payer_knows_ms": sample.certain.payer_ms,
                    "steps": [step.as_json() for step in sample.steps],
                }
                for sample in comparison.samples
            ],
        },
    }


def _counted(column: Column) -> dict[str, Any]:
    income = column.income_minor
    return {
        "title": column.title,
        "mode": column.mode,
        "house": sorted({sale.house for sale in column.sales}),
        "sales": len(column.sales),
        "approved": len(column.approved),
        "declined": column.count("declined"),
        "declines": dict(sorted(column.declines.items())),
        "uncertain": dict(sorted(column.unknowns.items())),
        "messages": round(column.mean("messages"), 3),
        "round_trips": {party: round(trips, 3) for party, trips in column.round_trips.items()},
        "bytes_on_air": round(column.mean("bytes_air"), 1),
        "bytes_on_wire": round(column.mean("bytes_wire"), 1),
        "modelled_ms": _spread(column.modelled_ms),
        "sold_minor": column.sold_minor,
        "income_minor": dict(sorted(income.items())),
        "merchant_cost_minor": column.sold_minor - income.get("merchant", 0),
    }


def _timed(column: Column) -> dict[str, Any]:
    return {
        "software_ms": _spread(column.software_ms),
        "whole_ms": _spread(column.whole_ms),
        "shop_certain_ms": _spread(column.certain_shop_ms),
        "payer_certain_ms": _spread(column.certain_payer_ms),
    }


def _spread(spread: Spread | None) -> Mapping[str, float] | None:
    return None if spread is None else spread.as_json()


def _matrix_row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "what": row.what,
        "cells": [cell.as_json() for cell in row.cells],
        "absent": dict(row.absent),
        **({"remedy": row.remedy} if row.remedy else {}),
    }
