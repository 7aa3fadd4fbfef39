"""The card's side of ISO/IEC 14443-4: blocks in, blocks out, without clock, input or output.

`IsoDepTarget` receives the reader's frames after activation, without CRC, and returns the card's.
An `Answer` says how long the card waits before it answers; the caller (a pseudo-terminal, a UDP
socket, a test) lets that time pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

CARRIER_HZ = 13_560_000
FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)
"""Frame sizes by FSDI and FSCI 0 to 8, bytes, CRC included (ISO/IEC 14443-4, RATS and ATS)."""

MAX_WTXM = 59
_CRC_BYTES = 2
_CID = 0x08
_NAD = 0x04
_MORE = 0x10


class CardLeft(Exception):
    """The emulated card left the field and does not answer until it is presented again."""


class PresentedCard(Protocol):
    """A card as the air interface needs it; the emulated cards implement it.

    `process` may raise CardLeft when the card is pulled away during a command; `delay_s` is the
    delay of a slow card's last answer. For type B cards SAK and ATS are not used.
    """

    @property
    def technology(self) -> Literal["A", "B"]: ...

    @property
    def uid(self) -> bytes: ...

    @property
    def sak(self) -> int: ...

    @property
    def ats(self) -> bytes: ...

    @property
    def delay_s(self) -> float: ...

    def power_on(self) -> None: ...

    def power_off(self) -> None: ...

    def process(self, command: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One frame from the card, and the seconds that the card waits before it sends it."""

    frame: bytes
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The parameters of activation: both frame sizes in bytes, waiting time, the card's CID."""

    reader_frame: int = 256
    card_frame: int = 256
    waiting_time_s: float = 0.0048
    cid: int = 0
    cid_supported: bool = True

    @property
    def response_chunk(self) -> int:
        """Bytes of an APDU in one block to the reader: frame less PCB, CRC and a CID."""
        return self.reader_frame - _CRC_BYTES - 1


def waiting_time_s(fwi: int) -> float:
    """The frame waiting time that a frame waiting integer stands for (ISO/IEC 14443-4), seconds."""
    return 4096 / CARRIER_HZ * (1 << (fwi if fwi <= 14 else 4))


def frame_size(index: int) -> int:
    """The frame size behind an FSDI or FSCI, bytes; reserved values count as the largest."""
    return FRAME_SIZES[min(index, 8)]


class IsoDepTarget:
    """The half-duplex block protocol of one activated card (ISO/IEC 14443-4, 7 on a card's side).

    `on_frame` takes one block without CRC and returns the card's Answer, or None where a card
    keeps silent. Raises CardLeft when the card was pulled away while it worked.
    `deselected` turns true after S(DESELECT).
    """

    def __init__(self, card: PresentedCard, limits: Limits) -> None:
        self.deselected = False
        self._card = card
        self._limits = limits
        self._number = 1
        self._command = bytearray()
        self._response = b""
        self._chaining = False
        self._last: bytes | None = None
        self._remaining_s = 0.0
        self._extending: int | None = None

    def on_frame(self, frame: bytes) -> Answer | None:
        block = self._addressed(frame)
        if block is None:
            return None
        pcb, inf, header = block
        kind = pcb & 0xC0
        if kind == 0x00 and pcb & 0x22 == 0x02:
            return self._on_information(pcb, inf, header)
        if kind == 0x80 and pcb & 0x26 == 0x22:
            return self._on_receive_ready(pcb, header)
        if kind == 0xC0:
            return self._on_supervisory(pcb, inf, header)
        return None

    def _addressed(self, frame: bytes) -> tuple[int, bytes, bytes] | None:
        """Control byte, information and CID; None for a block that is not for this card."""
        if not frame:
            return None
        pcb, rest, header = frame[0], frame[1:], b""
        if pcb & _CID:
            if not rest or not self._limits.cid_supported or rest[0] & 0x0F != self._limits.cid:
                return None
            header, rest = rest[:1], rest[1:]
        elif self._limits.cid:
            return None
        if pcb & 0xC0 == 0 and pcb & _NAD:
            return None
        return pcb, rest, header

    def _on_information(self, pcb: int, inf: bytes, header: bytes) -> Answer | None:
        if self._extending is not None:
            return None
        self._number ^= 1
        self._command += inf
        if pcb & _MORE:
            return self._send(0xA2 | self._number, header, b"")
        command, self._command = bytes(self._command), bytearray()
        self._response = self._card.process(command)
        self._remaining_s = max(0.0, self._card.delay_s)
        return self._respond(header)

    def _respond(self, header: bytes) -> Answer:
        """The next block of the response, or a request for more time before it."""
        waiting_time = self._limits.waiting_time_s
        if self._remaining_s > 0.9 * waiting_time:
            times = min(MAX_WTXM, max(1, math.ceil(1.2 * self._remaining_s / waiting_time)))
            self._extending = times
            return self._send(0xF2, header, bytes([times]), after_s=waiting_time / 2)
        after_s, self._remaining_s = self._remaining_s, 0.0
        return self._send_chunk(header, after_s)

    def _send_chunk(self, header: bytes, after_s: float = 0.0) -> Answer:
        size = self._limits.response_chunk - len(header)
        chunk, self._response = self._response[:size], self._response[size:]
        self._chaining = bool(self._response)
        return self._send(
            0x02 | (_MORE if self._chaining else 0) | self._number, header, chunk, after_s=after_s
        )

    def _on_receive_ready(self, pcb: int, header: bytes) -> Answer | None:
        if pcb & 1 == self._number:
            return None if self._last is None else Answer(frame=self._last)
        if pcb & _MORE:  # R(NAK): the reader's last block was lost; ask for it
            return Answer(frame=self._block(0xA2 | self._number, header, b""))
        if self._chaining:
            self._number ^= 1
            return self._send_chunk(header)
        return None

    def _on_supervisory(self, pcb: int, inf: bytes, header: bytes) -> Answer | None:
        if pcb & 0x30 == 0x30 and self._extending is not None:
            if not inf or inf[0] & 0x3F != self._extending:
                return None
            granted = self._extending * self._limits.waiting_time_s
            self._extending = None
            if self._remaining_s > granted:
                self._remaining_s -= granted * 0.9
                answer = self._respond(header)
                return Answer(frame=answer.frame, after_s=granted * 0.9)
            after_s, self._remaining_s = self._remaining_s, 0.0
            return self._send_chunk(header, after_s)
        if pcb & 0x30 == 0x00:
            self.deselected = True
            return Answer(frame=self._block(pcb, header, b""))
        return None

    def _send(self, pcb: int, header: bytes, inf: bytes, *, after_s: float = 0.0) -> Answer:
        self._last = self._block(pcb, header, inf)
        return Answer(frame=self._last, after_s=after_s)

    @staticmethod
    def _block(pcb: int, header: bytes, inf: bytes) -> bytes:
        return bytes([(pcb & ~_CID) | (_CID if header else 0)]) + header + inf
