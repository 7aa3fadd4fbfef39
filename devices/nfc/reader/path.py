"""The paths of `--reader`: nfcpy's path strings, and `pn532:DEVICE` for ports that they can't name.

| path | reader |
|---|---|
| `usb`, `usb:072f:2200`, `usb:001:004` | on USB: any, by product, by bus and address |
| `tty`, `tty:USB0:pn532`, `com:COM3:pn532` | a serial port and its driver (`pn532` or `arygon`) |
| `pn532:/dev/pts/3` | a PN532 on any serial port or pseudo-terminal |
| `udp`, `udp:localhost:54321` | nfcpy's simulated air, with a card in another process |
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from devices.nfc.contract import TransportError
from devices.nfc.reader.serial_ports import serial_ports

DRIVERS = ("pn532", "arygon")
DEFAULT_UDP_PORT = 54321

_USB = re.compile(r"usb(:[0-9a-fA-F]{4}){0,2}|usb(:[0-9]{1,3}){1,2}")
_TTY = re.compile(r"tty(?::([A-Za-z0-9-]+)?(?::(pn532|arygon))?)?")
_COM = re.compile(r"com(?::([A-Za-z0-9]+)?(?::(pn532|arygon))?)?")
_DEVICE = re.compile(r"[A-Za-z0-9_./\\:-]+")
_UDP = re.compile(r"udp(?::([A-Za-z0-9.-]*))?(?::([0-9]{1,5}))?")
_KERNEL_PORT = re.compile(r"(S|ACM|AMA|USB)\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderPath:
    """A reader path, checked and parsed; `text` is what the user wrote."""

    text: str
    kind: Literal["usb", "serial", "udp"]
    device: str = ""
    driver: str = ""
    host: str = ""
    port: int = 0

    @property
    def emulated(self) -> bool:
        """Whether card and air are emulated: a simulated air, or a pseudo-terminal."""
        on_pseudo_terminal = self.device and os.path.realpath(self.device).startswith("/dev/pts/")
        return self.kind == "udp" or bool(on_pseudo_terminal)

    def serial_candidates(self) -> list[tuple[str, str]]:
        """The serial ports to try, each with a driver, in order."""
        drivers = (self.driver,) if self.driver else DRIVERS
        if self.device:
            return [(self.device, driver) for driver in drivers]
        return [(port, driver) for driver in drivers for port in serial_ports()]


def parse_path(text: str) -> ReaderPath:
    """Check and parse a reader path.

    Raises TransportError("bad-path") with what was expected.
    """
    if _USB.fullmatch(text):
        return ReaderPath(text=text, kind="usb")
    if text.startswith("pn532:") and _DEVICE.fullmatch(text[6:]):
        return ReaderPath(text=text, kind="serial", device=text[6:], driver="pn532")
    if match := _TTY.fullmatch(text):
        device = f"/dev/{_kernel_name(match[1])}" if match[1] else ""
        return ReaderPath(text=text, kind="serial", device=device, driver=match[2] or "")
    if match := _COM.fullmatch(text):
        device = f"COM{match[1]}" if match[1] and match[1].isdigit() else match[1] or ""
        return ReaderPath(text=text, kind="serial", device=device, driver=match[2] or "")
    if (match := _UDP.fullmatch(text)) and int(match[2] or 0) < 65536:
        return ReaderPath(
            text=text,
            kind="udp",
            host=match[1] or "localhost",
            port=int(match[2] or DEFAULT_UDP_PORT),
        )
    raise TransportError(
        "bad-path",
        f"reader path {text!r}: expected usb[:VENDOR:PRODUCT], tty:PORT:pn532, pn532:DEVICE "
        "or udp:HOST:PORT",
    )


def _kernel_name(name: str) -> str:
    if _KERNEL_PORT.fullmatch(name):
        return f"tty{name}"
    if re.fullmatch(r"usbserial-\w+", name):
        return f"cu.{name}"
    return name
