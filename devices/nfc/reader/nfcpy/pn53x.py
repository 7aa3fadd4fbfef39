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
from devices.nfc.reader.nfcpy.ports import PATIENCE_MS, PatientTty
from devices.nfc.reader.serial_ports import SerialLock

_RATS = 0xE0


class Pn53xAir:
    """The PN53x family, and the ACR122U, which has a PN532 inside.

    The chip's registers are set once per card and its time-out only when it changes: nfcpy would
    spend four host commands on every frame. Where the chip can list two cards it is asked to; one
    whose firmware leaves a single card halted by that is asked for one card from then on.
    """

    def __init__(self, device: Pn53xDevice, held: tuple[SerialLock, ...]) -> None:
        self.device = device
        self._chipset = device.chipset
        self._held = held
        self._is_acr122 = isinstance(device, Acr122Device)
        self._wanted = min(2, self._chipset.in_list_passive_target_max_target)
        self._trusted = self._wanted == 1
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
        listed = self._chipset.command(0x4A, bytearray([self._wanted, 0x00]), timeout=1.0)
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
        with faults():
            try:
                answer = self._through(frame, timeout_s)
            except FrameTimeout:
                if frame[0] == _RATS and self._ats:
                    return self._ats  # the chip has sent RATS itself, although told not to
                if self._trusted or frame[0] != _RATS:
                    raise
                return self._alone(frame, timeout_s)
            self._trusted |= frame[0] == _RATS
            return answer

    def _through(self, frame: bytes, timeout_s: float) -> bytes:
        index = next((i for i in range(1, 16) if 100e-6 * (1 << (i - 1)) >= timeout_s), 16)
        if index != self._timeout_index:
            self._chipset.rf_configuration(0x02, bytes([0x0A, 0x0B, index]))
            self._timeout_index = index
        host_timeout_s = 100e-6 * (1 << (index - 1)) + PATIENCE_MS / 1000
        try:
            return bytes(self._chipset.in_communicate_thru(bytearray(frame), host_timeout_s))
        except ChipError as error:
            if error.errno == 0x01:
                raise FrameTimeout from None
            if error.errno in (0x7F, 0xFF):
                raise
            raise FrameError(str(error)) from None

    def _alone(self, frame: bytes, timeout_s: float) -> bytes:
        """Select the card again as the only one wanted, and keep to that if it answers now."""
        self._wanted = 1
        try:
            found = self.poll()
            if found is None or found.technology != "A":
                raise FrameTimeout
            answer = self._through(frame, timeout_s)
        except BaseException:
            self._wanted = 2
            raise
        self._trusted = True
        return answer

    def signal(self, result: Signal) -> None:
        if not isinstance(self.device, Acr122Device):
            return
        with faults():
            lights = _ACR122_LIGHTS[result]
            self.device.chipset.ccid_xfr_block(bytearray(lights), timeout=2.0)

    def close(self) -> None:
        with suppress(*DRIVER_FAULTS):
            if self._is_acr122:  # its firmware does not survive the chip being powered down
                self._chipset.rf_configuration(0x01, b"\x02")
                self._chipset.close()
            else:
                self.device.close()
        port = getattr(self._chipset, "transport", None)
        if isinstance(port, PatientTty):
            port.abandon()
        elif port is not None:
            with suppress(*DRIVER_FAULTS):
                port.close()
        for lock in self._held:
            lock.release()


def without_cascade_tags(uid: bytes) -> bytes:
    """A UID as it is written; the PN531 leaves the cascade tags 88 in."""
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
