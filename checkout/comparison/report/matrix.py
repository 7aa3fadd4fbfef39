"""The fault and attack matrices as tables."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from checkout.comparison.report.markup import join, tag
from checkout.comparison.results import Cell, CellMode, Row

#: The columns in their order, with their headings.
MODE_TITLES: dict[CellMode, str] = {
    "qr": "Shop's code",
    "payer-code": "Payer's code",
    "nfc": "Tap",
}

_VERDICTS = {
    "safe": "no harm",
    "repaired": "put right",
    "declined": "stopped",
    "works": "works",
}


def matrix_table(rows: Sequence[Row]) -> Markup:
    """A row for each fault or attack, a column for each mode."""
    head = tag(
        "tr",
        tag("th", ""),
        [tag("th", title, class_=mode, scope="col") for mode, title in MODE_TITLES.items()],
    )
    body = [
        tag(
            "tr",
            tag("th", row.title, tag("span", row.what), _remedy(row), scope="row"),
            [_cell(row, mode, title) for mode, title in MODE_TITLES.items()],
        )
        for row in rows
    ]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", body), class_="matrix"), class_="wide"
    )


def _facts(cell: Cell) -> list[tuple[str, str]]:
    """Name and value of everything that a cell has."""
    works = cell.verdict == "works"
    facts = (
        ("payer saw", cell.payer_saw),
        ("shop saw", cell.shop_saw),
        ("money", cell.holds),
        ("by", "" if cell.stopped_by == "nobody" else cell.stopped_by),
        ("why", cell.because),
        ("passed at" if works else "at", cell.step),
        ("loss", f"at most {cell.loss}" if works and cell.loss else cell.loss),
    )
    return [(name, value) for name, value in facts if value]


def verdict_words(cell: Cell) -> str:
    """The verdict in a word or two."""
    return _VERDICTS[cell.verdict]


def cell_of(row: Row, mode: CellMode) -> Cell | None:
    """The row's cell of that mode, None where it cannot be."""
    return next((cell for cell in row.cells if cell.mode == mode), None)


def absent_words(row: Row, mode: CellMode) -> str:
    """Why a row has no cell of that mode."""
    why = row.absent.get(mode)
    return f"cannot be: {why}" if why else "does not arise"


def _remedy(row: Row) -> Markup | None:
    if not row.remedy or all(cell.verdict != "works" for cell in row.cells):
        return None
    return tag("span", f"What helps: {row.remedy}.")


def _cell(row: Row, kind: CellMode, mode: str) -> Markup:
    cell = cell_of(row, kind)
    if cell is None:
        return tag("td", absent_words(row, kind), data_mode=mode, class_="cell absent")
    return tag(
        "td",
        tag("span", verdict_words(cell), class_=f"verdict {cell.verdict}"),
        tag("dl", [join(tag("dt", name), tag("dd", value)) for name, value in _facts(cell)]),
        data_mode=mode,
        class_="cell",
    )
