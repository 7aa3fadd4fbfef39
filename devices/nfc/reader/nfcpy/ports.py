"""USB and serial ports for nfcpy's drivers; opening one fails with a named reason.

nfcpy waits for ever in some places and gives up after 100 ms in others. The ports here wait as long
as a busy machine needs, and no longer.
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

SHORTEST_TIMEOUT_MS = 2_000
DEFAULT_TIMEOUT_MS = 10_000
_MOST_NOISE = 64
_START = bytes.fromhex("0000FF")
_ACK = bytearray.fromhex("0000FF00FF00")
_NACK = bytearray.fromhex("0000FFFF0000")
_NACKS = 2
#: How long the line must be silent before a NACK, so that no rest of a damaged frame follows it.
_SILENCE_S = 0.02
#: Commands up to InCommunicateThru and InRelease answer within their own time-out. InAutoPoll and
#: the target's commands (Tg...) may wait for a phone: their silence is no lost frame.
_BOUNDED_COMMANDS = range(0x60)
_SET_115200 = bytearray.fromhex("0000FF03FDD410041800")
_SET_115200_DONE = bytearray.fromhex("0000FF02FED5111A00")


class TimedUsbPort(UsbPort):
    """nfcpy's USB port with time-outs that are never infinite and never too short."""

    shortest_timeout_ms = 0

    def read(self, timeout: int = 0) -> bytearray | None:
        return super().read(max(timeout or DEFAULT_TIMEOUT_MS, self.shortest_timeout_ms))

    def write(self, frame: bytes | bytearray, timeout: int = 0) -> None:
        super().write(frame, timeout or SHORTEST_TIMEOUT_MS)


def open_usb(path: ReaderPath) -> tuple[Device, Model]:
    """Open the first usable reader that the path names.

    Raises TransportError with the reason of the first that fails, or no-reader.
    """
    try:
        load_usb_library()
        devices = UsbPort.find(path.text) or []
    except Exception as error:  # libusb itself: no bus, no driver
        why = f"{path.text}: USB can't be searched ({usb_problem(error)})"
        raise TransportError("no-reader", why) from None
    refusal: TransportError | None = None
    for vendor, product, bus, address in devices:
        module = USB_DRIVERS.get((vendor, product))
        if module is None:
            continue
        place = f"usb:{bus:03}:{address:03}"
        try:
            return _init_usb(module, bus, address), (vendor, product)
        except DRIVER_FAULTS as error:
            refusal = refusal or _open_error(place, error)
    if refusal is not None:
        raise refusal
    raise _no_usable_reader(path, [(vendor, product) for vendor, product, _, _ in devices])


