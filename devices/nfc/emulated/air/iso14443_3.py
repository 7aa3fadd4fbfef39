"""The card's side of ISO/IEC 14443-3 for type A and type B.

A target is the state machine of one card: power on, anticollision, activation, blocks. Frames are
without CRC.
"""

from __future__ import annotations

from enum import Enum
from functools import reduce
from operator import xor
from typing import Literal

from devices.nfc.emulated.air.iso14443_4 import (
    Answer,
    IsoDepTarget,
    Limits,
    PresentedCard,
    frame_size,
    waiting_time_s,
)

Technology = Literal["A", "B"]

_CASCADE = (0x93, 0x95, 0x97)
_TYPE_B_FSCI = 8
_TYPE_B_FWI = 4


class State(Enum):
    """The state of a card (ISO/IEC 14443-3, the state diagrams of type A and type B)."""

    OFF = "off"
    IDLE = "idle"
    READY = "ready"
    ACTIVE = "active"
    PROTOCOL = "protocol"
    HALT = "halt"


def target_for(card: PresentedCard) -> TypeATarget | TypeBTarget:
    """The state machine for the card's technology, powered off."""
    return TypeATarget(card) if card.technology == "A" else TypeBTarget(card)


class _Powered:
    """Power and the block protocol, which both technologies share.

    The card itself is powered when it is activated, not when it is polled. So a card that stays on
    a reader counts one presentation, however often the reader polls.
    """

    def __init__(self, card: PresentedCard) -> None:
        self.card = card
        self.state = State.OFF
        self._blocks: IsoDepTarget | None = None
        self._card_powered = False

    def power_on(self) -> None:
        """The field is on: the card starts in state idle."""
        if self.state is State.OFF:
            self.state = State.IDLE

    def power_off(self) -> None:
        """The field is off: the card loses its state."""
        self.state = State.OFF
        self._blocks = None
        if self._card_powered:
            self._card_powered = False
            self.card.power_off()

    def _activate(self, limits: Limits) -> None:
        if not self._card_powered:
            self.card.power_on()
            self._card_powered = True
        self._blocks = IsoDepTarget(self.card, limits)
        self.state = State.PROTOCOL

    def _on_block(self, frame: bytes) -> Answer | None:
        blocks = self._blocks
        assert blocks is not None
        answer = blocks.on_frame(frame)
        if blocks.deselected:
            self.state, self._blocks = State.HALT, None
        return answer


class TypeATarget(_Powered):
    """Type A: REQA and WUPA, anticollision with 4-, 7- and 10-byte UIDs, HLTA, RATS, PPS, blocks.

    `on_frame` returns None where a card does not answer.
    """

    def __init__(self, card: PresentedCard) -> None:
        super().__init__(card)
        if len(card.uid) not in (4, 7, 10):
            raise ValueError(f"uid: {len(card.uid)} bytes, a type A card has 4, 7 or 10")
        if len(card.ats) < 1 or card.ats[0] != len(card.ats):
            raise ValueError("ats: its first byte must be its length")
        self.levels = _cascade_levels(card.uid)
        self._just_activated = False
        self._level = 0
        self._state_before_polling = State.IDLE

    @property
    def atqa(self) -> bytes:
        """ATQA as sent: UID size in bits 7 and 8, one bit for anticollision."""
        return bytes([0x04 | (len(self.levels) - 1) << 6, 0x00])

    def on_frame(self, frame: bytes) -> Answer | None:
        if self.state is State.PROTOCOL:
            return self._on_protocol(frame)
        if frame in (b"\x26", b"\x52") and self.state in (State.IDLE, State.HALT):
            if self.state is State.HALT and frame == b"\x26":
                return None
            self._state_before_polling, self.state, self._level = self.state, State.READY, 0
            self.levels = _cascade_levels(self.card.uid)
            return Answer(frame=self.atqa)
        if self.state is State.READY:
            return self._on_anticollision(frame)
        if self.state is State.ACTIVE:
            return self._on_active(frame)
        return None

    def _on_anticollision(self, frame: bytes) -> Answer | None:
        expected = self.levels[self._level]
        if len(frame) >= 2 and frame[0] == _CASCADE[self._level]:
            known, bits = frame[2:], frame[1]
            if bits < 0x70 and bits == 0x20 + (len(known) << 4) and expected.startswith(known):
                return Answer(frame=expected[len(known) :])
            if bits == 0x70 and known == expected:
                self._level += 1
                if self._level < len(self.levels):
                    return Answer(frame=bytes([self.card.sak | 0x04]))
                self.state = State.ACTIVE
                return Answer(frame=bytes([self.card.sak & ~0x04]))
        self.state = self._state_before_polling
        return None

    def _on_active(self, frame: bytes) -> Answer | None:
        if len(frame) == 2 and frame[0] == 0xE0 and self.card.sak & 0x20:
            fsdi, cid = frame[1] >> 4, frame[1] & 0x0F
            if cid != 15:
                self._activate(limits_from_ats(self.card.ats, fsdi, cid))
                self._just_activated = True
                return Answer(frame=self.card.ats)
        self.state = State.HALT if frame == b"\x50\x00" else self._state_before_polling
        return None

    def _on_protocol(self, frame: bytes) -> Answer | None:
        just_activated, self._just_activated = self._just_activated, False
        if just_activated and len(frame) in (2, 3) and frame[0] & 0xF0 == 0xD0:
            return Answer(frame=frame[:1])
        return self._on_block(frame)


