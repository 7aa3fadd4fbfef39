"""Starts the three roles of a checkout, watches them, and stops all of them within five seconds.

Each party of a real sale is a process: the shop (web workers), the terminal (owns the reader) and
the clearing backend (the switch). A role that dies is started again, and the sale goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from checkout.child_process import module_command, module_environment
from checkout.config import ENVIRONMENT, Config, encode_config
from checkout.database import DatabaseFile

ROLES = ("switch", "terminal", "web")

_STOP_S = 3.5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_SETTLED_S = 10.0
_TRIES_BEFORE_READY = 3


class RoleFailed(Exception):
    """A role ended several times before it was ready once."""


@dataclass(slots=True)
class _Role:
    name: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    starts: int = 0
    pause_s: float = _FIRST_PAUSE_S
    start_again_at: float = 0.0
    ready: bool = False
    pipes: list[int] = field(default_factory=list)  # our ends: "it is ready", "we are alive"


class Supervisor:
    """The parent of the three roles. `report` gets a line about each role that ended."""

    def __init__(
        self,
        config: Config,
        *,
        roles: tuple[str, ...] = ROLES,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._config = config
        self._roles = [_Role(name) for name in roles]
        self._report = report
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to end; safe in a signal handler."""
        self._stop.set()

    def pids(self) -> dict[str, int]:
        """The process of each running role."""
        return {
            role.name: role.process.pid
            for role in self._roles
            if role.process is not None and role.process.poll() is None
        }

    def run(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start every role, call `on_ready` once all are ready, and watch them until `stop`.

        Raises RoleFailed when a role cannot be started, DatabaseLost when the database's file is
        taken away; no role is left running then.
        """
        file = DatabaseFile(self._config.database_url)
        try:
            for role in self._roles:
                self._start(role)
            announced = False
            while not self._stop.is_set():
                # First: a role that died of a lost file must not be started again on a new one.
                file.check()
                self._watch()
                if not announced and all(role.ready for role in self._roles):
                    announced = True
                    on_ready()
                self._stop.wait(0.05)
        finally:
            self._end()

    def _start(self, role: _Role) -> None:
        ready_in, ready_out = os.pipe()
        alive_in, alive_out = os.pipe()
        settings = {
            ENVIRONMENT: encode_config(self._config),
            "CHECKOUT_READY_FD": str(ready_out),
            "CHECKOUT_ALIVE_FD": str(alive_in),
        }
        role.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            module_command("checkout.processes.roles", role.name),
            env=module_environment(settings),
            pass_fds=(ready_out, alive_in),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the roles
        )
        os.close(ready_out)
        os.close(alive_in)
        os.set_blocking(ready_in, False)
        role.pipes = [ready_in, alive_out]
        role.started_at = time.monotonic()
        role.starts += 1

    def _watch(self) -> None:
        now = time.monotonic()
        for role in self._roles:
            if role.process is None:
                if now >= role.start_again_at:
                    self._start(role)
                continue
            self._read_ready(role)
            status = role.process.poll()
            if status is None:
                if now - role.started_at > _SETTLED_S:
                    role.pause_s = _FIRST_PAUSE_S
                continue
            self._ended(role, status, now)

    def _read_ready(self, role: _Role) -> None:
        if role.ready:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            role.ready = os.read(role.pipes[0], 16).startswith(b"ready")

    def _ended(self, role: _Role, status: int, now: float) -> None:
        self._close_pipes(role)
        if role.process is not None:
            _signal_group(role.process.pid, signal.SIGKILL)  # children that it left behind
        role.process = None
        if not role.ready and role.starts >= _TRIES_BEFORE_READY:
            raise RoleFailed(f"{role.name}: it ended {role.starts} times before it was ready")
        self._report(f"{role.name} ended with status {status}; starting it again")
        role.start_again_at = now + role.pause_s
        role.pause_s = min(role.pause_s * 2, _LONGEST_PAUSE_S)

    def _end(self) -> None:
        """Stop shop and terminal first, so that the switch still takes their last messages."""
        deadline = time.monotonic() + _STOP_S
        for names in (("web", "terminal"), ("switch",)):
            leaving = [role for role in self._roles if role.name in names and role.process]
            for role in leaving:
                if role.process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        role.process.send_signal(signal.SIGTERM)
            for role in leaving:
                if role.process is not None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        role.process.wait(max(0.05, deadline - time.monotonic()))
            deadline += 0.7
        for role in self._roles:
            if role.process is not None:
                _signal_group(role.process.pid, signal.SIGKILL)
                role.process.wait()
                self._close_pipes(role)
                role.process = None

    @staticmethod
    def _close_pipes(role: _Role) -> None:
        for descriptor in role.pipes:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        role.pipes = []


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
