"""The PN532's command set as an initiator, over an emulated field (NXP UM0701-02).

`Pn532Chip.execute` takes a command code and its parameters and returns the response parameters;
how they travel (serial frames, an ACR122U's CCID) is someone else's. The chip can carry raw frames
(InCommunicateThru, as nfcpy uses it) and whole APDUs (InDataExchange, as libnfc does).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devices.nfc.emulated.iso14443_3 import Collision, Field, State, Technology, TypeATarget
from devices.nfc.iso_dep import (
    FrameError,
    FrameTimeout,
    IsoDepInitiator,
    ProtocolError,
    parse_atqb,
    parse_ats,
)

FIRMWARE = bytes([0x32, 0x01, 0x06, 0x07])
"""GetFirmwareVersion of a PN532 version 1.6: chip, version, revision, supported standards."""

_TIMED_OUT = 0x01
_CRC = 0x02
_PROTOCOL = 0x0B
_BAD_PARAMETER = 0x10
_NO_CONTEXT = 0x27
_AUTOMATIC_RATS = 0x10
_FIFO_DATA = 0x6339
_FIFO_LEVEL = 0x633A
_POLL_FOR_EVER = 0xFF


class InvalidSyntax(Exception):
    """The chip does not know the command or its parameters; it answers with an error frame."""


class StillPolling(Exception):
    """No card yet and the host asked to wait for one: poll again until the host says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """A card that InListPassiveTarget found, as the chip's target 1 or 2."""

    technology: Technology
    found: bytes
    """What InListPassiveTarget returns of it, target number excluded."""

    uid: bytes
    blocks: IsoDepInitiator | None = None


class Pn532Chip:
    """One PN532 with an antenna that reaches `field`.

    `wait` lets the given seconds pass; the chip waits as long as a real one would, so that a card
    which needs 200 ms needs them here too. `type_b_cid` is the number that the firmware gives a
    type B card (a PN533 gives none, 0).
    """

    def __init__(self, field: Field, wait: Callable[[float], None], *, type_b_cid: int = 1) -> None:
        self._type_b_cid = type_b_cid
        self._field = field
        self._wait = wait
        self._registers: dict[int, int] = {}
        self._parameters = _AUTOMATIC_RATS | 0x04
        self._timeout_s = 0.0512
        self._activation_retries = _POLL_FOR_EVER
        self._listed: dict[int, _Listed] = {}
        self._technology: Technology = "A"
        self._chained = bytearray()
        self._more: bytes = b""

    def execute(self, code: int, payload: bytes) -> bytes:
        """Carry out one command, return its response parameters.

        Raises InvalidSyntax for what this chip does not know, StillPolling where the host asked
        to poll for ever and there is no card yet.
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

    def _air(self, frame: bytes, timeout_s: float, technology: Technology) -> bytes:
        """One frame there and one back. Raises FrameTimeout and FrameError as an air would."""
        try:
            answer = self._field.exchange(frame, technology)
        except Collision as error:
            raise FrameError("collision") from error
        if answer is None or answer.after_s > timeout_s:
            self._wait(timeout_s)
            raise FrameTimeout
        if answer.after_s:
            self._wait(answer.after_s)
        return answer.frame

    # Initiator commands

    def _in_list_passive_target(self, payload: bytes) -> bytes:
        wanted, modulation, initiator = payload[0], payload[1], payload[2:]
        if not 1 <= wanted <= 2 or modulation > 4:
            raise InvalidSyntax("InListPassiveTarget")
        self._listed.clear()
        self._field.switch(True)
        found: list[_Listed] = []
        if modulation == 0x00:
            found = self._list_a(wanted, initiator)
        elif modulation == 0x03:
            found = self._list_b(initiator)
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

    def _list_a(self, wanted: int, initiator: bytes) -> list[_Listed]:
        first = self._select_a(b"\x26", initiator)
        if first is None:
            return []
        if wanted == 2:
            self._air_or_silence(b"\x50\x00")
            second = self._select_a(b"\x26", b"")
            if second is not None:
                self._air_or_silence(b"\x50\x00")
                return [first, second]
            again = self._select_a(b"\x52", b"")
            if again is None:
                return []
        return [self._with_ats(first)]

    def _select_a(self, wake: bytes, initiator: bytes) -> _Listed | None:
        atqa = self._air_or_silence(wake)
        if atqa is None:
            return None
        uid = b""
        asked = [initiator[i : i + 4] for i in range(0, len(initiator), 4)]
        for level, select in enumerate((0x93, 0x95, 0x97)):
            if level < len(asked):
                part = asked[level]
                part += bytes([part[0] ^ part[1] ^ part[2] ^ part[3]])
            else:
                part = self._anticollision(select, level)
            sak = self._air_or_silence(bytes([select, 0x70]) + part) if part else None
            if not sak:
                return None
            if not sak[0] & 0x04:
                uid += part[:4]
                found = atqa[::-1] + sak + bytes([len(uid)]) + uid
                return _Listed(technology="A", found=found, uid=uid)
            uid += part[1:4]
        return None

    def _anticollision(self, select: int, level: int) -> bytes:
        try:
            answer = self._field.exchange(bytes([select, 0x20]), "A")
            return answer.frame if answer else b""
        except Collision:  # the chip walks down one branch bit by bit; the outcome is one card
            for target in self._field.targets:
                if isinstance(target, TypeATarget) and target.state is State.READY:
                    return target.levels[level]
            return b""

    def _with_ats(self, listed: _Listed) -> _Listed:
        if not self._parameters & _AUTOMATIC_RATS or not listed.found[2] & 0x20:
            return listed
        ats = self._air_or_silence(b"\xe0\x50")
        if ats is None:
            return listed
        try:
            activation = parse_ats(ats)
        except ProtocolError:
            return listed
        blocks = IsoDepInitiator(lambda f, t: self._air(f, t, "A"), activation)
        return _Listed(technology="A", found=listed.found + ats, uid=listed.uid, blocks=blocks)

    def _list_b(self, initiator: bytes) -> list[_Listed]:
        atqb = self._air_or_silence(b"\x05" + initiator[:1] + b"\x00", "B")
        if atqb is None or len(atqb) < 12:
            return []
        attrib = b"\x1d" + atqb[1:5] + bytes([0x00, 0x05, atqb[10] & 0x0F, self._type_b_cid])
        answer = self._air_or_silence(attrib, "B")
        if answer is None:
            return []
        blocks = IsoDepInitiator(self._numbered, parse_atqb(atqb))
        found = atqb + bytes([len(answer)]) + answer
        return [_Listed(technology="B", found=found, uid=atqb[1:5], blocks=blocks)]

    def _numbered(self, frame: bytes, timeout_s: float) -> bytes:
        """One block to a type B card and back, with the CID that the firmware gave the card."""
        if not self._type_b_cid:
            return self._air(frame, timeout_s, "B")
        cid = bytes([self._type_b_cid])
        answer = self._air(bytes([frame[0] | 0x08]) + cid + frame[1:], timeout_s, "B")
        return bytes([answer[0] & ~0x08]) + answer[2:]

    def _air_or_silence(self, frame: bytes, technology: Technology = "A") -> bytes | None:
        try:
            return self._air(frame, 0.0053, technology)
        except (FrameTimeout, FrameError):
            return None

    def _in_communicate_thru(self, payload: bytes) -> bytes:
        try:
            return b"\x00" + self._air(payload, self._timeout_s, self._technology)
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
