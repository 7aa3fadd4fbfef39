"""The comparison's figures as rows, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from checkout.comparison.report.formatting import count, money, share, span
from checkout.comparison.report.markup import tag
from checkout.comparison.results import Column, Comparison

_Read = Callable[[Column], str]


def table_rows(found: Comparison) -> list[tuple[str, list[tuple[str, str, _Read]]]]:
    """The comparison's rows in groups: name, how it was found, and how a column reads."""
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
    trips = sorted({party for column in found.columns for party in column.round_trips})
    return [
        ("Time", spreads),
        (
            "Traffic of one approved sale",
            [
                ("messages", "counted", lambda one: count(round(one.mean("messages"), 1))),
                *((f"round trips, {party}", "counted", _trips(party)) for party in trips),
                ("bytes on air", "counted", lambda one: count(round(one.mean("bytes_air")))),
                ("bytes on the wire", "counted", lambda one: count(round(one.mean("bytes_wire")))),
            ],
        ),
        (
            "How sales ended",
            [
                ("approved", "counted", lambda one: count(len(one.approved))),
                ("declined", "counted", lambda one: count(one.count("declined"))),
                *((f"declined: {why}", "counted", _declined(why)) for why in _reasons(found)),
                *((f"uncertain: {how}", "counted", _resolved(how)) for how in _resolutions(found)),
            ],
        ),
        (
            "Money",
            [
                ("sold", "counted", lambda one: money(one.sold_minor, found.currency)),
                ("fees, share of sales", "counted", lambda one: share(one.cost_share, 3)),
            ],
        ),
    ]


def comparison_table(found: Comparison) -> Markup:
    """Every figure of every way to pay."""
    head = [tag("th", one.title, class_=f"n {one.mode}", scope="col") for one in found.columns]
    body = []
    for group, rows in table_rows(found):
        width = len(found.columns) + 1
        body.append(tag("tr", tag("th", group, colspan=width, scope="rowgroup"), class_="group"))
        for name, how, read in rows:
            cells = [tag("td", read(column), class_="n") for column in found.columns]
            marked = tag("span", how, class_="how") if how != "counted" else None
            label = tag("th", name, marked, scope="row")
            body.append(tag("tr", label, cells))
    table = tag("table", tag("thead", tag("tr", tag("th", ""), head)), tag("tbody", body))
    return tag("div", table, class_="wide")


def _spread(attribute: str, rank: str) -> _Read:
    def read(column: Column) -> str:
        found = getattr(column, attribute)
        return span(getattr(found, rank) if found is not None else None)

    return read


def _trips(party: str) -> _Read:
    return lambda column: count(round(column.round_trips.get(party, 0.0), 1))


def _declined(reason: str) -> _Read:
    return lambda column: count(column.declines.get(reason, 0))


def _resolved(how: str) -> _Read:
    return lambda column: count(column.unknowns.get(how, 0))


def _reasons(found: Comparison) -> list[str]:
    return sorted({reason for column in found.columns for reason in column.declines})


def _resolutions(found: Comparison) -> list[str]:
    return sorted({how for column in found.columns for how in column.unknowns})
