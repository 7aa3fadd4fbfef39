"""`checkout tap`: one card through the terminal kernel, no clearing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from checkout.acceptance.nfc.terminal import Terminal, by_command_note, load
from checkout.commands.common import CommandError, console, print_json
from checkout.config import Config
from checkout.demo.emulated_reader import EmulatedReader, choose_reader
from checkout.demo.payers import DEFAULT_PAYER
from checkout.demo.provisioning import own_service
from checkout.money import Money
from checkout.shop.till import Tap, read_card
from devices.nfc.kernel import Outcome, TapResult
from devices.nfc.transcript import TranscriptReader, record

_DONE = (Outcome.ONLINE_REQUEST, Outcome.OFFLINE_APPROVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout tap`."""

    amount: str
    currency: str
    reader: str
    ca_keys: Path | None
    terminal: Path | None
    record: Path | None
    timeout: float
    json: bool


def run(options: Options) -> int:
    """Wait for a card, walk it, show what came of it."""
    config = Config()
    amount = Money.parse(options.amount, options.currency)
    service = own_service(config.home, config.database_url)
    reader = choose_reader(options.reader, config.home, service)
    try:
        if isinstance(reader, EmulatedReader):
            reader.place_card(DEFAULT_PAYER)
        terminal = _terminal(options, config.home)
        if not options.json and not reader.emulated:
            sys.stderr.write(f"{reader.name}: tap a card for {amount}\n")
        tap = read_card(
            terminal,
            reader,
            amount_minor=amount.amount_minor,
            currency=amount.currency,
            card_within_s=options.timeout,
        )
    finally:
        reader.close()
    if isinstance(reader, TranscriptReader) and reader.departures:
        sys.stderr.write(f"{reader.name}: {by_command_note(reader)}\n")
    if options.record is not None:
        _record(options.record, tap, terminal)
    result = tap.result
    if options.json:
        print_json(result.as_json() | {"reason": result.reason})
    else:
        _show(result, amount, reader.name)
    if result.outcome is Outcome.COMMUNICATION_ERROR:
        sys.stderr.write(f"checkout tap: {result.reason}\n")
        return 1
    return 0 if result.outcome in _DONE else 3


def _terminal(options: Options, home: Path) -> Terminal:
    try:
        terminal = load(
            home,
            clock=lambda: datetime.now(UTC),
            terminal=options.terminal,
            ca_keys=options.ca_keys,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"terminal or ca-keys: {error}") from None
    for problem in terminal.ca_keys.left_out:
        sys.stderr.write(f"checkout tap: {problem}; this key is left out\n")
    return terminal


def _record(file: Path, tap: Tap, terminal: Terminal) -> None:
    text = record(tap.result, transaction=tap.transaction, terminal=terminal.data)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"record: {error}") from None


def _show(result: TapResult, amount: Money, reader: str) -> None:
    out = console()
    out.print(f"{amount} on {reader}: {result.outcome} ({result.reason})")
    if result.aid is not None:
        card = f"{result.label or '-'}  {result.masked_pan or '-'}  expires {result.expiry or '-'}"
        out.print(f"{card}  AID {result.aid.hex().upper()}  kernel {result.kernel or '-'}")
    oda = f"{result.oda.method} {result.oda.verdict}"
    oda += f" ({result.oda.reason})" if result.oda.reason else ""
    out.print(
        f"cryptogram {result.cryptogram or '-'}  ATC {result.atc.hex() if result.atc else '-'}  "
        f"TVR {result.tvr.hex().upper()}  CVM {result.cvm}  ODA {oda}"
    )
    for exchange in result.masked_exchanges():
        out.print(f"\n{exchange.name}  {exchange.elapsed_ms:.2f} ms")
        out.print(f"  > {exchange.command.hex().upper()}")
        out.print(f"  < {exchange.response.hex().upper()}")
