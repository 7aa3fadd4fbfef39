"""`checkout qr make` and `checkout qr read`: write a code, read one."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from checkout.acceptance.qr import command
from checkout.acceptance.qr.command import Made
from checkout.acceptance.qr.link import build_link
from devices.qr.symbol.sticker_sheet import Sticker
from checkout.commands.common import CommandError, config_from, console, print_json
from checkout.commands.serve import phone_url
from checkout.money import AmountError, Money
from checkout.shop.shop import Shop


def run(options: argparse.Namespace) -> int:
    """Make or read."""
    return _make(options) if options.qr_command == "make" else _read(options)


def _make(options: argparse.Namespace) -> int:
    if not options.static and options.amount is None:
        raise AmountError("amount", "expected one, such as --amount 12.80, or --static")
    amount = None if options.amount is None else Money.parse(options.amount, options.currency)
    command.check_output(options.out, static=options.static)
    config = config_from(options)
    shop = Shop.open(config)
    try:
        if amount is None or options.static:
            made = _sticker(shop, options, amount)
        else:
            made = _order_code(shop, options, amount)
    except OSError as error:
        raise CommandError(f"out: cannot write {options.out} ({error.strerror})") from None
    finally:
        shop.close()
    out = console()
    out.print(f"{made.path}: {made.modules} modules a side", markup=False)
    out.print(made.text, markup=False)
    if not options.static:
        out.print(
            f"Payable for {config.code_ttl_s} s while `checkout serve` runs on this database."
        )
    return 0


def _order_code(shop: Shop, options: argparse.Namespace, amount: Money) -> Made:
    order = shop.orders.create(amount_minor=amount.amount_minor, currency=amount.currency)
    if options.format == "emv":
        text = shop.emv_payload(order)
    else:
        text = build_link(phone_url(shop.config), order.code)
    try:
        return command.write(text, options.out)
    except OSError:
        shop.orders.cancel(order.id)  # nobody will ever see its code
        raise


def _sticker(shop: Shop, options: argparse.Namespace, amount: Money | None) -> Made:
    merchant = shop.config.merchant
    fixed = None if amount is None else amount.amount_minor
    code = shop.static_codes.create(options.label, options.currency, amount_minor=fixed)
    text = command.text_of_code(
        form=options.format,
        code=code.code,
        merchant=merchant,
        base_url=phone_url(shop.config),
        key=shop.code_key,
        amount=amount,
        currency=options.currency,
        reference=code.label,
        static=True,
    )
    sticker = Sticker(text=text, payee=merchant.name, number=code.printed)
    try:
        return command.write_sticker(sticker, options.out, made_at=datetime.now(UTC))
    except OSError:
        shop.static_codes.revoke(code.code)
        raise


def _read(options: argparse.Namespace) -> int:
    found = command.read(options.source, lenient=options.lenient)
    if options.json:
        print_json(found.as_json())
    else:
        out = console()
        for line in command.describe(found):
            out.print(line, markup=False)
    return found.status
