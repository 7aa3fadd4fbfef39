"""Every reader that nfcpy drives, behind the `Reader` contract; only `driver.py` imports nfc.

nfcpy's drivers are used, but not its tag layer: `reader.py` and `iso_dep.py` of the folder above do
polling, activation and ISO/IEC 14443-4. So polling is quick, phones with SAK 60 and cards with a
short ATS work, and a lost reader raises a named error.
"""

from __future__ import annotations

from devices.nfc.contract import TransportError
from devices.nfc.reader.nfcpy.driver import Device, Pn53xDevice, Rcs380Device
from devices.nfc.reader.nfcpy.listener import Listener
from devices.nfc.reader.nfcpy.pn53x import Pn53xAir
from devices.nfc.reader.nfcpy.ports import open_serial, open_usb
from devices.nfc.reader.nfcpy.rcs380 import Rcs380Air
from devices.nfc.reader.nfcpy.udp import UdpAir
from devices.nfc.reader.path import ReaderPath, parse_path
from devices.nfc.reader.reader import AirReader
from devices.nfc.reader.serial_ports import SerialLock
from devices.nfc.reader.usb import Model


def open_reader(path: str) -> AirReader:
    """Open the reader that `path` names: any nfcpy path, or `pn532:DEVICE` for a serial PN532.

    Raises TransportError with reason bad-path, no-reader, no-permission, busy, wrong-driver,
    unsupported-reader or reader-fault, and a message of one line.
    """
    parsed = parse_path(path)
    return AirReader(path, _Opener(parsed), emulated=parsed.emulated)


def open_listener(path: str) -> Listener:
    """Open the reader at `path` to act as a card. Raises what open_reader raises."""
    return Listener(path, _Opener(parse_path(path))())


NfcpyAir = Pn53xAir | Rcs380Air | UdpAir


class _Opener:
    """Opens the same reader each time, also when USB has given it another address since."""

    def __init__(self, path: ReaderPath) -> None:
        self._path = path
        self._model: Model | None = None

    def __call__(self) -> NfcpyAir:
        if self._path.kind == "udp":
            return UdpAir(self._path)
        if self._path.kind == "serial":
            device, lock = open_serial(self._path)
            return _air_of(device, (lock,))
        return _air_of(self._usb(), ())

    def _usb(self) -> Device:
        try:
            device, self._model = open_usb(self._path)
        except TransportError as error:
            if error.reason != "no-reader" or self._model is None:
                raise
            device, _ = open_usb(parse_path("usb:{:04x}:{:04x}".format(*self._model)))
        return device


def _air_of(device: Device, locks: tuple[SerialLock, ...]) -> NfcpyAir:
    if isinstance(device, Pn53xDevice):
        return Pn53xAir(device, locks)
    if isinstance(device, Rcs380Device):
        return Rcs380Air(device)
    raise TransportError("unsupported-reader", f"{device.path}: nothing here uses its driver")


__all__ = ["AirReader", "Listener", "open_listener", "open_reader"]
