"""USB and serial ports under nfcpy's drivers: opened with a reason when they can't be.

nfcpy waits for ever in one place and gives up after a tenth of a second in another; both ports here
wait as long as a busy machine needs, and no longer.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

import usb1

from devices.nfc.contract import TransportError
from devices.nfc.reader.nfcpy.driver import (
    DRIVER_FAULTS,
    USB_DRIVERS,
    Device,
    TtyPort,
    UsbPort,
    start_driver,
)
from devices.nfc.reader.path import ReaderPath
from devices.nfc.reader.serial_ports import SerialLock
from devices.nfc.reader.usb import UNSUPPORTED, Model, load_usb_library, usb_problem

PATIENCE_MS = 2_000
SILENT_MS = 10_000
_MOST_NOISE = 64
_START = bytes.fromhex("0000FF")
_ACK = bytearray.fromhex("0000FF00FF00")
_SET_115200 = bytearray.fromhex("0000FF03FDD410041800")
_SET_115200_DONE = bytearray.fromhex("0000FF02FED5111A00")


class PatientUsb(UsbPort):
    """nfcpy's USB port, never waiting for ever and never giving up on a busy machine too soon."""

    patience_ms = 0

    def read(self, timeout: int = 0) -> bytearray | None:
        return super().read(max(timeout or SILENT_MS, self.patience_ms))

    def write(self, frame: bytes | bytearray, timeout: int = 0) -> None:
        super().write(frame, timeout or PATIENCE_MS)


def open_usb(path: ReaderPath) -> tuple[Device, Model]:
    """The first reader that the path names and that can be had.

    Raises TransportError with the reason of the first that can't, no-reader where there is none.
    """
    try:
        load_usb_library()
        found = UsbPort.find(path.text) or []
    except Exception as error:  # libusb itself: no bus, no driver
        why = f"{path.text}: USB can't be searched ({usb_problem(error)})"
        raise TransportError("no-reader", why) from None
    refusal: TransportError | None = None
    for vendor, product, bus, address in found:
        module = USB_DRIVERS.get((vendor, product))
        if module is None:
            continue
        place = f"usb:{bus:03}:{address:03}"
        try:
            return _init_usb(module, bus, address), (vendor, product)
        except DRIVER_FAULTS as error:
            refusal = refusal or _refused(place, error)
    if refusal is not None:
        raise refusal
    raise _nothing_usable(path, [(vendor, product) for vendor, product, _, _ in found])


