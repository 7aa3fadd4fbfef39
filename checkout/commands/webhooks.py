"""`checkout webhooks listen`: a receiver for trying webhooks out, one line an event."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkout.commands.common import CommandError
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.money import Money
from checkout.shop.shop import Shop
from checkout.shop.webhooks.receiver import Received, Receiver, served
from checkout.shop.webhooks.signing import SecretError, sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout webhooks`."""

    port: int
    secret: str | None
    database: str


def run(options: Options) -> int:
    """Receive webhooks until interrupted.

    Without a secret the receiver is added to the shop of this home, and removed when it ends.
    """
    if not 0 <= options.port <= 65535:
        raise CommandError(f"port: expected 0 to 65535, got {options.port}")
    if options.secret is not None:
        _check(options.secret)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    receivers: list[Receiver] = []
    ready = threading.Event()

    def receive(headers: Mapping[str, str], body: bytes) -> Received:
        # The shop makes the secret once it has the URL: until then no event can be verified.
        ready.wait()
        return receivers[0].receive(headers, body)

    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(served(receive, port=options.port, report=_print_event))
        except OSError as error:
            raise CommandError(f"port {options.port}: {error.strerror or error}") from None
        secret = options.secret or stack.enter_context(_registered(options, url))
        receivers.append(Receiver(secret))
        ready.set()
        known = "verifying with the secret given" if options.secret else "added to this shop"
        _print(f"Listening on {url} ({known}; Ctrl-C stops)")
        stop.wait()
    return 0


@contextlib.contextmanager
def _registered(options: Options, url: str) -> Iterator[str]:
    """An endpoint of the shop for as long as this command runs; yields its secret."""
    shop = Shop.open(Config(database=options.database), payers=DemoPayers())
    try:
        endpoints = shop.webhooks.endpoints
        for each in endpoints.all():
            if each.url == url:  # a killed receiver on this port left it
                endpoints.remove(each.id)
        endpoint, secret = endpoints.add(url)
        try:
            yield secret
        finally:
            endpoints.remove(endpoint.id)
    finally:
        shop.close()


def _check(secret: str) -> None:
    try:
        sign(b"", event_id="none", at=datetime.now().astimezone(), secrets=secret)
    except SecretError as error:
        raise CommandError(str(error)) from None


def _print_event(received: Received) -> None:
    now = datetime.now().strftime("%H:%M:%S")
    why = f": {received.why}" if received.verdict == "refused" else ""
    parts = [now, received.verdict + why, received.event_id, _in_words(received.event)]
    _print("  ".join(part for part in parts if part))


def _in_words(event: dict[str, Any]) -> str:
    """Type, amount and reference, where the event has them."""
    try:
        order = event["data"]["order"]
        amount = Money(amount_minor=order["amount_minor"], currency=order["currency"])
        return f"{event['type']}  {amount}  {order['reference']}"
    except (KeyError, TypeError, ValueError):
        return str(event.get("type", "")) if isinstance(event, dict) else ""


def _print(line: str) -> None:
    sys.stdout.write("".join(c if c.isprintable() else "?" for c in line) + "\n")
    sys.stdout.flush()
