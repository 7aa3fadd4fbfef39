"""The command line: its options, its exit status, and one line for each fault.

Exit status: 0 done, 1 an error in one line, 2 usage, 3 declined or invalid, 4 outcome unknown.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import CompletionItem, get_completion_class

from checkout.config import DEFAULT_PORT, SWITCH_PORT, installed_version
from checkout.money import AmountError

_LONGEST_WAIT_S = 86_400
_SHELLS = ("bash", "zsh", "fish")
_INTERRUPTED = 130
_ON_WINDOWS = sys.platform == "win32"
#: Commands that start the switch or look for it: it needs POSIX locks, polls and signals.
_POSIX_COMMANDS = ("serve", "switch", "pay", "settle", "compare", "reset")


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _upper(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    return value.upper()


def _seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0 < value <= _LONGEST_WAIT_S:  # not true of NaN either
        message = f"expected 0.1 to {_LONGEST_WAIT_S} seconds, got {value}"
        raise click.BadParameter(message, context, parameter)
    return value


def _file(
    name: str, *, metavar: str = "FILE", text: str, required: bool = False
) -> Callable[[_Function], _Function]:
    return click.option(
        name, type=click.Path(path_type=Path), metavar=metavar, help=text, required=required
    )


def _payer_names(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    from checkout.demo.payers import payers

    return [CompletionItem(payer.name) for payer in payers() if payer.name.startswith(typed)]


_amount = click.option(
    "--amount", required=True, metavar="AMOUNT", help="What to sell for, such as 12.80."
)
_currency = click.option(
    "--currency",
    callback=_upper,
    default="CNY",
    show_default=True,
    metavar="CODE",
    help="Currency of the amount, ISO 4217.",
)
_database = click.option(
    "--database",
    default="",
    envvar="CHECKOUT_DATABASE",
    metavar="URL|FILE",
    help="Database to use; by default CHECKOUT_DATABASE, else checkout.db in CHECKOUT_HOME. "
    "CHECKOUT_DATABASE_PASSWORD_FILE names a file with the password of a URL that has none.",
)
_json = click.option("--json", is_flag=True, help="Print one JSON object and nothing else.")
_READER = (
    "Reader: auto, emulated, none, transcript:FILE, usb, usb:VENDOR:PRODUCT, tty:USB0:pn532, "
    "pn532:/dev/pts/N or udp:HOST:PORT."
)
_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(
    context_settings=_HELP,
    help="A merchant checkout: QR codes and NFC taps, cleared in one simulated backend.",
    epilog="Without a command it serves everything. Exit status: 0 done, 1 an error, 2 usage, "
    "3 declined or invalid, 4 outcome unknown.",
)
@click.version_option(installed_version(), prog_name="checkout", message="%(prog)s %(version)s")
def commands() -> None:
    """The group of all commands."""


@commands.command("serve", help="Serve counter, payer's pages, API, reader and clearing.")
@click.option(
    "--host",
    default="0.0.0.0",  # noqa: S104 - phones on the LAN must reach the payer's pages
    show_default=True,
    metavar="HOST",
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=int,
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="Port to listen on.",
)
@_database
@click.option("--reader", default="auto", show_default=True, metavar="PATH", help=_READER)
@click.option(
    "--public-url", metavar="URL", help="Address at which phones reach this checkout from outside."
)
@click.option(
    "--trusted-proxy",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of a proxy whose X-Forwarded-For counts; may be given several times.",
)
@click.option("--https", is_flag=True, help="Serve with a certificate made on this machine.")
@click.option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Number of web processes.",
)
def _serve(**options: Any) -> int:
    return _run("serve", options)


@commands.command("pay", help="Make one whole sale without a browser.")
@click.option(
    "--mode", type=click.Choice(["qr", "nfc"]), required=True, help="Pay by code or by tap."
)
@_amount
@_currency
@click.option(
    "--payer",
    metavar="NAME",
    shell_complete=_payer_names,
    help="Who pays; `checkout payers` lists them.",
)
@click.option("--pin", metavar="PIN", help="PIN that the payer types; the demo PIN by default.")
@click.option("--reader", metavar="PATH", help=_READER + " Emulated where a payer is named.")
@_database
@_json
def _pay(**options: Any) -> int:
    return _run("pay", options)


@commands.command("tap", help="Read one card through the terminal kernel, without clearing.")
@click.option(
    "--amount",
    default="1.00",
    show_default=True,
    metavar="AMOUNT",
    help="Amount that the card is asked for.",
)
@_currency
@click.option("--reader", default="auto", show_default=True, metavar="PATH", help=_READER)
@_file("--ca-keys", text="CA public keys: a JSON list of rid, index, modulus and exponent.")
@_file("--terminal", text="Terminal data in TOML, instead of the counter's own.")
@_file("--record", text="Write an APDU transcript to this file.")
@click.option(
    "--timeout",
    type=float,
    callback=_seconds,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a card.",
)
@_json
def _tap(**options: Any) -> int:
    return _run("tap", options)


@commands.command("card", help="Present an emulated card for another process to tap.")
@click.argument("name", metavar="NAME", shell_complete=_payer_names)
@click.option(
    "--on",
    required=True,
    metavar="PATH",
    help="Where to present it: pty for a new pseudo-terminal, or udp:HOST:PORT.",
)
def _card(**options: Any) -> int:
    return _run("card", options)


@commands.group("qr", help="Write a code, or read one.")
def _qr() -> None:
    """The group of `qr make` and `qr read`."""


@_qr.command("make", help="Write a code to a PNG, SVG or PDF file.")
@click.option(
    "--amount", metavar="AMOUNT", help="Such as 12.80; left out where the payer types it."
)
@_currency
@click.option(
    "--format",
    type=click.Choice(["link", "emv"]),
    default="link",
    show_default=True,
    help="A link for a phone's camera, or an EMV payload.",
)
@click.option("--static", is_flag=True, help="Make a shop's sticker, good until it is revoked.")
@click.option(
    "--label",
    default="counter",
    show_default=True,
    metavar="TEXT",
    help="Where the sticker hangs, at most 25 characters.",
)
@_file("--out", metavar="FILE.png|svg|pdf", text="File to write.", required=True)
@_database
@click.option("--public-url", metavar="URL", help="Address at which phones reach the checkout.")
@click.option(
    "--port",
    type=int,
    metavar="PORT",
    help="Port that the checkout serves on; by default that of the running one, else 8000.",
)
@click.option("--https", is_flag=True, help="The checkout serves with --https.")
def _qr_make(**options: Any) -> int:
    return _run("qr", options, of="MakeOptions")


@_qr.command("read", help="Read a code from a picture, or from text.")
@click.argument("source", metavar="FILE_OR_TEXT")
@click.option("--lenient", is_flag=True, help="Accept a code that breaks rules but can be parsed.")
@_json
def _qr_read(**options: Any) -> int:
    return _run("qr", options, of="ReadOptions")


@commands.command("compare", help="Run the same sales by each mode, side by side.")
@click.option(
    "--payments",
    type=int,
    default=100,
    show_default=True,
    metavar="N",
    help="Sales by each way to pay.",
)
@click.option("--scenario", metavar="NAME", help="One place to simulate; all of them by default.")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Seed of everything that is drawn by chance.",
)
@_file("--json", text="Write the results as JSON; - is standard output.")
@_file("--html", text="Write the results as a page.")
def _compare(**options: Any) -> int:
    return _run("compare", options)


@commands.command("readers", help="Show what is plugged in, what stops it and how to mend that.")
@_json
def _readers(**options: Any) -> int:
    return _run("readers", options)


@commands.command("settle", help="Close the day and show who owes whom.")
@click.option("--date", metavar="YYYY-MM-DD", help="Settlement date to close; today's by default.")
@_database
@_json
def _settle(**options: Any) -> int:
    return _run("settle", options)


@commands.command("switch", help="Run the clearing backend alone, for ISO 8583 clients over TCP.")
@click.option(
    "--port",
    type=int,
    default=SWITCH_PORT,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address to listen on."
)
@_database
@_file("--faults", text="Rules in TOML for answers that come late, lost, doubled or wrong.")
@click.option("--spec", is_flag=True, help="Print the message specification and end.")
def _switch(**options: Any) -> int:
    return _run("switch", options)


@commands.group("webhooks", help="Try webhooks with a receiver of your own.")
def _webhooks() -> None:
    """The group of `webhooks listen`."""


@_webhooks.command("listen", help="Print each event: verified, refused or seen before.")
@click.option(
    "--port",
    type=int,
    default=0,
    metavar="PORT",
    help="Port to listen on; a free one by default.",
)
@click.option(
    "--secret",
    metavar="SECRET",
    help="The endpoint's whsec_... secret; without one it adds itself to this shop.",
)
@_database
def _webhooks_listen(**options: Any) -> int:
    return _run("webhooks", options)


@commands.command("reset", help="Start the demo afresh: no orders, full accounts, new cards.")
@_database
def _reset(**options: Any) -> int:
    return _run("reset", options)


@commands.command("payers", help="List the demo's cards, phones and wallets.")
@_json
def _payers(**options: Any) -> int:
    return _run("payers", options)


@commands.command("completion", help="Print a completion script for a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
def _completion(shell: str) -> int:
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(commands, {}, "checkout", "_CHECKOUT_COMPLETE").source())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # better a question mark than no answer
    try:
        status = commands.main(given or ["serve"], prog_name="checkout", standalone_mode=False)
    except click.UsageError as error:
        sys.stderr.write(_usage(error, given))
        return 2
    except click.Abort:
        return _INTERRUPTED
    return int(status or 0)


def _usage(error: click.UsageError, given: Sequence[str]) -> str:
    """One line for arguments that cannot be used."""
    if error.ctx is not None:
        path = error.ctx.command_path
    else:  # an option without its value
        path = f"checkout {given[0]}" if given[0] in commands.commands else "checkout"
    message = " ".join(error.format_message().split())
    if isinstance(error, NoArgsIsHelpError) and isinstance(error.ctx.command, click.Group):
        message = f"expected one of: {', '.join(error.ctx.command.commands)}"
    return f"{path}: {message} (see {path} --help)\n"


def _run(command: str, options: dict[str, Any], *, of: str = "Options") -> int:
    """Call one module of this folder with its options, a class of it; its faults become one line.

    A module is imported when its command is called: `checkout payers` loads no reader and no page.
    """
    if _ON_WINDOWS and command in _POSIX_COMMANDS:
        sys.stderr.write(f"checkout {command}: needs Linux or macOS\n")
        return 1
    module = importlib.import_module(f"checkout.commands.{command}")
    run: Callable[[Any], int] = module.run
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(getattr(module, of)(**options))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; end quietly, as other tools in a pipe do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report(command, error)


def _open_streams() -> None:
    """Open the null device for a standard stream that the caller has closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _report(command: str, error: Exception) -> int:
    """Write one line for an error of ours or of the system; anything else is a bug, and says so."""
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
