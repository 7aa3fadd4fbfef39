"""`checkout switch`: the clearing backend alone, for ISO 8583 clients over TCP."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from checkout.clearing.switch.fault_injection import read_faults
from checkout.clearing.switch.server import SwitchServer, tune_process
from checkout.clearing.switch.specification import specification
from checkout.commands.common import CommandError, console
from checkout.config import Config, make_home


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout switch`."""

    port: int
    host: str
    database: str
    faults: Path | None
    spec: bool


def run(options: Options) -> int:
    """Serve until interrupted; with `--spec` only print how to speak to it."""
    if options.spec:
        sys.stdout.write(specification())
        return 0
    if not 0 <= options.port <= 65535:
        raise CommandError(f"port: expected 0 to 65535, got {options.port}")
    faults = read_faults(options.faults) if options.faults is not None else None
    config = Config(database=options.database)
    make_home(config.home)
    try:
        server = SwitchServer.open(
            config.home, config.database_url, bind=(options.host, options.port), faults=faults
        )
    except OSError as error:
        raise CommandError(f"port {options.port}: {error.strerror or error}") from None
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        server.wake()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    host, port = server.address
    out = console()
    out.print(f"Clearing backend on {host}:{port} (a simulation; `checkout switch --spec`)")
    out.print(f"Zone keys of participants: {config.home / 'keys' / 'issuer-keys.json'}")
    tune_process()
    server.run(stop)
    return 0
