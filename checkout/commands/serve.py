"""`checkout serve`: everything, under one supervisor."""

from __future__ import annotations

import errno
import ipaddress
import json
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.qr.link import base_url
from checkout.addresses import lan_address
from checkout.clearing.clock import wall_clock
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.scheme.rules import rules_in
from checkout.clearing.switch.discovery import find_switch
from checkout.commands.common import (
    CommandError,
    console,
    shows_colour,
    speaks_unicode,
)
from checkout.config import Config, ConfigError
from checkout.demo.emulated_reader import check_path
from checkout.demo.payers import DemoPayers
from checkout.private_files import replace_private
from checkout.processes.certificate import certificate_files, fingerprint_of
from checkout.processes.supervisor import Supervisor
from checkout.shop.shop import Shop
from checkout.web.access import credentials
from devices.qr.symbol.rendering import terminal

#: How long to wait for a command that runs its own switch to end.
_OTHERS_END_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout serve`."""

    host: str
    port: int
    database: str
    reader: str
    public_url: str | None
    trusted_proxy: tuple[str, ...]
    https: bool
    workers: int


def run(options: Options) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    config = Config(
        host=options.host,
        port=options.port,
        database=options.database,
        reader=options.reader,
        public_url=options.public_url or None,
        trusted_proxies=options.trusted_proxy,
        https=options.https,
        workers=options.workers,
    )
    if config.port == 0:
        raise ConfigError("port", "expected 1 to 65535, got 0")
    check_port(config.host, config.port)
    check_path(config.reader)
    # A fault that would end a child process is found here, and reported in one line.
    shop = Shop.open(config, payers=DemoPayers())
    KeyStore(config.home).check(shop.books.key_check())
    shop.close()
    check_alone(config)
    tap.load(config.home, clock=wall_clock)
    rules_in(config.home)
    fresh = credentials.unshown_password(config.home)
    if config.https:
        certificate_files(config)
    supervisor = Supervisor(config, report=_report)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        supervisor.run(on_ready=lambda: _shop_ready(config, fresh))
    finally:
        _note(config.home).unlink(missing_ok=True)
    return 0


def _shop_ready(config: Config, fresh_password: str | None) -> None:
    address = {"phones": phone_url(config), "host": config.host, "port": config.port}
    replace_private(_note(config.home), json.dumps(address).encode())
    announce(config, fresh_password)


def _note(home: Path) -> Path:
    """The file by which a running shop tells other commands of its home where phones reach it."""
    return home / "shop-address.json"


def running_phone_url(home: Path) -> str | None:
    """Where phones reach the shop that runs in this home; None where none answers."""
    try:
        address = json.loads(_note(home).read_text("utf-8"))
        host = "localhost" if address["host"] in ("0.0.0.0", "::") else address["host"]  # noqa: S104
        socket.create_connection((host, address["port"]), timeout=1.0).close()
        return str(address["phones"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_alone(config: Config) -> None:
    """CommandError when another checkout serves this database.

    A command that runs its own switch is given some seconds to end.
    """
    deadline = time.monotonic() + _OTHERS_END_WITHIN_S
    while find_switch(config.home, config.database_url) is not None:
        if time.monotonic() >= deadline:
            raise CommandError("database: a checkout is running on it; stop that, or name another")
        time.sleep(0.1)


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def check_port(host: str, port: int) -> None:
    """CommandError when this address and port cannot be listened on."""
    version6 = ":" in host
    with socket.socket(socket.AF_INET6 if version6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise CommandError(f"host: {host!r} is no address of this machine") from None
        except OSError as error:
            why = {
                errno.EADDRINUSE: f"{port} is in use; choose another with --port",
                errno.EACCES: f"{port} needs more rights; choose one above 1023 with --port",
            }.get(error.errno or 0)
            if why is None:
                raise CommandError(f"host: cannot listen on {host} ({error.strerror})") from None
            raise CommandError(f"port: {why}") from None


def phone_url(config: Config) -> str:
    """Where a phone reaches the payer's pages."""
    if config.public_url:
        return config.public_url.rstrip("/")
    host = config.host
    try:
        anywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        anywhere = False
    return base_url(lan_address() if anywhere else host, config.port, https=config.https)


def announce(config: Config, fresh_password: str | None) -> None:
    """Print the addresses, and a code that opens the demo wallet on a phone."""
    scheme = "https" if config.https else "http"
    out = console()
    phones = phone_url(config)
    out.print(f"Counter  {scheme}://localhost:{config.port}/")
    out.print(f"Phones   {phones}/wallet")
    if config.public_url and not config.trusted_proxies:
        out.print("All who come by the public URL share the proxy's limits of tries: name the")
        out.print("proxy with --trusted-proxy, else its X-Forwarded-For counts for nothing.")
    if fresh_password:
        out.print(f"Operator's password (shown this once): {fresh_password}")
    out.print(f"Merchant key for the API: {config.home / 'keys' / 'merchant-key'}")
    if config.https:
        _print_certificate(config)
    out.print()
    if speaks_unicode():
        sys.stdout.write(terminal(f"{phones}/wallet", colour=shows_colour()) + "\n")
    else:
        out.print(f"(no code to scan here: this terminal's encoding is {sys.stdout.encoding})")
    out.print("Only the money is simulated. Never type a real PIN. Ctrl-C stops.")
    sys.stdout.flush()
    if fresh_password:
        credentials.password_shown(config.home)


def _print_certificate(config: Config) -> None:
    """Print how to accept a certificate that no authority has signed."""
    certificate, _ = certificate_files(config)
    out = console()
    out.print(
        "The certificate was made on this machine; no authority signed it, so a browser warns."
    )
    out.print("Accept it once: choose Advanced, look at the certificate, compare, then go on.")
    out.print(f"SHA-256  {fingerprint_of(certificate)}", markup=False)
    out.print(f"Programs trust it by its file: {certificate}", markup=False)
