"""`checkout compare`: run everything, show the table, write JSON and the page."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from checkout.comparison.report.html import html_page
from checkout.comparison.report.text import as_json, print_report
from checkout.comparison.results import Column, Comparison, Row
from checkout.comparison.sales.baskets import draw_baskets
from checkout.comparison.sales.runs import WAYS, run_way
from checkout.comparison.simulation.country import run_country
from checkout.comparison.simulation.distributions import TableError
from checkout.comparison.simulation.places import run_place
from checkout.comparison.simulation.scenarios import Scenario, load_scenario, load_scenarios
from checkout.comparison.simulation.sweep import sweep
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials.attacks import run_attacks
from checkout.comparison.trials.faults import run_faults
from checkout.config import installed_version

DEFAULT_SCENARIO = "supermarket-rush"

#: Columns of the table where standard output is a file or a pipe.
_PLAIN_WIDTH = 120


def run(args: SimpleNamespace, *, serve_pages: ServePages) -> int:
    """Compare as the options say; 0, or an error of ours with a one-line message."""
    for name, path in (("json", args.json), ("html", args.html)):
        if path is not None and not path.parent.is_dir():
            raise TableError(name, f"the folder {path.parent} does not exist")
    bars = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=bars,
        transient=True,
        disable=not bars.is_terminal,  # a file gets no bars, nor the empty line after them
    )
    with progress:
        found = compare(
            payments=args.payments,
            seed=args.seed,
            scenario=args.scenario,
            serve_pages=serve_pages,
            progress=progress,
        )
    if args.json is not None:
        text = json.dumps(as_json(found), ensure_ascii=False, indent=2) + "\n"
        _write(args.json, text)
    if args.html is not None:
        _write(args.html, html_page(found))
    if str(args.json) != "-":
        out = Console(highlight=False)
        print_report(
            found, out if out.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)
        )
    return 0


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
    """Everything of one comparison; the same but for measured times whenever the seed is.

    Without a scenario the baskets are a supermarket's and every place is simulated. `matrices`
    and `simulated` leave out faults and attacks, and the places. Raises TableError for what cannot
    be run.
    """
    if payments < 1:
        raise TableError("payments", f"expected one or more, got {payments}")
    place = load_scenario(scenario or DEFAULT_SCENARIO)
    bars = _Bars(progress)
    baskets = draw_baskets(place, payments, seed)
    columns, samples = [], []
    with tempfile.TemporaryDirectory(prefix="checkout-compare-") as home:
        for way in WAYS:
            step = bars.add(way.title, payments)
            column, sample = run_way(
                way,
                baskets,
                place,
                home=Path(home),
                serve_pages=serve_pages,
                seed=seed,
                progress=step,
            )
            columns.append(column)
            samples += [sample] if sample is not None else []
    faults: tuple[Row, ...] = ()
    attacks: tuple[Row, ...] = ()
    if matrices:
        faults = run_faults(serve_pages, progress=bars.counting("Faults"))
        attacks = run_attacks(serve_pages, progress=bars.counting("Attacks"))
    found_places, sweeps = [], []
    places: tuple[Scenario, ...] = ()
    if simulated:
        places = (place,) if scenario else load_scenarios()
    measured = _measured(columns)
    step = bars.add("Places", 2 * len(places))
    for one in places:
        found_places.append(run_place(one, seed=seed, measured=measured))
        step()
        sweeps.append(sweep(one, seed=seed, measured=measured))
        step()
    country = None
    if simulated and scenario is None:
        done = bars.counting("A country's day")
        country = run_country(seed=seed, measured=measured, progress=done)
    return Comparison(
        payments=payments,
        seed=seed,
        version=installed_version(),
        scenario=place.name,
        currency=place.currency,
        columns=tuple(columns),
        samples=tuple(samples),
        places=tuple(found_places),
        sweeps=tuple(sweeps),
        country=country,
        faults=faults,
        attacks=attacks,
        notes=_notes(columns),
    )


def _measured(columns: list[Column]) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {}
    for column in columns:
        times = [sale.software_ms for sale in column.approved]
        known_as = "qr-payer-code" if column.mode == "payer-code" else column.mode
        measured.setdefault(known_as, []).extend(times)
    return measured


def _notes(columns: list[Column]) -> tuple[str, ...]:
    wrong = sum(
        sale.booked != (sale.outcome == "approved") for column in columns for sale in column.sales
    )
    return (
        "Cards, phones, reader and air are emulated; the driver, the kernel, the pages, the "
        "messages and the books are the real ones of this project.",
        "In the books, every approved sale stands once and no other stands at all."
        if not wrong
        else f"In the books, {wrong} sales stand otherwise than they ended.",
        "Wallets and phones have no expired, blocked or empty card in them; their holders pay "
        "there with what they have.",
    )


class _Bars:
    """Progress bars, or nothing where none are wanted."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def add(self, title: str, total: int) -> Callable[[], None]:
        """A bar; calling what is returned moves it by one."""
        progress = self._progress
        if progress is None:
            return lambda: None
        task: TaskID = progress.add_task(title, total=total)
        return lambda: progress.advance(task)

    def counting(self, title: str) -> Callable[[int, int], None]:
        """A bar for work that says itself how far it is: done, total."""
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
