"""The comparison as tables that fit a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from checkout.comparison.report.formatting import count, limit, seconds, share
from checkout.comparison.report.matrix import MODE_TITLES, absent_words, cell_of, verdict_words
from checkout.comparison.report.ways_table import row_groups
from checkout.comparison.results import Cell, Comparison, Row
from checkout.comparison.simulation.country import CountryDay
from checkout.comparison.simulation.places import Fates


def print_report(comparison: Comparison, out: Console) -> None:
    """Print the ways to pay, the places, the country and the matrices."""
    out.print(_ways_table(comparison))
    if comparison.places:
        out.print()
        out.print(_places_table(comparison))
    if comparison.country is not None:
        out.print()
        out.print(_country_table(comparison.country))
    for title, rows in (("faults", comparison.faults), ("attacks", comparison.attacks)):
        if rows:
            out.print()
            out.print(_matrix(title, rows))
    for note in comparison.notes:
        out.print(note, style="dim")


def _ways_table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{comparison.payments} sales each, seed {comparison.seed}", min_width=30)
    for column in comparison.columns:
        table.add_column(column.title, justify="right", overflow="fold")
    for group in row_groups(comparison):
        table.add_row(group.title, style="bold", end_section=False)
        for row in group.rows:
            nature = f" [dim]({row.nature})[/dim]" if row.nature != "counted" else ""
            cells = (row.text(column) for column in comparison.columns)
            table.add_row(f"  {row.name}{nature}", *cells)
    return table


def _places_table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("place", "served: codes", "taps", "both", "wait: codes", "taps", "taps overtake at")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    sweeps = {sweep.scenario: sweep for sweep in comparison.sweeps}
    for place in comparison.places:
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