class TypeBTarget(_Powered):
    """Type B: REQB and WUPB, ATTRIB, HLTB, blocks; it answers in the first slot."""

    def __init__(self, card: PresentedCard) -> None:
        super().__init__(card)
        if len(card.uid) != 4:
            raise ValueError(f"uid: {len(card.uid)} bytes, a type B card's PUPI has 4")

    @property
    def atqb(self) -> bytes:
        """ATQB: PUPI, no application data, 106 kbit/s only, 256-byte frames, CID supported."""
        protocol = bytes([0x00, _TYPE_B_FSCI << 4 | 0x01, _TYPE_B_FWI << 4 | 0x01])
        return b"\x50" + self.card.uid + bytes(4) + protocol

    def on_frame(self, frame: bytes) -> Answer | None:
        if self.state is State.PROTOCOL:
            return self._on_block(frame)
        if len(frame) == 3 and frame[0] == 0x05 and self.state is not State.OFF:
            if frame[1] or (self.state is State.HALT and not frame[2] & 0x08):
                return None
            self.state = State.READY
            return Answer(frame=self.atqb)
        if self.state is State.READY and frame[1:5] == self.card.uid:
            if frame[0] == 0x50 and len(frame) == 5:
                self.state = State.HALT
                return Answer(frame=b"\x00")
            if frame[0] == 0x1D and len(frame) >= 9:
                return self._on_attrib(frame)
        return None

    def _on_attrib(self, frame: bytes) -> Answer:
        cid = frame[8] & 0x0F
        limits = Limits(
            reader_frame=frame_size(frame[6] & 0x0F),
            card_frame=frame_size(_TYPE_B_FSCI),
            waiting_time_s=waiting_time_s(_TYPE_B_FWI),
            cid=cid,
        )
        self._activate(limits)
        return Answer(frame=bytes([cid]))


def _cascade_levels(uid: bytes) -> list[bytes]:
    parts = [uid]
    if len(uid) > 4:
        parts = [b"\x88" + uid[i : i + 3] for i in range(0, len(uid) - 4, 3)] + [uid[-4:]]
    return [part + bytes([reduce(xor, part)]) for part in parts]


def limits_from_ats(ats: bytes, fsdi: int, cid: int) -> Limits:
    """Frame sizes and waiting time from the card's own ATS, with defaults where it is short."""
    interface = list(ats[2:])
    t0 = ats[1] if len(ats) > 1 else 0x02
    if t0 & 0x10:
        interface = interface[1:]
    fwi = 4
    if t0 & 0x20 and interface:
        fwi, interface = interface[0] >> 4, interface[1:]
    cid_supported = bool(interface[0] & 0x02) if t0 & 0x40 and interface else True
    return Limits(
        reader_frame=frame_size(fsdi),
        card_frame=frame_size(t0 & 0x0F),
        waiting_time_s=waiting_time_s(fwi),
        cid=cid if cid_supported else 0,
        cid_supported=cid_supported,
    )
