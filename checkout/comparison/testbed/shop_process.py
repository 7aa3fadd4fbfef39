"""The shop's pages in a process of their own, which can be killed, or have its disk filled."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from checkout.child_process import module_command, module_environment
from checkout.comparison.testbed.full_disk import empty_disk, fill_disk
from checkout.config import ENVIRONMENT, Config, encode_config

_READY_S = 20.0


class ShopProcess:
    """`checkout.processes.roles web` on a free loopback port, over the same home and database."""

    def __init__(self, config: Config) -> None:
        self._config = replace(config, host="127.0.0.1", port=_free_port(), workers=1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        """The URL before the path of its pages."""
        return f"http://127.0.0.1:{self._config.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            module_command("checkout.processes.roles", "web"),
            env=module_environment({ENVIRONMENT: encode_config(self._config)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that `kill` reaches its workers too
        )
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("shop: its pages did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it and its workers, as a power cut does; safe when it is dead already."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def fill_disk(self) -> None:
        """Fill the disk of the process and its workers."""
        for pid in self._pids():
            fill_disk(pid)

    def empty_disk(self) -> None:
        """Give them room again."""
        for pid in self._pids():
            empty_disk(pid)

    def _pids(self) -> Iterator[int]:
        """The process and its workers: all of its session."""
        assert self._process is not None
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.getsid(int(entry.name)) == self._process.pid:
                        yield int(entry.name)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._config.port), timeout=1.0),
        ):
            return True
        return False


def sell_in_child(
    config: Config,
    *,
    mode: str,
    amount: str,
    payer: str,
    started: Callable[[subprocess.Popen[bytes]], None] = lambda child: None,
    full: bool = False,
) -> tuple[int, str]:
    """One sale by `checkout pay` in a process of its own: exit status and last line of output.

    `started` is called once the process runs. With `full` its disk is full from the start, so that
    not even a new order can be stored.
    """
    sale = ("pay", "--mode", mode, "--amount", amount, "--payer", payer, "--json")
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        module_command("checkout", *sale),
        env=module_environment({"CHECKOUT_HOME": str(config.home)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if full:
        fill_disk(child.pid)
    started(child)
    _, output = child.communicate(timeout=60)
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return child.returncode, lines[-1] if lines else ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
