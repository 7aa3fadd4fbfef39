"""The PN531, PN532, PN533 and RC-S956, and the ACR122U, which has a PN532 inside."""

from __future__ import annotations

import time
from contextlib import suppress

from devices.nfc.contract import SeveralCards
from devices.nfc.reader.air import FIELD_RESET_S, SelectedCard, Signal
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout
from devices.nfc.reader.nfcpy.driver import (
    DRIVER_FAULTS,
    Acr122Device,
    ChipError,
    Pn53xDevice,
    RemoteTarget,
    display_name,
    faults,
    selected_card,
)
from devices.nfc.reader.nfcpy.ports import SHORTEST_TIMEOUT_MS, TimedTtyPort
from devices.nfc.reader.serial_ports import SerialLock

_RATS = 0xE0


class Pn53xAir:
    """The `Air` of the PN53x family.

    It sets the chip's registers once per card and the time-out only when it changes; nfcpy would
    send four host commands for every frame. It lets the chip list two cards where it can, to notice
    a collision. Some firmware leaves a single card halted by that; then it lists one from then on.
    """

    def __init__(self, device: Pn53xDevice, locks: tuple[SerialLock, ...]) -> None:
        self.device = device
        self._chipset = device.chipset
        self._locks = locks
        self._is_acr122 = isinstance(device, Acr122Device)
        self._list_size = min(2, self._chipset.in_list_passive_target_max_target)
        self._list_size_settled = self._list_size == 1
        self._has_b = 3 in self._chipset.in_list_passive_target_brty_range
        self._timeout_index = 0
        self._ats = b""
        self.name = display_name(device)
        self.max_send = self._chipset.host_command_frame_max_size - 3
        self.max_receive = self._chipset.host_command_frame_max_size - 3

    def poll(self) -> SelectedCard | None:
        with faults():
            self.device.mute()
            self._timeout_index = 0
            time.sleep(FIELD_RESET_S)
            found = self._poll_a()
            if found is None and self._has_b:
                found = self._poll_b()
            if found is not None:
                self._prepare(found)
            return found

    def _poll_a(self) -> SelectedCard | None:
        listed = self._chipset.command(0x4A, bytearray([self._list_size, 0x00]), timeout=1.0)
        if not listed or listed[0] == 0:
            return None
        if listed[0] > 1:
            raise SeveralCards
        uid = without_cascade_tags(bytes(listed[6 : 6 + listed[5]]))
        self._ats = bytes(listed[6 + listed[5] :])
        return SelectedCard(technology="A", uid=uid, sak=listed[4])

    def _poll_b(self) -> SelectedCard | None:
        return selected_card(self.device.sense_ttb(RemoteTarget("106B")))

    def _prepare(self, found: SelectedCard) -> None:
        """Set bit rate, modulation and CRC once for this card."""
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
        with faults():
            try:
                answer = self._exchange(frame, timeout_s)
            except FrameTimeout:
                if frame[0] == _RATS and self._ats:
                    return self._ats  # the chip sent RATS against its parameters
                if self._list_size_settled or frame[0] != _RATS:
                    raise
                return self._send_to_single_card(frame, timeout_s)
            self._list_size_settled |= frame[0] == _RATS
            return answer

    def _exchange(self, frame: bytes, timeout_s: float) -> bytes:
        index = next((i for i in range(1, 16) if 100e-6 * (1 << (i - 1)) >= timeout_s), 16)
        if index != self._timeout_index:
            self._chipset.rf_configuration(0x02, bytes([0x0A, 0x0B, index]))
            self._timeout_index = index
        host_timeout_s = 100e-6 * (1 << (index - 1)) + SHORTEST_TIMEOUT_MS / 1000
        try:
            return bytes(self._chipset.in_communicate_thru(bytearray(frame), host_timeout_s))
        except ChipError as error:
            if error.errno == 0x01:
                raise FrameTimeout from None
            if error.errno in (0x7F, 0xFF):
                raise
            raise FrameError(str(error)) from None

    def _send_to_single_card(self, frame: bytes, timeout_s: float) -> bytes:
        """Select the card again with a list of one; later polls list one too if it answers now."""
        self._list_size = 1
        try:
            found = self.poll()
            if found is None or found.technology != "A":
                raise FrameTimeout
            answer = self._exchange(frame, timeout_s)
        except BaseException:
            self._list_size = 2
            raise
        self._list_size_settled = True
        return answer

    def signal(self, result: Signal) -> None:
        if not isinstance(self.device, Acr122Device):
            return
        with faults():
            lights = _ACR122_LIGHTS[result]
            self.device.chipset.ccid_xfr_block(bytearray(lights), timeout=2.0)

    def close(self) -> None:
        with suppress(*DRIVER_FAULTS):
            if self._is_acr122:  # its firmware stops working when the chip is powered down
                self._chipset.rf_configuration(0x01, b"\x02")
                self._chipset.close()
            else:
                self.device.close()
        port = getattr(self._chipset, "transport", None)
        if isinstance(port, TimedTtyPort):
            port.abandon()
        elif port is not None:
            with suppress(*DRIVER_FAULTS):
                port.close()
        for lock in self._locks:
            lock.release()


def without_cascade_tags(uid: bytes) -> bytes:
    """The UID without the cascade tags 88, which the PN531 leaves in."""
    if len(uid) == 8:
        return uid[1:]
    return uid[1:4] + uid[5:] if len(uid) == 12 else uid


_ACR122_LIGHTS: dict[Signal, bytes] = {
    "ready": bytes.fromhex("FF00400E0400000000"),
    "success": bytes.fromhex("FF0040AE0401000101"),
    "failure": bytes.fromhex("FF00405E0402010201"),
    "off": bytes.fromhex("FF00400C0400000000"),
}
"""Pseudo-APDUs of the ACR122U (its API, bi-colour LED and buzzer control): final and blinking
states of red and green, two durations in 100 ms, repetitions, buzzer link."""
