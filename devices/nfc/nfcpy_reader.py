"""Every reader that nfcpy drives, behind the one contract; the only file that imports nfc.

nfcpy's drivers are used and its tag layer is not: this module polls, activates and speaks
ISO/IEC 14443-4 by itself (devices.nfc.air_reader, devices.nfc.iso_dep), so that polling is quick,
phones with SAK 60 and cards with a short ATS work, and a lost reader is a named error.
"""

from __future__ import annotations

import errno
import importlib
import os
import select
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import nfc.clf
import nfc.clf.acr122
import nfc.clf.device
import nfc.clf.pn53x
import nfc.clf.pn532
import nfc.clf.rcs380
import nfc.clf.transport
import nfc.clf.udp
import usb1

from devices.nfc.air_reader import Air, AirReader, Found, Signal
from devices.nfc.contract import ReaderGone, SeveralCards, TransportError
from devices.nfc.iso_dep import FrameError, FrameTimeout
from devices.nfc.reader_path import ReaderPath, SerialLock, parse_path

if sys.platform == "win32":
    TerminalError = OSError
else:
    from termios import error as TerminalError

FIELD_RESET_S = 0.006
"""How long the carrier is off before a round: a card must have lost its state (at least 5.1 ms)."""

_PATIENCE_MS = 2_000
_SILENT_MS = 10_000
_UDP_POLL_S = 0.1
_UDP_FLOOR_S = 0.25
_DRIVER_FAULTS = (
    OSError,
    TerminalError,
    AssertionError,
    AttributeError,
    IndexError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
    usb1.USBError,
    nfc.clf.Error,
    nfc.clf.pn53x.Chipset.Error,
    nfc.clf.rcs380.CommunicationError,
    nfc.clf.rcs380.StatusError,
)


def open_reader(path: str) -> AirReader:
    """Open the reader that `path` names: any nfcpy path, or `pn532:DEVICE` for a serial PN532.

    Raises TransportError with reason bad-path, no-reader, no-permission, busy, wrong-driver,
    unsupported-reader or reader-fault, and a message of one line.
    """
    parsed = parse_path(path)
    return AirReader(path, lambda: _open_air(parsed), emulated=parsed.emulated)


def _open_air(path: ReaderPath) -> Air:
    if path.kind == "udp":
        return _UdpAir(path)
    if path.kind == "usb":
        return _air_of(_open_usb(path), path, ())
    return _open_serial(path)


def _air_of(device: nfc.clf.device.Device, path: ReaderPath, held: tuple[SerialLock, ...]) -> Air:
    if isinstance(device, nfc.clf.pn53x.Device):
        return _Pn53xAir(device, path, held)
    if isinstance(device, nfc.clf.rcs380.Device):
        return _Port100Air(device, path)
    raise TransportError("unsupported-reader", f"{path.text}: nfcpy's driver for it is not known")


# USB


class _PatientUsb(nfc.clf.transport.USB):
    """nfcpy's USB port, never waiting for ever and never giving up on a busy machine too soon."""

    patience_ms = 0

    def read(self, timeout: int = 0) -> bytearray | None:
        return super().read(max(timeout or _SILENT_MS, self.patience_ms))

    def write(self, frame: bytes | bytearray, timeout: int = 0) -> None:
        super().write(frame, timeout or _PATIENCE_MS)


def _open_usb(path: ReaderPath) -> nfc.clf.device.Device:
    try:
        found = nfc.clf.transport.USB.find(path.text) or []
    except Exception as error:  # libusb itself: no bus, no driver
        raise TransportError("no-reader", f"{path.text}: USB can't be searched ({error})") from None
    refusal: TransportError | None = None
    for vendor, product, bus, address in found:
        module = nfc.clf.device.usb_device_map.get((vendor, product))
        if module is None:
            continue
        place = f"usb:{bus:03}:{address:03}"
        try:
            return _init_usb(module, bus, address)
        except _DRIVER_FAULTS as error:
            refusal = refusal or _refused(place, error)
    if refusal is not None:
        raise refusal
    raise _nothing_usable(path, [(vendor, product) for vendor, product, _, _ in found])


