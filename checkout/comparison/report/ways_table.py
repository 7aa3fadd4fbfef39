"""The comparison's figures as rows, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from checkout.comparison.report.formatting import count, money, share, span
from checkout.comparison.report.markup import tag
from checkout.comparison.results import Column, Comparison

_Read = Callable[[Column], str]


def table_rows(comparison: Comparison) -> list[tuple[str, list[tuple[str, str, _Read]]]]:
    """The rows in groups; each row has a name, a nature, and a function from column to text."""
    spreads: list[tuple[str, str, _Read]] = []
    for name, attribute, how in (
        ("software", "software_ms", "measured"),
        ("people, card, air and network", "modelled_ms", "modelled"),
        ("whole sale", "whole_ms", "modelled"),
        ("shop certain of the money", "certain_shop_ms", "modelled"),
        ("payer certain of the money", "certain_payer_ms", "modelled"),
    ):
        for rank in ("median", "p95", "p99"):
            if rank == "median" or attribute in ("software_ms", "whole_ms"):
                spreads.append((f"{name}, {rank}", how, _spread(attribute, rank)))
    trips = sorted({party for column in comparison.columns for party in column.round_trips})
    return [
        ("Time", spreads),
        (
            "Traffic of one approved sale",
            [
                ("messages", "counted", lambda column: count(round(column.mean("messages"), 1))),
                *((f"round trips, {party}", "counted", _trips(party)) for party in trips),
                ("bytes on air", "counted", lambda column: count(round(column.mean("bytes_air")))),
                (
                    "bytes on the wire",
                    "counted",
                    lambda column: count(round(column.mean("bytes_wire"))),
                ),
            ],
        ),
        (
            "How sales ended",
            [
                ("approved", "counted", lambda column: count(len(column.approved))),
                ("declined", "counted", lambda column: count(column.count("declined"))),
                *((f"declined: {why}", "counted", _declined(why)) for why in _reasons(comparison)),
                *(
                    (f"uncertain: {how}", "counted", _resolved(how))
                    for how in _resolutions(comparison)
                ),
            ],
        ),
        (
            "Money",
            [
                ("sold", "counted", lambda column: money(column.sold_minor, comparison.currency)),
                ("fees, share of sales", "counted", lambda column: share(column.cost_share, 3)),
            ],
        ),
    ]


def comparison_table(comparison: Comparison) -> Markup:
    """Every figure of every way to pay."""
    head = [
        tag("th", column.title, class_=f"n {column.mode}", scope="col")
        for column in comparison.columns
    ]
    body = []
    for group, rows in table_rows(comparison):
        width = len(comparison.columns) + 1
        body.append(tag("tr", tag("th", group, colspan=width, scope="rowgroup"), class_="group"))
        for name, how, read in rows:
            cells = [tag("td", read(column), class_="n") for column in comparison.columns]
            marked = tag("span", how, class_="how") if how != "counted" else None
            label = tag("th", name, marked, scope="row")
            body.append(tag("tr", label, cells))
    table = tag("table", tag("thead", tag("tr", tag("th", ""), head)), tag("tbody", body))
    return tag("div", table, class_="wide")


def _spread(attribute: str, rank: str) -> _Read:
    def read(column: Column) -> str:
        spread = getattr(column, attribute)
        return span(getattr(spread, rank) if spread is not None else None)

    return read


def _trips(party: str) -> _Read:
    return lambda column: count(round(column.round_trips.get(party, 0.0), 1))


def _declined(reason: str) -> _Read:
    return lambda column: count(column.declines.get(reason, 0))


def _resolved(how: str) -> _Read:
    return lambda column: count(column.unknowns.get(how, 0))


def _reasons(comparison: Comparison) -> list[str]:
    return sorted({reason for column in comparison.columns for reason in column.declines})


def _resolutions(comparison: Comparison) -> list[str]:
    return sorted({how for column in comparison.columns for how in column.unknowns})
