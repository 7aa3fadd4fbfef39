"""The files of a closed day for its participants, and the check that they add up.

One folder a date: `positions.csv`, `merchants.csv`, and for each participant `participant-ID.csv`
with its part of every payment. Amounts are minor units; positive is received, negative owed.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from checkout.clearing.settlement.netting import SettledPayment, legs

_LEG_COLUMNS = ("payment", "date", "house", "movement", "merchant", "currency", "amount_minor")


class SettlementFilesError(Exception):
    """Files that can't be written, or that differ from the positions."""


def settlement_folder(home: Path, date: str) -> Path:
    """Where the files of a date (YYYY-MM-DD) are."""
    return home / "settlements" / date


def write_files(folder: Path, report: dict[str, Any], payments: Iterable[SettledPayment]) -> None:
    """Write all files of a date at once, in the place of those of an earlier attempt.

    Then reads the participants' files and nets them again: SettlementFilesError where the report
    has other positions, or where a file can't be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".closing-"))
        _table(draft / "positions.csv", report["positions"])
        _table(draft / "merchants.csv", report["merchants"])
        _participants(draft, payments)
        _reconcile(draft, report)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except OSError as error:
        raise SettlementFilesError(f"{folder}: {error.strerror}") from None


def _table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]) if rows else ["empty"])
        writer.writeheader()
        writer.writerows(rows)


def _participants(folder: Path, payments: Iterable[SettledPayment]) -> None:
    """Write a line for each leg into the file of its participant."""
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for payment in payments:
            for leg in legs(payment):
                writer = writers.get(leg.participant)
                if writer is None:
                    path = folder / f"participant-{leg.participant}.csv"
                    opened = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
                    writer = writers[leg.participant] = csv.writer(opened)
                    writer.writerow(_LEG_COLUMNS)
                writer.writerow(
                    (
                        payment.id,
                        payment.settlement_date.isoformat(),
                        payment.split.house.value,
                        payment.movement.value,
                        payment.merchant,
                        leg.currency,
                        leg.amount_minor,
                    )
                )


def _reconcile(folder: Path, report: dict[str, Any]) -> None:
    """Net the files as their receivers would, and compare with the report's positions."""
    expected = {
        (
            net_position["participant"],
            net_position["house"],
            net_position["currency"],
        ): net_position["net_minor"]
        for net_position in report["positions"]
    }
    netted: dict[tuple[str, str, str], int] = dict.fromkeys(expected, 0)
    for path in folder.glob("participant-*.csv"):
        participant = path.stem.removeprefix("participant-")
        for row in _rows(path):
            key = (participant, row["house"], row["currency"])
            netted[key] = netted.get(key, 0) + int(row["amount_minor"])
    if netted != expected:
        raise SettlementFilesError(f"{folder.name}: the files and the positions differ")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as opened:
        yield from csv.DictReader(opened)
