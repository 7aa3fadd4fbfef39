"""`checkout qr make` and `checkout qr read`: write a code, read one."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from checkout.acceptance.qr import command
from checkout.acceptance.qr.stickers import Sticker
from checkout.commands.common import CommandError, config_from, console, print_json
from checkout.commands.serve import phone_url
from checkout.money import Money
from checkout.shop import Shop


def run(options: argparse.Namespace) -> int:
    """Make or read."""
    return _make(options) if options.qr_command == "make" else _read(options)


def _make(options: argparse.Namespace) -> int:
    if not options.static and options.amount is None:
        raise CommandError("amount: expected one, such as --amount 12.80, or --static")
    if options.static and options.amount is not None:
        raise CommandError("amount: a static code has none, its payer types it")
    amount = None if options.amount is None else Money.parse(options.amount, options.currency)
    command.check_output(options.out, static=options.static)
    config = config_from(options)
    shop = Shop.open(config)
    try:
        if amount is None:
            code = shop.static_codes.create(label="sticker", currency=options.currency).code
        else:
            order = shop.orders.create(amount_minor=amount.amount_minor, currency=amount.currency)
            code = order.code
        text = command.text_of_code(
            form=options.format,
            code=code,
            merchant=config.merchant,
            base_url=phone_url(config),
            key=shop.code_key,
            amount=amount,
            currency=options.currency,
        )
    finally:
        shop.close()
    if options.static:
        sticker = Sticker(text=text, payee=config.merchant.name)
        made = command.write_sticker(sticker, options.out, made_at=datetime.now(UTC))
    else:
        made = command.write(text, options.out)
    out = console()
    out.print(f"{made.path}: {made.modules} modules a side", markup=False)
    out.print(made.text, markup=False)
    if amount is not None:
        out.print(
            f"Payable for {config.code_ttl_s} s while `checkout serve` runs on this database."
        )
    return 0


def _read(options: argparse.Namespace) -> int:
    found = command.read(options.source, lenient=options.lenient)
    if options.json:
        print_json(found.as_json())
    else:
        out = console()
        for line in command.describe(found):
            out.print(line, markup=False)
    return found.status
