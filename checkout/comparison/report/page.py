"""The report as one HTML file that opens anywhere: no script, no other host, fit to print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from checkout.comparison.report.charts import Axis, Line, Part, bars, plot
from checkout.comparison.report.formatting import count, share, span
from checkout.comparison.report.markup import join, tag
from checkout.comparison.report.matrix import matrix_table
from checkout.comparison.report.places_section import (
    country_section,
    overtaking_section,
    places_section,
)
from checkout.comparison.report.reference_section import models_section, reference_section
from checkout.comparison.report.samples_section import samples_section
from checkout.comparison.report.ways_table import ways_table
from checkout.comparison.results import Column, Comparison
from checkout.comparison.simulation.country import CountryDay

_CSS = Path(__file__).with_name("page.css")

_PARTIES = ("issuer", "network", "acquirer", "operator", "bank")


def html_page(comparison: Comparison) -> str:
    """The whole report as the text of an HTML file."""
    sections: list[tuple[str, str, Markup]] = [
        ("glance", "At a glance", _glance(comparison)),
        ("sale", "One sale, message by message", _samples(comparison)),
        ("time", "Where the time goes", _time(comparison)),
        ("money", "Who gets the money", _money(comparison)),
    ]
    if comparison.sweeps:
        sections.append(("overtaking", "Where taps overtake codes", _overtaking(comparison)))
    if comparison.places:
        sections.append(("places", "Eight places", _places(comparison)))
    if comparison.country is not None:
        sections.append(("country", "A country's day", _country(comparison.country)))
    if comparison.faults:
        sections.append(("faults", "When something fails", _faults(comparison)))
    if comparison.attacks:
        sections.append(("attacks", "When somebody attacks", _attacks(comparison)))
    sections.append(("steps", "The steps and where they are laid down", reference_section()))
    sections.append(("models", "What was modelled, and from what", models_section()))
    body = tag(
        "main",
        _header(comparison, [(name, title) for name, title, _ in sections]),
        [join(tag("h2", title, id=name), content) for name, title, content in sections],
        _footer(comparison),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "A code and a tap, side by side"),
        tag("style", Markup(_CSS.read_text("utf-8"))),  # noqa: S704 - a file of this package
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}"


def _header(comparison: Comparison, sections: Sequence[tuple[str, str]]) -> Markup:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in sections]
    facts = [
        ("sales a way", count(comparison.payments)),
        ("seed", str(comparison.seed)),
        ("baskets", comparison.scenario),
        ("checkout", comparison.version),
    ]
    return tag(
        "header",
        tag("h1", "A code and a tap, side by side"),
        tag(
            "p",
            "The same sales paid by scanning the shop's code, by showing a code of the payer's own "
            "and by tapping, each run through the whole of the software. Money, banks' decisions, "
            "cards and air are simulated; the time of people, cards and networks is modelled and "
            "marked so.",
            class_="lead",
        ),
        tag(
            "div",
            [tag("span", f"{name} ", tag("b", value)) for name, value in facts],
            class_="run",
        ),
        tag("nav", tag("ul", links), aria_label="Sections"),
    )


def _glance(comparison: Comparison) -> Markup:
    heads = [_head(column) for column in comparison.columns]
    return join(tag("div", heads, class_="heads"), ways_table(comparison))


def _head(column: Column) -> Markup:
    whole, software = column.whole_ms, column.software_ms
    return tag(
        "div",
        tag("h3", column.title),
        tag("div", span(whole.median if whole else None), class_="big"),
        tag("p", "from the amount to the goodbye, modelled with people in it"),
        tag("p", f"software alone {span(software.median if software else None)}, measured"),
        tag("p", f"fees {share(column.cost_share, 2)} of sales"),
        class_=f"head {column.mode}",
    )


def _samples(comparison: Comparison) -> Markup:
    if not comparison.samples:
        return tag("p", "No sale was approved, so there is none to show.")
    return join(
        tag(
            "p",
            "The same sale by each way on one time axis, in software time as measured; what was "
            "modelled stands in the list of steps. Bars are time until the answer; dashed lines "
            "mark when shop and payer were certain of the money.",
            class_="note",
        ),
        samples_section(comparison.samples),
    )


def _time(comparison: Comparison) -> Markup:
    natures = ("human", "machine", "air", "card", "network")
    stacked = {}
    for column in comparison.columns:
        spent = column.modelled_by_nature()
        parts = [
            Part(title=nature, kind=nature, value=spent[nature], shown=span(spent[nature]))
            for nature in natures
            if spent.get(nature)
        ]
        software = column.software_ms
        if software is not None:
            own = software.median
            parts.append(Part(title="software", kind="software", value=own, shown=span(own)))
        stacked[column.title] = parts
    return join(
        tag("p", "Mean of the modelled parts and median of the measured software.", class_="note"),
        bars(stacked, label="Time of one sale by what takes it"),
        tag("div", _whole_plot(comparison), _software_plot(comparison), class_="plots"),
    )


def _whole_plot(comparison: Comparison) -> Markup:
    lines = [
        Line(
            title=column.title,
            kind=column.mode,
            points=_rising([sale.whole_ms for sale in column.approved]),
            dashed=_second(comparison, index),
        )
        for index, column in enumerate(comparison.columns)
    ]
    return _curves(lines, "Whole sale, modelled with people in it", 1000, "time of one sale, s")


def _software_plot(comparison: Comparison) -> Markup:
    lines = [
        Line(
            title=column.title,
            kind=column.mode,
            points=_rising([sale.software_ms for sale in column.approved]),
            dashed=_second(comparison, index),
        )
        for index, column in enumerate(comparison.columns)
    ]
    return _curves(lines, "Software alone, measured", 1, "software time of one sale, ms")


def _second(comparison: Comparison, index: int) -> bool:
    """Whether an earlier way has the same colour."""
    columns = comparison.columns
    return any(column.mode == columns[index].mode for column in columns[:index])


def _curves(lines: Sequence[Line], title: str, unit: int, name: str) -> Markup:
    ends = [line.points[-1][0] for line in lines if len(line.points) > 1]
    high = max(ends, default=1.0)
    step = _nice(high / 5)
    ticks = []
    at = 0.0
    while at <= high:
        ticks.append((at, f"{at / unit:g}"))
        at += step
    x = Axis(low=0, high=high, ticks=ticks, title=name)
    y = Axis(
        low=0, high=1, ticks=[(p / 4, share(p / 4)) for p in range(5)], title="share of sales done"
    )
    return tag("section", tag("h3", title), plot(lines, x, y, label=title))


def _rising(values: Sequence[float]) -> list[tuple[float, float]]:
    ordered = sorted(values)
    if len(ordered) < 2:
        return []
    # Without the longest percent of the sales, which would take up most of the axis.
    shown = ordered[: max(2, int(len(ordered) * 0.99))]
    every = max(1, len(shown) // 200)
    return [(shown[i], (i + 1) / len(ordered)) for i in range(0, len(shown), every)]


def _nice(least: float) -> float:
    size = 1.0
    while size * 10 <= least:
        size *= 10
    while size > least and size > 1e-6:
        size /= 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least)


def _money(comparison: Comparison) -> Markup:
    rows = {}
    for column in comparison.columns:
        income = column.income_minor
        rows[column.title] = [
            Part(
                title=party,
                kind="network-party" if party == "network" else party,
                value=1000 * income.get(party, 0) / column.sold_minor,
                shown=f"{1000 * income.get(party, 0) / column.sold_minor:.2f}",
            )
            for party in _PARTIES
            if column.sold_minor
        ]
    return join(
        tag(
            "p", "Of every 1,000 taken, this much goes to others than the merchant.", class_="note"
        ),
        bars(rows, label="Fees of every 1,000 taken, by who gets them"),
    )


def _overtaking(comparison: Comparison) -> Markup:
    return join(
        tag(
            "p",
            "How many shops must have a terminal for taps to bring more sales than codes, and what "
            "the limit for taps without PIN does to that; never means not even with a terminal in "
            "every shop. Every point comes from runs of queues with the same people.",
        ),
        overtaking_section(comparison.places, comparison.sweeps),
    )


def _places(comparison: Comparison) -> Markup:
    return join(
        tag(
            "p",
            "Many shops of each kind, simulated customer by customer; times to serve add up "
            "modelled steps and the software time measured above. The same people come each time; "
            "only what the shop takes differs.",
        ),
        places_section(comparison.places, comparison.sweeps),
    )


def _country(day: CountryDay) -> Markup:
    return join(
        tag(
            "p",
            f"All eight kinds of place at once, with {count(day.fates.arrived)} customers: about "
            "as many as China's mobile payments a day in the third quarter of 2015 (4.5 billion in "
            "92 days). How many customers come to which kind of place is assumed; so is how many "
            "of its shops take codes and taps, each as it stands.",
        ),
        country_section(day),
    )


def _faults(comparison: Comparison) -> Markup:
    return join(
        tag("p", "Each fault was really brought about; what is shown is what came of it."),
        matrix_table(comparison.faults),
    )


def _attacks(comparison: Comparison) -> Markup:
    return join(
        tag("p", "Each attack was really attempted against the running software."),
        matrix_table(comparison.attacks),
    )


def _footer(comparison: Comparison) -> Markup:
    return tag(
        "footer",
        [tag("p", note) for note in comparison.notes],
        tag(
            "p",
            f"Run again with --seed {comparison.seed} --payments {comparison.payments}: "
            "everything but measured times comes out the same.",
        ),
    )
