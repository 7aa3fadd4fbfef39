"""The report's reference part: steps with their clauses, models with their sources."""

from __future__ import annotations

from markupsafe import Markup

from checkout.comparison.report.formatting import span
from checkout.comparison.report.markup import join, tag
from checkout.comparison.report.standards import ReferenceTable, reference_tables
from checkout.comparison.simulation.timing_models import load_models


def reference_section() -> Markup:
    """The steps of each way with the clause each comes from."""
    return join(_reference_table(table) for table in reference_tables())


def _reference_table(table: ReferenceTable) -> Markup:
    rows = [
        tag(
            "tr",
            tag("td", str(index), class_="n"),
            tag("td", f"{step.source} → {step.target}"),
            tag("td", step.what),
            tag("td", step.clause),
        )
        for index, step in enumerate(table.steps, 1)
    ]
    head = tag("tr", [tag("th", name, scope="col") for name in ("", "who", "what", "clause")])
    return join(
        tag("h3", table.title, class_=table.mode),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="wide"),
    )


def models_section() -> Markup:
    """Every modelled parameter with its source, and the sums against published ones."""
    models = load_models()
    rows = [
        tag(
            "tr",
            tag("td", step.title),
            tag("td", step.nature),
            tag("td", span(step.time_ms.median), class_="n"),
            tag("td", span(step.time_ms.p95), class_="n"),
            tag("td", step.basis),
            tag("td", step.source),
        )
        for step in models.steps.values()
        if step.nature != "software"
    ]
    names = ("step", "nature", "median", "95 of 100 below", "basis", "source")
    head = tag("tr", [tag("th", name, scope="col") for name in names])
    whole = [
        tag(
            "tr",
            tag("td", models.ways[name.removesuffix("-pin")].title + _with_pin(name)),
            tag("td", span(_mean(name)), class_="n"),
            tag("td", span(total.mean_s * 1000), class_="n"),
            tag("td", total.source),
        )
        for name, total in models.published.items()
    ]
    columns = ("whole payment", "modelled mean", "published mean", "source")
    check = tag("tr", [tag("th", name, scope="col") for name in columns])
    return join(
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="wide"),
        tag("h3", "The sums against whole payments that others timed"),
        tag("div", tag("table", tag("thead", check), tag("tbody", whole)), class_="wide"),
    )


def _with_pin(name: str) -> str:
    return ", with PIN" if name.endswith("-pin") else ""


def _mean(name: str) -> float:
    return load_models().mean_ms(name.removesuffix("-pin"), with_pin=name.endswith("-pin"))
