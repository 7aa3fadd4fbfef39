"""The figures of every way to pay as rows, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from checkout.comparison.report.formatting import count, money, share, span
from checkout.comparison.report.markup import tag
from checkout.comparison.results import Column, Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRow:
    """One row: its name, how its figures came about, and the text of a column's figure."""

    name: str
    text: Callable[[Column], str]
    nature: Literal["measured", "modelled", "counted"] = "counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows under one heading."""

    title: str
    rows: Sequence[FigureRow]


def row_groups(comparison: Comparison) -> tuple[RowGroup, ...]:
    """Every row of the comparison, in groups."""
    return (
        RowGroup(title="Time", rows=_times()),
        RowGroup(title="Traffic of one approved sale", rows=_traffic(comparison)),
        RowGroup(title="How sales ended", rows=_outcomes(comparison)),
        RowGroup(title="Money", rows=_money(comparison.currency)),
    )


def ways_table(comparison: Comparison) -> Markup:
    """Every figure of every way to pay, as HTML."""
    columns = comparison.columns
    head = [tag("th", column.title, class_=f"n {column.mode}", scope="col") for column in columns]
    body = []
    for group in row_groups(comparison):
        heading = tag("th", group.title, colspan=len(columns) + 1, scope="rowgroup")
        body.append(tag("tr", heading, class_="group"))
        for row in group.rows:
            cells = [tag("td", row.text(column), class_="n") for column in columns]
            nature = tag("span", row.nature, class_="how") if row.nature != "counted" else None
            body.append(tag("tr", tag("th", row.name, nature, scope="row"), cells))
    table = tag("table", tag("thead", tag("tr", tag("th", ""), head)), tag("tbody", body))
    return tag("div", table, class_="wide")


def _times() -> list[FigureRow]:
    medians = ("median",)
    tails = ("median", "p95", "p99")
    return [
        *_spread("software", "software_ms", tails, "measured"),
        *_spread("people, card, air and network", "modelled_ms", medians),
        *_spread("whole sale", "whole_ms", tails),
        *_spread("shop certain of the money", "certain_shop_ms", medians),
        *_spread("payer certain of the money", "certain_payer_ms", medians),
    ]


def _spread(
    name: str,
    attribute: str,
    quantiles: Sequence[str],
    nature: Literal["measured", "modelled"] = "modelled",
) -> list[FigureRow]:
    def text_of(quantile: str) -> Callable[[Column], str]:
        def text(column: Column) -> str:
            spread = getattr(column, attribute)
            return span(getattr(spread, quantile) if spread is not None else None)

        return text

    return [
        FigureRow(name=f"{name}, {quantile}", text=text_of(quantile), nature=nature)
        for quantile in quantiles
    ]


def _traffic(comparison: Comparison) -> list[FigureRow]:
    parties = sorted({party for column in comparison.columns for party in column.round_trips})

    def trips(party: str) -> Callable[[Column], str]:
        return lambda column: count(round(column.round_trips.get(party, 0.0), 1))

    def mean(figure: str, places: int | None = None) -> Callable[[Column], str]:
        return lambda column: count(round(column.mean(figure), places))

    return [
        FigureRow(name="messages", text=mean("messages", 1)),
        *(FigureRow(name=f"round trips, {party}", text=trips(party)) for party in parties),
        FigureRow(name="bytes on air", text=mean("bytes_air")),
        FigureRow(name="bytes on the wire", text=mean("bytes_wire")),
    ]


def _outcomes(comparison: Comparison) -> list[FigureRow]:
    reasons = sorted({reason for column in comparison.columns for reason in column.declines})
    endings = sorted({ending for column in comparison.columns for ending in column.unknowns})

    def declined(reason: str) -> Callable[[Column], str]:
        return lambda column: count(column.declines.get(reason, 0))

    def resolved(ending: str) -> Callable[[Column], str]:
        return lambda column: count(column.unknowns.get(ending, 0))

    return [
        FigureRow(name="approved", text=lambda column: count(len(column.approved))),
        FigureRow(name="declined", text=lambda column: count(column.count("declined"))),
        *(FigureRow(name=f"declined: {reason}", text=declined(reason)) for reason in reasons),
        *(FigureRow(name=f"uncertain: {ending}", text=resolved(ending)) for ending in endings),
    ]


def _money(currency: str) -> list[FigureRow]:
    return [
        FigureRow(name="sold", text=lambda column: money(column.sold_minor, currency)),
        FigureRow(name="fees, share of sales", text=lambda column: share(column.cost_share, 3)),
    ]
