"""The switch to run against: as a process that can be killed, or as a thread."""

from __future__ import annotations

import subprocess
import threading
import time

from checkout.child_process import module_command, module_environment
from checkout.clearing.switch.discovery import find_switch
from checkout.clearing.switch.server import SwitchServer
from checkout.comparison.testbed.full_disk import empty_disk, fill_disk
from checkout.comparison.testbed.testbed import RunningClock
from checkout.config import ENVIRONMENT, Config, encode_config

_READY_S = 15.0


class SwitchProcess:
    """The switch as a process, which can be killed and started again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            module_command("checkout.processes.roles", "switch"),
            env=module_environment({ENVIRONMENT: encode_config(self._config)}),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _READY_S
        while find_switch(self._config.home, self._config.database_url) is None:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("switch: it did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it; safe when it is dead already."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def fill_disk(self) -> None:
        """Fill its disk: it can write nothing more to any file."""
        fill_disk(self.pid)

    def empty_disk(self) -> None:
        """Give it room again."""
        empty_disk(self.pid)


class SwitchThread:
    """The switch in a thread of this process; it can be started and stopped, and not be killed."""

    def __init__(self, config: Config, clock: RunningClock) -> None:
        self._config = config
        self._clock = clock
        self._stop = threading.Event()
        self._server: SwitchServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the books and listen."""
        self._server = SwitchServer.open(
            self._config.home, self._config.database_url, clock=self._clock
        )
        self._thread = threading.Thread(target=self._server.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; safe when it never started."""
        if self._server is not None and self._thread is not None:
            self._stop.set()
            self._server.wake()
            self._thread.join(5)

    def kill(self) -> None:
        """NotImplementedError: a thread cannot be killed."""
        raise NotImplementedError("switch: only a process of its own can be killed")

    def fill_disk(self) -> None:
        """NotImplementedError: a thread has no disk of its own."""
        raise NotImplementedError("switch: only a process of its own can run out of disk")

    def empty_disk(self) -> None:
        """Do nothing: no disk was filled."""