def _init_usb(module: str, bus: int, address: int) -> nfc.clf.device.Device:
    node = f"/dev/bus/usb/{bus:03}/{address:03}"
    if sys.platform.startswith("linux") and not os.access(node, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    port = _PatientUsb(bus, address)
    try:
        device: nfc.clf.device.Device = importlib.import_module(f"nfc.clf.{module}").init(port)
    except BaseException:
        port.close()
        raise
    port.patience_ms = _PATIENCE_MS
    device._path = f"usb:{bus:03}:{address:03}"  # type: ignore[attr-defined]
    return device


def _nothing_usable(path: ReaderPath, seen: list[tuple[int, int]]) -> TransportError:
    from devices.nfc.readers import unsupported_model

    for vendor, product in seen:
        model = unsupported_model(vendor, product)
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
    if number in (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.ETIMEDOUT):
        return TransportError("no-reader", f"{place}: no reader answers there")
    return TransportError("reader-fault", f"{place}: the reader answers and does not make sense")


# Serial ports

_ACK = bytearray(b"\x00\x00\xff\x00\xff\x00")


class _PatientTty(nfc.clf.transport.TTY):
    """nfcpy's serial port, with time enough for a loaded machine.

    nfcpy takes a normal frame of 255 bytes for an extended one and waits for more that never
    comes; both kinds are told apart here.
    """

    patience_ms = 500

    def read(self, timeout: int) -> bytearray | None:
        if self.tty is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self.tty.timeout = max(timeout, self.patience_ms) / 1000
        frame = bytearray(self.tty.read(6))
        if not frame:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if frame == _ACK:
            return frame
        if len(frame) == 6:
            length = frame[3]
            if frame[3:5] == b"\xff\xff":
                frame += self.tty.read(3)
                length = frame[5] << 8 | frame[6]
            frame += self.tty.read(length + 1)
        return frame

    def abandon(self) -> None:
        """Close the port although the other end may be gone."""
        tty, self.tty = self.tty, None
        if tty is not None:
            with suppress(*_DRIVER_FAULTS):
                tty.close()


def _open_serial(path: ReaderPath) -> Air:
    refusal: TransportError | None = None
    for device_name, driver in path.serial_candidates():
        try:
            lock = SerialLock(device_name)
        except OSError as error:
            refusal = refusal or _refused(device_name, error)
            continue
        port = None
        try:
            port = _PatientTty(device_name)
            device = importlib.import_module(f"nfc.clf.{driver}").init(port)
            device._path = device_name
        except _DRIVER_FAULTS as error:
            if port is not None:
                port.abandon()
            lock.release()
            refusal = refusal or _refused(device_name, error)
            continue
        port.patience_ms = _PATIENCE_MS
        return _air_of(device, path, (lock,))
    raise refusal or TransportError("no-reader", f"{path.text}: no such serial port")


# Faults


@contextmanager
def _faults() -> Iterator[None]:
    """Whatever a driver raises that is not about the card means that the reader is lost."""
    try:
        yield
    except (TransportError, FrameTimeout, FrameError):
        raise
    except _DRIVER_FAULTS as error:
        detail = f": {error}" if isinstance(error, OSError) and error.errno else ""
        raise ReaderGone(f"the reader was unplugged or stopped answering{detail}") from None


def _display_name(device: nfc.clf.device.Device, place: str) -> str:
    parts = (device.vendor_name, device.product_name, device.chipset_name)
    return " ".join(str(part) for part in parts if part) + f" on {place}"


# PN531, PN532, PN533, RC-S956, ACR122U


class _Pn53xAir:
    """The PN53x family, and the ACR122U, which has a PN532 inside.

    The chip's registers are set once per card and its time-out only when it changes: nfcpy would
    spend four host commands on every frame.
    """

    def __init__(
        self, device: nfc.clf.pn53x.Device, path: ReaderPath, held: tuple[SerialLock, ...]
    ) -> None:
        self._device = device
        self._chipset = device.chipset
        self._held = held
        self._is_acr122 = isinstance(device, nfc.clf.acr122.Device)
        self._tells_two = self._chipset.in_list_passive_target_max_target >= 2
        self._has_b = 3 in self._chipset.in_list_passive_target_brty_range
        self._timeout_index = 0
        self.name = _display_name(device, getattr(device, "_path", path.text))
        self.max_send = self._chipset.host_command_frame_max_size - 3
        self.max_receive = self._chipset.host_command_frame_max_size - 3

    def poll(self) -> Found | None:
        with _faults():
            self._chipset.rf_configuration(0x01, b"\x02")
            time.sleep(FIELD_RESET_S)
            found = self._poll_a()
            if found is None and self._has_b:
                found = self._poll_b()
            if found is not None:
                self._prepare(found)
            return found

    def _poll_a(self) -> Found | None:
        wanted = 2 if self._tells_two else 1
        listed = self._chipset.command(0x4A, bytearray([wanted, 0x00]), timeout=1.0)
        if not listed or listed[0] == 0:
            return None
        if listed[0] > 1:
            raise SeveralCards
        return Found(technology="A", uid=bytes(listed[6 : 6 + listed[5]]), sak=listed[4])

    def _poll_b(self) -> Found | None:
        target = self._device.sense_ttb(nfc.clf.RemoteTarget("106B"))
        if target is None or not target.sensb_res:
            return None
        atqb = bytes(target.sensb_res)
        return Found(technology="B", uid=atqb[1:5], atqb=atqb)

    def _prepare(self, found: Found) -> None:
        """Set bit rate, modulation and CRC for this card, once (nfcpy does it for each frame)."""
        registers = ("CIU_TxMode", "CIU_RxMode", "CIU_TxAuto")
        transmit, receive, automatic = self._chipset.read_register(*registers)
        framing = 0x00 if found.technology == "A" else 0x03
        amplitude = 0x40 if found.technology == "A" else 0x00
        values = (
            0x80 | (transmit & 0x0C) | framing,
            0x80 | (receive & 0x0C) | framing,
            (automatic & ~0x40) | amplitude,
        )
        self._chipset.write_register(*zip(registers, values, strict=True))

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        with _faults():
            index = next((i for i in range(1, 16) if 100e-6 * (1 << (i - 1)) >= timeout_s), 16)
            if index != self._timeout_index:
                self._chipset.rf_configuration(0x02, bytes([0x0A, 0x0B, index]))
                self._timeout_index = index
            host_timeout_s = 100e-6 * (1 << (index - 1)) + _PATIENCE_MS / 1000
            try:
                return bytes(self._chipset.in_communicate_thru(bytearray(frame), host_timeout_s))
            except nfc.clf.pn53x.Chipset.Error as error:
                if error.errno == 0x01:
                    raise FrameTimeout from None
                if error.errno in (0x7F, 0xFF):
                    raise
                raise FrameError(str(error)) from None

    def signal(self, result: Signal) -> None:
        if not isinstance(self._device, nfc.clf.acr122.Device):
            return
        with _faults():
            lights = _ACR122_LIGHTS[result]
            self._device.chipset.ccid_xfr_block(bytearray(lights), timeout=2.0)

    def close(self) -> None:
        with suppress(*_DRIVER_FAULTS):
            if self._is_acr122:  # its firmware does not survive the chip being powered down
                self._chipset.rf_configuration(0x01, b"\x02")
                self._chipset.close()
            else:
                self._device.close()
        port = getattr(self._chipset, "transport", None)
        if isinstance(port, _PatientTty):
            port.abandon()
        elif port is not None:
            with suppress(*_DRIVER_FAULTS):
                port.close()
        for lock in self._held:
            lock.release()


_ACR122_LIGHTS: dict[Signal, bytes] = {
    "ready": bytes.fromhex("FF00400E0400000000"),
    "success": bytes.fromhex("FF0040AE0401000101"),
    "failure": bytes.fromhex("FF00405E0402010201"),
    "off": bytes.fromhex("FF00400C0400000000"),
}
"""Pseudo-APDUs of the ACR122U (its API, bi-colour LED and buzzer control): final and blinking
states of red and green, two durations in 100 ms, repetitions, buzzer link."""


# RC-S380


class _Port100Air:
    """The RC-S380 (NFC Port-100), with the radio set once per card."""

    max_send = 288
    max_receive = 288

    def __init__(self, device: nfc.clf.rcs380.Device, path: ReaderPath) -> None:
        self._device = device
        self._target: nfc.clf.RemoteTarget | None = None
        self._set = False
        self.name = _display_name(device, getattr(device, "_path", path.text))

    def poll(self) -> Found | None:
        with _faults():
            self._set = False
            self._device.chipset.switch_rf("off")
            time.sleep(FIELD_RESET_S)
            self._target = self._device.sense_tta(nfc.clf.RemoteTarget("106A"))
            if self._target is None:
                self._target = self._device.sense_ttb(nfc.clf.RemoteTarget("106B"))
            return _found(self._target)

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with _faults():
            try:
                if self._set:
                    milliseconds = max(1, int(timeout_s * 1000 + 0.999))
                    answer = self._device.chipset.in_comm_rf(frame, milliseconds)
                else:
                    answer = self._device.send_cmd_recv_rsp(
                        self._target, bytearray(frame), timeout_s
                    )
                    self._set = True
            except (nfc.clf.TimeoutError, nfc.clf.TransmissionError) as error:
                raise _lost(isinstance(error, nfc.clf.TimeoutError)) from None
            except nfc.clf.rcs380.CommunicationError as error:
                raise _lost(bool(error.errno & 0x80)) from None
            if answer is None:
                raise ReaderGone
            return bytes(answer)

    def signal(self, result: Signal) -> None:
        return

    def close(self) -> None:
        with suppress(*_DRIVER_FAULTS):
            port = self._device.chipset.transport
            with suppress(*_DRIVER_FAULTS):
                self._device.close()
            if port is not None:
                port.close()


def _lost(timed_out: bool) -> FrameTimeout | FrameError:
    return FrameTimeout() if timed_out else FrameError("damaged on the air")


def _found(target: nfc.clf.RemoteTarget | None) -> Found | None:
    if target is None:
        return None
    if target.sensb_res:
        atqb = bytes(target.sensb_res)
        return Found(technology="B", uid=atqb[1:5], atqb=atqb)
    if not target.sdd_res or not target.sel_res:
        return None
    return Found(technology="A", uid=bytes(target.sdd_res), sak=target.sel_res[0])


# nfcpy's simulated air over UDP


class _QuickUdpDevice(nfc.clf.udp.Device):
    """nfcpy's UDP air that does not wait a whole second for a card that is not there."""

    longest_wait_s: float | None = None

    def _send_data(self, brty: str, data: bytes | bytearray, addr: tuple[str, int]) -> None:
        while self.socket and select.select([self.socket], [], [], 0)[0]:
            self.socket.recvfrom(1024)  # an answer that came too late for its question
        super()._send_data(brty, data, addr)

    def _recv_data(
        self, timeout: float | None, *brty_list: str
    ) -> tuple[str, bytearray, tuple[str, int]]:
        if timeout is not None and self.longest_wait_s is not None:
            timeout = min(timeout, self.longest_wait_s)
        return super()._recv_data(timeout, *brty_list)


class _UdpAir:
    """nfcpy's simulated air; time-outs are those of a busy machine, not those of the standard."""

    max_send = 288
    max_receive = 288

    def __init__(self, path: ReaderPath) -> None:
        try:
            self._device = _QuickUdpDevice(path.host, path.port)
        except OSError as error:
            raise TransportError("no-reader", f"{path.text}: {error}") from None
        self._target: nfc.clf.RemoteTarget | None = None
        self.name = f"nfcpy's simulated air on {path.text}"

    def poll(self) -> Found | None:
        with _faults():
            self._device.mute()
            self._device.longest_wait_s = _UDP_POLL_S
            try:
                self._target = self._sense()
            finally:
                self._device.longest_wait_s = None
            return _found(self._target)

    def _sense(self) -> nfc.clf.RemoteTarget | None:
        with suppress(nfc.clf.CommunicationError):
            found = self._device.sense_tta(nfc.clf.RemoteTarget("106A"))
            if found is not None:
                return found
        with suppress(nfc.clf.CommunicationError):
            return self._device.sense_ttb(nfc.clf.RemoteTarget("106B"))
        return None

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with _faults():
            try:
                answer = self._device.send_cmd_recv_rsp(
                    self._target, bytearray(frame), max(timeout_s, _UDP_FLOOR_S)
                )
            except (nfc.clf.TimeoutError, nfc.clf.BrokenLinkError):
                raise FrameTimeout from None
            except nfc.clf.CommunicationError as error:
                raise FrameError(str(error)) from None
            return bytes(answer or b"")

    def signal(self, result: Signal) -> None:
        return

    def close(self) -> None:
        with suppress(*_DRIVER_FAULTS):
            self._device.close()


# A reader as a card


class Listener:
    """A reader that poses as a type A card towards a real terminal: frames in, frames out.

    Chips that listen answer anticollision and RATS by themselves, and choose all of the UID but
    its last three bytes. Raises TransportError("unsupported-reader") where the reader can't.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._air = _open_air(parse_path(path))
        device = getattr(self._air, "_device", None)
        assert isinstance(device, nfc.clf.device.Device)
        self._device = device
        self._activated: nfc.clf.LocalTarget | None = None

    def wait_for_terminal(self, uid: bytes, sak: int, ats: bytes, timeout_s: float) -> bytes | None:
        """The first frame after a terminal's RATS; None when none came. Raises ReaderGone."""
        local = nfc.clf.LocalTarget(
            "106A",
            sens_res=bytearray(b"\x04\x00"),
            sdd_res=bytearray(b"\x08") + bytearray(uid[-3:]),
            sel_res=bytearray([sak | 0x20]),
            rats_res=bytearray(ats),
        )
        try:
            with _faults(), suppress(nfc.clf.CommunicationError):
                self._device.mute()
                self._activated = self._device.listen_tta(local, timeout_s)
                if self._activated is not None and self._activated.tt4_cmd:
                    return bytes(self._activated.tt4_cmd)
        except ReaderGone as error:
            if isinstance(error.__context__, nfc.clf.UnsupportedTargetError):
                raise TransportError(
                    "unsupported-reader", f"{self._path}: this reader can't act as a card"
                ) from None
            raise
        return None

    def answer(self, frame: bytes | None, timeout_s: float) -> bytes | None:
        """Send the card's frame (None: keep silent); return the terminal's next, None at its end.

        Raises ReaderGone.
        """
        if self._activated is None:
            return None
        reply = None if frame is None else bytearray(frame)
        with _faults(), suppress(nfc.clf.CommunicationError):
            received = self._device.send_rsp_recv_cmd(self._activated, reply, timeout_s)
            return bytes(received) if received else None
        return None

    def close(self) -> None:
        """Give the reader back; safe to call twice."""
        self._air.close()
