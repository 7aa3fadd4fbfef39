"""The PN532's command set as an initiator, over an emulated field (NXP UM0701-02).

`Pn532Chip.execute` takes a command code and its parameters and returns the response parameters; the
caller transports them (serial frames, an ACR122U's CCID). The chip can carry raw frames
(InCommunicateThru, which nfcpy uses) and whole APDUs (InDataExchange, which libnfc uses).
"""

from __future__ import annotations

from collections.abc import Callable

from devices.nfc.emulated.air.field import Field
from devices.nfc.emulated.air.iso14443_3 import Technology
from devices.nfc.emulated.pn532.radio import ListedTarget, Pn532Radio
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout, ProtocolError

FIRMWARE = bytes([0x32, 0x01, 0x06, 0x07])
"""GetFirmwareVersion of a PN532 version 1.6: chip, version, revision, supported standards."""

_TIMED_OUT = 0x01
_CRC = 0x02
_PROTOCOL = 0x0B
_NO_CONTEXT = 0x27
_AUTOMATIC_RATS = 0x10
_FIFO_DATA = 0x6339
_POLL_FOR_EVER = 0xFF


class InvalidSyntax(Exception):
    """The command or its parameters are invalid; the chip answers with an error frame."""


class StillPolling(Exception):
    """There is no card and the host asked to wait for one: poll again until the host stops it."""


