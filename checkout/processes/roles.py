"""What each process of `checkout serve` runs: the switch, the terminal or a web worker."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from checkout.config import ENVIRONMENT, Config, decode_config
from checkout.database import DatabaseLost, one_line, printable

if TYPE_CHECKING:
    from flask import Flask

#: Each open event stream occupies one of these threads.
_BLOCKING_THREADS = 700

#: Milliseconds that a connection may take for the headers of its next request.
_HEADERS_WITHIN_MS = 5_000
#: Connections that one worker holds open, and that wait for all workers together.
_CONNECTIONS, _BACKLOG = 8_192, 16_384

#: How long a worker that lost both its parents may take to end by itself.
_LAST_RESORT_S = 3.0


class PrintableFormatter(logging.Formatter):
    """Formats a record without control characters: a card or a client may have sent some."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record; a traceback below it keeps its lines."""
        return printable(super().formatMessage(record))


def report_ready() -> None:
    """Report to the supervisor, if there is one, that this role is ready."""
    descriptor = os.environ.pop("CHECKOUT_READY_FD", None)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b"ready")


def run_switch(config: Config, stop: threading.Event) -> None:
    """The clearing backend: sole writer of its tables."""
    from checkout.clearing.switch.server import SwitchServer, tune_process

    server = SwitchServer.open(config.home, config.database_url, wait_s=5.0)
    tune_process()
    report_ready()
    server.run(stop)


def run_terminal(config: Config, stop: threading.Event) -> None:
    """The reader's owner, and the shop's housekeeping (expiry, repeated reversals, webhooks)."""
    from checkout.processes.terminal import run

    run(config, stop, ready=report_ready)


def run_web(config: Config) -> None:
    """The shop's pages and API; granian forks the workers and starts a killed one again."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    _allow_many_sockets()
    certificate: tuple[Path, Path] | None = None
    if config.https:
        from checkout.processes.certificate import certificate_files

        certificate = certificate_files(config)
    Granian(
        "checkout",  # a name for its messages; the workers load the app by `web_app`
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=_BLOCKING_THREADS,
        # A deadline for headers holds for silent sockets only where no protocol is guessed.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS),
        backlog=_BACKLOG,
        backpressure=_CONNECTIONS,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        workers_kill_timeout=1,
        log_level=LogLevels.error,
        ssl_cert=certificate[0] if certificate else None,
        ssl_key=certificate[1] if certificate else None,
    ).serve(target_loader=web_app, wrap_loader=False)


def _allow_many_sockets() -> None:
    """Raise the limit of open files as far as one worker may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + 2 * _BLOCKING_THREADS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def web_app() -> Flask:
    """The application of one granian worker, by the supervisor's Config."""
    from checkout import create_app

    # Where supervisor and granian are killed together, nothing else ends this worker.
    _end_with_parent(last_resort=True)
    app = create_app(decode_config(os.environ[ENVIRONMENT]))
    report_ready()
    return app


def _end_with_parent(*, last_resort: bool = False) -> None:
    """Stop when the supervisor is gone, however it ended: its end of the pipe closes then."""
    descriptor = os.environ.get("CHECKOUT_ALIVE_FD")
    if descriptor is None:
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            os.read(int(descriptor), 1)
        os.kill(os.getpid(), signal.SIGTERM)
        if last_resort:
            time.sleep(_LAST_RESORT_S)
            os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run one role until SIGTERM."""
    role = (sys.argv[1:] if arguments is None else arguments)[0]
    config = decode_config(os.environ[ENVIRONMENT])
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter(f"{role}: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    _end_with_parent()
    try:
        if role == "web":
            run_web(config)
            return 0
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        (run_switch if role == "switch" else run_terminal)(config, stop)
    except DatabaseLost:
        return 1  # the supervisor finds the same, and reports it once
    except Exception as error:  # whatever it is: one line, not a traceback
        logging.getLogger("checkout").debug("%s failed", role, exc_info=True)
        sys.stderr.write(f"{role}: {one_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