def _init_usb(module: str, bus: int, address: int) -> Device:
    node = f"/dev/bus/usb/{bus:03}/{address:03}"
    if sys.platform.startswith("linux") and not os.access(node, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    port = TimedUsbPort(bus, address)
    try:
        device = start_driver(module, port, f"usb:{bus:03}:{address:03}")
    except BaseException:
        port.close()
        raise
    port.shortest_timeout_ms = SHORTEST_TIMEOUT_MS
    return device


def _no_usable_reader(path: ReaderPath, seen: list[Model]) -> TransportError:
    for vendor, product in seen:
        model = UNSUPPORTED.get((vendor, product))
        if model is not None:
            return TransportError(
                "unsupported-reader", f"{path.text}: {model} is plugged in, and nfcpy has no driver"
            )
    return TransportError(
        "no-reader", f"{path.text}: no supported reader there; `checkout readers` shows what is"
    )


def _open_error(place: str, error: BaseException) -> TransportError:
    """Why a reader that is there can't be opened, from the operating system's error."""
    number = getattr(error, "errno", None)
    if isinstance(error, (usb1.USBErrorNotSupported, usb1.USBErrorNotFound)):
        return TransportError(
            "wrong-driver",
            f"{place}: the system's own driver holds the reader; "
            "`checkout readers` shows how to replace it",
        )
    if number == errno.EACCES or isinstance(error, PermissionError):
        return TransportError(
            "no-permission",
            f"{place}: no permission to use the reader; `checkout readers` shows how to get it",
        )
    if number == errno.EBUSY:
        return TransportError(
            "busy",
            f"{place}: another program or the kernel holds the reader; "
            "`checkout readers` shows which and how to free it",
        )
    if number == errno.ENOENT:
        return TransportError("no-reader", f"{place}: no such port")
    if number in (errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT):
        return TransportError("no-reader", f"{place}: no reader answers there")
    return TransportError("reader-fault", f"{place}: the reader sends invalid answers")


class TimedTtyPort(TtyPort):
    """nfcpy's serial port with time-outs for a loaded machine, and with stricter framing.

    nfcpy takes a normal frame of 255 bytes for an extended one and waits for bytes that never come;
    this port distinguishes the two. nfcpy also takes the first bytes for the beginning of a frame.
    With `frames_only` this port skips a longer preamble, noise and a second acknowledgement, and
    shortens an extended frame that fits a normal one (PN532 User Manual, frame structure).

    With `recovers` it takes one damaged or lost frame for what it is: it asks for a response once
    more by NACK, and sends a command that was not acknowledged a second time. A chip that stays
    silent after that counts as lost.
    """

    shortest_timeout_ms = 500
    frames_only = False
    recovers = False
    _ack_received = False
    _command = b""

    def write(self, frame: bytes | bytearray) -> None:
        self._ack_received = False
        self._command = bytes(frame)
        super().write(frame)

    def read(self, timeout: int) -> bytearray | None:
        if self.tty is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        timeout_s = max(timeout, self.shortest_timeout_ms) / 1000
        acknowledged = self._ack_received
        frame = self._read_frame(timeout_s)
        if self.recovers and not _is_sound(frame):
            frame = self._recover(frame, acknowledged, timeout_s)
        if not frame:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return frame

    def _recover(self, frame: bytearray, acknowledged: bool, timeout_s: float) -> bytearray:
        """The frame that was damaged or lost, received again; what came instead if that fails.

        An acknowledgement is not repeated: the response that follows it says the same. A NACK makes
        the chip send its last response again, so it may follow only once the command of this
        response was acknowledged: before that the last response is an older command's.
        """
        if not acknowledged:
            if not frame and _command_code(self._command) is not None:
                super().write(self._command)
            return self._read_frame(timeout_s)
        bounded = _command_code(self._command) in _BOUNDED_COMMANDS
        for _ in range(_NACKS if frame or bounded else 0):
            self._wait_for_silence()
            super().write(_NACK)
            frame = self._read_frame(timeout_s)
            if _is_sound(frame):
                break
        return frame

    def _wait_for_silence(self) -> None:
        assert self.tty is not None
        self.tty.timeout = _SILENCE_S
        for _ in range(_MOST_NOISE):
            if not self.tty.read(_MOST_NOISE):
                return

    def _read_frame(self, timeout_s: float) -> bytearray:
        """One frame, sound or not; empty where none came."""
        assert self.tty is not None
        self.tty.timeout = timeout_s
        frame = self._read_frame_start()
        if frame == _ACK and self._ack_received and self.frames_only:
            frame = self._read_frame_start()
        if frame == _ACK:
            self._ack_received = True
            return frame
        if len(frame) == 6:
            length = frame[3]
            extended = frame[3:5] == b"\xff\xff"
            if extended:
                frame += self.tty.read(3)
                length = frame[5] << 8 | frame[6] if len(frame) == 9 else 0
            if self.recovers and not _length_fits(frame):
                return frame  # its length is damaged: do not wait for bytes that never come
            frame += self.tty.read(length + 1)
            if extended and self.frames_only and length < 256 and not sum(frame[5:8]) & 0xFF:
                frame[3:8] = bytes((length, -length & 0xFF))
        return frame

    def _read_frame_start(self) -> bytearray:
        """Read the first six bytes of a frame; bytes before its start code are skipped."""
        assert self.tty is not None
        frame = bytearray(self.tty.read(6))
        for _ in range(_MOST_NOISE if self.frames_only else 0):
            cut_off = frame[3:5] == b"\0\0"  # no frame: another start code follows at once
            if len(frame) < 6 or (frame.startswith(_START) and not cut_off):
                break
            frame = frame[1:] + self.tty.read(1)
        return frame

    def abandon(self) -> None:
        """Close the port, also when the other end is gone."""
        tty, self.tty = self.tty, None
        if tty is not None:
            with suppress(*DRIVER_FAULTS):
                tty.close()


def _length_fits(frame: bytes | bytearray) -> bool:
    """Whether the length checksum of a frame's head fits (PN532 User Manual, 6.2.1)."""
    if not frame.startswith(_START):
        return False
    if frame[3:5] == b"\xff\xff":
        return len(frame) >= 8 and not sum(frame[5:8]) & 0xFF
    return len(frame) >= 5 and not sum(frame[3:5]) & 0xFF


def _is_sound(frame: bytes | bytearray) -> bool:
    """Whether a frame is an ACK, or a whole frame with both checksums right."""
    if frame == _ACK:
        return True
    if not _length_fits(frame):
        return False
    extended = frame[3:5] == b"\xff\xff"
    body, length = (frame[8:], frame[5] << 8 | frame[6]) if extended else (frame[5:], frame[3])
    return length > 0 and len(body) == length + 2 and not sum(body[: length + 1]) & 0xFF


def _command_code(frame: bytes) -> int | None:
    """The code of a command frame, None for an ACK."""
    at = frame.find(_START)
    body = frame[at + 8 :] if frame[at + 3 : at + 5] == b"\xff\xff" else frame[at + 5 :]
    return body[1] if at >= 0 and len(body) > 2 and body[0] == 0xD4 else None


def open_serial(path: ReaderPath) -> tuple[Device, SerialLock]:
    """Open the reader on the serial port that the path names, and lock the port.

    Raises TransportError with the reason.
    """
    refusal: TransportError | None = None
    for place, driver in path.serial_candidates():
        try:
            lock = SerialLock(place)
        except OSError as error:
            refusal = refusal or _open_error(place, error)
            continue
        try:
            return _init_serial(place, driver, recover=bool(path.device)), lock
        except DRIVER_FAULTS as error:
            lock.release()
            refusal = refusal or _open_error(place, error)
    raise refusal or TransportError("no-reader", f"{path.text}: no such serial port")


def _init_serial(place: str, driver: str, *, recover: bool) -> Device:
    port = TimedTtyPort(place)
    port.frames_only = driver == "pn532"
    try:
        device = start_driver(driver, port, place)
    except DRIVER_FAULTS:
        port.abandon()
        if recover and driver == "pn532" and _restore_line_rate(place):
            return _init_serial(place, driver, recover=False)
        raise
    port.shortest_timeout_ms = SHORTEST_TIMEOUT_MS
    port.recovers = port.frames_only
    return device


def _restore_line_rate(place: str) -> bool:
    """Set a PN532 that a killed program left at a high rate to 115,200; whether one was there.

    nfcpy raises the rate when it opens the chip, and looks for the chip at 115,200 only.
    """
    for rate in (921_600, 460_800, 230_400):
        port = TimedTtyPort(place)
        port.shortest_timeout_ms = 100
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
