"""The `checkout` command: parses, calls one module of `checkout.commands`, tells a fault in a line.

Exit status: 0 done, 1 an error told in one line, 2 usage, 3 declined or invalid, 4 unknown.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from checkout.config import DEFAULT_PORT, SWITCH_PORT
from checkout.money import AmountError

_LONGEST_WAIT_S = 86_400


class _Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="checkout",
        description="A merchant checkout: QR codes and NFC taps, cleared in one simulated backend.",
        epilog="Without a command it serves everything.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _serve_options(commands.add_parser("serve", help="counter, payer's pages, API and clearing"))

    pay = commands.add_parser("pay", help="one whole sale without a browser")
    pay.add_argument("--mode", choices=("qr", "nfc"), required=True)
    pay.add_argument("--amount", required=True, help="such as 12.80")
    pay.add_argument("--currency", type=str.upper, default="CNY")
    pay.add_argument("--payer", help="who pays; `checkout payers` lists them")
    pay.add_argument("--pin", help="what the payer types; the demo PIN where none is given")
    pay.add_argument("--reader", help="reader path; emulated where none is given")
    pay.add_argument("--database", default="", help="URL or file")
    pay.add_argument("--json", action="store_true")

    tap = commands.add_parser("tap", help="read one card through the terminal kernel, no clearing")
    tap.add_argument("--amount", default="1.00")
    tap.add_argument("--currency", type=str.upper, default="CNY")
    tap.add_argument("--reader", default="auto", help="reader path")
    tap.add_argument("--ca-keys", type=Path, metavar="FILE", help="JSON list of CA public keys")
    tap.add_argument("--terminal", type=Path, metavar="FILE", help="terminal data in TOML")
    tap.add_argument("--record", type=Path, metavar="FILE", help="write an APDU transcript")
    tap.add_argument("--timeout", type=_seconds, default=30.0, help="seconds to wait for a card")
    tap.add_argument("--json", action="store_true")

    card = commands.add_parser("card", help="an emulated card for another process to tap")
    card.add_argument("name", metavar="NAME", help="card name or profile file")
    card.add_argument("--on", required=True, metavar="PATH", help="`pty`, `udp:HOST:PORT`, ...")

    _qr_options(commands)

    compare = commands.add_parser("compare", help="the side-by-side run")
    compare.add_argument("--payments", type=int, default=100)
    compare.add_argument("--scenario")
    compare.add_argument("--seed", type=int, default=1)
    compare.add_argument("--json", type=Path, metavar="FILE")
    compare.add_argument("--html", type=Path, metavar="FILE")

    readers = commands.add_parser("readers", help="what is plugged in and what stops it")
    readers.add_argument("--json", action="store_true")

    settle = commands.add_parser("settle", help="close the day")
    settle.add_argument("--date", help="settlement date, YYYY-MM-DD")
    settle.add_argument("--database", default="", help="URL or file")
    settle.add_argument("--json", action="store_true")

    switch = commands.add_parser("switch", help="the clearing backend alone, over TCP")
    switch.add_argument("--port", type=int, default=SWITCH_PORT)
    switch.add_argument("--host", default="127.0.0.1")
    switch.add_argument("--database", default="", help="URL or file")
    switch.add_argument("--faults", type=Path, metavar="FILE", help="fault rules in TOML")
    switch.add_argument("--spec", action="store_true", help="print the message specification")

    webhooks = commands.add_parser("webhooks", help="a receiver to try webhooks with")
    kinds = webhooks.add_subparsers(dest="webhooks_command", metavar="listen", required=True)
    listen = kinds.add_parser("listen", help="print each event: verified, refused, seen before")
    listen.add_argument("--port", type=int, default=0, help="a free one where none is given")
    listen.add_argument("--secret", help="whsec_...; without it, it adds itself to this shop")
    listen.add_argument("--database", default="", help="URL or file")

    reset = commands.add_parser("reset", help="the demo afresh")
    reset.add_argument("--database", default="", help="URL or file")

    payers = commands.add_parser("payers", help="the demo's cards, phones and wallets")
    payers.add_argument("--json", action="store_true")
    return top


def _serve_options(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104
    serve.add_argument("--port", type=int, default=DEFAULT_PORT)
    serve.add_argument("--database", default="", help="URL or file")
    serve.add_argument("--reader", default="auto", help="reader path")
    serve.add_argument("--public-url", help="where phones reach this checkout from outside")
    serve.add_argument("--https", action="store_true", help="serve with a certificate made here")
    serve.add_argument("--workers", type=int, default=1, help="web processes")


def _qr_options(commands: argparse._SubParsersAction[_Parser]) -> None:
    code = commands.add_parser("qr", help="write a code, or read one")
    kinds = code.add_subparsers(dest="qr_command", metavar="make|read", required=True)
    make = kinds.add_parser("make", help="write a code to a PNG or SVG file")
    make.add_argument("--amount", help="such as 12.80; left out where the payer types it")
    make.add_argument("--currency", type=str.upper, default="CNY")
    make.add_argument("--format", choices=("link", "emv"), default="link")
    make.add_argument("--static", action="store_true", help="a shop's sticker, good until revoked")
    make.add_argument("--label", default="counter", help="where the sticker hangs, 25 characters")
    make.add_argument("--out", type=Path, required=True, metavar="FILE.png|svg|pdf")
    make.add_argument("--database", default="", help="URL or file")
    make.add_argument("--public-url", help="where phones reach the checkout")
    make.add_argument("--port", type=int, default=DEFAULT_PORT)
    make.add_argument("--https", action="store_true", help="the checkout serves with --https")
    read = kinds.add_parser("read", help="read a code from a picture or from text")
    read.add_argument("source", metavar="FILE_OR_TEXT")
    read.add_argument("--lenient", action="store_true", help="take what breaks rules but parses")
    read.add_argument("--json", action="store_true")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # better a question mark than no answer
    options = parser().parse_args(given if given else ["serve"])
    if options.command is None:
        parser().error("expected a command")
    # One module a command, loaded when asked for: `checkout payers` needs no reader and no pages.
    module = importlib.import_module(f"checkout.commands.{options.command}")
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status: int = module.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; close quietly, as other tools in a pipe do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _tell(options.command, error)
    return status


def _open_streams() -> None:
    """Where a caller has closed standard output or error, what is said there is lost, no more."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _seconds(text: str) -> float:
    """A time to wait: more than none, and not for ever."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"expected 0.1 to {_LONGEST_WAIT_S} seconds, got {text!r}")
    return seconds


def _tell(command: str, error: Exception) -> int:
    """Our own exceptions, and the system's, are one-line messages; anything else is a bug."""
    from sqlalchemy.exc import DBAPIError

    from checkout.database import one_line

    ours = type(error).__module__.split(".")[0] in ("checkout", "devices")
    line = one_line(error)
    if not ours and not isinstance(error, OSError | DBAPIError):
        if os.environ.get("CHECKOUT_DEBUG"):
            traceback.print_exc()
        line = f"unexpected {type(error).__name__}: {line} (CHECKOUT_DEBUG=1 shows where)"
    sys.stderr.write(f"checkout {command}: {line}\n")
    if getattr(error, "kind", None) == "outcome-unknown":
        return 4
    return 2 if isinstance(error, AmountError) else 1
