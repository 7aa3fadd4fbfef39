"""`checkout settle`: close the day and show who owes whom."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from rich.table import Table

from checkout.clearing.client.open_client import open_client
from checkout.clearing.scheme.business_date import settlement_date
from checkout.commands.common import CommandError, console, print_json
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.money import Money
from checkout.shop.shop import Shop

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout settle`."""

    date: str | None
    database: str
    json: bool


def run(options: Options) -> int:
    """Close the settlement date, today's where none is named; closing twice changes nothing."""
    day = _date(options.date)
    config = Config(database=options.database)
    # Raises in one line where the database cannot be used.
    shop = Shop.open(config, payers=DemoPayers())
    client = open_client(config.home, config.database_url)
    try:
        report = client.operate("settle", {"date": day.isoformat()})
        # A message holds the report of a small day only; the tables hold that of any day.
        report |= shop.books.settlement(day) or {}
    finally:
        client.close()
        shop.close()
    if options.json:
        print_json(report)
    else:
        _show(report, day)
    return 0


def _date(text: str | None) -> date:
    if text is None:
        return settlement_date(datetime.now(UTC))
    if _DATE.fullmatch(text):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(text)
    raise CommandError(f"date: expected YYYY-MM-DD, got {text!r}")


def _show(report: dict[str, Any], day: date) -> None:
    out = console()
    before = "had been closed before, nothing changed" if report.get("closed_before") else "closed"
    out.print(f"Settlement date {day}: {before}")
    if not report.get("positions"):
        out.print("Nobody owes anybody anything: no sale fell on it.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("house", "participant", "currency"):
        table.add_column(heading)
    table.add_column("receives", justify="right")
    for position in report.get("positions", []):
        net = Money(amount_minor=int(position["net_minor"]), currency=position["currency"])
        table.add_row(
            str(position.get("house", "")),
            str(position["participant"]),
            position["currency"],
            net.decimal(),
        )
    out.print(table)
