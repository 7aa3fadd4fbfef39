"""The comparison as a table in the terminal and as JSON; `page.py` makes the HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from checkout.comparison.report.formatting import count, limit, seconds, share
from checkout.comparison.report.matrix import MODE_TITLES, absent_words, cell_of, verdict_words
from checkout.comparison.report.standards import reference_tables
from checkout.comparison.report.table import table_rows
from checkout.comparison.results import Cell, Column, Comparison, Row, Spread
from checkout.comparison.simulation.country import CountryDay
from checkout.comparison.simulation.places import Fates


def as_json(found: Comparison) -> dict[str, Any]:
    """Everything found. What measured times have a part in stands under ``measured`` alone, so
    that two runs with one seed are equal but for that key."""
    return {
        "run": {
            "payments": found.payments,
            "seed": found.seed,
            "scenario": found.scenario,
            "currency": found.currency,
            "version": found.version,
        },
        "ways": {column.name: _counted(column) for column in found.columns},
        "faults": [_matrix_row(row) for row in found.faults],
        "attacks": [_matrix_row(row) for row in found.attacks],
        "reference": [table.as_json() for table in reference_tables()],
        "notes": list(found.notes),
        "measured": {
            "ways": {column.name: _timed(column) for column in found.columns},
            "scenarios": {
                place.scenario.name: {
                    world: result.as_json() for world, result in place.worlds.items()
                }
                for place in found.places
            },
            "country": None if found.country is None else found.country.as_json(),
            "sweeps": {sweep.scenario: sweep.as_json() for sweep in found.sweeps},
            "stories": [
                {
                    "title": sample.title,
                    "mode": sample.mode,
                    "shop_knows_ms": sample.certain.shop_ms,
                    "payer_knows_ms": sample.certain.payer_ms,
                    "steps": [step.as_json() for step in sample.steps],
                }
                for sample in found.samples
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


def _spread(found: Spread | None) -> Mapping[str, float] | None:
    return None if found is None else found.as_json()


def _matrix_row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "what": row.what,
        "cells": [cell.as_json() for cell in row.cells],
        "absent": dict(row.absent),
        **({"remedy": row.remedy} if row.remedy else {}),
    }


def print_report(found: Comparison, out: Console) -> None:
    """The tables that fit a terminal: ways to pay, places, matrices."""
    out.print(_ways_table(found))
    if found.places:
        out.print()
        out.print(_places_table(found))
    if found.country is not None:
        out.print()
        out.print(_country_table(found.country))
    for title, rows in (("faults", found.faults), ("attacks", found.attacks)):
        if rows:
            out.print()
            out.print(_matrix(title, rows))
    for note in found.notes:
        out.print(note, style="dim")


def _ways_table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{found.payments} sales each, seed {found.seed}", min_width=30)
    for column in found.columns:
        table.add_column(column.title, justify="right", overflow="fold")
    for group, rows in table_rows(found):
        table.add_row(group, style="bold", end_section=False)
        for name, how, read in rows:
            shown = f"  {name}" + (f" [dim]({how})[/dim]" if how != "counted" else "")
            table.add_row(shown, *(read(column) for column in found.columns))
    return table


def _places_table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("place", "served: codes", "taps", "both", "wait: codes", "taps", "taps overtake at")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    sweeps = {sweep.scenario: sweep for sweep in found.sweeps}
    for place in found.places:
        worlds = place.worlds
        served = [
            share(worlds[world].electronic_total / max(worlds[world].arrived, 1))
            for world in ("qr", "nfc", "both")
        ]
        waits = [seconds(worlds[world].mean_wait_s) for world in ("qr", "nfc")]
        answer = "-"
        sweep = sweeps.get(place.scenario.name)
        if sweep is not None:
            sales = sweep.overtaking["sales"]
            scenario = place.scenario
            at = sales.nearest(scenario.tap_limit_minor)
            needed = sales.penetration_at(at)
            shown = limit(sales.limits_minor[at], scenario.currency)
            answer = "never" if needed is None else f"{share(needed)} (limit {shown})"
        table.add_row(place.scenario.title, *served, *waits, answer)
    return table


def _country_table(day: CountryDay) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("a country's day", "customers", "by code", "by tap", "cash", "lost")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    rows = [("all", day.fates)]
    rows += [(place.scenario.title, Fates.of(place.worlds.values())) for place in day.places]
    for title, fates in rows:
        parts = (fates.by_code, fates.by_tap, fates.by_cash, fates.unable + fates.gave_up)
        shares = (share(part / max(fates.arrived, 1)) for part in parts)
        table.add_row(title, count(fates.arrived), *shares)
    return table


def _matrix(title: str, rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for heading in MODE_TITLES.values():
        table.add_column(heading.lower(), overflow="fold")
    for row in rows:
        cells = []
        for mode in MODE_TITLES:
            cell = cell_of(row, mode)
            cells.append(absent_words(row, mode) if cell is None else _in_short(cell))
        table.add_row(row.title, *cells)
    return table


def _in_short(cell: Cell) -> str:
    if cell.verdict == "works":
        return f"{verdict_words(cell)}: costs {cell.loss}"
    by = ", ".join(part for part in (cell.stopped_by, cell.because) if part)
    return f"{verdict_words(cell)}: {by or cell.holds}"
