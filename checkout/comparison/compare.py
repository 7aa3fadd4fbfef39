"""The whole side-by-side run: sales by each way, places, faults and attacks, and its reports."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from checkout.comparison.report.json_report import as_json
from checkout.comparison.report.page import html_page
from checkout.comparison.report.terminal_tables import print_report
from checkout.comparison.results import Column, Comparison, Row, SamplePayment
from checkout.comparison.sales.baskets import draw_baskets
from checkout.comparison.sales.runs import WAYS, run_way
from checkout.comparison.simulation.country import CountryDay, run_country
from checkout.comparison.simulation.distributions import TableError
from checkout.comparison.simulation.places import PlaceResult, run_place
from checkout.comparison.simulation.scenarios import Scenario, load_scenario, load_scenarios
from checkout.comparison.simulation.sweep import Sweep, sweep
from checkout.comparison.simulation.traffic import Measured
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials.attacks import run_attacks
from checkout.comparison.trials.faults import run_faults
from checkout.config import installed_version

DEFAULT_SCENARIO = "supermarket-rush"

#: Characters in a line of the tables where standard output is a file or a pipe.
_PLAIN_WIDTH = 120


def run(
    *,
    payments: int,
    seed: int,
    scenario: str | None,
    json_file: Path | None,
    html_file: Path | None,
    serve_pages: ServePages,
) -> None:
    """Compare, and write the reports: JSON and page to the files, tables to standard output.

    The JSON file may be ``-`` for standard output, which then has no tables. TableError where a
    file's folder does not exist, or for what cannot be run.
    """
    for name, path in (("json", json_file), ("html", html_file)):
        if path is not None and not path.parent.is_dir():
            raise TableError(name, f"the folder {path.parent} does not exist")
    with _progress() as progress:
        comparison = compare(
            payments=payments,
            seed=seed,
            scenario=scenario,
            serve_pages=serve_pages,
            progress=progress,
        )
    if json_file is not None:
        text = json.dumps(as_json(comparison), ensure_ascii=False, indent=2) + "\n"
        _write(json_file, text)
    if html_file is not None:
        _write(html_file, html_page(comparison))
    if str(json_file) != "-":
        out = Console(highlight=False)
        plain = Console(highlight=False, width=_PLAIN_WIDTH)
        print_report(comparison, out if out.is_terminal else plain)


def compare(
    *,
    payments: int,
    seed: int,
    serve_pages: ServePages,
    scenario: str | None = None,
    progress: Progress | None = None,
    matrices: bool = True,
    simulated: bool = True,
) -> Comparison:
    """Run everything; two runs with one seed differ in measured times alone.

    Without a scenario the baskets are a supermarket's, and all places and a country are simulated.
    `matrices` and `simulated` turn faults and attacks, and the simulations, off. TableError for
    what cannot be run.
    """
    if payments < 1:
        raise TableError("payments", f"expected one or more, got {payments}")
    place = load_scenario(scenario or DEFAULT_SCENARIO)
    bars = _Bars(progress)
    columns, samples = _run_ways(place, payments, seed, serve_pages, bars)
    faults: tuple[Row, ...] = ()
    attacks: tuple[Row, ...] = ()
    if matrices:
        faults = run_faults(serve_pages, progress=bars.add("Faults"))
        attacks = run_attacks(serve_pages, progress=bars.add("Attacks"))
    places: tuple[PlaceResult, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    country: CountryDay | None = None
    if simulated:
        measured = _measured(columns)
        simulated_places = (place,) if scenario else load_scenarios()
        places, sweeps = _run_places(simulated_places, seed, measured, bars)
        if scenario is None:
            bar = bars.add("A country's day")
            country = run_country(seed=seed, measured=measured, progress=bar)
    return Comparison(
        payments=payments,
        seed=seed,
        version=installed_version(),
        scenario=place.name,
        currency=place.currency,
        columns=columns,
        samples=samples,
        places=places,
        sweeps=sweeps,
        country=country,
        faults=faults,
        attacks=attacks,
        notes=_notes(columns),
    )


def _run_ways(
    place: Scenario, payments: int, seed: int, serve_pages: ServePages, bars: _Bars
) -> tuple[tuple[Column, ...], tuple[SamplePayment, ...]]:
    """The same baskets paid by every way."""
    baskets = draw_baskets(place, payments, seed)
    columns, samples = [], []
    with tempfile.TemporaryDirectory(prefix="checkout-compare-") as home:
        for way in WAYS:
            column, sample = run_way(
                way,
                baskets,
                place,
                home=Path(home),
                serve_pages=serve_pages,
                seed=seed,
                progress=bars.add(way.title),
            )
            columns.append(column)
            if sample is not None:
                samples.append(sample)
    return tuple(columns), tuple(samples)


def _run_places(
    scenarios: tuple[Scenario, ...], seed: int, measured: Measured, bars: _Bars
) -> tuple[tuple[PlaceResult, ...], tuple[Sweep, ...]]:
    """Each place in its worlds, and its sweep over terminals and limits."""
    bar = bars.add("Places")
    places, sweeps = [], []
    for done, scenario in enumerate(scenarios):
        bar(2 * done, 2 * len(scenarios))
        places.append(run_place(scenario, seed=seed, measured=measured))
        bar(2 * done + 1, 2 * len(scenarios))
        sweeps.append(sweep(scenario, seed=seed, measured=measured))
    bar(len(scenarios), len(scenarios))
    return tuple(places), tuple(sweeps)


def _measured(columns: tuple[Column, ...]) -> Measured:
    """Measured milliseconds by the names that the simulation has for ways and modes."""
    measured: dict[str, list[float]] = {}
    for column in columns:
        times = [sale.software_ms for sale in column.approved]
        name = "qr-payer-code" if column.mode == "payer-code" else column.mode
        measured.setdefault(name, []).extend(times)
    return measured


def _notes(columns: tuple[Column, ...]) -> tuple[str, ...]:
    wrong = sum(
        sale.booked != (sale.outcome == "approved") for column in columns for sale in column.sales
    )
    return (
        "Cards, phones, reader and air are emulated; the driver, the kernel, the pages, the "
        "messages and the books are the real ones of this project.",
        "In the books, every approved sale stands once and no other stands at all."
        if not wrong
        else f"In the books, {wrong} sales do not stand as they ended.",
        "Wallets and phones have no expired, blocked or empty card in them; their holders pay "
        "there with what they have.",
    )


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # a file gets no bars, nor the empty line after them
    )


class _Bars:
    """Progress bars, or none where `progress` is None."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def add(self, title: str) -> Callable[[int, int], None]:
        """A new bar; call the returned function with the number done and the number of all."""
        progress = self._progress
        if progress is None:
            return lambda done, total: None
        task = progress.add_task(title, total=1)
        return lambda done, total: progress.update(task, completed=done, total=total)


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        sys.stdout.write(text)
        return
    path.write_text(text, encoding="utf-8")
