"""Opens a client of a database's switch, and starts that switch here where none runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from checkout.clearing.client.client import DEFAULT_PARTICIPANT, Clock, SwitchClient
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.switch.discovery import Address, SwitchRunning, find_switch
from checkout.clearing.switch.server import SwitchServer, log
from checkout.database import DatabaseError

#: The pause between two looks for a switch, and how long a switch may take to begin or to end.
_RETRY_S = 0.02
_TURNOVER_S = 30.0


def open_client(
    home: Path,
    database_url: str,
    *,
    start: bool = True,
    clock: Clock = lambda: datetime.now(UTC),
    participant: str = DEFAULT_PARTICIPANT,
) -> SwitchClient:
    """A client of the running switch of this database.

    With `start`, a switch is started in this process where none runs, now or whenever the one that
    ran has ended; closing the client stops it after it has answered what it was sent. Raises
    DatabaseError or KeyStoreError.
    """
    keys = KeyStore(home)
    switches = _OwnSwitches(home, database_url, clock=clock)

    if start:
        switches.find_or_start()
    return SwitchClient(
        switches.find_or_start if start else partial(find_switch, home, database_url),
        demo_participants().by_id[participant],
        lambda: keys.zone_key(participant),
        clock=clock,
        on_close=switches.stop,
    )


class _OwnSwitches:
    """The switches that this process has started for one database; the last of them may run."""

    def __init__(self, home: Path, database_url: str, *, clock: Clock) -> None:
        self._home = home
        self._database_url = database_url
        self._clock = clock
        self._stops: list[Callable[[], None]] = []

    def find_or_start(self) -> Address | None:
        """Where the switch listens; None where another process holds the seat without listening."""
        deadline = time.monotonic() + _TURNOVER_S
        while True:
            address = find_switch(self._home, self._database_url)
            if address is not None:
                return address
            try:
                switch = _SwitchThread(self._home, self._database_url, clock=self._clock)
            except SwitchRunning:
                # Another process has the seat and no address: it is beginning or ending.
                if time.monotonic() >= deadline:
                    return None
                time.sleep(_RETRY_S)
            else:
                self._stops.append(switch.stop)

    def stop(self) -> None:
        """Stop them all."""
        while self._stops:
            self._stops.pop()()


class _SwitchThread:
    """A switch in a thread, from construction until `stop`; SwitchRunning where one is running."""

    def __init__(self, home: Path, database_url: str, *, clock: Clock) -> None:
        self._stop = threading.Event()
        self._server = SwitchServer.open(home, database_url, clock=clock)
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run(self._stop)
        except DatabaseError as error:
            log.error("%s", error)

    def stop(self) -> None:
        """Answer what has arrived, then end."""
        self._stop.set()
        self._server.wake()
        self._thread.join()