class Pn532Chip:
    """One PN532 with an antenna that reaches `field`.

    `wait` lets the given seconds pass; the chip waits as long as a real one, so that a card's delay
    of 200 ms is one here too. `type_b_cid` is the CID that the firmware gives a type B card (0 for
    none, as in a PN533).
    """

    def __init__(self, field: Field, wait: Callable[[float], None], *, type_b_cid: int = 1) -> None:
        self._radio = Pn532Radio(field, wait, type_b_cid=type_b_cid)
        self._field = field
        self._wait = wait
        self._registers: dict[int, int] = {}
        self._parameters = _AUTOMATIC_RATS | 0x04
        self._timeout_s = 0.0512
        self._activation_retries = _POLL_FOR_EVER
        self._listed: dict[int, ListedTarget] = {}
        self._technology: Technology = "A"
        self._chained = bytearray()
        self._more: bytes = b""

    def execute(self, code: int, payload: bytes) -> bytes:
        """Execute one command and return its response parameters.

        Raises InvalidSyntax for an invalid command, StillPolling where the host asked to poll
        without end and there is no card yet.
        """
        command = _COMMANDS.get(code)
        if command is None:
            raise InvalidSyntax(f"command {code:02X}")
        try:
            return command(self, payload)
        except IndexError as error:
            raise InvalidSyntax(f"command {code:02X}: parameters missing") from error

    # Miscellaneous commands

    def _diagnose(self, payload: bytes) -> bytes:
        if payload[0] == 0x00:
            return payload
        if payload[0] == 0x06:  # is the card still there?
            listed = self._listed.get(1)
            present = listed is not None and listed.blocks is not None
            gone = not (present and listed and listed.blocks and listed.blocks.is_present())
            return bytes([_TIMED_OUT if gone else 0x00])
        return b"\x00"

    def _get_firmware_version(self, payload: bytes) -> bytes:
        return FIRMWARE

    def _get_general_status(self, payload: bytes) -> bytes:
        targets = b"".join(bytes([number, 0x00, 0x00, 0x00]) for number in self._listed)
        return bytes([0x00, 0x00, len(self._listed)]) + targets + b"\x80"

    def _read_register(self, payload: bytes) -> bytes:
        addresses = [payload[i] << 8 | payload[i + 1] for i in range(0, len(payload), 2)]
        return bytes(self._registers.get(address, 0x00) for address in addresses)

    def _write_register(self, payload: bytes) -> bytes:
        for i in range(0, len(payload), 3):
            self._registers[payload[i] << 8 | payload[i + 1]] = payload[i + 2]
        return b""

    def _nothing(self, payload: bytes) -> bytes:
        return b""

    def _no_error(self, payload: bytes) -> bytes:
        return b"\x00"

    def _read_gpio(self, payload: bytes) -> bytes:
        return b"\x00\x00\x00"

    def _set_parameters(self, payload: bytes) -> bytes:
        self._parameters = payload[0]
        return b""

    def _power_down(self, payload: bytes) -> bytes:
        self._switch(False)
        return b"\x00"

    # Radio

    def _rf_configuration(self, payload: bytes) -> bytes:
        item, values = payload[0], payload[1:]
        if item == 0x01:
            self._switch(bool(values[0] & 0x01))
        elif item == 0x02:
            index = values[2]
            self._timeout_s = 100e-6 * (1 << (index - 1)) if index else 60.0
        elif item == 0x05:
            self._activation_retries = values[2]
        return b""

    def _switch(self, on: bool) -> None:
        self._field.switch(on)
        if not on:
            self._listed.clear()

    # Initiator commands

    def _in_list_passive_target(self, payload: bytes) -> bytes:
        wanted, modulation, initiator = payload[0], payload[1], payload[2:]
        if not 1 <= wanted <= 2 or modulation > 4:
            raise InvalidSyntax("InListPassiveTarget")
        self._listed.clear()
        self._field.switch(True)
        found: list[ListedTarget] = []
        if modulation == 0x00:
            automatic = bool(self._parameters & _AUTOMATIC_RATS)
            found = self._radio.list_a(wanted, initiator, activate=automatic)
        elif modulation == 0x03:
            found = self._radio.list_b(initiator)
        if not found:
            self._registers[_FIFO_DATA] = 0x26
            if self._activation_retries == _POLL_FOR_EVER:
                raise StillPolling
            self._wait(0.0005 * (1 + self._activation_retries))
            return b"\x00"
        self._technology = found[0].technology
        self._registers[_FIFO_DATA] = 0x00
        self._listed = dict(enumerate(found, start=1))
        numbered = b"".join(bytes([number]) + each.found for number, each in self._listed.items())
        return bytes([len(found)]) + numbered

    def _in_communicate_thru(self, payload: bytes) -> bytes:
        try:
            return b"\x00" + self._radio.send(payload, self._timeout_s, self._technology)
        except FrameTimeout:
            return bytes([_TIMED_OUT])
        except FrameError:
            return bytes([_CRC])

    def _in_data_exchange(self, payload: bytes) -> bytes:
        listed = self._listed.get(payload[0] & 0x07)
        if listed is None or listed.blocks is None:
            return bytes([_NO_CONTEXT])
        if self._more and len(payload) == 1:
            return self._rest()
        self._chained += payload[1:]
        if payload[0] & 0x40:
            return b"\x00"
        command, self._chained = bytes(self._chained), bytearray()
        try:
            self._more = listed.blocks.exchange(command)
        except FrameTimeout:
            return bytes([_TIMED_OUT])
        except (FrameError, ProtocolError):
            return bytes([_PROTOCOL])
        return self._rest()

    def _rest(self) -> bytes:
        chunk, self._more = self._more[:262], self._more[262:]
        return bytes([0x40 if self._more else 0x00]) + chunk

    def _in_deselect(self, payload: bytes) -> bytes:
        for listed in self._listed.values():
            if listed.blocks is not None:
                listed.blocks.deselect()
        return b"\x00"

    def _in_release(self, payload: bytes) -> bytes:
        self._in_deselect(payload)
        self._listed.clear()
        return b"\x00"

    def _in_select(self, payload: bytes) -> bytes:
        return b"\x00" if payload[0] in self._listed else bytes([_NO_CONTEXT])

    def _in_auto_poll(self, payload: bytes) -> bytes:
        """InAutoPoll: number of rounds, period in 150 ms, then the kinds of card to look for."""
        rounds, _period, kinds = payload[0], payload[1], payload[2:]
        retries, self._activation_retries = self._activation_retries, 0
        try:
            for kind in kinds:
                modulation = {0x00: 0, 0x10: 0, 0x20: 0, 0x03: 3, 0x23: 3}.get(kind)
                if modulation is None:
                    continue
                found = self._in_list_passive_target(bytes([1, modulation]) + b"\x00" * (kind & 1))
                if found[0]:
                    actual = (0x20 if kind & 0x0F == 0 else 0x23) if kind & 0x20 else kind
                    return bytes([1, actual, len(found) - 1]) + found[1:]
        finally:
            self._activation_retries = retries
        if rounds == 0xFF:
            raise StillPolling
        return b"\x00"


_COMMANDS: dict[int, Callable[[Pn532Chip, bytes], bytes]] = {
    0x00: Pn532Chip._diagnose,
    0x02: Pn532Chip._get_firmware_version,
    0x04: Pn532Chip._get_general_status,
    0x06: Pn532Chip._read_register,
    0x08: Pn532Chip._write_register,
    0x0C: Pn532Chip._read_gpio,
    0x0E: Pn532Chip._nothing,
    0x10: Pn532Chip._nothing,
    0x12: Pn532Chip._set_parameters,
    0x14: Pn532Chip._nothing,
    0x16: Pn532Chip._power_down,
    0x32: Pn532Chip._rf_configuration,
    0x40: Pn532Chip._in_data_exchange,
    0x42: Pn532Chip._in_communicate_thru,
    0x44: Pn532Chip._in_deselect,
    0x4A: Pn532Chip._in_list_passive_target,
    0x4E: Pn532Chip._no_error,
    0x52: Pn532Chip._in_release,
    0x54: Pn532Chip._in_select,
    0x60: Pn532Chip._in_auto_poll,
}
