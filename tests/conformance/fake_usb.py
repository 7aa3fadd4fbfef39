"""USB without hardware: an ACR122U and an RC-S380 below nfcpy's own drivers.

`FakeBus` stands in for the module usb1. Behind each reader is the same emulated field that the
pseudo-terminal's PN532 has, so the drivers talk to an ISO/IEC 14443-4 card.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import usb1

from devices.nfc.emulated.air.field import Collision, Field
from devices.nfc.emulated.air.iso14443_3 import Technology
from devices.nfc.emulated.pn532.chip import FIRMWARE, InvalidSyntax, Pn532Chip, StillPolling
from devices.nfc.emulated.pn532.frames import ACK, ERROR, HostStream, response_frame


class FakeReader:
    """One USB reader: what enumeration shows of it, and what it answers.

    Knobs: `plugged`, `busy` (claiming fails), `refused` (opening fails), `kernel_driver`,
    `wrong_driver` (Windows), `hangs` (reads time out).
    """

    vendor = 0
    product = 0
    manufacturer = ""
    product_name = ""
    usb_class = 0x0B

    def __init__(self, *, bus: int = 1, address: int = 4) -> None:
        self.bus = bus
        self.address = address
        self.field = Field()
        self.plugged = True
        self.busy = False
        self.refused = False
        self.kernel_driver = False
        self.wrong_driver = False
        self.hangs = False
        self.endless_reads = 0
        self.written: list[bytes] = []
        self.answers: deque[bytes] = deque()

    def received(self, frame: bytes) -> None:
        """Take what the host wrote, append the answers."""
        raise NotImplementedError

    def unplug(self) -> None:
        """Pull the plug: every transfer fails from now on."""
        self.plugged = False
        self.answers.clear()
        self.field.remove()
        self.field.switch(False)

    def plug(self) -> None:
        """Plug it in again: it gets a new address, as USB gives it."""
        self.address += 1
        self.answers.clear()
        self.plugged = True


class FakeAcr122(FakeReader):
    """An ACS ACR122U, firmware 2.07: PN532 commands inside CCID."""

    vendor = 0x072F
    product = 0x2200
    manufacturer = "ACS"
    product_name = "ACR122U PICC Interface"

    def __init__(self, **place: int) -> None:
        super().__init__(**place)
        self.chip = Pn532Chip(self.field, time.sleep)
        self.lights: list[bytes] = []
        self.powered_down = False

    def received(self, frame: bytes) -> None:
        command = frame[10:]
        if frame[0] == 0x62:
            self._reply(b"\x3b\x00")
        elif command.startswith(b"\xff\x00\x48"):
            self._reply(b"ACR122U207")
        elif command.startswith(b"\xff\x00\x40"):
            self.lights.append(command)
            self._reply(b"\x90\x02")
        elif command.startswith(b"\xff\x00\x00\x00"):
            self._reply(self._chip_command(command[5:]))
        else:
            self._reply(b"\x90\x00")

    def _chip_command(self, command: bytes) -> bytes:
        self.powered_down |= command[1] == 0x16
        try:
            response = self.chip.execute(command[1], command[2:])
        except (InvalidSyntax, StillPolling):
            return b"\x63\x00"
        return bytes([0xD5, command[1] + 1]) + response + b"\x90\x00"

    def _reply(self, content: bytes) -> None:
        self.answers.append(struct.pack("<BI5B", 0x80, len(content), 0, 0, 0, 0, 0) + content)


class FakeRcs380(FakeReader):
    """A Sony RC-S380/S: NFC Port-100 frames, raw radio frames inside."""

    vendor = 0x054C
    product = 0x06C1
    manufacturer = "SONY"
    product_name = "RC-S380/S"
    usb_class = 0xFF

    def __init__(self, **place: int) -> None:
        super().__init__(**place)
        self._technology: Technology = "A"

    def received(self, frame: bytes) -> None:
        if frame == b"\x00\x00\xff\x00\xff\x00":
            self.answers.clear()
            return
        length = int.from_bytes(frame[5:7], "little")
        content = frame[8 : 8 + length]
        answer = bytes([0xD7, content[1] + 1]) + self._execute(content[1], content[2:])
        self.answers.append(b"\x00\x00\xff\x00\xff\x00")
        size = struct.pack("<H", len(answer))
        checks = bytes([-sum(size) & 0xFF]), bytes([-sum(answer) & 0xFF])
        self.answers.append(
            b"\x00\x00\xff\xff\xff" + size + checks[0] + answer + checks[1] + b"\x00"
        )

    def _execute(self, code: int, parameters: bytes) -> bytes:
        if code == 0x00:
            self._technology = "A" if parameters[1] == 3 else "B"
        if code == 0x06:
            self.field.switch(bool(parameters[0]))
        if code in (0x20, 0x22):
            return b"\x11\x01"
        if code == 0x04:
            return self._radio(struct.unpack("<H", parameters[:2])[0] / 10_000, parameters[2:])
        return b"\x00"

    def _radio(self, timeout_s: float, frame: bytes) -> bytes:
        self.field.switch(True)
        try:
            answer = self.field.exchange(frame, self._technology)
        except Collision:
            return b"\x08\x00\x00\x00"
        if answer is None or answer.after_s > timeout_s:
            time.sleep(timeout_s)
            return b"\x80\x00\x00\x00"
        time.sleep(answer.after_s)
        return b"\x00\x00\x00\x00\x08" + answer.frame


class FakePn53x(FakeReader):
    """A reader that is a PN53x on USB: the chip's own frames, nothing around them."""

    usb_class = 0xFF
    firmware = FIRMWARE
    register_status = False
    cascade_tags = False
    type_b_cid = 1

    def __init__(self, **place: int) -> None:
        super().__init__(**place)
        self.chip = Pn532Chip(self.field, time.sleep, type_b_cid=self.type_b_cid)
        self._stream = HostStream()

    def received(self, frame: bytes) -> None:
        for each in self._stream.feed(frame):
            if each.kind == "command":
                self.answers.append(ACK)
                self.answers.append(self._answer(each.code, each.payload))

    def _answer(self, code: int, payload: bytes) -> bytes:
        if code == 0x02:
            return response_frame(code, self.firmware)
        if code == 0x18:
            return response_frame(code, b"")
        try:
            response = self.chip.execute(code, payload)
        except (InvalidSyntax, StillPolling):
            return ERROR
        if code in (0x06, 0x08) and self.register_status:
            response = b"\x00" + response
        if code == 0x4A and self.cascade_tags and response[:1] == b"\x01" and response[5] == 7:
            response = response[:5] + b"\x08\x88" + response[6:]
        return response_frame(code, response)


