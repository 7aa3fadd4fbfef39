"""The serial ports of this machine, and the lock on the one that a reader uses."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import filelock


def serial_ports() -> list[str]:
    """The serial ports that a reader may be on, USB adapters first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        from serial.tools import list_ports

        ports = list_ports.comports()
    return [port.device for port in sorted(ports, key=lambda p: (p.vid is None, p.device))]


class SerialLock:
    """Keeps this program's other processes off a serial port while a reader on it is open.

    Raises OSError (EBUSY where another process holds the port), as opening the port would.
    """

    def __init__(self, device: str) -> None:
        self._descriptor: int | None = None
        if os.name != "posix":
            return  # Windows opens a serial port for one program only
        if not Path(device).exists():
            raise FileNotFoundError(2, "no such serial port", device)
        descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not filelock.lock_descriptor(descriptor, blocking=False):
            os.close(descriptor)
            raise OSError(16, "another program holds the port", device)
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock the port; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
