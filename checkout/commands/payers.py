"""`checkout payers`: the demo's cards, phones and wallets, and what each is for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from checkout.commands.common import console, print_json
from checkout.demo.payers import DEMO_PIN, payers

#: In a narrower terminal the last column of a table would hold one word a line.
_TABLE_WIDTH = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout payers`."""

    json: bool


def run(options: Options) -> int:
    """List them as a table or as JSON."""
    if options.json:
        print_json({"payers": [payer.as_json() for payer in payers()], "demo_pin": DEMO_PIN})
        return 0
    out = console()
    if out.width < _TABLE_WIDTH:
        for payer in payers():
            out.print(f"{payer.name}  {payer.masked}  {', '.join(payer.modes)}\n  {payer.purpose}")
    else:
        out.print(_table())
    out.print(f"\nThe demo PIN of every account is {DEMO_PIN}. Never type a real one.")
    return 0


def _table() -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "account", "pays by", "what it is for"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "what it is for")
    for payer in payers():
        table.add_row(payer.name, payer.masked, ", ".join(payer.modes), payer.purpose)
    return table
