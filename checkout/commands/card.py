"""`checkout card`: an emulated card or phone on a path that another process can tap."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass

from checkout.config import Config
from checkout.demo.payers import make_card
from checkout.demo.provisioning import own_service
from devices.nfc.emulated import load_profile, open_card
from devices.nfc.emulated.serve import serve_card


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout card`."""

    name: str
    on: str


def run(options: Options) -> int:
    """Present the card until SIGTERM or Ctrl-C; the first line out is the path for `--reader`."""
    config = Config()
    profile = load_profile(options.name)
    service = own_service(config.home, config.database_url)
    make_card(options.name, config.home, service=service)
    card = open_card(profile.name, config.home)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def print_path(path: str) -> None:
        sys.stdout.write(path + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"{profile.title} ({profile.masked_pan}), emulated; Ctrl-C ends it\n")

    serve_card(card, options.on, stop, ready=print_path)
    return 0