def _init_usb(module: str, bus: int, address: int) -> Device:
    node = f"/dev/bus/usb/{bus:03}/{address:03}"
    if sys.platform.startswith("linux") and not os.access(node, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    port = PatientUsb(bus, address)
    try:
        device = start_driver(module, port, f"usb:{bus:03}:{address:03}")
    except BaseException:
        port.close()
        raise
    port.patience_ms = PATIENCE_MS
    return device


def _nothing_usable(path: ReaderPath, seen: list[Model]) -> TransportError:
    for vendor, product in seen:
        model = UNSUPPORTED.get((vendor, product))
        if model is not None:
            return TransportError(
                "unsupported-reader", f"{path.text}: {model} is plugged in, and nfcpy has no driver"
            )
    return TransportError(
        "no-reader", f"{path.text}: no supported reader there; `checkout readers` tells what is"
    )


def _refused(place: str, error: BaseException) -> TransportError:
    """Why a reader that is there can't be had, by the operating system's error."""
    number = getattr(error, "errno", None)
    if isinstance(error, (usb1.USBErrorNotSupported, usb1.USBErrorNotFound)):
        return TransportError(
            "wrong-driver",
            f"{place}: the system's own driver holds the reader; "
            "`checkout readers` tells how to replace it",
        )
    if number == errno.EACCES or isinstance(error, PermissionError):
        return TransportError(
            "no-permission",
            f"{place}: no permission to use the reader; `checkout readers` tells how to get it",
        )
    if number == errno.EBUSY:
        return TransportError(
            "busy",
            f"{place}: another program or the kernel holds the reader; "
            "`checkout readers` tells which and how to free it",
        )
    if number == errno.ENOENT:
        return TransportError("no-reader", f"{place}: no such port")
    if number in (errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT):
        return TransportError("no-reader", f"{place}: no reader answers there")
    return TransportError("reader-fault", f"{place}: the reader answers and does not make sense")


class PatientTty(TtyPort):
    """nfcpy's serial port, with time enough for a loaded machine.

    nfcpy takes a normal frame of 255 bytes for an extended one and waits for more that never
    comes; both kinds are told apart here. It also takes whatever comes first for the beginning of a
    frame: with `frames_only` a longer preamble, noise on the line, a second acknowledgement and an
    extended frame that could be a normal one are smoothed out (PN532 User Manual, frame structure).
    """

    patience_ms = 500
    frames_only = False
    _acknowledged = False

    def write(self, frame: bytes | bytearray) -> None:
        self._acknowledged = False
        super().write(frame)

    def read(self, timeout: int) -> bytearray | None:
        if self.tty is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self.tty.timeout = max(timeout, self.patience_ms) / 1000
        frame = self._begun()
        if frame == _ACK and self._acknowledged and self.frames_only:
            frame = self._begun()
        if not frame:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if frame == _ACK:
            self._acknowledged = True
            return frame
        if len(frame) == 6:
            length = frame[3]
            extended = frame[3:5] == b"\xff\xff"
            if extended:
                frame += self.tty.read(3)
                length = frame[5] << 8 | frame[6]
            frame += self.tty.read(length + 1)
            if extended and self.frames_only and length < 256 and not sum(frame[5:8]) & 0xFF:
                frame[3:8] = bytes((length, -length & 0xFF))
        return frame

    def _begun(self) -> bytearray:
        """The first six bytes of a frame, less what stands before its start code."""
        assert self.tty is not None
        frame = bytearray(self.tty.read(6))
        for _ in range(_MOST_NOISE if self.frames_only else 0):
            if len(frame) < 6 or frame.startswith(_START):
                break
            frame = frame[1:] + self.tty.read(1)
        return frame

    def abandon(self) -> None:
        """Close the port although the other end may be gone."""
        tty, self.tty = self.tty, None
        if tty is not None:
            with suppress(*DRIVER_FAULTS):
                tty.close()


def open_serial(path: ReaderPath) -> tuple[Device, SerialLock]:
    """The reader on the serial port that the path names, and the lock that keeps others off.

    Raises TransportError with the reason.
    """
    refusal: TransportError | None = None
    for place, driver in path.serial_candidates():
        try:
            lock = SerialLock(place)
        except OSError as error:
            refusal = refusal or _refused(place, error)
            continue
        try:
            return _init_serial(place, driver, recover=bool(path.device)), lock
        except DRIVER_FAULTS as error:
            lock.release()
            refusal = refusal or _refused(place, error)
    raise refusal or TransportError("no-reader", f"{path.text}: no such serial port")


def _init_serial(place: str, driver: str, *, recover: bool) -> Device:
    port = PatientTty(place)
    port.frames_only = driver == "pn532"
    try:
        device = start_driver(driver, port, place)
    except DRIVER_FAULTS:
        port.abandon()
        if recover and driver == "pn532" and _slowed_down(place):
            return _init_serial(place, driver, recover=False)
        raise
    port.patience_ms = PATIENCE_MS
    return device


def _slowed_down(place: str) -> bool:
    """Bring back a PN532 that a killed program left at a high line rate; whether one was there.

    nfcpy raises the rate when it opens the chip and looks for it at 115,200 only.
    """
    for rate in (921_600, 460_800, 230_400):
        port = PatientTty(place)
        port.patience_ms = 100
        try:
            port.open(place, rate)
            port.write(bytes(10) + _SET_115200)
            if port.read(100) == _ACK and port.read(100) == _SET_115200_DONE:
                port.write(_ACK)
                return True
        except DRIVER_FAULTS:
            continue
        finally:
            port.abandon()
    return False
