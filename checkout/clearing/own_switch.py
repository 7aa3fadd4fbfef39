"""A switch in a thread of this process, for commands that find none running."""

from __future__ import annotations

import threading
from pathlib import Path

from checkout.clearing.switch.server import Clock, SwitchServer, log
from checkout.database import DatabaseError


class OwnSwitch:
    """Runs from construction until `stop`; SwitchRunning where there is one already."""

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
