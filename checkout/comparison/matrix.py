"""The fault and attack matrices as tables."""

from __future__ import annotations

from collections.abc import Sequence

from checkout.comparison.charts import keyed
from checkout.comparison.markup import Markup, tag
from checkout.comparison.results import Cell, Row

_MODES = (("qr", "By code"), ("nfc", "By tap"))

_VERDICTS = {
    "safe": "no harm",
    "repaired": "put right",
    "declined": "stopped",
    "works": "works",
}


def matrix_table(rows: Sequence[Row]) -> Markup:
    """One row a fault or attack, one column a mode."""
    head = tag(
        "tr",
        tag("th", ""),
        [tag("th", title, class_=mode, scope="col") for mode, title in _MODES],
    )
    body = [
        tag(
            "tr",
            tag("th", row.title, tag("span", row.what), scope="row"),
            [_cell(_of(row, mode), title) for mode, title in _MODES],
        )
        for row in rows
    ]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", body), class_="matrix"), class_="wide"
    )


def cell_facts(cell: Cell) -> list[tuple[str, str]]:
    """What a cell says, name and value; what is empty is left out."""
    facts = (
        ("payer saw", cell.payer_saw),
        ("shop saw", cell.shop_saw),
        ("money", cell.holds),
        ("stopped by", cell.stopped_by),
        ("at", cell.step),
        ("loss at most", cell.loss),
    )
    return [(name, value) for name, value in facts if value]


def verdict_words(cell: Cell) -> str:
    """The verdict in a word or two."""
    return _VERDICTS[cell.verdict]


def _of(row: Row, mode: str) -> Cell | None:
    return next((cell for cell in row.cells if cell.mode == mode), None)


def _cell(cell: Cell | None, mode: str) -> Markup:
    if cell is None:
        return tag("td", "does not arise", data_mode=mode, class_="cell")
    return tag(
        "td",
        tag("span", verdict_words(cell), class_=f"verdict {cell.verdict}"),
        keyed(cell_facts(cell)),
        data_mode=mode,
        class_="cell",
    )