class FakePn531(FakePn53x):
    """An SCM SCL3710."""

    vendor, product = 0x04CC, 0x0531
    manufacturer, product_name = "SCM Micro", "SCL3710"
    firmware = b"\x04\x02"
    cascade_tags = True


class FakePn533(FakePn53x):
    """An SCM SCL3711."""

    vendor, product = 0x04E6, 0x5591
    firmware = b"\x33\x02\x07\x07"
    register_status = True
    type_b_cid = 0


class FakeRcs956(FakePn53x):
    """A Sony RC-S330."""

    vendor, product = 0x054C, 0x02E1
    manufacturer, product_name = "SONY", "RC-S330"
    firmware = b"\x33\x01\x30\x07"

    def _answer(self, code: int, payload: bytes) -> bytes:
        if code == 0x00:
            return response_frame(code, payload[1:])
        if code == 0x08:
            self.chip.execute(code, payload)
            return response_frame(code, bytes(len(payload) // 3))
        return super()._answer(code, payload)


class FakeOther(FakeReader):
    """Any other device, by vendor and product."""

    def __init__(self, vendor: int, product: int, *, usb_class: int = 0x0B) -> None:
        super().__init__(address=9)
        self.vendor = vendor
        self.product = product
        self.usb_class = usb_class

    def received(self, frame: bytes) -> None:
        raise AssertionError("nobody should talk to this device")


class FakeBus:
    """The module usb1 with these devices and no others; the rest of it is the real one."""

    def __init__(self, *readers: FakeReader) -> None:
        self.readers = list(readers)
        self.open_handles = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(usb1, name)

    def USBContext(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, bus: FakeBus) -> None:
        self._bus = bus

    def __enter__(self) -> _Context:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def exit(self) -> None:
        return

    def getDeviceList(self, skip_on_error: bool = False) -> list[_Device]:
        return [_Device(self._bus, reader) for reader in self._bus.readers if reader.plugged]


class _Endpoint:
    def __init__(self, address: int) -> None:
        self._address = address

    def getAddress(self) -> int:
        return self._address

    def getAttributes(self) -> int:
        return 0x02  # bulk

    def getMaxPacketSize(self) -> int:
        return 64


class _Setting:
    def __init__(self, reader: FakeReader) -> None:
        self._reader = reader

    def getClass(self) -> int:
        return self._reader.usb_class

    def iterEndpoints(self) -> Iterator[_Endpoint]:
        return iter((_Endpoint(0x02), _Endpoint(0x82)))


class _Device:
    def __init__(self, bus: FakeBus, reader: FakeReader) -> None:
        self._bus = bus
        self._reader = reader

    def getVendorID(self) -> int:
        return self._reader.vendor

    def getProductID(self) -> int:
        return self._reader.product

    def getBusNumber(self) -> int:
        return self._reader.bus

    def getDeviceAddress(self) -> int:
        return self._reader.address

    def iterSettings(self) -> Iterator[_Setting]:
        return iter((_Setting(self._reader),))

    def getManufacturer(self) -> str:
        return self._reader.manufacturer

    def getProduct(self) -> str:
        return self._reader.product_name

    def open(self) -> _Handle:
        if self._reader.refused:
            raise usb1.USBErrorAccess
        if self._reader.wrong_driver:
            raise usb1.USBErrorNotSupported
        return _Handle(self._bus, self._reader)


class _Handle:
    def __init__(self, bus: FakeBus, reader: FakeReader) -> None:
        self._bus = bus
        self._reader = reader
        self._address = reader.address
        self._open = True
        bus.open_handles += 1

    def claimInterface(self, interface: int) -> None:
        if self._reader.busy or self._reader.kernel_driver:
            raise usb1.USBErrorBusy

    def releaseInterface(self, interface: int) -> None:
        return

    def kernelDriverActive(self, interface: int) -> bool:
        return self._reader.kernel_driver

    def bulkWrite(self, endpoint: int, frame: bytes, timeout: int = 0) -> int:
        self._present()
        if frame and not self._reader.hangs:
            self._reader.written.append(frame)
            self._reader.received(frame)
            self._present()
        return len(frame)

    def bulkRead(self, endpoint: int, length: int, timeout: int = 0) -> bytes:
        self._present()
        self._reader.endless_reads += not timeout
        if not self._reader.answers:
            time.sleep(timeout / 1000 if self._reader.hangs else 0)
            raise usb1.USBErrorTimeout
        return self._reader.answers.popleft()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._bus.open_handles -= 1

    def _present(self) -> None:
        if not self._reader.plugged or self._reader.address != self._address:
            raise usb1.USBErrorNoDevice
